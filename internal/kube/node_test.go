package kube_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/kube"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

func TestTheVersionIsTheServers(t *testing.T) {
	everywhere(t, func(l *lab) {
		v, err := l.Version(l.Context())
		if err != nil || v != "v1.36.3" {
			l.Errorf("version %q, %v", v, err)
		}
	})
}

func TestANodeIsReadAsItIs(t *testing.T) {
	everywhere(t, func(l *lab) {
		l.addNode("read-1", func(n *corev1.Node) {
			n.Labels["node-role.kubernetes.io/control-plane"] = ""
			n.Annotations = map[string]string{"talos.dev/cordoned": "true"}
			n.Spec.ProviderID = "hcloud://7"
			n.Spec.Unschedulable = true
			n.Spec.Taints = []corev1.Taint{{Key: "dedicated", Value: "db", Effect: corev1.TaintEffectNoSchedule}}
			n.Status.Conditions[0].Status = corev1.ConditionUnknown
			n.Status.Conditions[0].Reason = "NodeStatusUnknown"
			n.Status.Conditions[0].Message = "Kubelet stopped posting node status."
		})
		n, err := l.Node(l.Context(), "read-1")
		if err != nil {
			l.Fatal(err)
		}
		if n.Ready || n.Reason != "NodeStatusUnknown: Kubelet stopped posting node status." {
			l.Errorf("ready %v, reason %q", n.Ready, n.Reason)
		}
		if !n.ControlPlane || !n.Unschedulable || !n.CordonedByTalos || n.Version != "v1.36.3" || n.TalosVersion != "v1.14.1" || n.ProviderID != "hcloud://7" {
			l.Errorf("read %+v", n)
		}
		if n.UID == "" || n.CreatedAt.IsZero() || n.Since.IsZero() || len(n.InternalIPs) != 1 || n.InternalIPs[0] != "10.0.0.7" {
			l.Errorf("read %+v", n)
		}
		want := fleet.Taint{Key: "dedicated", Value: "db", Effect: fleet.NoSchedule}
		found := false
		for _, taint := range n.Taints {
			found = found || taint == want
		}
		if !found {
			l.Errorf("taints %v", n.Taints)
		}
		all, err := l.Nodes(l.Context())
		if err != nil {
			l.Fatal(err)
		}
		if why := kube.WaitsFor(all, "read-1"); why != "node read-1 (NodeStatusUnknown: Kubelet stopped posting node status.) to become Ready" {
			l.Errorf("waits for %q", why)
		}
	})
}

func TestAMissingNodeIsNotFound(t *testing.T) {
	everywhere(t, func(l *lab) {
		if _, err := l.Node(l.Context(), "nobody"); fleet.KindOf(err) != fleet.NotFound {
			l.Errorf("error %v", err)
		}
	})
}

func TestDeletingANodeTwiceIsFine(t *testing.T) {
	everywhere(t, func(l *lab) {
		l.addNode("delete-1", nil)
		for range 2 {
			if err := l.DeleteNode(l.Context(), "delete-1"); err != nil {
				l.Error(err)
			}
		}
		if _, err := l.Node(l.Context(), "delete-1"); fleet.KindOf(err) != fleet.NotFound {
			l.Errorf("still there: %v", err)
		}
	})
}

func TestWaitingForNodesSaysForWhomAndWhy(t *testing.T) {
	ready := func(name string) kube.Node { return kube.Node{Name: name, Ready: true} }
	broken := func(name, why string) kube.Node { return kube.Node{Name: name, Reason: why} }
	for _, c := range []struct {
		reason   string
		nodes    []kube.Node
		expected []string
		want     string
	}{
		{"nobody is expected", nil, nil, ""},
		{"all are Ready, others do not count", []kube.Node{ready("a"), broken("b", "x")}, []string{"a"}, ""},
		{"one is missing", nil, []string{"a"}, "node a to join Kubernetes"},
		{"two are missing", []kube.Node{ready("c")}, []string{"a", "b", "c"}, "nodes a and b to join Kubernetes"},
		{"one is not Ready", []kube.Node{broken("a", "KubeletNotReady: no CNI")}, []string{"a"}, "node a (KubeletNotReady: no CNI) to become Ready"},
		{"one is missing and one not Ready", []kube.Node{broken("b", "x")}, []string{"a", "b"}, "node a to join Kubernetes; node b (x) to become Ready"},
		{"five are named", nil, []string{"a", "b", "c", "d", "e"}, "nodes a, b, c, d and e to join Kubernetes"},
		{"many are counted", nil, []string{"a", "b", "c", "d", "e", "f", "g"}, "nodes a, b, c, d and 3 more to join Kubernetes"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			if got := kube.WaitsFor(c.nodes, c.expected...); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestAJoiningNodeIsWaitedForUntilItIsReady(t *testing.T) {
	l := simulatedAt(t, 100)
	waits := func() string {
		all, err := l.Nodes(l.Context())
		if err != nil {
			l.Fatal(err)
		}
		return kube.WaitsFor(all, "cp-1")
	}
	if got := waits(); got != "node cp-1 to join Kubernetes" {
		t.Errorf("before: %q", got)
	}
	l.kubelet("cp-1", func(k *world.Kubelet) { k.ControlPlane = true })
	l.until("cp-1 is Ready", func() bool { return waits() == "" })
	l.until("cp-1 is a control plane", func() bool { n, err := l.Node(l.Context(), "cp-1"); return err == nil && n.ControlPlane })
}
