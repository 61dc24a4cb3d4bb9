package operation_test

import (
	"context"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/operation"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
	"github.com/talos-manager/talos-manager/internal/workflow"
	"github.com/talos-manager/talos-manager/internal/workflow/workflowtest"
)

// The program dies after every step of an install, and before every write of its journal; the one that starts after it
// must finish the same install. Nothing may be done twice that must not be: the image is written once, etcd is
// bootstrapped once, the machine boots no more often than an undisturbed install boots it.
func TestAnInstallSurvivesDeathAtEveryPoint(t *testing.T) {
	workflowtest.KillEverywhere(t, func(t *testing.T) workflowtest.Scenario {
		l := newLab(t)
		c := l.cluster(t, nil, []string{"control-plane-1"})
		boots := l.machine(t, "control-plane-1").Boots
		return workflowtest.Scenario{
			Journal: l.store,
			Engine:  l.newEngine,
			Begin: func(ctx context.Context, _ *workflow.Engine) (string, error) {
				op, err := l.ops.Install(ctx, "test", "control-plane-1", operation.InstallOptions{})
				return op.ID, err
			},
			Within: 60 * time.Second,
			Check: func(t *testing.T, op fleet.Operation) {
				if op.State != fleet.Succeeded {
					l.dump(t, op)
					t.Fatalf("install is %s", op.State)
				}
				c, err := l.store.Cluster(t.Context(), c.ID)
				if err != nil || c.BootstrappedAt.IsZero() {
					t.Errorf("the cluster is not bootstrapped: %v", err)
				}
				// Delivered, rescue, Talos; a death between an order and its record may cost one more rescue boot.
				if n := boots(); n > 4 {
					t.Errorf("the machine booted %d times", n)
				}
				// Written once: the image has some 5 MB of data in 100 MB or so.
				if w := l.machine(t, "control-plane-1").Disks[0].Written(); w > 3*world.ImageSize/2 {
					t.Errorf("%d MB were written for an image of %d MB", w>>20, world.ImageSize>>20)
				}
				if s, err := l.store.Server(t.Context(), op.ServerID); err != nil || s.State != fleet.Ready {
					t.Errorf("server is %s, %v", s.State, err)
				}
			},
		}
	})
}
