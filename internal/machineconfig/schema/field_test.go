package schema

import (
	"maps"
	"strings"
	"testing"

	"github.com/siderolabs/talos/pkg/machinery/config/configloader"
	"github.com/siderolabs/talos/pkg/machinery/gendata"
	"go.yaml.in/yaml/v4"
)

// Every field of every document, filled with what the table says it takes and with what it does not, is read by the
// library exactly when the lint has no error against it.
func TestEveryFieldTakesWhatTheLibraryTakes(t *testing.T) {
	tb := known()
	r := release(len(tb.releases) - 1)
	texts := 0
	for _, k := range tb.kinds {
		fill(k, r, func(v any) any { return v }, func(v any) {
			m, ok := v.(map[string]any)
			if !ok || len(m) == 0 {
				return
			}
			texts++
			agree(t, k.name, m)
		})
	}
	if texts < 10_000 {
		t.Errorf("%d texts only", texts)
	}
}

func agree(t *testing.T, kind string, m map[string]any) {
	m = maps.Clone(m)
	if kind == V1Alpha1 {
		if m["machine"] == nil {
			m["machine"] = map[string]any{"type": "worker", "token": "x"}
		}
	} else if m["kind"] == nil && m["apiVersion"] == nil {
		m["kind"], m["apiVersion"] = kind, "v1alpha1"
	}
	text, err := yaml.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	_, err = configloader.NewFromBytes(text, configloader.WithNoValidation())
	var refused []Finding
	for _, f := range Lint(text, "v1.14.1") {
		afterwards := f.Problem == Conflict || f.Kind == V1Alpha1 && strings.Contains(f.Message, " is not one of ")
		if f.Severity == Error && (err != nil || !afterwards) {
			refused = append(refused, f)
		}
	}
	if (err != nil) != (len(refused) > 0) {
		t.Errorf("the library says %v, the lint %v:\n%s", err, refused, text)
	}
}

// fill yields documents with one field set, good and bad.
func fill(e *entry, r release, wrap func(any) any, yield func(any)) {
	yield(wrap(sample(e, r)))
	for _, bad := range []any{"zzz", map[string]any{"zzz": 1}, []any{"zzz"}, -5, 70_000, nil, []any{nil}, "50%"} {
		yield(wrap(bad))
	}
	for _, c := range e.children {
		fill(c, r, func(v any) any {
			switch c.name {
			case "[]":
				return wrap([]any{v})
			case "*":
				return wrap(map[string]any{"k": v})
			}
			return wrap(map[string]any{c.name: v})
		}, yield)
	}
}

func sample(e *entry, r release) any {
	f := e.form(r)
	switch f.typ {
	case object, anything:
		return map[string]any{}
	case mapping:
		return map[string]any{"x": sample(e.children[0], r)}
	case list:
		return []any{sample(e.children[0], r)}
	case "bool":
		return true
	case "enum":
		return f.values[0]
	case "base64":
		return "YWE="
	case "args":
		return []any{"a", "b"}
	}
	if v := (map[string]string{
		"duration": "10s", "ip": "10.0.0.1", "prefix": "10.0.0.0/8", "ipport": "10.0.0.1:80", "mac": "00:11:22:33:44:55",
		"url": "https://a", "ports": "80-90", "size": "10GB", "disk size": "10GB", "size or percentage": "10%",
		"size match": ">= 10GB", "cel": "true", "disk type": "nvme", "failover": "none", "string": "x",
	})[f.typ]; v != "" {
		return v
	}
	return 1
}

func TestAdviceNamesFieldsAndDocumentsThatExist(t *testing.T) {
	tb := known()
	newest := release(len(tb.releases) - 1)
	for _, a := range tb.advice {
		if e := tb.find(V1Alpha1, a.path); e == nil {
			t.Errorf("there is no %s", a.path)
		}
		for _, k := range a.kinds {
			if e := tb.kind(k); e == nil || !e.in(newest) {
				t.Errorf("%s: there is no %s", a.path, k)
			}
		}
		if a.clash != "never" && a.clash != "set" && a.clash != "true" {
			t.Errorf("%s: clash %q", a.path, a.clash)
		}
		if len(a.kinds) == 0 {
			continue
		}
		for i, code := range strings.Split(a.write, "`") {
			key, _, _ := strings.Cut(code, ":")
			if i%2 == 1 && key != "$patch" && !strings.HasPrefix(code, "permissions") && !hasField(tb, a.kinds[0], key) {
				t.Errorf("%s: %s has no field %s", a.path, a.kinds[0], key)
			}
		}
	}
}

// hasField looks for a field anywhere in a document.
func hasField(tb *table, kind, name string) bool {
	var in func(e *entry) bool
	in = func(e *entry) bool {
		for _, c := range e.children {
			if c.name == name || in(c) {
				return true
			}
		}
		return false
	}
	return in(tb.kind(kind))
}

func TestEveryDeprecatedFieldSaysWhatToWrite(t *testing.T) {
	tb := known()
	var walk func(e *entry, p *path)
	walk = func(e *entry, p *path) {
		if e.deprecated >= 0 && tb.instead(e, release(len(tb.releases)-1)) == "" {
			t.Errorf("%s is deprecated, and nothing says what to write", p.pattern())
		}
		for _, c := range e.children {
			walk(c, p.field(c.name))
		}
	}
	walk(tb.kind(V1Alpha1), nil)
}

func TestTheTableKnowsTheReleaseOfTheLibrary(t *testing.T) {
	releases := known().releases
	if newest := releases[len(releases)-1]; newest != gendata.VersionTag {
		t.Errorf("the table ends with %s, the library is %s: see docs/how-to-add/talos-version.md", newest, gendata.VersionTag)
	}
}
