package schema_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/machineconfig/schema"
)

// No text makes the lint panic or hang, and it agrees with the library about what can be read.
func FuzzLint(f *testing.F) {
	for _, text := range sorted(texts(f)) {
		if len(text) < 3000 {
			f.Add(text)
		}
	}
	f.Add([]byte("a: &a [*a, *a]\nmachine: {network: *a}\n"))
	f.Add([]byte("[[[[[[[[[[[[[[[["))
	f.Fuzz(func(t *testing.T, text []byte) {
		start := time.Now()
		for _, version := range []string{"v1.6.0", "v1.12.3"} {
			for _, finding := range schema.Lint(text, version) {
				if finding.Line < 1 || finding.Column < 1 || finding.Message == "" {
					t.Errorf("%+v", finding)
				}
			}
		}
		if took := time.Since(start); took > 5*time.Second && len(text) < 10_000 {
			t.Errorf("took %v", took)
		}
		if bytes.Contains(text, []byte("${")) || len(text) > 10_000 {
			return
		}
		if err := refused(text); err == nil {
			if diff := disagreement(text, nil); diff != "" {
				t.Error(diff)
			}
		}
	})
}

// No text and no position makes completion and explanation panic or hang.
func FuzzComplete(f *testing.F) {
	f.Add([]byte("machine:\n  network: {host"), 2, 17)
	f.Add([]byte("- - a: {\"b\": [c, \n ---\n"), 2, 3)
	f.Add([]byte("apiVersion: v1alpha1\nkind: \xff\n"), 2, 9)
	f.Fuzz(func(t *testing.T, text []byte, line, column int) {
		for _, item := range schema.Complete(text, line, column, "v1.14") {
			if item.Label == "" || item.Insert == "" {
				t.Errorf("%+v", item)
			}
		}
		schema.Hover(text, line, column, "v1.14")
	})
}
