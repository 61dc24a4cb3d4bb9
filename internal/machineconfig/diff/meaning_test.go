//go:build !race

// The race detector finds nothing in one goroutine, and makes this take a minute.

package diff

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/siderolabs/talos/pkg/machinery/config/config"
	"github.com/siderolabs/talos/pkg/machinery/config/container"
	"github.com/siderolabs/talos/pkg/machinery/config/types/v1alpha1"
	blockresource "github.com/siderolabs/talos/pkg/machinery/resources/block"
)

// What Talos does with a config it learns through the methods of the library's container. seen calls all of them that
// take nothing, and those of what they return, and writes down the answers: two configs with the same answers are the
// same to Talos.
//
// The document is asked first, and the container, which takes longer, only where that is not enough to tell.
func seen(doc config.Document, whole bool) (out string, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	q := questions{asked: map[any]string{}}
	if !whole {
		q.ask(reflect.ValueOf(doc), 0)
		return q.String(), nil
	}
	c, err := container.New(doc)
	if err != nil {
		return "", err
	}
	q.ask(reflect.ValueOf(c), 0)
	q.ask(reflect.ValueOf(doc), 0)
	return q.String(), nil
}

// questions collects answers; of what was asked once the sum is kept.
type questions struct {
	strings.Builder
	asked map[any]string
}

func (b *questions) ask(v reflect.Value, depth int) {
	for v.Kind() == reflect.Interface && !v.IsNil() {
		v = v.Elem()
	}
	if !v.IsValid() || depth > 9 || (v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface) && v.IsNil() {
		b.WriteString("none;")
		return
	}
	if v.Kind() == reflect.Pointer && v.Type().Elem().Kind() == reflect.Struct && v.Type().Elem().Size() > 0 {
		if known, ok := b.asked[v.Interface()]; ok {
			b.WriteString(known)
			return
		}
		b.asked[v.Interface()] = "itself;"
		within := questions{asked: b.asked}
		within.answer(v, depth)
		b.asked[v.Interface()] = fmt.Sprintf("%x;", sha256.Sum256([]byte(within.String())))
		b.WriteString(b.asked[v.Interface()])
		return
	}
	b.answer(v, depth)
}

func (b *questions) answer(v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			break
		}
		fmt.Fprintf(b, "[%d:", v.Len())
		for i := range v.Len() {
			b.ask(v.Index(i), depth+1)
		}
		b.WriteString("]")
		return
	case reflect.Map:
		keys := v.MapKeys()
		slices.SortFunc(keys, func(x, y reflect.Value) int { return strings.Compare(fmt.Sprint(x), fmt.Sprint(y)) })
		b.WriteString("{")
		for _, key := range keys {
			fmt.Fprintf(b, "%v=", key)
			b.ask(v.MapIndex(key), depth+1)
		}
		b.WriteString("}")
		return
	}
	if asked := b.askMethods(v, depth); asked {
		return
	}
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if v.Kind() == reflect.Struct && strings.Contains(v.Type().PkgPath(), "siderolabs") {
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fmt.Fprintf(b, "%s:", v.Type().Field(i).Name)
				b.ask(v.Field(i), depth+1)
			}
		}
		return
	}
	fmt.Fprintf(b, "%+v;", v)
}

func (b *questions) askMethods(v reflect.Value, depth int) bool {
	list := methodsOf(v.Type())
	for i, name := range list {
		if name == "" {
			continue
		}
		b.WriteString(name + "(")
		for _, result := range answers(v.Method(i)) {
			b.ask(result, depth+1)
		}
		b.WriteString(")")
	}
	return slices.ContainsFunc(list, func(name string) bool { return name != "" })
}

// methodsOf names the methods that can be asked, by their index.
func methodsOf(t reflect.Type) []string {
	if known, ok := methods.Load(t); ok {
		return known.([]string)
	}
	out := make([]string, t.NumMethod())
	for i := range out {
		if strings.HasSuffix(t.String(), ".DefaultOOMConfig") {
			break // what every config has, and long to read
		}
		if m := t.Method(i); m.Type.NumIn() == 1 && m.Type.NumOut() > 0 && !internalMethod(m.Name) {
			out[i] = m.Name
		}
	}
	methods.Store(t, out)
	return out
}

var methods sync.Map

// answers calls a method; one that panics for a config that is no whole one answers nothing.
func answers(method reflect.Value) (out []reflect.Value) {
	defer func() { _ = recover() }()
	return method.Call(nil)
}

// internalMethod are those by which the library copies, checks and writes configs, not those by which Talos reads.
func internalMethod(name string) bool {
	return slices.Contains([]string{
		"Clone", "DeepCopy", "EncodeString", "EncodeBytes", "Bytes", "Documents", "RawV1Alpha1", "MarshalYAML", "MarshalText",
		"Readonly", "Doc", "CompleteForBoot", "Validate", "V1Alpha1Config", "GoString", "Format",
	}, name) || strings.HasPrefix(name, "ConflictsWith") || strings.HasPrefix(name, "Marshal") || strings.HasPrefix(name, "Eval") || strings.HasPrefix(name, "Parse")
}

// spot is a field that the library keeps so that it can tell "not written".
type spot struct {
	kind, path string
	set        func(doc reflect.Value, v reflect.Value) // puts a value into an otherwise empty document
	typ        reflect.Type
}

// spots finds all pointers, lists and maps of a document type, through structs, pointers and elements.
func spots(kind, path string, typ reflect.Type, reach func(doc reflect.Value) reflect.Value, depth int) []spot {
	var out []spot
	base := typ
	if base.Kind() == reflect.Pointer {
		base = base.Elem()
	}
	if depth > 12 || base.Kind() != reflect.Struct || ownReader(base) {
		return nil
	}
	for i := range base.NumField() {
		f := base.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if !f.IsExported() || name == "-" || f.Type.Kind() == reflect.Interface || strings.Contains(options, "inline") && f.Type.Kind() == reflect.Map {
			continue
		}
		at := join(path, name)
		if strings.Contains(options, "inline") {
			at = path
		} else if name == "" {
			continue
		}
		field := func(doc reflect.Value) reflect.Value { return through(reach(doc)).Field(i) }
		switch f.Type.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			out = append(out, spot{kind, at, func(doc, v reflect.Value) { field(doc).Set(v) }, f.Type})
		}
		switch f.Type.Kind() {
		case reflect.Struct, reflect.Pointer:
			out = append(out, spots(kind, at, f.Type, field, depth+1)...)
		case reflect.Slice:
			out = append(out, spots(kind, at+"[]", f.Type.Elem(), func(doc reflect.Value) reflect.Value {
				list := field(doc)
				if list.Len() == 0 {
					list.Set(reflect.MakeSlice(list.Type(), 1, 1))
				}
				return list.Index(0)
			}, depth+1)...)
		}
	}
	return out
}

// through makes what a pointer points to.
func through(v reflect.Value) reflect.Value {
	if v.Kind() != reflect.Pointer {
		return v
	}
	if v.IsNil() {
		v.Set(reflect.New(v.Type().Elem()))
	}
	return v.Elem()
}

// candidates are the values that may mean the same as none, by what the table calls them.
func candidates(typ reflect.Type) map[string]reflect.Value {
	out := map[string]reflect.Value{}
	switch typ.Kind() {
	case reflect.Slice:
		out["[]"] = reflect.MakeSlice(typ, 0, 0)
	case reflect.Map:
		out["{}"] = reflect.MakeMap(typ)
	case reflect.Pointer:
		zero := reflect.New(typ.Elem())
		switch typ.Elem().Kind() {
		case reflect.Bool:
			yes := reflect.New(typ.Elem())
			yes.Elem().SetBool(true)
			out["false"], out["true"] = zero, yes
		case reflect.Struct:
			out["{}"] = zero
		default:
			out["0"] = zero
		}
	}
	return out
}

// equivalents finds for a spot which of the candidates Talos cannot tell from none.
func equivalents(typ reflect.Type, s spot) []string {
	empty := func() (config.Document, reflect.Value) {
		doc := reflect.New(typ)
		if c := doc.Elem().FieldByName("MachineConfig"); c.IsValid() {
			through(c)
			through(doc.Elem().FieldByName("ClusterConfig"))
		}
		if peer := doc.Elem().FieldByName("VethPeer"); peer.IsValid() {
			peer.FieldByName("VethPeerName").SetString("other") // both ends of one name are refused
		}
		if e := doc.Elem().FieldByName("EncryptionSpec"); e.IsValid() {
			e.FieldByName("EncryptionProvider").Set(reflect.ValueOf(blockresource.EncryptionProviderLUKS2)) // without it the rest is not read
		}
		return doc.Interface().(config.Document), doc
	}
	answer := func(v reflect.Value, whole bool) string {
		doc, at := empty()
		s.set(at.Elem(), v)
		out, err := seen(doc, whole)
		if err != nil {
			return "? " + err.Error()
		}
		return out
	}
	none := []string{"", ""}
	if typ != reflect.TypeFor[v1alpha1.Config]() {
		none[0] = answer(reflect.Zero(s.typ), false)
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(candidates(s.typ))) {
		v := candidates(s.typ)[name]
		if typ != reflect.TypeFor[v1alpha1.Config]() && answer(v, false) != none[0] { // of which the container asks all
			continue
		}
		if none[1] == "" {
			none[1] = answer(reflect.Zero(s.typ), true)
		}
		if got := answer(v, true); got == none[1] && !strings.HasPrefix(got, "?") {
			out = append(out, name)
		}
	}
	return out
}

func TestWhatTalosTakesForNothing(t *testing.T) {
	left := maps.Clone(unsetValues)
	count := 0
	for kind, typ := range documentTypes() {
		for _, s := range spots(kind, "", typ, func(doc reflect.Value) reflect.Value { return doc }, 0) {
			where := kind + " " + s.path
			delete(left, where)
			count++
			if got := verdictOn(s.typ, equivalents(typ, s)); got != unsetValues[where] {
				t.Errorf("%s (%s): Talos takes %q for nothing, the table says %q", where, s.typ, got, unsetValues[where])
			}
		}
	}
	if len(left) > 0 {
		t.Errorf("the library has no such fields: %v", slices.Sorted(maps.Keys(left)))
	}
	if count < 400 {
		t.Errorf("only %d fields were asked about", count)
	}
}

// verdictOn is what the table says: a pointer's one equivalent, or never for a list that is something when empty.
func verdictOn(typ reflect.Type, same []string) string {
	switch {
	case typ.Kind() == reflect.Pointer && len(same) == 1:
		return same[0]
	case typ.Kind() != reflect.Pointer && len(same) == 0:
		return never
	}
	return ""
}
