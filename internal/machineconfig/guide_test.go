package machineconfig

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/siderolabs/talos/pkg/machinery/config/configloader"
	"github.com/siderolabs/talos/pkg/machinery/config/configpatcher"
)

// Every rule and example of the guide "Configuration Patches". Files named alt-… give the same result each alone,
// those named seq-… together, in their order.
func TestEveryRuleAndExampleOfTheGuide(t *testing.T) {
	files, err := filepath.Glob("testdata/guide/*.txtar")
	if err != nil || len(files) < 14 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, name := range files {
		a, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var base, want string
		var sequence []string
		runs := map[string][]string{}
		for _, f := range a.Files {
			switch kind, _, _ := strings.Cut(f.Name, "-"); {
			case f.Name == "base.yaml":
				base = string(f.Data)
			case f.Name == "want.yaml":
				want = normal(t, string(f.Data))
			case kind == "alt":
				runs[f.Name] = []string{string(f.Data)}
			default:
				sequence = append(sequence, string(f.Data))
				runs["all"] = sequence
			}
		}
		for which, patches := range runs {
			t.Run(filepath.Base(name)+"/"+which, func(t *testing.T) {
				got := string(patched(t, base, patches))
				if got != want {
					t.Errorf("%s\ngot\n%s\nwant\n%s", a.Comment, got, want)
				}
				if library := librarys(base, patches); library != "" && normal(t, library) != got {
					t.Errorf("the library gives something else:\n%s", library)
				}
			})
		}
	}
}

// patched applies patches to a config of any completeness.
func patched(t *testing.T, base string, patches []string) []byte {
	t.Helper()
	d := documentsOf(t, base)
	for _, text := range patches {
		p, err := prepare(text)
		if err != nil {
			t.Fatal(err)
		}
		f, err := p.with(nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.apply(d); err != nil {
			t.Fatal(err)
		}
	}
	out, err := d.encode()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func documentsOf(t *testing.T, text string) *documents {
	t.Helper()
	p, err := configloader.NewFromBytes([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	d := &documents{}
	for _, doc := range p.Documents() {
		d.list = append(d.list, document{Document: doc, shared: &encoded{document: doc}})
	}
	return d
}

// normal is a config as the library writes it.
func normal(t *testing.T, text string) string {
	t.Helper()
	p, err := configloader.NewFromBytes([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	out, err := encodeConfig(p)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// librarys is what the library makes of it alone; "" where it refuses.
func librarys(base string, patches []string) string {
	out := configpatcher.WithBytes([]byte(base))
	for _, text := range patches {
		p, err := configpatcher.LoadPatch([]byte(text))
		if err != nil {
			return ""
		}
		if out, err = configpatcher.Apply(out, []configpatcher.Patch{p}); err != nil {
			return ""
		}
	}
	text, err := out.Bytes()
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(text)) + "\n"
}
