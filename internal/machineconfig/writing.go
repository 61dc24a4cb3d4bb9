package machineconfig

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"

	coreconfig "github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/config"
	"github.com/siderolabs/talos/pkg/machinery/config/encoder"
	"github.com/siderolabs/talos/pkg/machinery/config/types/v1alpha1"
	"go.yaml.in/yaml/v4"
)

// Writing YAML is most of the work of a rendering, and most of what is written is the same for all servers of a
// cluster. So the text of documents, and of the fields of machine: and cluster:, is remembered with the value it was
// written from. The text is the library's, byte for byte.

func encodeDocument(d config.Document) ([]byte, error) {
	return encoder.NewEncoder(d, encoder.WithComments(encoder.CommentsDisabled)).Encode()
}

func encodeConfig(p coreconfig.Provider) ([]byte, error) {
	return p.EncodeBytes(encoder.WithComments(encoder.CommentsDisabled))
}

// memory remembers texts. The values it is given must not change any more.
type memory struct {
	slots sync.Map // slotKey -> *slot
	count atomic.Int64
}

// slotKey is a document, or a field of the one with machine: and cluster:.
type slotKey struct {
	kind, name string
	field      int // -1: the document
}

// slot remembers the last few values of one place.
type slot struct{ recent atomic.Pointer[[]written] }

type written struct {
	value any
	text  []byte
}

const (
	slotDepth = 4   // values of a place
	mostSlots = 256 // places; documents may have any name
)

// text gives the text of a value, from memory if it is there.
func (m *memory) text(key slotKey, value any, write func() ([]byte, error)) ([]byte, error) {
	s := m.slot(key)
	if s == nil {
		return write()
	}
	var known []written
	if p := s.recent.Load(); p != nil {
		known = *p
	}
	for _, w := range known {
		if reflect.DeepEqual(w.value, value) {
			return w.text, nil
		}
	}
	text, err := write()
	if err == nil {
		all := append([]written{{value, text}}, known[:min(len(known), slotDepth-1)]...)
		s.recent.Store(&all)
	}
	return text, err
}

func (m *memory) slot(key slotKey) *slot {
	if s, ok := m.slots.Load(key); ok {
		return s.(*slot)
	}
	if m.count.Load() >= mostSlots {
		return nil
	}
	s, loaded := m.slots.LoadOrStore(key, &slot{})
	if !loaded {
		m.count.Add(1)
	}
	return s.(*slot)
}

// document gives the text of a document.
func (m *memory) document(d config.Document) ([]byte, error) {
	if c, ok := d.(*v1alpha1.Config); ok && c.MachineConfig != nil && c.ClusterConfig != nil {
		return m.v1alpha1(c)
	}
	name, _ := nameOf(d)
	return m.text(slotKey{d.Kind(), name, -1}, d, func() ([]byte, error) { return encodeDocument(d) })
}

// v1alpha1 writes the document with machine: and cluster: field by field.
func (m *memory) v1alpha1(c *v1alpha1.Config) ([]byte, error) {
	var out pieces
	rest := *c
	rest.MachineConfig, rest.ClusterConfig = nil, nil
	head, err := m.text(slotKey{"v1alpha1", "", -1}, rest, func() ([]byte, error) { return encodeDocument(&rest) })
	if err != nil {
		return nil, err
	}
	before, ok := bytes.CutSuffix(head, []byte("machine: null\ncluster: null\n"))
	if !ok {
		return encodeDocument(c)
	}
	out.add(before)
	for _, part := range []struct {
		name   string
		value  reflect.Value
		fields []field
	}{
		{"machine", reflect.ValueOf(c.MachineConfig).Elem(), machineFields()},
		{"cluster", reflect.ValueOf(c.ClusterConfig).Elem(), clusterFields()},
	} {
		if err := m.section(&out, part.name, part.value, part.fields); err != nil {
			return nil, err
		}
	}
	return out.join(), nil
}

// pieces is a text that is put together when its length is known.
type pieces [][]byte

func (p *pieces) add(text []byte) { *p = append(*p, text) }

func (p *pieces) join() []byte { return bytes.Join(*p, nil) }

func (m *memory) section(out *pieces, name string, v reflect.Value, fields []field) error {
	title := []byte(name + ":\n")
	empty := true
	for i, f := range fields {
		value := v.Field(f.index)
		if f.omitted(value) {
			continue
		}
		text, err := m.text(slotKey{"v1alpha1", name, i}, value.Interface(), func() ([]byte, error) { return f.write(value) })
		if err != nil {
			return err
		}
		text, ok := bytes.CutPrefix(text, title)
		if !ok {
			continue // {}: the field is left out
		}
		if empty {
			out.add(title)
		}
		empty = false
		out.add(text)
	}
	if empty {
		out.add([]byte(name + ": {}\n"))
	}
	return nil
}

// field is a field of a section, and a type that has no other, below the section's name: so written, its text is
// that of the field in the whole.
type field struct {
	index     int
	omitEmpty bool
	alone     reflect.Type
}

var (
	machineFields = sync.OnceValue(func() []field { return fieldsOf(reflect.TypeFor[v1alpha1.MachineConfig](), "machine") })
	clusterFields = sync.OnceValue(func() []field { return fieldsOf(reflect.TypeFor[v1alpha1.ClusterConfig](), "cluster") })
)

func fieldsOf(section reflect.Type, name string) []field {
	var out []field
	for i := range section.NumField() {
		f := section.Field(i)
		inner := reflect.StructOf([]reflect.StructField{{Name: f.Name, Type: f.Type, Tag: f.Tag}})
		outer := reflect.StructOf([]reflect.StructField{{Name: "Section", Type: inner, Tag: reflect.StructTag(fmt.Sprintf("yaml:%q", name))}})
		out = append(out, field{i, strings.Contains(f.Tag.Get("yaml"), ",omitempty"), outer})
	}
	return out
}

// omitted is a short cut for the many fields that are not there.
func (f *field) omitted(v reflect.Value) bool {
	return f.omitEmpty && v.Kind() == reflect.Pointer && v.IsNil()
}

func (f *field) write(v reflect.Value) ([]byte, error) {
	alone := reflect.New(f.alone).Elem()
	alone.Field(0).Field(0).Set(v)
	return yaml.Marshal(alone.Interface())
}
