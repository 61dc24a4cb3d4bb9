package operation_test

import (
	"strings"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig/diff"
	"github.com/talos-manager/talos-manager/internal/manage"
	"github.com/talos-manager/talos-manager/internal/operation"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

func TestAPlanReadsWhatANodeRuns(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.cluster(t, []string{"control-plane-1"}, nil)
	l.engine(t, workflow.Options{})
	op, err := l.ops.Install(t.Context(), "test", "control-plane-1", operation.InstallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if op = l.finish(t, op.ID, 60*time.Second); op.State != fleet.Succeeded {
		l.dump(t, op)
		t.Fatalf("install is %s", op.State)
	}
	plan := func() manage.Plan {
		t.Helper()
		p, err := l.manager.Plan(t.Context(), manage.Change{}, manage.PlanOptions{Running: l.ops.RunningConfig})
		if err != nil || len(p.Silent) > 0 || len(p.Broken) > 0 {
			t.Fatalf("plan %+v, %v", p, err)
		}
		return p
	}
	if p := plan(); len(p.Groups) != 0 || len(p.Unchanged) != 1 {
		t.Errorf("it runs something else than it was given: %s", diff.Text(p.Groups[0].Diff, p.Groups[0].Verdict))
	}
	cluster := manage.LayerRef{Scope: fleet.ScopeCluster, Owner: "prod"}
	patch := fleet.Patch{Name: "swap", Text: "machine: {sysctls: {vm.swappiness: \"1\"}}"}
	if _, err := l.manager.AddPatch(t.Context(), "test", cluster, patch, -1, manage.Save{}); err != nil {
		t.Fatal(err)
	}
	p := plan()
	if len(p.Groups) != 1 || p.Groups[0].From != manage.FromRunning || !p.Groups[0].Servers[0].Node || p.Groups[0].Verdict.Reboots {
		t.Fatalf("plan %+v", p)
	}
	if text := diff.Text(p.Groups[0].Diff, nil); strings.Count(text, "\n") != 2 || !strings.Contains(text, "vm.swappiness") {
		t.Errorf("difference:\n%s", text)
	}
	// What the records say of a cluster that runs is what it runs.
	_, err = l.manager.UpdateCluster(t.Context(), "test", "prod", manage.ClusterChange{KubernetesVersion: new("v1.35.0")})
	if fleet.KindOf(err) != fleet.Refused || !strings.Contains(fleet.HintOf(err), "upgrade") {
		t.Errorf("another version for a running cluster: %v", err)
	}
	l.sim.Close() // nobody answers any more
	p, err = l.manager.Plan(t.Context(), manage.Change{}, manage.PlanOptions{Running: l.ops.RunningConfig})
	if err != nil || len(p.Silent) != 1 || len(p.Silent[0].Servers) != 1 {
		t.Errorf("plan without the node: %+v, %v", p, err)
	}
}

func TestADraftIsNotInstalled(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.cluster(t, []string{"worker-1"}, nil)
	l.engine(t, workflow.Options{})
	nonsense := "machine: {nonsense: 1}"
	if _, err := l.manager.Assign(t.Context(), "test", "worker-1", manage.AssignmentChange{Patch: &nonsense, Draft: true}); err != nil {
		t.Fatal(err)
	}
	_, err := l.ops.Install(t.Context(), "test", "worker-1", operation.InstallOptions{})
	if fleet.KindOf(err) != fleet.Refused || !strings.Contains(err.Error(), "draft") || !strings.Contains(fleet.HintOf(err), "server assign worker-1") {
		t.Errorf("install: %v", err)
	}
}
