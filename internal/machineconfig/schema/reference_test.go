package schema_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/talos-manager/talos-manager/internal/machineconfig/schema"
)

var update = flag.Bool("update", false, "write the golden files")

// The examples of the reference guides and the README, and the patches whose fate changes with the version, are in
// testdata/reference; where the guides write `...` for what is left out, that line is not there. The golden file has
// the findings of each for each version.
func TestExamplesHaveTheFindingsOfEachVersion(t *testing.T) {
	files, err := filepath.Glob("testdata/reference/*.yaml")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d examples: %v", len(files), err)
	}
	var got strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&got, "\n== %s\n", strings.TrimSuffix(filepath.Base(file), ".yaml"))
		writeFindings(&got, text)
	}
	golden(t, "testdata/reference.golden", got.String())
}

// writeFindings writes the findings of all versions, those of neighbours with the same findings once.
func writeFindings(w *strings.Builder, text []byte) {
	versions := schema.Versions()
	for i := 0; i < len(versions); {
		findings := listing(schema.Lint(text, versions[i]))
		j := i + 1
		for j < len(versions) && listing(schema.Lint(text, versions[j])) == findings {
			j++
		}
		span := versions[i]
		if j-1 > i {
			span += " to " + versions[j-1]
		}
		fmt.Fprintf(w, "%s:%s\n", span, findings)
		i = j
	}
}

func listing(findings []schema.Finding) string {
	if len(findings) == 0 {
		return " nothing"
	}
	var b strings.Builder
	for _, f := range findings {
		b.WriteString("\n    " + f.String())
	}
	return b.String()
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (go test -update writes it):\n%s", file, diff)
	}
}
