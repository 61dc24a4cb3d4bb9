package modernise

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/talos-manager/talos-manager/internal/machineconfig/schema"
)

var update = flag.Bool("update", false, "write golden files")

// versions are one of each sort; those between 1.6 and 1.11 want the same.
var versions = []string{"v1.6.7", "v1.11.6", "v1.12.1", "v1.13.0", "v1.14.1"}

// Every patch of the reference, of the matrix of versions, and one for each field, becomes what the golden file says.
func TestEachPatchBecomesWhatEachVersionWants(t *testing.T) {
	files, err := filepath.Glob("testdata/patches/*")
	if err != nil || len(files) == 0 {
		t.Fatal(err, files)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			compareGolden(t, filepath.Join("testdata", "golden", filepath.Base(file)+".txt"), matrix(t, string(text)))
		})
	}
}

// matrix writes the results of a patch, those that are the same together.
func matrix(t *testing.T, text string) string {
	t.Helper()
	var order []string
	heads := map[string][]string{}
	for _, all := range []bool{false, true} {
		for _, v := range versions {
			if all && v == "v1.6.7" {
				continue
			}
			res, err := Patch(text, v, Options{All: all})
			if err != nil {
				t.Fatalf("%s: %v", v, err)
			}
			check(t, text, v, all, res)
			body := describe(res)
			head := strings.TrimSuffix(v, v[strings.LastIndexByte(v, '.'):])
			if all {
				head += " all"
			}
			if heads[body] == nil {
				order = append(order, body)
			}
			heads[body] = append(heads[body], head)
		}
	}
	var b strings.Builder
	for _, body := range order {
		fmt.Fprintf(&b, "=== %s\n%s\n", strings.Join(heads[body], ", "), body)
	}
	return b.String()
}

// check holds what is true of every result.
func check(t *testing.T, text, version string, all bool, res *Result) {
	t.Helper()
	if res.Proof.Verdict == Refused && res.Changed {
		t.Errorf("%s (all: %t): the library refuses the result: %s\n%s\n%s", version, all, res.Proof.Problem, res.Text, res.ControlPlane)
	}
	if !res.Changed && res.Text != text {
		t.Errorf("%s: nothing changed, but the text did:\n%s", version, res.Text)
	}
	src, err := read(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range src.comments() {
		if c = src.vars.show(c); !strings.Contains(res.Text+res.ControlPlane, c) {
			t.Errorf("%s: the comment %q is lost:\n%s", version, c, res.Text)
		}
	}
	for _, part := range []string{res.Text, res.ControlPlane} {
		for _, f := range schema.Lint([]byte(part), version) {
			if f.Severity == schema.Error && res.Changed {
				t.Errorf("%s (all: %t): the lint says %s of\n%s", version, all, f, part)
			}
		}
	}
	for _, d := range res.Proof.Differences {
		if d.Why == "" {
			t.Errorf("%s (all: %t): nobody knows why %s %s is %q and was %q", version, all, d.Role, d.Path, d.New, d.Old)
		}
	}
	for _, v := range src.vars.texts {
		if !strings.Contains(res.Text+res.ControlPlane, v) && len(res.Notes) == 0 {
			t.Errorf("%s: the variable %s is lost:\n%s", version, v, res.Text)
		}
	}
	for _, part := range []string{res.Text, res.ControlPlane} {
		again, err := NeedsWork(part, version, Options{All: all})
		if err != nil || again {
			t.Errorf("%s (all: %t): the result would be rewritten again (%v):\n%s", version, all, err, part)
		}
	}
}

func describe(r *Result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "proof: %s", r.Proof)
	if len(r.Proof.Roles) == 1 {
		fmt.Fprintf(&b, " for %s", r.Proof.Roles[0])
	}
	b.WriteByte('\n')
	if r.Proof.Problem != "" {
		fmt.Fprintf(&b, "problem: %s\n", r.Proof.Problem)
	}
	for _, d := range r.Proof.Differences {
		fmt.Fprintf(&b, "differs: %s %s: %q -> %q (%s)\n", d.Role, d.Path, d.Old, d.New, d.Why)
	}
	for _, c := range r.Changes {
		fmt.Fprintf(&b, "line %d: %s -> %s (%s; %s)\n", c.Line, c.Path, strings.Join(c.To, ", "), c.Why, c.Since)
	}
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "line %d: %s: %s: %s\n", n.Line, n.Kind, n.Path, n.Text)
	}
	if !r.Changed {
		return b.String() + "unchanged\n"
	}
	fmt.Fprintf(&b, "--- text\n%s", r.Text)
	if r.ControlPlane != "" {
		fmt.Fprintf(&b, "--- control planes\n%s", r.ControlPlane)
	}
	return b.String()
}

func compareGolden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != got {
		a, b := strings.Split(string(want), "\n"), strings.Split(got, "\n")
		i := 0
		for i < min(len(a), len(b)) && a[i] == b[i] {
			i++
		}
		t.Errorf("%s differs from line %d on; run with -update and look at the change\n%s", file, i+1, got)
	}
}
