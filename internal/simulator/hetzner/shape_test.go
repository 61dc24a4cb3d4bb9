package hetzner_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
)

// sameShape compares an answer with a recorded or documented one: the same keys, the same JSON types. null in the
// sample stands for anything, an empty list for a list of anything.
func sameShape(t *testing.T, sample string, got []byte) {
	t.Helper()
	want, err := os.ReadFile("testdata/" + sample)
	if err != nil {
		t.Fatal(err)
	}
	for _, difference := range shapes("", decode(t, want), decode(t, got)) {
		t.Errorf("%s: %s\n%s", sample, difference, got)
	}
}

func decode(t *testing.T, b []byte) (v any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %q", err, b)
	}
	return v
}

func shapes(at string, want, got any) (differences []string) {
	note := func(format string, args ...any) {
		differences = append(differences, at+": "+fmt.Sprintf(format, args...))
	}
	switch want := want.(type) {
	case nil:
	case map[string]any:
		object, ok := got.(map[string]any)
		if !ok {
			note("is %T, want an object", got)
			return differences
		}
		for k, v := range want {
			if inner, has := object[k]; has {
				differences = append(differences, shapes(at+"."+k, v, inner)...)
				continue
			}
			note("lacks %s", k)
		}
		for k := range object {
			if _, has := want[k]; !has {
				note("has %s, which is not in the sample", k)
			}
		}
	case []any:
		array, ok := got.([]any)
		if !ok {
			note("is %T, want a list", got)
		}
		for i := range array {
			if len(want) > 0 {
				differences = append(differences, shapes(fmt.Sprintf("%s[%d]", at, i), want[min(i, len(want)-1)], array[i])...)
			}
		}
	case json.Number:
		n, ok := got.(json.Number)
		if whole := !strings.Contains(want.String(), "."); !ok || whole && strings.ContainsAny(n.String(), ".eE") {
			note("is %v, want a number like %s", got, want)
		}
	default:
		if fmt.Sprintf("%T", want) != fmt.Sprintf("%T", got) {
			note("is %T, want %T", got, want)
		}
	}
	return differences
}

func TestShapesDiffer(t *testing.T) {
	for _, tc := range []struct{ reason, want, got string }{
		{"a key too few", `{"a":1}`, `{}`},
		{"a key too many", `{}`, `{"a":1}`},
		{"a string for a number", `{"a":1}`, `{"a":"1"}`},
		{"a fraction for a whole number", `{"a":1}`, `{"a":1.5}`},
		{"null for a string", `{"a":"x"}`, `{"a":null}`},
		{"a value for a choice", `{"a":["x"]}`, `{"a":"x"}`},
		{"inside of a list", `[{"a":1}]`, `[{"a":1},{"b":1}]`},
	} {
		if len(shapes("", decode(t, []byte(tc.want)), decode(t, []byte(tc.got)))) == 0 {
			t.Errorf("%s: not noticed", tc.reason)
		}
	}
}
