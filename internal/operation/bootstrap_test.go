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
	"github.com/talos-manager/talos-manager/internal/simulator/rescuehost"
	"github.com/talos-manager/talos-manager/internal/store"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

// bootstrap finds the cluster's newest bootstrap operation.
func (l *lab) bootstrap(t *testing.T, c fleet.Cluster) fleet.Operation {
	t.Helper()
	all, err := l.store.Operations(t.Context(), store.OperationFilter{ClusterID: c.ID, Kind: operation.KindBootstrap, Limit: 1})
	if err != nil || len(all) == 0 {
		t.Fatalf("no bootstrap: %v", err)
	}
	return all[0]
}

// The control plane that was chosen dies for good before etcd was started. A person takes it out, and another bootstraps; if
// the call may have reached it, only after they said that it is off.
func TestALostControlPlaneDoesNotBlockTheBootstrap(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		why    string
		called bool
	}{{"it was never called", false}, {"it may have been called", true}} {
		t.Run(tc.why, func(t *testing.T) {
			t.Parallel()
			l := newLabWith(t, quick, rescuehost.Options{})
			c := l.cluster(t, nil, []string{"control-plane-2", "control-plane-1"}) // the first is the endpoint
			var lost atomic.Bool
			l.engine(t, workflow.Options{AfterStep: func(op fleet.Operation, step string) error {
				if step != "choose the control plane" {
					return nil
				}
				c, err := l.store.Cluster(context.WithoutCancel(t.Context()), c.ID)
				if c.BootstrapServerID != "" && !lost.Swap(true) {
					l.machine(t, "control-plane-1").PowerCut()
				}
				return err
			}})
			first := l.install(t, "control-plane-1")
			op := l.finish(t, l.bootstrap(t, c).ID, 60*time.Second)
			if op.State != fleet.Failed || !strings.Contains(op.Hint, "server assign control-plane-1 --cluster ''") || !strings.Contains(op.Hint, "operation retry "+op.ID) {
				l.dump(t, op)
				t.Fatalf("bootstrap is %s", op.State)
			}
			if tc.called {
				if err := l.store.SetSetting(t.Context(), "bootstrap-called."+c.ID, first.ServerID); err != nil {
					t.Fatal(err)
				}
			}
			l.finish(t, first.ID, 60*time.Second)
			leave := manage.AssignmentChange{Cluster: new(string)}
			if _, err := l.manager.Assign(t.Context(), "test", "control-plane-1", leave); err != nil {
				t.Fatal(err)
			}
			second := l.install(t, "control-plane-2")
			op = l.bootstrap(t, c)
			if tc.called {
				l.asksFor(t, op.ID, "control-plane-1")
			}
			l.succeeds(t, op.ID)
			if c, err := l.store.Cluster(t.Context(), c.ID); err != nil || c.BootstrapServerID != second.ServerID || c.BootstrappedAt.IsZero() {
				t.Errorf("%s bootstrapped, want %s; %v", c.BootstrapServerID, second.ServerID, err)
			}
		})
	}
}

// asksFor answers an operation's question, first wrong, then with the name it asks for.
func (l *lab) asksFor(t *testing.T, id, name string) {
	t.Helper()
	for _, answer := range []string{"yes", name} {
		op := l.finish(t, id, 60*time.Second)
		if op.State != fleet.Asking || !strings.Contains(op.Question, name) {
			l.dump(t, op)
			t.Fatalf("it is %s", op.State)
		}
		if err := l.ops.Approve(t.Context(), "test", id, answer); err != nil {
			t.Fatal(err)
		}
		until(t, "the answer to be read", func() error {
			if op, err := l.store.Operation(t.Context(), id); err != nil || op.State == fleet.Asking && op.Answer != "" || op.State == fleet.Pending || op.State == fleet.Running {
				return fleet.Errorf(fleet.Unavailable, "%s %v", op.State, err)
			}
			return nil
		})
	}
}

// Somebody's cluster runs already, and its secrets were brought along. A new control plane must join it.
func TestAClusterThatRunsElsewhereIsNotBootstrapped(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	c := l.cluster(t, nil, []string{"control-plane-1", "control-plane-2"})
	l.engine(t, workflow.Options{})
	l.succeeds(t, l.install(t, "control-plane-1").ID)

	known, err := l.manager.CreateCluster(t.Context(), "test", manage.NewCluster{Name: "known", Endpoint: c.Endpoint, Secrets: c.Secrets})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.manager.Assign(t.Context(), "test", "control-plane-2", manage.AssignmentChange{Cluster: &known.Name}); err != nil {
		t.Fatal(err)
	}
	l.succeeds(t, l.install(t, "control-plane-2").ID)
	op := l.succeeds(t, l.bootstrap(t, known).ID)
	lines, err := l.store.OperationLog(t.Context(), op.ID, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	for _, line := range lines {
		text += line.Text + "\n"
	}
	if !strings.Contains(text, "nothing to bootstrap") || strings.Contains(text, "etcd bootstrapped") {
		t.Errorf("the bootstrap says\n%s", text)
	}
	k, err := l.ops.Kubernetes(t.Context(), known.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	if nodes, err := k.Nodes(t.Context()); err != nil || len(nodes) != 2 {
		t.Errorf("%d nodes, %v", len(nodes), err)
	}
}

func TestAControlPlaneThatEtcdCountsIsNotWiped(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.cluster(t, nil, []string{"control-plane-1", "control-plane-2"})
	l.engine(t, workflow.Options{})
	ids := []string{l.install(t, "control-plane-1").ID, l.install(t, "control-plane-2").ID}
	for _, id := range ids {
		l.succeeds(t, id)
	}
	again := func(text, hint string) {
		t.Helper()
		m := l.machine(t, "control-plane-2")
		boots := m.Boots()
		op, err := l.ops.Install(t.Context(), "test", "control-plane-2", operation.InstallOptions{Wipe: true})
		if err != nil {
			t.Fatal(err)
		}
		op = l.finish(t, op.ID, 60*time.Second)
		if op.State != fleet.Failed || op.Step != "check the records" || !strings.Contains(op.Error, text) || !strings.Contains(op.Hint, hint) {
			l.dump(t, op)
			t.Fatalf("%s at %q: %s", op.State, op.Step, op.Error)
		}
		if m.Boots() != boots {
			t.Error("it was rebooted")
		}
	}
	l.becomes(t, "control-plane-2", fleet.Broken)
	again("counts control-plane-2 as a member", "etcd remove-member")
	l.becomes(t, "control-plane-1", fleet.Known) // taken out by force
	again("no control plane of it is left", "new cluster")
}

func (l *lab) becomes(t *testing.T, name string, state fleet.State) {
	t.Helper()
	s, err := l.store.Server(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.store.SetState(context.WithoutCancel(t.Context()), s.ID, s.State, state); err != nil {
		t.Fatal(err)
	}
}

// A cluster's config says another Kubernetes than the cluster: what it began with is what everybody joins with.
func TestTheKubernetesThatTheClusterBeganWithIsNoted(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	c := l.cluster(t, nil, []string{"control-plane-1"})
	older, err := l.manager.SaveConfig(t.Context(), "test", fleet.Config{Name: "older", Contents: fleet.Contents{KubernetesVersion: "v1.35.2"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.manager.Assign(t.Context(), "test", "control-plane-1", manage.AssignmentChange{Config: &older.Name}); err != nil {
		t.Fatal(err)
	}
	l.engine(t, workflow.Options{})
	l.succeeds(t, l.install(t, "control-plane-1").ID)
	l.succeeds(t, l.bootstrap(t, c).ID)
	if c, err = l.store.Cluster(t.Context(), c.ID); err != nil || c.KubernetesVersion != "v1.35.2" {
		t.Errorf("the cluster runs %s, %v", c.KubernetesVersion, err)
	}
	k, err := l.ops.Kubernetes(t.Context(), c.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	if v, err := k.Version(t.Context()); err != nil || v != "v1.35.2" {
		t.Errorf("its API says %s, %v", v, err)
	}
}
