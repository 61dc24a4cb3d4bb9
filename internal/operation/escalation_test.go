package operation_test

import (
	"context"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/provider"
	"github.com/talos-manager/talos-manager/internal/provider/providertest"
	"github.com/talos-manager/talos-manager/internal/simulator/hetzner"
	"github.com/talos-manager/talos-manager/internal/simulator/rescuehost"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
	"github.com/talos-manager/talos-manager/internal/wait"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

// rescue orders a rescue boot.
func (l *lab) rescue(t *testing.T, name string) fleet.Operation {
	t.Helper()
	op, err := l.ops.Rescue(t.Context(), "test", name)
	if err != nil {
		t.Fatal(err)
	}
	return op
}

// up waits until a machine has booted what it was delivered with.
func (l *lab) up(t *testing.T, name string) *world.Machine {
	t.Helper()
	m := l.machine(t, name)
	err := wait.Until(t.Context(), "the machine to run", 5*time.Millisecond, func(context.Context) (bool, error) { return m.Boots() > 0, nil })
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// said wants all of these texts in an operation's log, in this order, and none of those that begin with "!".
func (l *lab) said(t *testing.T, op fleet.Operation, texts ...string) {
	t.Helper()
	lines, err := l.store.OperationLog(t.Context(), op.ID, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	all := ""
	for _, line := range lines {
		all += line.Text + "\n"
	}
	rest := all
	for _, text := range texts {
		if no, ok := strings.CutPrefix(text, "!"); ok {
			if strings.Contains(all, no) {
				t.Errorf("it says %q", no)
			}
			continue
		}
		_, after, ok := strings.Cut(rest, text)
		if !ok {
			l.dump(t, op)
			t.Fatalf("it does not say %q, or not in this order", text)
		}
		rest = after
	}
}

// The reset budget is 50 an hour for all servers: a rescue system of ours is told to reboot.
func TestARescueSystemOfOursIsRebootedWithoutAReset(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	b := &counted{}
	l.budget = b
	l.cluster(t, []string{"worker-1"}, nil)
	l.engine(t, workflow.Options{})
	first := l.succeeds(t, l.rescue(t, "worker-1").ID)
	l.said(t, first, "hard reset ordered at hetzner_robot (one of the account's 50 resets an hour)", "!told to reboot")
	second := l.succeeds(t, l.rescue(t, "worker-1").ID)
	l.said(t, second, "the rescue system that runs was told to reboot", "rescue system answers", "!reset ordered")
	if n := b.calls["robot POST /reset"]; n != 1 {
		t.Errorf("%d resets for two rescue boots", n)
	}
}

// A machine that does not come back is restarted by rougher and rougher means; what comes next, and when, is said.
func TestAMachineThatDoesNotComeBackIsRestartedByRougherMeans(t *testing.T) {
	t.Parallel()
	t.Run("an older board hangs in its shutdown", func(t *testing.T) {
		t.Parallel()
		l := newLabWith(t, quick, rescuehost.Options{})
		l.cluster(t, []string{"old-board"}, nil)
		l.engine(t, workflow.Options{})
		l.succeeds(t, l.rescue(t, "old-board").ID)
		l.machine(t, "old-board").Fault(func(f *world.Faults) { f.RebootHangs, f.KeysIgnored = 1, true })
		op := l.succeeds(t, l.rescue(t, "old-board").ID)
		l.said(t, op,
			"the rescue system that runs was told to reboot", "waiting for the rescue system to answer SSH; soft reset at ", " if it does not come",
			"of the SSH reboot: soft reset ordered (one of the account's 50 resets an hour); hard reset at ",
			"of the soft reset: hard reset ordered", "nothing rougher than hard reset", "rescue system answers")
	})
	t.Run("a board loses its first reset", func(t *testing.T) {
		t.Parallel()
		l := newLabWith(t, quick, rescuehost.Options{})
		l.cluster(t, []string{"worker-1"}, nil)
		l.machine(t, "worker-1").Fault(func(f *world.Faults) { f.ResetIgnored = 1 })
		l.engine(t, workflow.Options{})
		op := l.succeeds(t, l.rescue(t, "worker-1").ID)
		l.said(t, op, "hard reset ordered", "; power cycle at ", "of the hard reset: power cycle ordered (two of the account's 50 resets an hour)", "rescue system answers")
	})
	t.Run("it hangs on its way into Talos", func(t *testing.T) {
		t.Parallel()
		l := newLabWith(t, 2*speed, rescuehost.Options{})
		l.cluster(t, nil, []string{"control-plane-1"})
		l.machine(t, "control-plane-1").Fault(func(f *world.Faults) { f.RebootHangs = 1 })
		l.engine(t, workflow.Options{})
		op := l.succeeds(t, l.install(t, "control-plane-1").ID)
		l.said(t, op, "rebooting into Talos", "Talos did not come within ", "of the SSH reboot: soft reset ordered", "of the soft reset: hard reset ordered", "config handed over")
	})
	t.Run("nothing helps", func(t *testing.T) {
		t.Parallel()
		l := newLabWith(t, quick, rescuehost.Options{})
		l.cluster(t, []string{"worker-1"}, nil)
		l.machine(t, "worker-1").Fault(func(f *world.Faults) { f.RescueNeverComes = true })
		l.engine(t, workflow.Options{})
		op := l.finish(t, l.rescue(t, "worker-1").ID, 60*time.Second)
		if op.State != fleet.Failed || !strings.Contains(op.Error, "waited for the rescue system of worker-1 in vain: hard reset at ") ||
			!strings.Contains(op.Error, ", power cycle at ") || !strings.Contains(op.Hint, "network must be first") {
			t.Errorf("%s: %s; hint: %s", op.State, op.Error, op.Hint)
		}
	})
}

func TestAServerThatIsOffIsSwitchedOn(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.cluster(t, []string{"worker-1"}, []string{"worker-2"})
	l.engine(t, workflow.Options{})
	for _, name := range []string{"worker-1", "worker-2"} {
		l.machine(t, name).PowerCut()
		op := l.succeeds(t, l.rescue(t, name).ID)
		l.said(t, op, "power on ordered at ", "rescue system answers", "!hard reset ordered")
	}
}

// few is a budget with so many resets, then none for a while.
type few struct {
	provider.MemoryBudget
	left  atomic.Int64
	until time.Time // when they are back
}

// Take implements provider.Budget.
func (b *few) Take(ctx context.Context, group string, limit provider.Limit) (time.Time, error) {
	if strings.HasPrefix(group, "robot POST /reset") && b.left.Add(-1) < 0 && time.Now().Before(b.until) {
		return b.until, nil
	}
	return b.MemoryBudget.Take(ctx, group, limit)
}

func TestTheNextResetWaitsForItsBudgetAndSaysSo(t *testing.T) {
	t.Parallel()
	l := newLabWith(t, quick, rescuehost.Options{})
	b := &few{until: time.Now().Add(12 * time.Second)}
	b.left.Store(1)
	l.budget = b
	l.cluster(t, []string{"worker-1"}, nil)
	l.machine(t, "worker-1").Fault(func(f *world.Faults) { f.ResetIgnored = 1 })
	l.engine(t, workflow.Options{})
	op := l.succeeds(t, l.rescue(t, "worker-1").ID)
	l.said(t, op, "it can be restarted once more (power cycle) at "+b.until.Format(time.TimeOnly)+", when the budget is back", "power cycle ordered", "rescue system answers")
}

func TestWhatStandsInTheWayOfARestartIsSaid(t *testing.T) {
	t.Parallel()
	t.Run("a technician is at work", func(t *testing.T) {
		t.Parallel()
		l := newLab(t)
		l.cluster(t, []string{"worker-1"}, nil)
		l.sim.Robot.Inject(hetzner.Fault{Method: "POST", Path: "/reset/*", Times: -1, Status: 409, Code: "RESET_MANUAL_ACTIVE", Message: "manual reset is already active"})
		l.engine(t, workflow.Options{})
		op := l.finish(t, l.rescue(t, "worker-1").ID, 20*time.Second)
		if op.State != fleet.Failed || op.Step != "boot the rescue system" || !strings.Contains(op.Error, "a technician is at work on the server") || !strings.Contains(op.Hint, "wait for the mail from Hetzner") {
			l.dump(t, op)
			t.Errorf("%s at %q: %s; hint: %s", op.State, op.Step, op.Error, op.Hint)
		}
	})
	t.Run("somebody else armed the rescue system", func(t *testing.T) {
		t.Parallel()
		l := newLab(t)
		l.cluster(t, []string{"worker-1"}, nil)
		s, err := l.store.Server(t.Context(), "worker-1")
		if err != nil {
			t.Fatal(err)
		}
		d, err := l.Driver(t.Context(), s.AccountID)
		if err != nil {
			t.Fatal(err)
		}
		theirs := providertest.NewKey(t)
		if err := d.EnsureKey(t.Context(), "anna's laptop", theirs); err != nil {
			t.Fatal(err)
		}
		if _, err := d.ArmRescue(t.Context(), s.ProviderID, theirs); err != nil {
			t.Fatal(err)
		}
		l.engine(t, workflow.Options{})
		op := l.succeeds(t, l.rescue(t, "worker-1").ID)
		l.said(t, op, "armed before was the system linux, for the SSH key anna's laptop", "rescue system answers")
	})
	t.Run("no program can restart it", func(t *testing.T) {
		t.Parallel()
		l := newLab(t)
		l.cluster(t, []string{"worker-1"}, nil)
		m := l.machine(t, "worker-1")
		l.sim.Robot.Inject(hetzner.Fault{Method: "GET", Path: "/reset/*", Times: -1, Status: 404, Code: "RESET_NOT_AVAILABLE", Message: "the server has no reset option"})
		l.engine(t, workflow.Options{})
		op := l.rescue(t, "worker-1")
		l.waits(t, op.ID, "somebody has to restart the server by hand")
		m.Reset()
		l.said(t, l.succeeds(t, op.ID), "nothing that a program may order restarts worker-1", "rescue system answers")
	})
	t.Run("Hetzner migrates the Cloud server", func(t *testing.T) {
		t.Parallel()
		l := newLab(t)
		l.cluster(t, nil, []string{"worker-1"})
		l.sim.Cloud.Hold(l.machine(t, "worker-1"), "migrating", 2*time.Minute)
		l.engine(t, workflow.Options{})
		op := l.rescue(t, "worker-1")
		l.waits(t, op.ID, "server worker-1 to be free")
		l.succeeds(t, op.ID)
	})
	t.Run("the Cloud server has IPv6 only", func(t *testing.T) {
		t.Parallel()
		l := newLab(t)
		m := l.sim.AddCloud(token, "worker-1")
		m.PowerCut()
		m.IPv4 = netip.Addr{}
		m.PowerOn()
		l.cluster(t, []string{"control-plane-1"}, nil)
		l.engine(t, workflow.Options{})
		op := l.succeeds(t, l.rescue(t, "worker-1").ID)
		l.said(t, op, "rescue system answers at "+m.Addresses()[0].String())
	})
}
