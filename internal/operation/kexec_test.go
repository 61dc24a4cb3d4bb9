package operation_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/operation"
	"github.com/talos-manager/talos-manager/internal/simulator/factory"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
	"github.com/talos-manager/talos-manager/internal/workflow"
	"github.com/talos-manager/talos-manager/internal/workflow/workflowtest"
)

// Talos is started from the rescue system: the firmware boots twice less, an older Talos on the disk does not win, and
// what META is to hold is there from the first moment and stays.
// Talos before 1.9 would come up without its network: that is said while the disk is as it was.
func TestAStaticNetworkIsRefusedToATalosThatCannotTakeIt(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	c := l.cluster(t, []string{"control-plane-1"}, nil)
	c.TalosVersion, c.KubernetesVersion = "v1.8.4", "v1.31.2"
	if err := l.store.UpdateCluster(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	l.engine(t, workflow.Options{})
	op, err := l.ops.Install(t.Context(), "test", "control-plane-1", operation.InstallOptions{Wipe: true, StaticNetwork: true})
	if err != nil {
		t.Fatal(err)
	}
	op = l.finish(t, op.ID, 60*time.Second)
	if op.State != fleet.Failed || !strings.Contains(op.Error, "Talos before v1.9 does not find the network card") {
		t.Errorf("it ended as %s: %s", op.State, op.Error)
	}
	if n := l.machine(t, "control-plane-1").Disks[0].Written(); n != 0 {
		t.Errorf("%d bytes were written", n)
	}
}

func TestTalosInstallsItselfFromTheRescueSystem(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.cluster(t, []string{"control-plane-1"}, nil)
	m := l.machine(t, "control-plane-1")
	if err := world.InstallImage(m.Disks[0], world.ImageSpec{Version: "v1.12.3", Arch: "amd64", Platform: "metal"}); err != nil {
		t.Fatal(err)
	}
	l.engine(t, workflow.Options{})
	boots := m.Boots()
	op, err := l.ops.Install(t.Context(), "test", "control-plane-1", operation.InstallOptions{Wipe: true, Boot: fleet.BootKexec, StaticNetwork: true})
	if err != nil {
		t.Fatal(err)
	}
	if op = l.finish(t, op.ID, 60*time.Second); op.State != fleet.Succeeded {
		l.dump(t, op)
		t.Fatalf("install is %s", op.State)
	}
	if n := m.Boots() - boots; n != 1 {
		t.Errorf("the firmware was gone through %d times", n)
	}
	boot, err := world.ReadBoot(m.Disks[0])
	if err != nil || boot.Version != "v1.14.1" || strings.Contains(boot.Cmdline, "talos.config=") {
		t.Errorf("installed is %+v, %v", boot, err)
	}
	if !strings.Contains(boot.Meta[world.MetaNetworkConfig], m.IPv4.String()+"/32") || boot.Meta[world.MetaDownloadURLCode] != "" {
		t.Errorf("META holds %v", boot.Meta)
	}
	for _, s := range op.Steps {
		if s.Name == "write the image" || s.State != fleet.Succeeded {
			t.Errorf("step %q is %s", s.Name, s.State)
		}
	}
	log, err := l.store.OperationLog(t.Context(), op.ID, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range log {
		if strings.Contains(line.Text, "code=") && !strings.Contains(line.Text, "${code}") {
			t.Errorf("the log tells the code: %s", line.Text)
		}
	}
}

func TestAKexecInstallSurvivesDeathAtEveryPoint(t *testing.T) {
	t.Parallel()
	steps := []string{"load Talos' kernel", "clear the way for the boot", "start Talos' kernel", "hand over the config"}
	workflowtest.KillIn(t, func(t *testing.T) workflowtest.Scenario {
		l := newLab(t)
		l.cluster(t, nil, []string{"control-plane-1"})
		m := l.machine(t, "control-plane-1")
		return workflowtest.Scenario{
			Journal: l.store,
			Engine:  l.newEngine,
			Begin: func(ctx context.Context, _ *workflow.Engine) (string, error) {
				op, err := l.ops.Install(ctx, "test", "control-plane-1", operation.InstallOptions{Wipe: true, Boot: fleet.BootKexec})
				return op.ID, err
			},
			Within: 60 * time.Second,
			Check: func(t *testing.T, op fleet.Operation) {
				if op.State != fleet.Succeeded {
					l.dump(t, op)
					t.Fatalf("install is %s", op.State)
				}
				if n := m.Boots(); n > 3 { // delivered, rescue; a death between an order and its record may cost one more
					t.Errorf("the machine booted %d times", n)
				}
			},
		}
	}, steps)
}

// restarted takes restarts from the account's budget.
func (l *lab) restarted(t *testing.T, times int) {
	t.Helper()
	account := l.server(t, "control-plane-1").AccountID
	for range times {
		if _, err := l.store.TakeCall(t.Context(), account, "robot POST /reset", 50, time.Hour, false, l.now()); err != nil {
			t.Fatal(err)
		}
	}
}

// Which machine can start no other kernel is known when it tried. Wherever the program dies meanwhile, it says what comes
// next, and that comes next.
func TestAMachineThatCannotStartAKernelGetsTheImageNext(t *testing.T) {
	t.Parallel()
	workflowtest.KillIn(t, func(t *testing.T) workflowtest.Scenario {
		l := newLab(t)
		l.cluster(t, []string{"control-plane-1"}, nil)
		l.machine(t, "control-plane-1").MemoryBytes = 1800 << 20
		l.restarted(t, 46)
		return workflowtest.Scenario{
			Journal: l.store,
			Engine:  l.newEngine,
			Begin: func(ctx context.Context, _ *workflow.Engine) (string, error) {
				op, err := l.ops.Install(ctx, "test", "control-plane-1", operation.InstallOptions{Boot: fleet.BootAuto})
				return op.ID, err
			},
			Within: 60 * time.Second,
			Check: func(t *testing.T, op fleet.Operation) {
				if op.State != fleet.Failed || op.Step != "load Talos' kernel" || !strings.Contains(op.Error, "nothing was changed") || !strings.Contains(op.Hint, "the next attempt writes the image") {
					l.dump(t, op)
					t.Fatalf("it is %s at %q", op.State, op.Step)
				}
				if s := l.server(t, "control-plane-1"); s.State != fleet.Known {
					t.Errorf("nothing was changed, and the server is %s", s.State)
				}
				if err := l.ops.Retry(t.Context(), "test", op.ID); err != nil {
					t.Fatal(err)
				}
				op = l.succeeds(t, op.ID)
				if !slices.ContainsFunc(op.Steps, func(s fleet.OperationStep) bool { return s.Name == "write the image" && s.State == fleet.Succeeded }) {
					t.Errorf("its steps are %+v", op.Steps)
				}
			},
		}
	}, []string{"load Talos' kernel"})
}

func TestBootIsDecidedByTheRestartsThatAreLeft(t *testing.T) {
	t.Parallel()
	for _, try := range []struct {
		why   string
		taken int
		want  fleet.BootMethod
	}{
		{"plenty", 0, fleet.BootImage},
		{"few", 46, fleet.BootKexec},
	} {
		t.Run(try.why, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			l.cluster(t, []string{"control-plane-1"}, nil)
			l.restarted(t, try.taken)
			l.engine(t, workflow.Options{})
			op, err := l.ops.Install(t.Context(), "test", "control-plane-1", operation.InstallOptions{Wipe: true, Boot: fleet.BootAuto})
			if err != nil {
				t.Fatal(err)
			}
			if op = l.finish(t, op.ID, 60*time.Second); op.State != fleet.Succeeded {
				l.dump(t, op)
				t.Fatalf("install is %s", op.State)
			}
			kernel := slices.ContainsFunc(op.Steps, func(s fleet.OperationStep) bool { return s.Name == "load Talos' kernel" })
			image := slices.ContainsFunc(op.Steps, func(s fleet.OperationStep) bool { return s.Name == "write the image" })
			if kernel != (try.want == fleet.BootKexec) || image == kernel {
				t.Errorf("its steps are %+v", op.Steps)
			}
		})
	}
}

func TestKexecIsRefusedWhereItCannotWork(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.cluster(t, []string{"control-plane-1"}, nil)
	l.plainImages(l.sim.FactoryURL() + "/image/" + factory.Vanilla + "/v1.14.1/metal-amd64.raw.zst")
	_, err := l.ops.Install(t.Context(), "test", "control-plane-1", operation.InstallOptions{Boot: fleet.BootKexec})
	if fleet.KindOf(err) != fleet.Invalid || !strings.Contains(fleet.HintOf(err), "--boot image") {
		t.Errorf("with an image of the settings: %v", err)
	}
}
