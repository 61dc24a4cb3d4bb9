package operation_test

import (
	"strings"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
	"github.com/talos-manager/talos-manager/internal/operation"
	"github.com/talos-manager/talos-manager/internal/simulator/factory"
	"github.com/talos-manager/talos-manager/internal/simulator/rescuehost"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

// What can go wrong with an install, and what a person is told: where it stopped, why, and what to do.
func TestAnInstallThatCannotSucceedSaysWhereWhyAndWhatNext(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		why     string
		set     func(t *testing.T, l *lab, m *world.Machine)
		options operation.InstallOptions
		step    string
		text    string
		hint    string
		intact  bool // the disk is as it was
	}{
		{
			why: "the rescue system never comes", step: "reach the rescue system", text: "waited", hint: "network must be first", intact: true,
			set: func(_ *testing.T, _ *lab, m *world.Machine) {
				m.Fault(func(f *world.Faults) { f.RescueNeverComes = true })
			},
		},
		{
			why: "another host key than the published ones", step: "reach the rescue system", text: "host key", hint: "another machine answers", intact: true,
			set: func(_ *testing.T, _ *lab, m *world.Machine) { m.Fault(func(f *world.Faults) { f.WrongHostKey = true }) },
		},
		{
			why: "a UUID that is no identity", step: "choose the disk", text: "ends in zeroes", hint: "mail to send", intact: true,
			set: func(_ *testing.T, _ *lab, m *world.Machine) { m.UUID = "4c4c4544-0042-3510-8050-000000000000" },
		},
		{
			why: "the chosen disk is gone", step: "choose the disk", text: "has no disk eui.002538b3", hint: "its disks are", intact: true,
			set: func(_ *testing.T, _ *lab, m *world.Machine) { m.Disks[0].WWN = "eui.0000000000000001" },
		},
		{
			why: "the factory does not have the image", step: "check the records", text: "image", intact: true,
			set: func(_ *testing.T, l *lab, _ *world.Machine) {
				l.sim.Factory.Fault(func(f *factory.Faults) { f.ImageMissing = 100 })
			},
		},
		{
			why: "the image is not what its checksum says", options: operation.InstallOptions{ImageSHA256: strings.Repeat("0", 64)},
			step: "write the image", text: "nothing was written", hint: "checksum", intact: true,
		},
		{
			why: "the disk fails half way", step: "write the image", text: "nput/output error", hint: "exchange it",
			set: func(_ *testing.T, _ *lab, m *world.Machine) { m.Fault(func(f *world.Faults) { f.DiskFails = true }) },
		},
		{
			why: "Talos comes up in another version", step: "check the node", text: "runs Talos v1.14.0, installed was v1.14.1", hint: "older Talos wins",
			set: func(_ *testing.T, _ *lab, m *world.Machine) {
				m.Fault(func(f *world.Faults) { f.WrongTalosVersion = "v1.14.0" })
			},
		},
		{
			why: "Talos comes up in a version that cannot read the config", step: "check the node", text: "waited", hint: "cannot use it",
			set: func(_ *testing.T, _ *lab, m *world.Machine) {
				m.Fault(func(f *world.Faults) { f.WrongTalosVersion = "v1.13.0" })
			},
		},
		{
			why: "the image does not boot", step: "hand over the config", text: "waited", hint: "Look at its screen",
			set: func(_ *testing.T, _ *lab, m *world.Machine) {
				m.Fault(func(f *world.Faults) { f.TalosNeverComes = true })
			},
		},
	} {
		t.Run(tc.why, func(t *testing.T) {
			t.Parallel()
			l := newLabWith(t, quick, rescuehost.Options{})
			l.cluster(t, []string{"control-plane-1"}, nil)
			m := l.machine(t, "control-plane-1")
			if tc.set != nil {
				tc.set(t, l, m)
			}
			l.engine(t, workflow.Options{MaxAttempts: 3, Backoff: 20 * time.Millisecond})
			op, err := l.ops.Install(t.Context(), "test", "control-plane-1", tc.options)
			if err != nil {
				t.Fatal(err)
			}
			op = l.finish(t, op.ID, 60*time.Second)
			if op.State != fleet.Failed || op.Step != tc.step || !strings.Contains(op.Error, tc.text) || !strings.Contains(op.Hint, tc.hint) {
				l.dump(t, op)
				t.Fatalf("%s at %q: %s; hint: %s", op.State, op.Step, op.Error, op.Hint)
			}
			if tc.intact && m.Disks[0].Written() != 0 {
				t.Errorf("%d bytes were written to the disk", m.Disks[0].Written())
			}
			want := fleet.Known // it has what it had
			if !tc.intact {
				want = fleet.Broken
			}
			if s, err := l.store.Server(t.Context(), op.ServerID); err != nil || s.State != want {
				t.Errorf("the server is %s, want %s (%v)", s.State, want, err)
			}
			if _, err := l.store.ArmOf(t.Context(), op.ServerID); fleet.KindOf(err) != fleet.NotFound {
				t.Errorf("its config can still be fetched: %v", err)
			}
		})
	}
}

// An install that meets misfortune it can survive does survive it.
func TestAnInstallSurvivesWhatHappensInLife(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		why   string
		fault func(*world.Faults)
	}{
		{"the board takes five and a half minutes to boot", func(f *world.Faults) { f.RescueBootTime = 330 * time.Second }},
		{"the boot lands in the installed system first", func(f *world.Faults) { f.RescueOldSystem = 1 }},
		{"the first reset is ignored", func(f *world.Faults) { f.ResetIgnored = 1 }},
		{"SSH sessions break", func(f *world.Faults) { f.SSHDrops = 2 }},
	} {
		t.Run(tc.why, func(t *testing.T) {
			t.Parallel()
			l := newLabWith(t, quick, rescuehost.Options{})
			l.cluster(t, []string{"control-plane-1"}, nil)
			l.machine(t, "control-plane-1").Fault(tc.fault)
			l.engine(t, workflow.Options{Backoff: 50 * time.Millisecond})
			op, err := l.ops.Install(t.Context(), "test", "control-plane-1", operation.InstallOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if op = l.finish(t, op.ID, 60*time.Second); op.State != fleet.Succeeded {
				l.dump(t, op)
				t.Fatalf("install is %s", op.State)
			}
		})
	}
}

func TestTwoServersWithOneUUIDAreRefused(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.cluster(t, nil, []string{"control-plane-1", "worker-1"})
	l.machine(t, "worker-1").UUID = l.machine(t, "control-plane-1").UUID
	l.engine(t, workflow.Options{})
	first, err := l.ops.Rescue(t.Context(), "test", "control-plane-1")
	if err != nil {
		t.Fatal(err)
	}
	l.finish(t, first.ID, 30*time.Second)
	op, err := l.ops.Install(t.Context(), "test", "worker-1", operation.InstallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	op = l.finish(t, op.ID, 30*time.Second)
	if op.State != fleet.Failed || !strings.Contains(op.Error, "same SMBIOS UUID") {
		t.Errorf("%s: %s", op.State, op.Error)
	}
}

func TestADiskThatIsNotBlankIsOverwrittenOnlyWhenNamed(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.cluster(t, []string{"control-plane-1"}, nil)
	m := l.machine(t, "control-plane-1")
	spec, err := l.sim.Factory.ImageSpec(factory.Vanilla, "v1.13.9", "metal", "amd64")
	if err != nil {
		t.Fatal(err)
	}
	if err := world.InstallImage(m.Disks[0], spec); err != nil { // somebody's Talos
		t.Fatal(err)
	}
	before := m.Disks[0].Written()
	l.engine(t, workflow.Options{})
	op, err := l.ops.Install(t.Context(), "test", "control-plane-1", operation.InstallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	op = l.finish(t, op.ID, 30*time.Second)
	if op.State != fleet.Asking || !strings.Contains(op.Question, m.Disks[0].Serial) || !strings.Contains(op.Question, "META") {
		l.dump(t, op)
		t.Fatalf("%s: %s", op.State, op.Question)
	}
	if err := l.ops.Approve(t.Context(), "test", op.ID, "yes"); err != nil {
		t.Fatal(err)
	}
	if again := l.finish(t, op.ID, 30*time.Second); again.State != fleet.Asking || m.Disks[0].Written() != before {
		t.Fatalf("after a wrong answer it is %s, %d bytes written", again.State, m.Disks[0].Written()-before)
	}
	if err := l.ops.Approve(t.Context(), "test", op.ID, m.Disks[0].Serial); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if op, err = l.store.Operation(t.Context(), op.ID); err != nil || op.State.Final() || time.Now().After(deadline) {
			break
		}
	}
	if op.State != fleet.Succeeded {
		l.dump(t, op)
		t.Errorf("it is %s", op.State)
	}
}

func TestANodeIsNotInstalledAgainByAccident(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.cluster(t, nil, []string{"control-plane-1"})
	l.engine(t, workflow.Options{})
	op, err := l.ops.Install(t.Context(), "test", "control-plane-1", operation.InstallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.ops.Install(t.Context(), "test", "control-plane-1", operation.InstallOptions{}); fleet.KindOf(err) != fleet.Conflict {
		t.Errorf("a second install at once: %v", err)
	}
	if op = l.finish(t, op.ID, 60*time.Second); op.State != fleet.Succeeded {
		l.dump(t, op)
		t.Fatalf("install is %s", op.State)
	}
	for what, try := range map[string]func() error{
		"install": func() error {
			_, err := l.ops.Install(t.Context(), "test", "control-plane-1", operation.InstallOptions{Wipe: true})
			return err
		},
		"rescue": func() error { _, err := l.ops.Rescue(t.Context(), "test", "control-plane-1"); return err },
		"assign": func() error {
			role := fleet.Worker
			_, err := l.manager.Assign(t.Context(), "test", "control-plane-1", manage.AssignmentChange{Role: &role})
			return err
		},
		"bootstrap":      func() error { _, err := l.ops.Bootstrap(t.Context(), "test", "prod"); return err },
		"delete cluster": func() error { return l.manager.DeleteCluster(t.Context(), "test", "prod") },
	} {
		if err := try(); fleet.KindOf(err) != fleet.Refused || fleet.HintOf(err) == "" {
			t.Errorf("%s of a running node: %v, hint %q", what, err, fleet.HintOf(err))
		}
	}
}
