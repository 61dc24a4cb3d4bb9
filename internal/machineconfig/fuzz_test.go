package machineconfig

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/siderolabs/talos/pkg/machinery/config/configloader"
	"go.yaml.in/yaml/v4"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// seeds adds every patch of the guide and all YAML of the reference documents.
func seeds(f *testing.F, add func(text string)) {
	f.Helper()
	files, err := filepath.Glob("testdata/guide/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range append(files, "testdata/reference.txtar") {
		a, err := txtar.ParseFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range a.Files {
			add(string(file.Data))
		}
	}
	for _, text := range []string{
		"", "---\n", "# nothing\n", "- op: add\n  path: /machine\n  value: 1\n", "machine: &a [*a]\n", "a: ${hostname}\n", "{a: $${x}}", "\t", "? a\n: b\n", "!!binary x: y",
		"machine: {network: {interfaces: [{interface: eth0, $patch: delete}]}}", "$patch: delete\n", "<<: {machine: {type: ${x}}}\n", "%YAML 1.2\n---\nmachine: {}\n", "machine: null\n", "cluster: ~\n---\nmachine: {}\n",
	} {
		add(text)
	}
}

// Whatever a patch is, it is applied or refused; what comes out, Talos can read.
func FuzzPatch(f *testing.F) {
	seeds(f, func(text string) { f.Add(text) })
	in := input(f, "v1.13.9", "v1.36.3", fleet.Worker)
	m := newMaker()
	variables := in.Variables.withInput(&in)
	f.Fuzz(func(t *testing.T, text string) {
		k, err := m.begin(&in, Key{})
		if err != nil {
			t.Fatal(err)
		}
		p, err := prepare(text)
		if err != nil {
			return
		}
		for range 2 { // the second time without the library's reader
			filled, err := p.with(variables)
			if err != nil {
				return
			}
			d := k.start()
			d.memory = nil
			if err := filled.apply(d); err != nil {
				return
			}
			out, err := d.encode()
			if err != nil || len(d.list) == 0 {
				return
			}
			if _, err := configloader.NewFromBytes(out); err != nil {
				t.Errorf("Talos cannot read what %q makes: %v\n%s", text, err, out)
			}
		}
	})
}

// Whatever a variable holds, the YAML around it stays what it was.
func FuzzExpand(f *testing.F) {
	values, n := []string{"worker-1", "a: b", "- x\n", "'\"", "4000", "null", "\x00", "\xff", "${hostname}", "# a", " \t\n", "|\n a", "\u2028", "{", "<<"}, 0
	seeds(f, func(text string) { f.Add(text, values[n%len(values)]); n++ })
	for _, value := range values {
		f.Add("a: ${hostname}\n'${vlan}': \"${private_ip}\"\nb: |\n  x ${vlan}\n", value)
	}
	f.Fuzz(func(t *testing.T, text, value string) {
		out, err := Variables{"hostname": value, "private_ip": value, "vlan": value}.Expand(text)
		if err != nil {
			return
		}
		before, err := parseTemplate(text)
		if err != nil {
			t.Fatalf("%q was expanded, but cannot be read: %v", text, err)
		}
		if len(before.places) == 0 {
			if out != text {
				t.Errorf("%q has no variables, and became %q", text, out)
			}
			return
		}
		after, err := parseDocuments(out)
		if err != nil || len(after) != len(before.docs) {
			t.Fatalf("%q with %q: %d documents became %d: %v\n%s", text, value, len(before.docs), len(after), err, out)
		}
		for i := range after {
			if where := differs(before.docs[i], after[i]); where != "" {
				t.Errorf("%q with %q: %s\n%s", text, value, where, out)
			}
		}
	})
}

// differs says where the structure, or a value without variables, is not the same.
func differs(before, after *yaml.Node) string {
	masked := strings.ContainsFunc(before.Value, func(r rune) bool { return r >= firstMark })
	switch {
	case before.Kind != after.Kind:
		return "another kind of node at " + before.Value
	case len(before.Content) != len(after.Content):
		return "another number of values"
	case before.Kind == yaml.ScalarNode && !masked && (before.Value != after.Value || before.ShortTag() != after.ShortTag()):
		return "another value: " + after.Value + " instead of " + before.Value
	}
	for i := range before.Content {
		if where := differs(before.Content[i], after.Content[i]); where != "" {
			return where
		}
	}
	return ""
}
