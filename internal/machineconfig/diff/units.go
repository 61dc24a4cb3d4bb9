package diff

import (
	"reflect"
	"slices"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/config/types/v1alpha1"
)

// differingUnits names the fields of the v1alpha1 documents that differ for Talos' check, see Diff.V1Alpha1. Where the
// library cannot read one of the documents, those with a change are named.
func differingUnits(a, b []document, d *Diff) []string {
	x, okX := typed(a)
	y, okY := typed(b)
	if okX && okY {
		return unitsOf(x, y)
	}
	var out []string
	for _, doc := range d.Documents {
		if doc.Kind != v1alpha1Kind {
			continue
		}
		for _, c := range doc.Changes {
			out = append(out, unitOf(c.Field))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// unitOf is the unit of a field: machine.network.interfaces[].mtu is of machine.network.
func unitOf(field string) string {
	steps := strings.Split(strings.ReplaceAll(field, "[]", ""), ".")
	depth := 1
	if steps[0] == "machine" {
		depth = 2
		if len(steps) > 1 && steps[1] == "features" {
			depth = 3
		}
	}
	return strings.Join(steps[:min(depth, len(steps))], ".")
}

// typed reads the v1alpha1 document; none is read as nil.
func typed(docs []document) (out *v1alpha1.Config, ok bool) {
	for _, d := range docs {
		if d.kind == v1alpha1Kind {
			out = &v1alpha1.Config{}
			return out, decode(d.root, reflect.ValueOf(out)) == nil
		}
	}
	return nil, true
}

// unitsOf compares as Talos does, with reflect.DeepEqual.
func unitsOf(a, b *v1alpha1.Config) []string {
	if a == nil || b == nil {
		return nil // a node without a config has no check, and one of none is refused
	}
	return differ(reflect.ValueOf(a), reflect.ValueOf(b), "")
}

// differ names the fields of two structs that differ, those of machine and machine.features one by one.
func differ(a, b reflect.Value, path string) []string {
	if a.IsNil() || b.IsNil() {
		if a.IsNil() == b.IsNil() {
			return nil
		}
		return []string{path}
	}
	var out []string
	for i := range a.Elem().NumField() {
		name, _, _ := strings.Cut(a.Elem().Type().Field(i).Tag.Get("yaml"), ",")
		x, y, at := a.Elem().Field(i), b.Elem().Field(i), join(path, name)
		switch {
		case at == "machine" || at == "machine.features":
			out = append(out, differ(x, y, at)...)
		case !reflect.DeepEqual(x.Interface(), y.Interface()):
			out = append(out, at)
		}
	}
	return out
}
