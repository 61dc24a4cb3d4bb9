package diff

import (
	"encoding"
	"reflect"
	"strings"
	"sync"

	"github.com/siderolabs/crypto/x509"
	"github.com/siderolabs/talos/pkg/machinery/config/configloader"
	"github.com/siderolabs/talos/pkg/machinery/config/types/meta"
	"github.com/siderolabs/talos/pkg/machinery/config/types/v1alpha1"
	"go.yaml.in/yaml/v4"
)

// form says how a value of a shape is compared.
type form int8

const (
	leaf   form = iota // as one value of its Go type
	object             // field by field
	named              // key by key: a map whose keys people choose
	listed             // element by element, by its rule
	free               // as plain YAML
)

// shape is what the library's types say of a field, with what our tables say of it.
type shape struct {
	form    form
	typ     reflect.Type // pointers taken off
	pointer bool         // the library can tell "not written" from a zero value
	order   []string     // of an object: its fields, as the library orders them
	fields  map[string]*shape
	elem    *shape // of named and listed
	list    listRule
	secret  bool
	byName  bool   // a value that people name: whether it is a secret is told by that
	trimmed bool   // see trimmed
	unset   string // a value that means the same as none, see unset.go
}

// field finds the shape of a field, nil where it is unknown. s may be nil.
func (s *shape) field(name string) *shape {
	if s == nil {
		return nil
	}
	if s.form == named || s.form == listed {
		return s.elem
	}
	return s.fields[name]
}

// plain says whether no table tells what a value is, but its name only. s may be nil.
func (s *shape) plain() bool { return s == nil || s.form == free || s.byName }

// shapes holds the shape of every document kind of the library.
var shapes = sync.OnceValue(func() map[string]*shape {
	out := map[string]*shape{}
	for kind, typ := range documentTypes() {
		out[kind] = shapeOf(typ, kind, "")
	}
	return out
})

// documentTypes asks the library for the Go type of each kind. Its registry is internal, so that an empty document of
// the kind is loaded instead.
func documentTypes() map[string]reflect.Type {
	out := map[string]reflect.Type{v1alpha1Kind: reflect.TypeFor[v1alpha1.Config]()}
	for _, kind := range kinds {
		for _, rest := range []string{"", "name: x\n"} { // some are refused without a name
			p, err := configloader.NewFromBytes([]byte("apiVersion: v1alpha1\nkind: " + kind + "\n" + rest))
			if err == nil {
				out[kind] = reflect.TypeOf(p.Documents()[0]).Elem()
				break
			}
		}
	}
	return out
}

// shapeOf reads a Go type. kind and path are where it is, for the tables.
func shapeOf(typ reflect.Type, kind, path string) *shape {
	s := &shape{typ: typ}
	for s.typ.Kind() == reflect.Pointer {
		s.typ, s.pointer = s.typ.Elem(), true
	}
	s.trimmed = kind == v1alpha1Kind && path == "cluster.inlineManifests[].contents"
	s.secret, s.unset = isSecret(kind, path), unsetValues[kind+" "+path]
	switch {
	case s.certificate(kind, path), s.typ == reflect.TypeFor[v1alpha1.Base64Bytes]():
	case s.typ == reflect.TypeFor[meta.Unstructured](), s.typ.Kind() == reflect.Interface:
		s.form = free
	//lint:ignore SA1019 older Talos versions have nothing else
	case s.typ != reflect.TypeFor[v1alpha1.ClusterInlineManifests]() && ownReader(s.typ):
	case s.typ.Kind() == reflect.Struct:
		s.form, s.fields = object, map[string]*shape{}
		s.readFields(s.typ, kind, path)
	case s.typ.Kind() == reflect.Slice && s.typ.Elem().Kind() != reflect.Uint8:
		s.form, s.list = listed, listRuleOf(kind, path)
		s.elem = shapeOf(s.typ.Elem(), kind, path+"[]")
	case s.typ.Kind() == reflect.Map:
		s.form = named
		s.elem = shapeOf(s.typ.Elem(), kind, path+".*")
		s.elem.byName = true
	}
	return s
}

func (s *shape) readFields(typ reflect.Type, kind, path string) {
	for i := range typ.NumField() {
		f := typ.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if !f.IsExported() || name == "-" {
			continue
		}
		if strings.Contains(options, "inline") && f.Type.Kind() == reflect.Struct {
			s.readFields(f.Type, kind, path)
			continue
		}
		if name == "" {
			name = strings.ToLower(f.Name)
		}
		field := shapeOf(f.Type, kind, join(path, name))
		field.secret = field.secret || name == "key" && ownsKey(typ)
		s.add(name, field)
	}
}

func (s *shape) add(name string, field *shape) {
	s.order = append(s.order, name)
	s.fields[name] = field
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// certificate handles the types of the crypto library, which have readers of their own for {crt, key} in base64.
func (s *shape) certificate(kind, path string) bool {
	var parts []string
	switch s.typ {
	case reflect.TypeFor[x509.PEMEncodedCertificateAndKey]():
		parts = []string{"crt", "key"}
	case reflect.TypeFor[x509.PEMEncodedCertificate]():
		parts = []string{"crt"}
	case reflect.TypeFor[x509.PEMEncodedKey]():
		parts = []string{"key"}
	default:
		return false
	}
	s.form, s.fields = object, map[string]*shape{}
	for _, name := range parts {
		part := shapeOf(reflect.TypeFor[v1alpha1.Base64Bytes](), kind, join(path, name))
		part.secret = part.secret || name == "key"
		s.add(name, part)
	}
	return true
}

type obsoleteUnmarshaler interface{ UnmarshalYAML(func(any) error) error }

// ownReader says whether a type reads YAML itself, so that only it knows when two texts mean the same.
func ownReader(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(reflect.TypeFor[yaml.Unmarshaler]()) || p.Implements(reflect.TypeFor[obsoleteUnmarshaler]()) ||
		p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}
