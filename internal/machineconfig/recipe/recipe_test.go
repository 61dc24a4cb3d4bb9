package recipe

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

var update = flag.Bool("update", false, "write the golden files")

func TestEveryRecipeLoads(t *testing.T) {
	if _, err := catalogue(); err != nil {
		t.Fatal(err)
	}
	for _, r := range List() {
		if got, err := Get(r.Name); err != nil || got.Title != r.Title {
			t.Errorf("%s: %v", r.Name, err)
		}
		if len(r.Traps) == 0 {
			t.Errorf("%s has no traps, which nothing in this field lacks", r.Name)
		}
	}
}

// The catalogue in one file: what a change does to whom is seen in its diff.
func TestCatalogue(t *testing.T) {
	var b bytes.Buffer
	for _, r := range List() {
		fmt.Fprintf(&b, "%s/%s: %s (%s)\n", r.Group, r.Name, r.Title, r.Span)
		for _, p := range r.Parameters {
			fmt.Fprintf(&b, "  %s\n", parameterLine(p))
		}
		from, said := "", ""
		for i, release := range releases {
			v := fmt.Sprint("1.", minor(t, release.talos))
			if now := yields(t, r, release.talos); now != said {
				from, said = v, now
			}
			if i+1 == len(releases) || yields(t, r, releases[i+1].talos) != said {
				fmt.Fprintf(&b, "  %s: %s\n", strings.Join(slices.Compact([]string{from, v}), " to "), said)
			}
		}
	}
	if *update {
		if err := os.WriteFile("testdata/catalogue.golden", b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/catalogue.golden")
	if err != nil || !bytes.Equal(b.Bytes(), want) {
		t.Errorf("the catalogue changed (%v); look at it with -update and git diff:\n%s", err, b.String())
	}
}

func parameterLine(p Parameter) string {
	words := []string{p.Name + ":", string(p.Type)}
	if p.Of != "" {
		words = append(words, "of "+string(p.Of))
	}
	if p.Required {
		words = append(words, "required")
	}
	if p.Secret {
		words = append(words, "secret")
	}
	if p.Default != nil {
		words = append(words, fmt.Sprintf("default %v", p.Default))
	}
	if p.Span != (Span{}) {
		words = append(words, "("+p.Span.String()+")")
	}
	return strings.Join(words, " ")
}

// yields says in a line what the example gives on a version: documents and sections, and the schematic.
func yields(t *testing.T, r Recipe, talos string) string {
	t.Helper()
	if !r.has(minor(t, talos)) {
		return "not there"
	}
	result := mustApply(t, r.Name, talos, example(t, r, talos))
	var words []string
	for _, p := range result.Patches {
		word := strings.Join(sections(t, p.Text), ", ")
		if p.Role != "" {
			word += " for a " + string(p.Role)
		}
		words = append(words, word)
	}
	words = append(words, result.Schematic.Extensions...)
	words = append(words, result.Schematic.KernelArgs...)
	if len(words) == 0 {
		words = []string{"notes only"}
	}
	return strings.Join(words, "; ")
}

func sections(t *testing.T, text string) []string {
	t.Helper()
	var out []string
	decoder := yaml.NewDecoder(strings.NewReader(text))
	for {
		var doc map[string]any
		if decoder.Decode(&doc) != nil {
			return out
		}
		name := fmt.Sprint(doc["kind"])
		if doc["kind"] == nil {
			name = section("", doc)
		} else if doc["name"] != nil {
			name += " " + fmt.Sprint(doc["name"])
		}
		out = append(out, name)
	}
}

// section is the path down to where a document has several keys.
func section(path string, doc map[string]any) string {
	var names []string
	for name, v := range doc {
		if inner, ok := v.(map[string]any); ok && !strings.Contains(path, ".") {
			names = append(names, section(path+name+".", inner))
			continue
		}
		names = append(names, path+name)
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

func TestAuthorsMistakesAreFound(t *testing.T) {
	const good = "name: a\ntitle: A\ngroup: g\ndescription: d\n"
	for _, tc := range []struct{ why, text, want string }{
		{"nothing wrong", good, ""},
		{"no name", "title: A\ngroup: g\ndescription: d\n", "name (a DNS label)"},
		{"an unknown field", good + "patch: x\n", "patch"},
		{"a template", good + "patches: [{text: '{{ if }}'}]\n", "missing value"},
		{"a function that is none", good + "patches: [{text: '{{ shout . }}'}]\n", "shout"},
		{"a version", good + "since: new\n", `"new"`},
		{"a version of a patch", good + "patches: [{since: '2.0', text: a}]\n", `"2.0"`},
		{"a version of a parameter", good + "parameters: [{name: a, type: string, help: h, until: '1'}]\n", `"1"`},
		{"a type", good + "parameters: [{name: a, type: number, help: h}]\n", "no such type"},
		{"no help", good + "parameters: [{name: a, type: int}]\n", "it has no help"},
		{"a parameter twice", good + "parameters: [{name: a, type: int, help: h}, {name: a, type: int, help: h}]\n", "twice"},
		{"an enum without values", good + "parameters: [{name: a, type: enum, help: h}]\n", "an enum needs them"},
		{"a URL without schemes", good + "parameters: [{name: a, type: list, of: url, help: h}]\n", "needs schemes"},
		{"a pattern without words", good + "parameters: [{name: a, type: string, help: h, pattern: x}]\n", "the words for it"},
		{"a default that is none of its values", good + "parameters: [{name: a, type: int, help: h, default: x}]\n", "its default"},
		{"a check of nothing", good + "checks: [{parameter: b, text: x}]\n", "no parameter"},
		{"a conflict without a reason", good + "conflicts: [{with: b}]\n", "needs a reason"},
	} {
		_, err := parse([]byte(tc.text))
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: %v", tc.why, err)
		}
	}
}
