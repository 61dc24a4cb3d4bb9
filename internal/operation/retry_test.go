package operation_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
	"github.com/talos-manager/talos-manager/internal/operation"
	"github.com/talos-manager/talos-manager/internal/simulator/factory"
	"github.com/talos-manager/talos-manager/internal/simulator/rescuehost"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
	"github.com/talos-manager/talos-manager/internal/store"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

// quick is a world in which waiting something out takes seconds.
const quick = 4 * speed

// succeeds waits until an operation ends well.
func (l *lab) succeeds(t *testing.T, id string) fleet.Operation {
	t.Helper()
	op := l.finish(t, id, 60*time.Second)
	if op.State != fleet.Succeeded {
		l.dump(t, op)
		t.Fatalf("operation %s is %s at %q, asks %q", op.Kind, op.State, op.Step, op.Question)
	}
	return op
}

func (l *lab) install(t *testing.T, name string) fleet.Operation {
	t.Helper()
	op, err := l.ops.Install(t.Context(), "test", name, operation.InstallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return op
}

// What stopped an install is mended, and the install is tried again: it ends well without another question.
func TestAFailedInstallIsTriedAgainFromWhereverItStopped(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		why       string
		set, mend func(l *lab, m *world.Machine)
		step      string
	}{
		{
			"the factory lost its images", func(l *lab, _ *world.Machine) { l.sim.Factory.Fault(func(f *factory.Faults) { f.ImageMissing = 1000 }) },
			func(l *lab, _ *world.Machine) { l.sim.Factory.Fault(func(f *factory.Faults) { f.ImageMissing = 0 }) }, "check the records",
		},
		{
			"no rescue system", func(_ *lab, m *world.Machine) { m.Fault(func(f *world.Faults) { f.RescueNeverComes = true }) },
			func(_ *lab, m *world.Machine) { m.Fault(func(f *world.Faults) { f.RescueNeverComes = false }) }, "reach the rescue system",
		},
		{
			"the disk was not plugged in", func(_ *lab, m *world.Machine) { m.Disks[0].WWN += "0" },
			func(_ *lab, m *world.Machine) { m.Disks[0].WWN = strings.TrimSuffix(m.Disks[0].WWN, "0") }, "choose the disk",
		},
		{
			"the disk failed", func(_ *lab, m *world.Machine) { m.Fault(func(f *world.Faults) { f.DiskFails = true }) },
			func(_ *lab, m *world.Machine) { m.Fault(func(f *world.Faults) { f.DiskFails = false }) }, "write the image",
		},
		{
			"it did not boot", func(_ *lab, m *world.Machine) { m.Fault(func(f *world.Faults) { f.TalosNeverComes = true }) },
			func(_ *lab, m *world.Machine) { m.Fault(func(f *world.Faults) { f.TalosNeverComes = false }) }, "hand over the config",
		},
		{
			"an older Talos took the config and could not use it", func(_ *lab, m *world.Machine) {
				m.Fault(func(f *world.Faults) { f.WrongTalosVersion = "v1.13.0" })
			},
			func(_ *lab, m *world.Machine) { m.Fault(func(f *world.Faults) { f.WrongTalosVersion = "" }) }, "check the node",
		},
	} {
		t.Run(tc.why, func(t *testing.T) {
			t.Parallel()
			l := newLabWith(t, quick, rescuehost.Options{})
			c := l.cluster(t, []string{"control-plane-1"}, nil)
			m := l.machine(t, "control-plane-1")
			tc.set(l, m)
			l.engine(t, workflow.Options{MaxAttempts: 3, Backoff: 20 * time.Millisecond})
			op := l.finish(t, l.install(t, "control-plane-1").ID, 60*time.Second)
			if op.State != fleet.Failed || op.Step != tc.step {
				l.dump(t, op)
				t.Fatalf("%s at %q", op.State, op.Step)
			}
			tc.mend(l, m)
			if err := l.ops.Retry(t.Context(), "test", op.ID); err != nil {
				t.Fatal(err)
			}
			l.succeeds(t, op.ID)
			if s, err := l.store.Server(t.Context(), op.ServerID); err != nil || s.State != fleet.Ready {
				t.Errorf("the server is %s, %v", s.State, err)
			}
			if c, err := l.store.Cluster(t.Context(), c.ID); err != nil || c.BootstrappedAt.IsZero() {
				t.Errorf("the cluster was not bootstrapped: %v", err)
			}
		})
	}
}

// stopsAfter runs an engine, and cancels the first install at the end of a step.
func (l *lab) stopsAfter(t *testing.T, step string) {
	t.Helper()
	var stopped atomic.Bool
	l.engine(t, workflow.Options{AfterStep: func(op fleet.Operation, at string) error {
		if op.Kind == operation.KindInstall && at == step && !stopped.Swap(true) {
			return l.ops.Cancel(context.WithoutCancel(t.Context()), "test", op.ID)
		}
		return nil
	}})
}

// A person stops an install in the middle of a step, and thinks better of it.
func TestAnInstallIsStoppedAtAnyStepAndTriedAgain(t *testing.T) {
	t.Parallel()
	for _, step := range []string{
		"check the records", "boot the rescue system", "read the facts", "choose the disk", "write the image", "write the boot data", "boot Talos",
		"hand over the config", "check the node", "wait for Kubernetes",
	} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			l := newLabWith(t, quick, rescuehost.Options{})
			l.cluster(t, nil, []string{"control-plane-1"})
			l.stopsAfter(t, step)
			op := l.finish(t, l.install(t, "control-plane-1").ID, 60*time.Second)
			if op.State != fleet.Cancelled || op.Step != step {
				t.Fatalf("%s at %q", op.State, op.Step)
			}
			if _, err := l.store.ArmOf(t.Context(), op.ServerID); fleet.KindOf(err) != fleet.NotFound {
				t.Errorf("its config can still be fetched: %v", err)
			}
			if s, err := l.store.Server(t.Context(), op.ServerID); err != nil || s.State != fleet.Known && s.State != fleet.Broken {
				t.Errorf("the server is %s, %v", s.State, err)
			}
			if err := l.ops.Retry(t.Context(), "test", op.ID); err != nil {
				t.Fatal(err)
			}
			l.succeeds(t, op.ID)
		})
	}
}

func TestAnInstallThatWasOvertakenIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	c := l.cluster(t, nil, []string{"control-plane-1"})
	m := l.machine(t, "control-plane-1")
	m.UUID = "4c4c4544-0042-3510-8050-000000000000"
	l.engine(t, workflow.Options{})
	first := l.finish(t, l.install(t, "control-plane-1").ID, 30*time.Second)
	second := l.finish(t, l.install(t, "control-plane-1").ID, 30*time.Second)
	refused := func(why, id, text, hint string) {
		t.Helper()
		if err := l.ops.Retry(t.Context(), "test", id); fleet.KindOf(err) != fleet.Refused || !strings.Contains(err.Error(), text) || !strings.Contains(fleet.HintOf(err), hint) {
			t.Errorf("%s: %v; hint: %s", why, err, fleet.HintOf(err))
		}
	}
	refused("a later one was ordered", first.ID, "installed once more", second.ID)

	other, err := l.manager.CreateCluster(t.Context(), "test", manage.NewCluster{Name: "other", Endpoint: c.Endpoint, Secrets: c.Secrets})
	if err != nil {
		t.Fatal(err)
	}
	l.assign(t, "control-plane-1", other)
	refused("it is to be another cluster's", second.ID, "another cluster", "server install")
	l.assign(t, "control-plane-1", c)
	m.UUID = "4c4c4544-0042-3510-8050-b4c04f384833"
	if err := l.ops.Retry(t.Context(), "test", second.ID); err != nil {
		t.Fatal(err)
	}
	l.succeeds(t, second.ID)
	refused("it is a node by now", first.ID, "is a node", "--cluster ''")
}

// A machine that takes longer to come than its window lasts, because the install had to wait for something else.
func TestTheWindowStaysOpenWhileAnInstallWaits(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.cluster(t, nil, []string{"control-plane-1"})
	m := l.machine(t, "control-plane-1")
	m.Fault(func(f *world.Faults) { f.TalosNeverComes = true })
	l.engine(t, workflow.Options{})
	op := l.install(t, "control-plane-1")
	arm := store.Arm{}
	until(t, "the window", func() (err error) {
		arm, err = l.store.ArmOf(t.Context(), op.ServerID)
		return err
	})
	l.ahead.Store(int64(30 * time.Minute)) // of the 45
	until(t, "a longer window", func() error {
		longer, err := l.store.ArmOf(t.Context(), op.ServerID)
		if err == nil && !longer.ExpiresAt.After(arm.ExpiresAt) {
			return fleet.Errorf(fleet.Unavailable, "it ends at %s", longer.ExpiresAt)
		}
		return err
	})
	m.Fault(func(f *world.Faults) { f.TalosNeverComes = false })
	l.ahead.Store(int64(60 * time.Minute)) // a restart is due: the second boot brings it
	l.succeeds(t, op.ID)
}

// until asks until there is no error.
func until(t *testing.T, what string, f func() error) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-t.Context().Done():
		}
	}
}
