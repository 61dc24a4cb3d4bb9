package demo

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

func TestDemosOfEverySizeAndWithEveryMisfortuneBecomeHealthy(t *testing.T) {
	for _, c := range []struct {
		why     string
		servers int
		faults  uint64
	}{
		{"a control plane alone", 1, 0},
		{"more workers than usual", 7, 0},
		{"misfortune", 5, 1},
	} {
		t.Run(c.why, func(t *testing.T) {
			var out bytes.Buffer
			err := Run(t.Context(), Options{
				Once: true, Servers: c.servers, Faults: c.faults, Dir: filepath.Join(t.TempDir(), "demo"), Speed: 60 / slower, Listen: "127.0.0.1:0", Out: &out, Log: quiet,
			})
			if err != nil || !strings.Contains(out.String(), fmt.Sprintf("all %d nodes are Ready", c.servers)) {
				t.Errorf("%v\n%s", err, out.String())
			}
		})
	}
}
