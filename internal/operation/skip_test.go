package operation_test

import (
	"context"
	"errors"
	"maps"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/operation"
	"github.com/talos-manager/talos-manager/internal/simulator/rescuehost"
	"github.com/talos-manager/talos-manager/internal/store"
	"github.com/talos-manager/talos-manager/internal/workflow"
	"github.com/talos-manager/talos-manager/internal/workflow/workflowtest"
)

// withoutKubernetes has a Kubernetes API that does not answer us while the switch is on.
func (l *lab) withoutKubernetes(t *testing.T, off *atomic.Bool) {
	t.Helper()
	env := l.ops.Env
	dial := env.Dial
	env.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if off.Load() && strings.HasSuffix(addr, ":6443") {
			return nil, errors.New("connection refused")
		}
		return dial(ctx, network, addr)
	}
	l.ops = operation.New(env)
	l.reconcile.Operations = l.ops
	if _, err := l.manager.AddRule(t.Context(), "test", fleet.Rule{Match: "control", Labels: map[string]string{"example.com/zone": "a"}}); err != nil {
		t.Fatal(err)
	}
}

// standsAt waits until an operation can be skipped at a step.
func (l *lab) standsAt(t *testing.T, id, step string) fleet.Operation {
	t.Helper()
	return workflowtest.Await(t, l.store, id, 60*time.Second, func(op fleet.Operation) bool { return op.Step == step && l.ops.Skippable(op) != "" })
}

func TestOnlyTheLastStepsOfANodeCanBeSkipped(t *testing.T) {
	t.Parallel()
	got := map[string][]string{}
	for _, k := range operation.New(operation.Env{}).Kinds() {
		got[k.Name] = slices.Sorted(maps.Keys(k.Skips))
		for step, skip := range k.Skips {
			if !strings.HasSuffix(skip.NotDone, ".") {
				t.Errorf("%s, %q does not say what is not done: %q", k.Name, step, skip.NotDone)
			}
		}
	}
	node := []string{"label the node", "wait for Kubernetes"}
	for kind, want := range map[string][]string{
		operation.KindInstall: node, operation.KindRecoverUUID: node, operation.KindBootstrap: {"wait for the Kubernetes API"},
		operation.KindRescue: nil, operation.KindVSwitch: nil,
	} {
		if !slices.Equal(got[kind], want) {
			t.Errorf("%s: %q can be skipped, want %q", kind, got[kind], want)
		}
	}
}

// The Kubernetes API cannot be reached from here. What is left out then is made up for as soon as it can.
func TestAnInstallGoesOnWithoutKubernetes(t *testing.T) {
	t.Parallel()
	l := newLabWith(t, quick, rescuehost.Options{})
	var off atomic.Bool
	off.Store(true)
	l.withoutKubernetes(t, &off)
	l.cluster(t, nil, []string{"control-plane-1"})
	l.engine(t, workflow.Options{})
	op := l.install(t, "control-plane-1")
	boots, err := l.store.Operations(t.Context(), store.OperationFilter{Kind: operation.KindBootstrap})
	if err != nil || len(boots) != 1 {
		t.Fatal(boots, err)
	}
	for _, at := range []struct{ id, step string }{{boots[0].ID, "wait for the Kubernetes API"}, {op.ID, "wait for Kubernetes"}, {op.ID, "label the node"}} {
		l.standsAt(t, at.id, at.step)
		if err := l.ops.SkipStep(t.Context(), "anna", at.id, "check the node"); fleet.KindOf(err) != fleet.Conflict {
			t.Errorf("another step than %q: %v", at.step, err)
		}
		if err := l.ops.SkipStep(t.Context(), "anna", at.id, at.step); err != nil {
			t.Fatal(err)
		}
	}
	l.succeeds(t, boots[0].ID)
	op = l.succeeds(t, op.ID)
	var skipped []string
	for _, s := range op.Steps {
		if s.State == fleet.Skipped {
			skipped = append(skipped, s.Name)
		}
	}
	if !slices.Equal(skipped, []string{"wait for Kubernetes", "label the node"}) {
		t.Errorf("skipped: %q", skipped)
	}
	events, err := l.store.Events(t.Context(), store.EventFilter{Verb: "operation.skip", TargetID: op.ID})
	if err != nil || len(events) != 2 || events[0].Actor != "anna" || !strings.Contains(events[0].Text, "gets none of its labels") {
		t.Errorf("events %+v, %v", events, err)
	}
	s, err := l.store.Server(t.Context(), op.ServerID)
	if err != nil || s.State != fleet.Unhealthy {
		t.Errorf("the server is %s, %v", s.State, err)
	}
	if _, err := l.store.ArmOf(t.Context(), s.ID); fleet.KindOf(err) != fleet.NotFound {
		t.Errorf("its config can still be fetched: %v", err)
	}
	if err := l.ops.SkipStep(t.Context(), "anna", op.ID, "label the node"); fleet.KindOf(err) != fleet.Conflict {
		t.Errorf("an operation that is over: %v", err)
	}

	off.Store(false)
	until(t, "the server to be Ready", func() error {
		if err := l.reconcile.LookAtNodes(t.Context()); err != nil {
			return err
		}
		if s, err = l.store.Server(t.Context(), s.ID); err == nil && s.State != fleet.Ready {
			return fleet.Errorf(fleet.Unavailable, "it is %s", s.State)
		}
		return err
	})
	k, err := l.ops.Kubernetes(t.Context(), s.Assignment.ClusterID)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	if n, err := k.Node(t.Context(), s.Hostname()); err != nil || n.Labels["example.com/zone"] != "a" {
		t.Errorf("its labels are %v, %v", n.Labels, err)
	}
}

// failsToLabel has an install fail at its last step: its node was seen to be Ready before.
func failsToLabel(t *testing.T) (*lab, fleet.Operation) {
	t.Helper()
	l := newLabWith(t, quick, rescuehost.Options{})
	var off atomic.Bool
	l.withoutKubernetes(t, &off)
	l.cluster(t, nil, []string{"control-plane-1"})
	l.engine(t, workflow.Options{MaxAttempts: 1, AfterStep: func(op fleet.Operation, at string) error {
		if op.Kind == operation.KindInstall && at == "wait for Kubernetes" && op.Step == "label the node" {
			off.Store(true)
		}
		return nil
	}})
	op := l.finish(t, l.install(t, "control-plane-1").ID, 60*time.Second)
	if op.State != fleet.Failed || op.Step != "label the node" {
		l.dump(t, op)
		t.Fatalf("it is %s at %q", op.State, op.Step)
	}
	return l, op
}

func TestAStepAtWhichAnInstallFailedIsSkipped(t *testing.T) {
	t.Parallel()
	l, op := failsToLabel(t)
	if err := l.ops.SkipStep(t.Context(), "anna", op.ID, "label the node"); err != nil {
		t.Fatal(err)
	}
	l.succeeds(t, op.ID)
	if s, err := l.store.Server(t.Context(), op.ServerID); err != nil || s.State != fleet.Ready {
		t.Errorf("the server is %s, %v", s.State, err)
	}
}

func TestAFailedInstallThatWasOvertakenIsNotGoneOnWith(t *testing.T) {
	t.Parallel()
	l, op := failsToLabel(t)
	later, err := l.ops.Rescue(t.Context(), "test", "control-plane-1")
	if err != nil {
		t.Fatal(err)
	}
	l.succeeds(t, later.ID)
	err = l.ops.SkipStep(t.Context(), "anna", op.ID, "label the node")
	if fleet.KindOf(err) != fleet.Refused || !strings.Contains(err.Error(), "server.rescue") || !strings.Contains(fleet.HintOf(err), later.ID) {
		t.Errorf("%v; hint: %s", err, fleet.HintOf(err))
	}
	if after, err := l.store.Operation(t.Context(), op.ID); err != nil || after.State != fleet.Failed {
		t.Errorf("it is %s, %v", after.State, err)
	}
}

// The program dies around what is skipped: it stays skipped, and is skipped once.
func TestASkippedInstallSurvivesDeath(t *testing.T) {
	workflowtest.KillIn(t, func(t *testing.T) workflowtest.Scenario {
		l := newLabWith(t, quick, rescuehost.Options{})
		var off atomic.Bool
		off.Store(true)
		l.withoutKubernetes(t, &off)
		l.cluster(t, nil, []string{"control-plane-1"})
		return workflowtest.Scenario{
			Journal: l.store,
			Engine:  l.newEngine,
			Begin: func(ctx context.Context, _ *workflow.Engine) (string, error) {
				op, err := l.ops.Install(ctx, "test", "control-plane-1", operation.InstallOptions{})
				return op.ID, err
			},
			Person: func(ctx context.Context, _ *workflow.Engine, op fleet.Operation) {
				if l.ops.Skippable(op) != "" {
					_ = l.ops.SkipStep(ctx, "anna", op.ID, op.Step) // refused if it went on meanwhile
				}
			},
			Within: 60 * time.Second,
			Check: func(t *testing.T, op fleet.Operation) {
				if op.State != fleet.Succeeded {
					l.dump(t, op)
					t.Fatalf("install is %s", op.State)
				}
				for _, step := range []string{"wait for Kubernetes", "label the node"} {
					lines, err := l.store.OperationLog(t.Context(), op.ID, 0, 0)
					said := slices.DeleteFunc(lines, func(line fleet.LogLine) bool {
						return line.Step != step || !strings.HasPrefix(line.Text, "skipped by anna")
					})
					if err != nil || len(said) != 1 {
						t.Errorf("%q was skipped %d times, %v", step, len(said), err)
					}
				}
				if s, err := l.store.Server(t.Context(), op.ServerID); err != nil || s.State != fleet.Unhealthy {
					t.Errorf("server is %s, %v", s.State, err)
				}
			},
		}
	}, []string{"wait for Kubernetes", "label the node"})
}
