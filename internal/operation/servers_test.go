package operation_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
	"github.com/talos-manager/talos-manager/internal/operation"
	"github.com/talos-manager/talos-manager/internal/simulator/rescuehost"
	"github.com/talos-manager/talos-manager/internal/store"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

// order makes a vSwitch, as its owner does on Robot's pages.
func (l *lab) order(t *testing.T, name string, vlan int) {
	t.Helper()
	form := url.Values{"name": {name}, "vlan": {fmt.Sprint(vlan)}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, l.sim.RobotURL()+"/vswitch", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(login, password)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := l.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		t.Fatal(resp.Status)
	}
}

func TestAServerIsMovedFromOneVSwitchToAnother(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	c := l.cluster(t, []string{"worker-1"}, []string{"worker-2"})
	l.order(t, "lan", 4000)
	l.order(t, "san", 4001)
	l.engine(t, workflow.Options{})
	if err := l.reconcile.SyncAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	all, err := l.store.VSwitches(t.Context(), "")
	if err != nil || len(all) != 2 {
		t.Fatalf("vSwitches %v, %v", all, err)
	}
	for _, id := range []string{all[0].ID, all[1].ID, ""} {
		op, err := l.ops.SetVSwitch(t.Context(), "test", "worker-1", id)
		if err != nil {
			t.Fatal(err)
		}
		l.succeeds(t, op.ID)
		for _, when := range []string{"after the move", "after a sync"} {
			if s, err := l.store.Server(t.Context(), "worker-1"); err != nil || s.VSwitchID != id {
				t.Errorf("%s it is in %q, want %q; %v", when, s.VSwitchID, id, err)
			}
			if err := l.reconcile.SyncAll(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	refused := func(why, server, id string, kind fleet.Kind, text string) {
		t.Helper()
		if _, err := l.ops.SetVSwitch(t.Context(), "test", server, id); fleet.KindOf(err) != kind || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %s %v", why, fleet.KindOf(err), err)
		}
	}
	refused("a cloud server has none", "worker-2", all[0].ID, fleet.Invalid, "cannot be in a vSwitch")
	refused("there is no such vSwitch", "worker-1", "nope", fleet.NotFound, "nope")
	c.VSwitchID = all[0].ID
	if err := l.store.UpdateCluster(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	l.becomes(t, "worker-1", fleet.Ready)
	refused("a node would lose its cluster's network", "worker-1", all[1].ID, fleet.Refused, "private network")
}

// Some disks show their WWN only a while after the boot: they are waited for.
func TestDisksThatSayLateWhatTheyAreAreWaitedFor(t *testing.T) {
	t.Parallel()
	l := newLabWith(t, speed, rescuehost.Options{LateWWN: 60 * time.Second})
	l.cluster(t, []string{"control-plane-1"}, nil)
	l.engine(t, workflow.Options{})
	op := l.succeeds(t, l.install(t, "control-plane-1").ID)
	lines, err := l.store.OperationLog(t.Context(), op.ID, 0, 0)
	if err != nil || !slices.ContainsFunc(lines, func(line fleet.LogLine) bool { return strings.Contains(line.Text, "the disks to say what they are") }) {
		t.Errorf("they were not waited for: %v", err)
	}
}

// Names of disks change between boots; what they are does not.
func TestTheChosenDiskIsWrittenWhateverItsNameIs(t *testing.T) {
	t.Parallel()
	l := newLabWith(t, speed, rescuehost.Options{SwapNames: true})
	l.cluster(t, []string{"control-plane-1"}, nil)
	l.engine(t, workflow.Options{})
	l.succeeds(t, l.install(t, "control-plane-1").ID)
	disks := l.machine(t, "control-plane-1").Disks
	if disks[0].Written() == 0 || disks[1].Written() != 0 {
		t.Errorf("%d bytes on the chosen disk, %d on the other", disks[0].Written(), disks[1].Written())
	}
}

// A server that somebody installed before, in a cluster whose secrets were brought along.
func TestAServerThatRunsAlreadyIsTakenOver(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	c := l.cluster(t, nil, []string{"control-plane-1", "worker-1", "spare-1"})
	l.engine(t, workflow.Options{})
	for _, op := range []fleet.Operation{l.install(t, "control-plane-1"), l.install(t, "worker-1")} {
		l.succeeds(t, op.ID)
	}
	l.succeeds(t, l.bootstrap(t, c).ID)
	known, err := l.manager.CreateCluster(t.Context(), "test", manage.NewCluster{Name: "known", Endpoint: c.Endpoint, Secrets: c.Secrets})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"control-plane-1", "worker-1"} { // forgotten by us, as if we had never seen them
		if _, err := l.manager.Assign(t.Context(), "test", name, manage.AssignmentChange{Cluster: new(string), Force: true}); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		why, server string
		change      *manage.AssignmentChange
		kind        fleet.Kind
		text        string
	}{
		{"it belongs to no cluster", "worker-1", nil, fleet.Invalid, "no cluster"},
		{"it runs as something else", "worker-1", &manage.AssignmentChange{Cluster: &known.Name, Role: role(fleet.ControlPlane)}, fleet.Refused, "runs as worker"},
		{"it runs under another name", "worker-1", &manage.AssignmentChange{Role: role(fleet.Worker), Hostname: &c.Name}, fleet.Refused, "runs as node worker-1"},
		{"it runs no Talos", "spare-1", nil, fleet.Unavailable, "does not answer with the certificates"},
		{"it is as its assignment says", "worker-1", &manage.AssignmentChange{Hostname: new(string)}, "", ""},
		{"so is the control plane", "control-plane-1", &manage.AssignmentChange{Cluster: &known.Name}, "", ""},
		{"it was taken over before", "control-plane-1", nil, fleet.Conflict, "already"},
	} {
		if tc.change != nil {
			if _, err := l.manager.Assign(t.Context(), "test", tc.server, *tc.change); err != nil {
				t.Fatal(err)
			}
		}
		s, err := l.ops.Adopt(t.Context(), "ada", tc.server)
		switch {
		case tc.kind == "" && (err != nil || s.State != fleet.Ready && s.State != fleet.Configured || s.Assignment.Hostname != tc.server):
			t.Errorf("%s: it is %s, %v", tc.why, s.State, err)
		case tc.kind != "" && (fleet.KindOf(err) != tc.kind || !strings.Contains(err.Error(), tc.text) || fleet.HintOf(err) == ""):
			t.Errorf("%s: %s %v; hint: %s", tc.why, fleet.KindOf(err), err, fleet.HintOf(err))
		}
	}
	if known, err = l.store.Cluster(t.Context(), "known"); err != nil || known.BootstrappedAt.IsZero() {
		t.Errorf("the cluster is not known to run: %v", err)
	}
	if _, err := l.ops.Bootstrap(t.Context(), "test", "known"); fleet.KindOf(err) != fleet.Refused {
		t.Errorf("it would be bootstrapped: %v", err)
	}
	events, err := l.store.Events(t.Context(), store.EventFilter{Verb: "server.adopt"})
	if err != nil || len(events) != 2 || events[0].Actor != "ada" {
		t.Errorf("events %+v, %v", events, err)
	}
}

func role(r fleet.Role) *fleet.Role { return &r }

func TestAnOperationThatRunsIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.cluster(t, nil, []string{"control-plane-1"})
	l.engine(t, workflow.Options{})
	op, err := l.ops.Rescue(t.Context(), "test", "control-plane-1")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.ops.Retry(t.Context(), "test", op.ID); fleet.KindOf(err) != fleet.Conflict {
		t.Errorf("got %v", err)
	}
	l.succeeds(t, op.ID)
	if err := l.ops.Retry(t.Context(), "test", op.ID); fleet.KindOf(err) != fleet.Conflict {
		t.Errorf("after its success: %v", err)
	}
	if _, err := l.ops.Install(t.Context(), "test", "nope", operation.InstallOptions{}); fleet.KindOf(err) != fleet.NotFound {
		t.Errorf("an install of nobody: %v", err)
	}
}
