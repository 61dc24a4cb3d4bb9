package diff

import (
	"errors"
	"reflect"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/config/types/meta"
	"go.yaml.in/yaml/v4"
)

// unsaid says whether Talos takes a value as if nothing was written. The library cannot tell an absent field from a
// zero value where it keeps it without a pointer; where it keeps one, unsetValues has what Talos does then. Lists and
// maps are the same empty and absent.
func (s *shape) unsaid(v *value) bool {
	if v.isNull() {
		return true
	}
	if s == nil {
		return false
	}
	if s.unset != "" {
		switch {
		case s.unset == never:
			return false
		case v.nature == scalar && s.unset == "0":
			return s.zero(v)
		case v.nature == scalar:
			return v.node.Value == s.unset || s.sameText(v, s.unset)
		case s.unset != "{}":
			return false
		}
	}
	switch s.form {
	case listed:
		return v.nature == list && len(v.items) == 0
	case named, free:
		return v.nature == dict && len(v.dict) == 0
	case object:
		return s.empty(v)
	}
	return !s.pointer && v.nature == scalar && s.zero(v)
}

// empty says whether a map says nothing in any of its fields. A pointer to a struct that says nothing is something
// (nodeID: {}) but where unsetValues has it.
func (s *shape) empty(v *value) bool {
	if v.nature != dict || s.pointer && s.unset != "{}" {
		return false
	}
	for key, item := range v.dict {
		if field := s.fields[key]; field == nil || !field.unsaid(item) {
			return false
		}
	}
	return true
}

func (s *shape) zero(v *value) bool {
	out := reflect.New(s.typ)
	return v.node.Decode(out.Interface()) == nil && out.Elem().IsZero()
}

func (s *shape) sameText(v *value, text string) bool {
	other := yaml.Node{Kind: yaml.ScalarNode, Value: text}
	return sameLeaf(s, v, &value{nature: scalar, node: &other})
}

// sameLeaf says whether two values of one field mean the same, by the Go type which the library reads them into.
func sameLeaf(s *shape, a, b *value) bool {
	if a.isNull() != b.isNull() {
		return false
	}
	if both(scalar, a, b) && a.node.Value == b.node.Value && a.node.ShortTag() == b.node.ShortTag() {
		return true
	}
	typ := reflect.TypeFor[any]()
	if s != nil && s.form == leaf {
		typ = s.typ
	}
	x, y := reflect.New(typ), reflect.New(typ)
	if decode(a, x) != nil || decode(b, y) != nil {
		return false
	}
	if s != nil && s.trimmed {
		return trimmed(x.Elem().String()) == trimmed(y.Elem().String())
	}
	return reflect.DeepEqual(meaning(x), meaning(y))
}

var errUnreadable = errors.New("unreadable")

func decode(v *value, into reflect.Value) (err error) {
	defer func() { // the readers of the library are not all made for any text
		if p := recover(); p != nil {
			err = errUnreadable
		}
	}()
	if v.node == nil {
		return errUnreadable
	}
	return v.node.Decode(into.Interface())
}

// trimmed cuts what the library cuts from the start of an inline manifest of the v1alpha1 document.
func trimmed(s string) string { return strings.TrimLeft(s, "\t\n\v\f\r") }

// meaning takes what was written off values that keep it: 1GiB is 1024MiB, and an argument is a list of one.
func meaning(v reflect.Value) any {
	switch x := v.Interface().(type) {
	case interface {
		Value() uint64
		IsNegative() bool
		RelativeValue() (uint64, bool)
	}:
		share, relative := x.RelativeValue()
		return [4]any{x.Value(), x.IsNegative(), share, relative}
	case interface {
		Value() uint64
		IsNegative() bool
	}:
		return [2]any{x.Value(), x.IsNegative()}
	case *string:
		if strings.HasPrefix(*x, "-----BEGIN ") {
			return strings.TrimSpace(*x)
		}
	case *meta.ArgValue:
		return meta.Args{"": *x}.ToMap()
	}
	return v.Interface()
}
