package recipe

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/siderolabs/talos/pkg/machinery/cel"
	"github.com/siderolabs/talos/pkg/machinery/cel/celenv"
	"go.yaml.in/yaml/v4"
)

var nasty = []string{
	"", " ", "a", "'", `"`, `\`, `\"`, "a: b", "- a", "#", "a #b", "{a: b}", "[", "*a", "&a", "!!int 1", "%", "@", "`", "|", ">", "---", "...", "~", "null", "yes", "0x1f", "1e3", "1:20",
	"${hostname}", "$${x}", "{{ .x }}", "a\tb", "a\nb", "\na", "a\n", "a\n\n", "  a\nb", "\ta\nb", "a\n  b\n", "a\n---\nb", "a\r\nb", "\x00", "\x7f", "\u0085", "\u2028", "\u00a0", "\ufeff", "é", "😀", "\U000e0001", "a'b\"c\\d",
	"\"\nmachine:\n  type: worker\n", "x\nmachine: {type: worker}", "}\n", "key: |\n  x",
}

func TestQuotedTextsReadBackTheSame(t *testing.T) {
	for _, s := range nasty {
		readBack(t, s)
	}
}

func FuzzQuote(f *testing.F) {
	for _, s := range nasty {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		readBack(t, strings.ToValidUTF8(s, "?"))
	})
}

// readBack writes s in every way a template can, between other keys, and reads it.
func readBack(t *testing.T, s string) {
	t.Helper()
	for how, text := range map[string]string{
		"quote": "a:\n  b: " + quote(s) + "\n  c: 1\n", "literal": "a:\n  b: " + literal(4, s) + "\n  c: 1\n", "quotes": "a:\n  b: " + quotes([]string{s, s}) + "\n  c: 1\n",
		"key": "a:\n  " + quote(s) + ": x\n  \"#c#\": 1\n", "in braces": "a: {b: " + quote(s) + ", c: 1}\n",
	} {
		var got struct{ A map[string]any }
		if err := yaml.Unmarshal([]byte(text), &got); err != nil {
			t.Fatalf("%s of %q: %v\n%s", how, s, err, text)
		}
		ok := len(got.A) == 2
		switch how {
		case "key":
			ok = ok && got.A[s] == "x"
		case "quotes":
			list, _ := got.A["b"].([]any)
			ok = ok && len(list) == 2 && list[0] == s
		default:
			ok = ok && got.A["b"] == s
		}
		if !ok {
			t.Errorf("%s of %q reads as %v\n%s", how, s, got.A, text)
		}
	}
}

func TestQuotedTextsAreLiteralsOfTheExpressionLanguage(t *testing.T) {
	for _, s := range nasty {
		if _, err := cel.ParseBooleanExpression("disk.wwid == "+quote(s), celenv.DiskLocator()); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	}
}

// A value can be wrong, but it cannot say anything that the template does not: the documents have the same keys and as many
// elements as with a harmless value.
func TestNoValueChangesTheStructure(t *testing.T) {
	for _, p := range promises() {
		r, err := Get(p.recipe)
		if err != nil {
			t.Fatal(err)
		}
		for _, talos := range []string{"v1.8.4", "v1.11.6", "v1.14.1"} {
			params := p.known(r, minor(t, talos))
			if !r.has(minor(t, talos)) || params == nil {
				continue
			}
			for _, q := range r.Parameters {
				if _, given := params[q.Name]; given || q.Default != nil {
					tryNasty(t, r, talos, params, q)
				}
			}
		}
	}
}

func tryNasty(t *testing.T, r Recipe, talos string, params Params, q Parameter) {
	t.Helper()
	want := shape(t, mustApply(t, r.Name, talos, params))
	for _, s := range nasty {
		if strings.TrimSpace(s) == "" {
			continue // is as if it were not there
		}
		var bad any = s
		switch given := params[q.Name].(type) {
		case map[string]any:
			bad = map[string]any{slices.Sorted(maps.Keys(given))[0]: s}
		case []string:
			bad = slices.Repeat([]string{s}, len(given))
		default:
			if q.Type == TypeList || q.Type == TypeMap || q.Type == TypeBool || q.Type == TypeEnum {
				continue
			}
		}
		tried := maps.Clone(params)
		tried[q.Name] = bad
		result, err := r.Apply(talos, tried)
		if err != nil {
			continue // refused, which is as good
		}
		if got := shape(t, result); got != want {
			t.Errorf("%s on %s: %s %q changes the structure to\n%s\nfrom\n%s", r.Name, talos, q.Name, s, got, want)
		}
	}
}

// shape is a result's documents with every scalar replaced by its sort.
func shape(t *testing.T, r Result) string {
	t.Helper()
	var b strings.Builder
	for _, p := range r.Patches {
		for _, text := range []string{p.Text, p.Shown} {
			decoder := yaml.NewDecoder(bytes.NewReader([]byte(text)))
			for {
				var doc yaml.Node
				err := decoder.Decode(&doc)
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatalf("%s is no YAML: %v\n%s", p.Name, err, text)
				}
				outline(&b, &doc, 0)
			}
		}
	}
	return b.String()
}

func outline(b *strings.Builder, n *yaml.Node, depth int) {
	b.WriteString(strings.Repeat(" ", depth))
	switch n.Kind {
	case yaml.ScalarNode:
		sort := n.ShortTag()
		if n.Style == 0 && onlyVariable(n.Value) {
			sort = "!!int" // only numbers are written plain
		}
		b.WriteString(sort + "\n")
	case yaml.AliasNode:
		b.WriteString("alias\n")
	default:
		b.WriteString("node\n")
	}
	for i, child := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 {
			key := child.Value
			if child.Style&yaml.DoubleQuotedStyle != 0 {
				key = "a key from a parameter"
			}
			b.WriteString(strings.Repeat(" ", depth+1) + key + ":\n")
			continue
		}
		outline(b, child, depth+1)
	}
}
