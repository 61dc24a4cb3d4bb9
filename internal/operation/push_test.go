package operation_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig"
	"github.com/talos-manager/talos-manager/internal/manage"
	"github.com/talos-manager/talos-manager/internal/operation"
	"github.com/talos-manager/talos-manager/internal/simulator/factory"
	"github.com/talos-manager/talos-manager/internal/simulator/rescuehost"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
	"github.com/talos-manager/talos-manager/internal/workflow"
	"github.com/talos-manager/talos-manager/internal/workflow/workflowtest"
)

// push orders an install whose config is pushed.
func (l *lab) push(t *testing.T, name string) fleet.Operation {
	t.Helper()
	op, err := l.ops.Install(t.Context(), "test", name, operation.InstallOptions{Delivery: fleet.Push, Wipe: true})
	if err != nil {
		t.Fatal(err)
	}
	return op
}

// unreachable takes our address away.
func (l *lab) unreachable() {
	env := l.ops.Env
	env.URL = ""
	l.ops = operation.New(env)
	l.reconcile.Operations = l.ops
}

// Machines that cannot reach us get their configs through the maintenance API, the worker before it has a certificate.
func TestAConfigIsPushedToMachinesThatCannotReachUs(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.unreachable()
	l.cluster(t, []string{"control-plane-1"}, []string{"worker-1"})
	l.engine(t, workflow.Options{})
	if _, err := l.ops.Install(t.Context(), "test", "control-plane-1", operation.InstallOptions{}); fleet.KindOf(err) != fleet.Invalid || !strings.Contains(fleet.HintOf(err), "--delivery push") {
		t.Errorf("without an address of ours: %v, hint %q", err, fleet.HintOf(err))
	}
	first := l.push(t, "worker-1")
	second := l.push(t, "control-plane-1")
	for _, id := range []string{first.ID, second.ID} {
		op := l.succeeds(t, id)
		l.said(t, op, "in maintenance mode with certificate ", "its UUID, network cards and disks are the server's", "config handed over to UUID ", "Applied configuration without a reboot", "!one-time code")
	}
	for _, name := range []string{"worker-1", "control-plane-1"} {
		m := l.machine(t, name)
		boot, err := world.ReadBoot(m.Disks[0])
		if err != nil || strings.Contains(boot.Cmdline, "talos.config") || boot.Meta[world.MetaDownloadURLCode] != "" {
			t.Errorf("%s boots with %q, META %v, %v", name, boot.Cmdline, boot.Meta, err)
		}
		s, err := l.store.Server(t.Context(), name)
		if err != nil || s.State != fleet.Ready || s.RanAs != strings.ToLower(m.UUID) {
			t.Errorf("%s is %s, ran as %q, %v", name, s.State, s.RanAs, err)
		}
	}
}

// Nothing is sent to a machine that is not the server: what differs is said.
func TestAMachineThatIsNotTheServerGetsNothing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		why    string
		meddle func(m *world.Machine)
		texts  []string
	}{
		{"another board", func(m *world.Machine) { m.SwapBoard("4c4c4544-0042-3510-8050-b4c04f384833") }, []string{
			"is not server worker-1: its UUID is 4c4c4544-0042-3510-8050-b4c04f384833, not ", "; it has no network card 90:1b:",
		}},
		{"another disk", func(m *world.Machine) {
			m.PowerCut()
			m.Disks[1].Serial, m.Disks[1].WWN = "OTHER", "eui.00000000000000aa"
		}, []string{
			"is not server worker-1: it has no disk eui.", "(serial number S675",
		}},
		{"an older Talos", func(m *world.Machine) {
			m.PowerCut()
			m.Fault(func(f *world.Faults) { f.WrongTalosVersion = "v1.13.0" })
		}, []string{
			"runs Talos v1.13.0, installed was ",
		}},
	} {
		t.Run(c.why, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			l.cluster(t, []string{"worker-1"}, nil)
			m := l.machine(t, "worker-1")
			m.Fault(func(f *world.Faults) { f.TalosNeverComes = true })
			l.engine(t, workflow.Options{})
			op := l.push(t, "worker-1")
			l.waits(t, op.ID, "Talos on worker-1 to run in maintenance mode; hard reset at ")
			c.meddle(m)
			m.Fault(func(f *world.Faults) { f.TalosNeverComes = false })
			m.PowerCut()
			m.PowerOn()
			op = l.finish(t, op.ID, 60*time.Second)
			if op.State != fleet.Failed || op.Step != "hand over the config" || op.Hint == "" {
				l.dump(t, op)
				t.Fatalf("it is %s at %q", op.State, op.Step)
			}
			for _, text := range c.texts {
				if !strings.Contains(op.Error, text) {
					t.Errorf("it does not say %q: %s", text, op.Error)
				}
			}
			if world.HasPartition(m.Disks[0], "STATE") {
				t.Error("it was handed a config")
			}
		})
	}
}

// The certificate of maintenance mode is new with every boot: the one seen first is the only one that is sent anything.
func TestAMachineThatWasConfiguredBySomebodyElseIsSaid(t *testing.T) {
	t.Parallel()
	l := newLabWith(t, quick, rescuehost.Options{})
	l.cluster(t, []string{"control-plane-1", "worker-1"}, nil)
	l.engine(t, workflow.Options{})
	l.succeeds(t, l.install(t, "control-plane-1").ID)
	// The worker's address leads to a node that has a config.
	m := l.machine(t, "worker-1")
	m.Fault(func(f *world.Faults) { f.TalosNeverComes = true })
	op := l.push(t, "worker-1")
	l.waits(t, op.ID, "Talos on worker-1 to run in maintenance mode")
	node := l.machine(t, "control-plane-1")
	m.PowerCut()
	node.PowerCut()
	m.Disks, node.Disks = node.Disks, nil
	m.Fault(func(f *world.Faults) { f.TalosNeverComes = false })
	m.PowerOn()
	op = l.finish(t, op.ID, 60*time.Second)
	if op.State != fleet.Failed || !strings.Contains(op.Error, "has a config already, and not from this install") || !strings.Contains(op.Hint, "older Talos") {
		l.dump(t, op)
		t.Errorf("it is %s: %s; hint: %s", op.State, op.Error, op.Hint)
	}
}

// basementInMaintenance is a machine of no provider's that sits in maintenance mode, added as a server.
func basementInMaintenance(t *testing.T, l *lab) *basement {
	t.Helper()
	b := newBasement(t, l, "192.0.2.10", "", nil)
	spec, err := l.sim.Factory.ImageSpec(factory.Vanilla, machineconfig.NewestTalos(), "metal", "amd64")
	if err != nil {
		t.Fatal(err)
	}
	if err := world.InstallImage(b.m.Disks[0], spec); err != nil {
		t.Fatal(err)
	}
	b.m.PowerOn()
	b.add(t, manage.NewServer{})
	return b
}

// Of a machine of which nothing is known, a person says that it is the server before it gets the cluster's secrets. The
// program dies at every point around that; the machine is handed one config.
func TestAPushSurvivesDeath(t *testing.T) {
	t.Parallel()
	workflowtest.KillIn(t, func(t *testing.T) workflowtest.Scenario {
		l := newLab(t)
		b := basementInMaintenance(t, l)
		return workflowtest.Scenario{
			Journal: l.store,
			Engine:  l.newEngine,
			Begin: func(ctx context.Context, _ *workflow.Engine) (string, error) {
				op, err := l.ops.Install(ctx, "test", "basement", operation.InstallOptions{Wipe: true})
				return op.ID, err
			},
			Answer: func(question string) string {
				for _, text := range []string{"would get the secrets of the cluster", b.m.UUID, b.m.MAC, "its certificate is "} {
					if !strings.Contains(question, text) {
						t.Errorf("it does not ask about %q: %s", text, question)
					}
				}
				return b.m.UUID
			},
			Within: 60 * time.Second,
			Check: func(t *testing.T, op fleet.Operation) {
				if op.State != fleet.Succeeded {
					l.dump(t, op)
					t.Fatalf("install is %s", op.State)
				}
				l.said(t, op, "in maintenance mode", "left to Talos", "config handed over to UUID "+b.m.UUID)
				if n := b.m.Boots(); n != 1 {
					t.Errorf("the machine booted %d times", n)
				}
			},
		}
	}, []string{"read the facts", "hand over the config"})
}
