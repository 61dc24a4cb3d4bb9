package operation_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
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

// talosOn puts a Talos on a disk, as a node of that cluster leaves it.
func (l *lab) talosOn(t *testing.T, d *world.Disk, cluster, id string) {
	t.Helper()
	spec, err := l.sim.Factory.ImageSpec(factory.Vanilla, "v1.13.9", "metal", "amd64")
	if err != nil {
		t.Fatal(err)
	}
	if err := world.InstallImage(d, spec); err != nil {
		t.Fatal(err)
	}
	if err := world.EnsureState(d, true); err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf("machine:\n  network:\n    hostname: old-1\ncluster:\n  id: %s\n  controlPlane:\n    endpoint: https://198.51.100.7:6443\n  clusterName: %s\n", id, cluster)
	if err := world.WriteFile(d, "STATE", "config.yaml", []byte(config)); err != nil {
		t.Fatal(err)
	}
}

// answered gives an answer and waits for what comes of it: another question, or the end.
func (l *lab) answered(t *testing.T, id, answer string, within time.Duration) fleet.Operation {
	t.Helper()
	if err := l.ops.Approve(t.Context(), "test", id, answer); err != nil {
		t.Fatal(err)
	}
	return l.finish(t, id, within)
}

func (l *lab) logSays(t *testing.T, id, text string) bool {
	t.Helper()
	lines, err := l.store.OperationLog(t.Context(), id, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(lines, func(line fleet.LogLine) bool { return strings.Contains(line.Text, text) })
}

func TestTheAnswerNamesEveryDiskThatLosesData(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.cluster(t, []string{"control-plane-1"}, nil)
	disks := l.machine(t, "control-plane-1").Disks
	for _, d := range disks {
		if err := rescuehost.WriteRAIDMember(d, 0, 100<<30, "rescue:0", 1, 2); err != nil {
			t.Fatal(err)
		}
	}
	before := disks[0].Written() + disks[1].Written()
	l.engine(t, workflow.Options{})
	op := l.finish(t, l.install(t, "control-plane-1").ID, 60*time.Second)
	for _, want := range []string{"RAID array md0 raid1", "loses a member: it is degraded", disks[0].Serial + " " + disks[1].Serial} {
		if op.State != fleet.Asking || !strings.Contains(op.Question, want) {
			t.Fatalf("it is %s and asks %q, without %q", op.State, op.Question, want)
		}
	}
	if op = l.answered(t, op.ID, disks[0].Serial, 30*time.Second); op.State != fleet.Asking || disks[0].Written()+disks[1].Written() != before {
		t.Fatalf("half an answer is taken: it is %s", op.State)
	}
	if op = l.answered(t, op.ID, disks[1].Serial+", "+disks[0].Serial, 90*time.Second); op.State == fleet.Asking {
		t.Fatalf("it still asks %q", op.Question)
	}
	l.succeeds(t, op.ID)
	if !l.logSays(t, op.ID, "released: array md0 stopped") {
		t.Error("nobody says that the array was stopped")
	}
	s, err := l.store.Server(t.Context(), "control-plane-1")
	if err != nil || s.Installed.Disk != disks[0].WWN || s.Installed.Serial != disks[0].Serial || s.Installed.Cluster != "prod" || s.Installed.At.IsZero() {
		t.Errorf("installed is %+v, %v", s.Installed, err)
	}
}

// Talos looks for META and STATE on every disk: another one's would make the machine a node of a cluster that is gone.
func TestAnEarlierTalosOnAnotherDiskDoesNotWin(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	c := l.cluster(t, []string{"control-plane-1"}, nil)
	disks := l.machine(t, "control-plane-1").Disks
	l.talosOn(t, disks[0], "old", "b2xk")
	rule := "rule:transport=nvme,serial=" + disks[1].Serial
	if _, err := l.manager.Assign(t.Context(), "test", "control-plane-1", manage.AssignmentChange{Cluster: &c.Name, InstallDisk: &rule}); err != nil {
		t.Fatal(err)
	}
	l.engine(t, workflow.Options{})
	op := l.finish(t, l.install(t, "control-plane-1").ID, 60*time.Second)
	if op.State != fleet.Asking || !strings.Contains(op.Question, "of Talos of node old-1 in cluster old") || !strings.HasSuffix(op.Question, "answer with "+disks[0].Serial) {
		t.Fatalf("it is %s and asks %q", op.State, op.Question)
	}
	before := disks[0].Written()
	if op = l.answered(t, op.ID, disks[0].Serial, 90*time.Second); op.State == fleet.Asking {
		t.Fatalf("it still asks %q", op.Question)
	}
	l.succeeds(t, op.ID)
	s, err := l.store.Server(t.Context(), "control-plane-1")
	if err != nil || s.Assignment.InstallDisk != disks[1].WWN {
		t.Errorf("the rule is not settled: %q, %v", s.Assignment.InstallDisk, err)
	}
	if config, err := world.ReadFile(disks[0], "STATE.old", "config.yaml"); err != nil || !strings.Contains(string(config), "clusterName: old") {
		t.Errorf("what was on the other disk is lost: %v", err)
	}
	if n := disks[0].Written() - before; n > 1<<20 {
		t.Errorf("%d bytes were written to the other disk: its partition table alone was to change", n)
	}
}

func TestWhatWeInstalledBeforeIsOverwrittenWhereThePolicySaysSo(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		why, cluster, id string
		asks             bool
		text             string
	}{
		{"it is that of the cluster", "prod", "", false, "not asked for (policy wipe-ours)"},
		{"somebody installed another one since", "stage", "c3RhZ2U=", true, "is not taken for ours"},
		{"a cluster of the same name", "prod", "b3RoZXI=", true, "another cluster that is called prod"},
	} {
		t.Run(tc.why, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			c := l.cluster(t, []string{"control-plane-1"}, nil)
			d := l.machine(t, "control-plane-1").Disks[0]
			if tc.id == "" {
				tc.id = regexp.MustCompile(`(?m)^ +id: (.*)$`).FindStringSubmatch(string(c.Secrets))[1]
			}
			l.talosOn(t, d, tc.cluster, tc.id)
			s, err := l.store.Server(t.Context(), "control-plane-1")
			if err != nil {
				t.Fatal(err)
			}
			if err := l.store.SetInstalled(t.Context(), s.ID, fleet.Installed{Disk: d.WWN, Serial: d.Serial, ClusterID: c.ID, Cluster: c.Name, At: time.Now()}); err != nil {
				t.Fatal(err)
			}
			l.engine(t, workflow.Options{})
			op, err := l.ops.Install(t.Context(), "test", "control-plane-1", operation.InstallOptions{DiskPolicy: fleet.WipeOurs})
			if err != nil {
				t.Fatal(err)
			}
			op = l.finish(t, op.ID, 120*time.Second)
			if (op.State == fleet.Asking) != tc.asks || !tc.asks && op.State != fleet.Succeeded {
				l.dump(t, op)
				t.Fatalf("it is %s: %s", op.State, op.Question)
			}
			if !l.logSays(t, op.ID, tc.text) {
				l.dump(t, op)
				t.Errorf("nobody says %q", tc.text)
			}
		})
	}
}

func TestWhatChangedInAMachineIsAnEvent(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.cluster(t, []string{"control-plane-1"}, nil)
	l.engine(t, workflow.Options{})
	s, err := l.store.Server(t.Context(), "control-plane-1")
	if err != nil {
		t.Fatal(err)
	}
	gone := fleet.Disk{Name: "nvme2n1", WWID: "eui.9", Serial: "GONE", Model: "SAMSUNG", SizeBytes: 4 << 40}
	if err := l.store.SetFacts(t.Context(), s.ID, fleet.Facts{At: time.Now(), UUID: "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9", Disks: []fleet.Disk{gone}}); err != nil {
		t.Fatal(err)
	}
	op, err := l.ops.Rescue(t.Context(), "ada", "control-plane-1")
	if err != nil {
		t.Fatal(err)
	}
	l.succeeds(t, op.ID)
	for _, want := range []string{"the mainboard was exchanged", "serial number GONE) is gone", "is new"} {
		if !l.logSays(t, op.ID, want) {
			t.Errorf("the log does not say %q", want)
		}
	}
	events, err := l.store.Events(t.Context(), store.EventFilter{Verb: "server.changed"})
	if err != nil || len(events) != 4 || events[0].Actor != "ada" { // the board, a disk that went, two that came
		t.Errorf("events %+v, %v", events, err)
	}
}
