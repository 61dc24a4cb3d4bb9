package kube_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

func TestLabelsAreSetOnceAndOthersStay(t *testing.T) {
	everywhere(t, func(l *lab) {
		l.addNode("label-1", func(n *corev1.Node) { n.Labels["theirs"] = "1"; n.Labels["ours"] = "old" })
		want := map[string]string{"ours": "new", "node-role.kubernetes.io/db": ""}
		if err := l.SetLabels(l.Context(), "label-1", want); err != nil {
			l.Fatal(err)
		}
		n := l.raw("label-1")
		if n.Labels["ours"] != "new" || n.Labels["theirs"] != "1" || n.Labels["kubernetes.io/hostname"] != "label-1" {
			l.Errorf("labels %v", n.Labels)
		}
		if _, there := n.Labels["node-role.kubernetes.io/db"]; !there {
			l.Errorf("labels %v", n.Labels)
		}
		if err := l.SetLabels(l.Context(), "label-1", want); err != nil {
			l.Fatal(err)
		}
		if again := l.raw("label-1"); again.ResourceVersion != n.ResourceVersion {
			l.Error("the second time wrote again")
		}
		if l.real && !managedBy(n, "talos-manager") {
			l.Errorf("our field manager is missing: %v", n.ManagedFields)
		}
	})
}

func managedBy(n *corev1.Node, manager string) bool {
	for _, f := range n.ManagedFields {
		if f.Manager == manager {
			return true
		}
	}
	return false
}

func TestTaintsAreSetOnceAndOthersStay(t *testing.T) {
	everywhere(t, func(l *lab) {
		l.addNode("taint-1", func(n *corev1.Node) {
			n.Spec.Taints = []corev1.Taint{{Key: "theirs", Value: "1", Effect: corev1.TaintEffectNoExecute}, {Key: "ours", Value: "old", Effect: corev1.TaintEffectNoSchedule}}
		})
		want := []fleet.Taint{
			{Key: "ours", Value: "new", Effect: fleet.NoSchedule},
			{Key: "ours", Effect: fleet.NoExecute},
			{Key: "twice", Value: "a", Effect: fleet.NoSchedule},
			{Key: "twice", Value: "b", Effect: fleet.NoSchedule},
		}
		if err := l.SetTaints(l.Context(), "taint-1", want); err != nil {
			l.Fatal(err)
		}
		n := l.raw("taint-1")
		for _, text := range []string{"theirs=1:NoExecute", "ours=new:NoSchedule", "ours:NoExecute", "twice=b:NoSchedule"} {
			if !tainted(n, text) {
				l.Errorf("no %s in %v", text, n.Spec.Taints)
			}
		}
		if tainted(n, "ours=old:NoSchedule") || tainted(n, "twice=a:NoSchedule") {
			l.Errorf("an old value stayed: %v", n.Spec.Taints)
		}
		if err := l.SetTaints(l.Context(), "taint-1", want); err != nil {
			l.Fatal(err)
		}
		if again := l.raw("taint-1"); again.ResourceVersion != n.ResourceVersion {
			l.Error("the second time wrote again")
		}
	})
}

func tainted(n *corev1.Node, text string) bool {
	for _, t := range n.Spec.Taints {
		if (fleet.Taint{Key: t.Key, Value: t.Value, Effect: string(t.Effect)}).String() == text {
			return true
		}
	}
	return false
}

func TestTaintsOfManyWritersAllArrive(t *testing.T) {
	everywhere(t, func(l *lab) {
		l.addNode("race-1", nil)
		var wg sync.WaitGroup
		const writers = 4 // each is overtaken by the others at most three times
		for i := range writers {
			wg.Go(func() {
				taint := fleet.Taint{Key: fmt.Sprintf("key-%d", i), Effect: fleet.PreferNoSchedule}
				if err := l.SetTaints(l.Context(), "race-1", []fleet.Taint{taint}); err != nil {
					l.Error(err)
				}
			})
		}
		wg.Wait()
		n := l.raw("race-1")
		for i := range writers {
			if !tainted(n, fmt.Sprintf("key-%d:PreferNoSchedule", i)) {
				l.Errorf("key-%d is lost: %v", i, n.Spec.Taints)
			}
		}
	})
}

func TestWhatTalosOwnsIsRefused(t *testing.T) {
	everywhere(t, func(l *lab) {
		l.addNode("owned-1", func(n *corev1.Node) {
			n.Annotations = map[string]string{"talos.dev/owned-labels": `["disk"]`, "talos.dev/owned-taints": `["dedicated"]`}
			n.Labels["disk"] = "nvme"
			n.Spec.Taints = []corev1.Taint{{Key: "dedicated", Value: "db", Effect: corev1.TaintEffectNoSchedule}}
		})
		if err := l.SetLabels(l.Context(), "owned-1", map[string]string{"disk": "nvme"}); err != nil {
			l.Errorf("the value it has: %v", err)
		}
		if err := l.SetTaints(l.Context(), "owned-1", []fleet.Taint{{Key: "dedicated", Value: "db", Effect: fleet.NoSchedule}}); err != nil {
			l.Errorf("the taint it has: %v", err)
		}
		err := l.SetLabels(l.Context(), "owned-1", map[string]string{"disk": "ssd", "other": "x"})
		if fleet.KindOf(err) != fleet.Refused || fleet.HintOf(err) == "" {
			l.Errorf("another value: %v", err)
		}
		err = l.SetTaints(l.Context(), "owned-1", []fleet.Taint{{Key: "dedicated", Value: "web", Effect: fleet.NoSchedule}})
		if fleet.KindOf(err) != fleet.Refused {
			l.Errorf("another value: %v", err)
		}
		if n := l.raw("owned-1"); n.Labels["disk"] != "nvme" || n.Labels["other"] != "" || !tainted(n, "dedicated=db:NoSchedule") {
			l.Errorf("changed: %v %v", n.Labels, n.Spec.Taints)
		}
	})
}

func TestCordonAndUncordon(t *testing.T) {
	everywhere(t, func(l *lab) {
		l.addNode("cordon-1", nil)
		for _, step := range []struct {
			name string
			do   func() error
			want bool
		}{
			{"cordon", func() error { return l.Cordon(l.Context(), "cordon-1") }, true},
			{"cordon again", func() error { return l.Cordon(l.Context(), "cordon-1") }, true},
			{"uncordon", func() error { return l.Uncordon(l.Context(), "cordon-1") }, false},
			{"uncordon again", func() error { return l.Uncordon(l.Context(), "cordon-1") }, false},
		} {
			if err := step.do(); err != nil {
				l.Fatalf("%s: %v", step.name, err)
			}
			if n := l.raw("cordon-1"); n.Spec.Unschedulable != step.want {
				l.Errorf("after %s unschedulable is %v", step.name, n.Spec.Unschedulable)
			}
		}
	})
}

func TestMarksOfAMissingNodeAreNotFound(t *testing.T) {
	everywhere(t, func(l *lab) {
		for name, err := range map[string]error{
			"labels": l.SetLabels(l.Context(), "nobody", map[string]string{"a": "b"}),
			"taints": l.SetTaints(l.Context(), "nobody", []fleet.Taint{{Key: "a", Effect: fleet.NoSchedule}}),
			"cordon": l.Cordon(l.Context(), "nobody"),
		} {
			if fleet.KindOf(err) != fleet.NotFound {
				l.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestBadMarksNeverLeave(t *testing.T) {
	l := simulated(t)
	l.addNode("bad-1", nil)
	before := l.raw("bad-1").ResourceVersion
	err := l.SetLabels(l.Context(), "bad-1", map[string]string{"good": "1", "a b": "c"})
	if fleet.KindOf(err) != fleet.Invalid || !strings.Contains(err.Error(), `"a b"`) {
		t.Errorf("label: %v", err)
	}
	err = l.SetTaints(l.Context(), "bad-1", []fleet.Taint{{Key: "a", Effect: "Sometimes"}})
	if fleet.KindOf(err) != fleet.Invalid || !strings.Contains(err.Error(), "Sometimes") {
		t.Errorf("taint: %v", err)
	}
	if l.raw("bad-1").ResourceVersion != before {
		t.Error("something was written")
	}
}

// The simulator must refuse what a real API server refuses, or a mistake of ours would only show in production.
func TestTheAPIRefusesBadMarksItself(t *testing.T) {
	everywhere(t, func(l *lab) {
		l.addNode("strict-1", nil)
		for what, patch := range map[string]string{
			"label key":      `{"metadata":{"labels":{"a b":"c"}}}`,
			"label value":    `{"metadata":{"labels":{"a":"b c"}}}`,
			"taint effect":   `{"spec":{"taints":[{"key":"a","effect":"Sometimes"}]}}`,
			"taint key":      `{"spec":{"taints":[{"key":"a b","effect":"NoSchedule"}]}}`,
			"taint twice":    `{"spec":{"taints":[{"key":"a","effect":"NoSchedule"},{"key":"a","value":"x","effect":"NoSchedule"}]}}`,
			"another's name": `{"metadata":{"name":"strict-2"}}`,
		} {
			if err := l.mergePatch("strict-1", patch); err == nil {
				l.Errorf("%s was accepted", what)
			}
		}
		if err := l.mergePatch("strict-1", `{"metadata":{"resourceVersion":"1","labels":{"a":"b"}}}`); err == nil || !strings.Contains(err.Error(), "the object has been modified") {
			l.Errorf("a stale resourceVersion: %v", err)
		}
	})
}
