package operation_test

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/operation"
	"github.com/talos-manager/talos-manager/internal/simulator/factory"
	"github.com/talos-manager/talos-manager/internal/simulator/rescuehost"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

// heard are the arguments of the scripts that were run on a machine.
type heard struct {
	mu  sync.Mutex
	all [][]string
}

func (h *heard) ran(command string) {
	line, ok := strings.CutPrefix(command, "bash -s --")
	if !ok {
		return
	}
	var args []string
	for _, word := range strings.Split(strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(line), "'"), "'"), "' '") {
		args = append(args, strings.ReplaceAll(word, `'\''`, "'"))
	}
	if strings.TrimSpace(line) == "" {
		args = nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, args)
}

// matches compares arguments with those that a dry run showed.
func matches(shown, ran []string) bool {
	return slices.EqualFunc(shown, ran, func(a, b string) bool { return a == "…" || a == b })
}

// A dry run shows the arguments with which scripts are run afterwards.
func TestADryRunShowsTheArgumentsOfScripts(t *testing.T) {
	t.Parallel()
	for _, o := range []operation.InstallOptions{{Wipe: true}, {Wipe: true, Boot: fleet.BootKexec}} {
		t.Run("boot "+string(o.Boot), func(t *testing.T) {
			t.Parallel()
			var h heard
			l := newLabWith(t, speed, rescuehost.Options{Ran: h.ran})
			l.cluster(t, []string{"control-plane-1"}, nil)
			if o.Boot == "" {
				l.plainImages(l.sim.FactoryURL() + "/image/" + factory.Vanilla + "/v1.14.1/metal-amd64.raw.zst")
			}
			l.engine(t, workflow.Options{})
			op, err := l.ops.Rescue(t.Context(), "test", "control-plane-1")
			if err != nil {
				t.Fatal(err)
			}
			l.succeeds(t, op.ID)
			p, err := l.ops.DryRunInstall(t.Context(), "control-plane-1", o)
			if err != nil || len(p.Problems) > 0 {
				t.Fatalf("%+v, %v", p.Problems, err)
			}
			if op, err = l.ops.Install(t.Context(), "test", "control-plane-1", o); err != nil {
				t.Fatal(err)
			}
			l.succeeds(t, op.ID)
			h.mu.Lock()
			defer h.mu.Unlock()
			for _, args := range h.all {
				if !slices.ContainsFunc(p.Scripts, func(s operation.PreviewScript) bool { return matches(s.Args, args) }) {
					t.Errorf("a script was run with %q, which was not shown", args)
				}
			}
			for _, s := range p.Scripts {
				if slices.Contains([]string{"write-image.sh", "boot-loader.sh", "load-kernel.sh", "disarm-loaders.sh", "disarm-talos.sh", "boot-order.sh"}, s.Name) {
					continue // run by others of them, or only where something is in the way
				}
				if !slices.ContainsFunc(h.all, func(args []string) bool { return matches(s.Args, args) }) {
					t.Errorf("%s was shown and not run", s.Line())
				}
			}
		})
	}
}
