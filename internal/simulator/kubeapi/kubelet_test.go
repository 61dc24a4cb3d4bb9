package kubeapi_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

func TestANodeRegistersNotReadyAndTurnsReady(t *testing.T) {
	l := newLab(t, 20)
	c := l.admin()
	l.kubelet("cp-1", controlPlane)
	l.until("cp-1 registered", func() bool { return l.node(c, "cp-1").Name != "" })

	n := l.node(c, "cp-1")
	if r := ready(n); r.Status != corev1.ConditionFalse || r.Reason != "KubeletNotReady" {
		t.Errorf("at first Ready is %s %s, want False KubeletNotReady", r.Status, r.Reason)
	}
	if _, there := n.Labels["node-role.kubernetes.io/control-plane"]; there {
		t.Error("the role label is there from the start; Talos adds it later")
	}
	if !hasTaint(n, "node-role.kubernetes.io/control-plane") {
		t.Errorf("no control plane taint from the start: %v", n.Spec.Taints)
	}
	if got := n.Status.NodeInfo.OSImage; got != "Talos (v1.14.1)" {
		t.Errorf("osImage %q", got)
	}

	l.until("cp-1 Ready", func() bool { return ready(l.node(c, "cp-1")).Status == corev1.ConditionTrue })
	l.until("not-ready taint gone", func() bool { return !hasTaint(l.node(c, "cp-1"), corev1.TaintNodeNotReady) })
	l.until("role label and its owner", func() bool {
		n := l.node(c, "cp-1")
		_, role := n.Labels["node-role.kubernetes.io/control-plane"]
		return role && n.Annotations["talos.dev/owned-labels"] == `["node-role.kubernetes.io/control-plane","node.kubernetes.io/exclude-from-external-load-balancers"]`
	})
	l.until("static, daemon and DNS pods Running", func() bool {
		pods, err := c.CoreV1().Pods("kube-system").List(t.Context(), metav1.ListOptions{FieldSelector: "status.phase=Running,spec.nodeName=cp-1"})
		return err == nil && len(pods.Items) == 7
	})
	lease, err := c.CoordinationV1().Leases("kube-node-lease").Get(t.Context(), "cp-1", metav1.GetOptions{})
	if err != nil || *lease.Spec.LeaseDurationSeconds != 40 {
		t.Errorf("lease %v, %v", lease.Spec, err)
	}
}

func TestAPowerCutTurnsTheNodeUnknownAfter40Seconds(t *testing.T) {
	l := newLab(t, 100)
	c := l.admin()
	stop := l.kubelet("w-1", nil)
	l.until("w-1 Ready", func() bool { return ready(l.node(c, "w-1")).Status == corev1.ConditionTrue })
	uid := l.node(c, "w-1").UID
	stop()
	cut := time.Now()
	l.until("w-1 Unknown", func() bool { return ready(l.node(c, "w-1")).Status == corev1.ConditionUnknown })
	if took := time.Since(cut) * 100; took < 35*time.Second {
		t.Errorf("Unknown after %s of the world already", took)
	}
	l.until("unreachable taints", func() bool { return hasTaint(l.node(c, "w-1"), corev1.TaintNodeUnreachable) })

	l.kubelet("w-1", nil)
	l.until("w-1 Ready again without taints", func() bool {
		n := l.node(c, "w-1")
		return ready(n).Status == corev1.ConditionTrue && len(n.Spec.Taints) == 0
	})
	if l.node(c, "w-1").UID != uid {
		t.Error("the node came back as another object")
	}
}

func TestARestartWithin40SecondsIsNotNoticed(t *testing.T) {
	l := newLab(t, 50)
	c := l.admin()
	stop := l.kubelet("w-1", nil)
	l.until("w-1 Ready", func() bool { return ready(l.node(c, "w-1")).Status == corev1.ConditionTrue })
	since := ready(l.node(c, "w-1")).LastTransitionTime
	stop()
	l.kubelet("w-1", nil)
	l.until("the new kubelet's second boot id", func() bool { return len(l.events(c, "Starting")) == 2 })
	if r := ready(l.node(c, "w-1")); r.Status != corev1.ConditionTrue || r.LastTransitionTime != since {
		t.Errorf("Ready changed: %+v", r)
	}
}

func TestGoingDownCordonsAndIsNotReadyAtOnce(t *testing.T) {
	l := newLab(t, 50)
	c := l.admin()
	stop := l.kubelet("w-1", nil)
	l.until("w-1 Ready", func() bool { return ready(l.node(c, "w-1")).Status == corev1.ConditionTrue })

	l.kube.GoingDown("prod", "w-1")
	n := l.node(c, "w-1")
	if r := ready(n); r.Status != corev1.ConditionFalse || r.Message != "node is shutting down" {
		t.Errorf("Ready %+v", r)
	}
	if !n.Spec.Unschedulable || n.Annotations["talos.dev/cordoned"] != "true" {
		t.Errorf("unschedulable %v, annotations %v", n.Spec.Unschedulable, n.Annotations)
	}
	stop()
	l.until("Unknown", func() bool { return ready(l.node(c, "w-1")).Status == corev1.ConditionUnknown })

	l.kubelet("w-1", nil)
	l.until("Ready and uncordoned", func() bool {
		n := l.node(c, "w-1")
		_, marked := n.Annotations["talos.dev/cordoned"]
		return ready(n).Status == corev1.ConditionTrue && !n.Spec.Unschedulable && !marked
	})
}

func TestACordonOfSomebodyElseOutlastsAReboot(t *testing.T) {
	l := newLab(t, 100)
	c := l.admin()
	stop := l.kubelet("w-1", nil)
	l.until("w-1 Ready", func() bool { return ready(l.node(c, "w-1")).Status == corev1.ConditionTrue })
	l.patch(c, "w-1", `{"spec":{"unschedulable":true}}`)
	l.kube.GoingDown("prod", "w-1")
	stop()
	l.kubelet("w-1", func(k *world.Kubelet) { k.Labels = map[string]string{"seen": "yes"} })
	l.until("Talos was there", func() bool { return l.node(c, "w-1").Labels["seen"] == "yes" })
	if !l.node(c, "w-1").Spec.Unschedulable {
		t.Error("Talos took back a cordon that it did not make")
	}
}

func TestConfiguredLabelsAndTaintsFollowTheConfig(t *testing.T) {
	l := newLab(t, 100)
	c := l.admin()
	stop := l.kubelet("w-1", func(k *world.Kubelet) {
		k.Labels, k.Taints = map[string]string{"disk": "nvme"}, map[string]string{"dedicated": "db:NoSchedule"}
	})
	l.until("label and taint", func() bool {
		n := l.node(c, "w-1")
		return n.Labels["disk"] == "nvme" && hasTaint(n, "dedicated") && n.Annotations["talos.dev/owned-taints"] == `["dedicated"]`
	})
	stop()
	l.kubelet("w-1", nil)
	l.until("both gone with the config", func() bool {
		n := l.node(c, "w-1")
		return n.Name != "" && n.Labels["disk"] == "" && !hasTaint(n, "dedicated")
	})
}

func TestAForgottenClusterStartsAnew(t *testing.T) {
	l := newLab(t, 100)
	c := l.admin()
	l.kubelet("w-1", nil)
	l.until("w-1 Ready", func() bool { return ready(l.node(c, "w-1")).Status == corev1.ConditionTrue })
	uid := l.node(c, "w-1").UID
	l.kube.Forget("prod")
	l.until("w-1 is another object", func() bool { n := l.node(c, "w-1"); return n.UID != "" && n.UID != uid })
}

func TestADeletedNodeDoesNotComeBackByItself(t *testing.T) {
	l := newLab(t, 200)
	c := l.admin()
	stop := l.kubelet("w-1", nil)
	l.kubelet("w-2", nil)
	l.until("both Ready", func() bool {
		return ready(l.node(c, "w-1")).Status == corev1.ConditionTrue && ready(l.node(c, "w-2")).Status == corev1.ConditionTrue
	})
	if err := c.CoreV1().Nodes().Delete(t.Context(), "w-1", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	l.until("its pods and lease collected", func() bool {
		pods, err := c.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{FieldSelector: "spec.nodeName=w-1"})
		_, gone := c.CoordinationV1().Leases("kube-node-lease").Get(t.Context(), "w-1", metav1.GetOptions{})
		return err == nil && len(pods.Items) == 0 && gone != nil
	})
	if l.node(c, "w-1").Name != "" {
		t.Error("a running kubelet registered its deleted node again")
	}
	stop()
	l.kubelet("w-1", nil)
	l.until("a new kubelet registers it", func() bool { return l.node(c, "w-1").Name != "" })
}

func TestAKubeletThatCannotReachTheAPIIsSilent(t *testing.T) {
	l := newLab(t, 100)
	c := l.admin()
	reach := make(chan bool, 1)
	reach <- true
	l.kubelet("w-1", func(k *world.Kubelet) {
		k.Endpoint = func() bool { v := <-reach; reach <- v; return v }
	})
	l.until("w-1 Ready", func() bool { return ready(l.node(c, "w-1")).Status == corev1.ConditionTrue })
	<-reach
	reach <- false
	l.until("w-1 Unknown", func() bool { return ready(l.node(c, "w-1")).Status == corev1.ConditionUnknown })
	<-reach
	reach <- true
	l.until("w-1 Ready again", func() bool { return ready(l.node(c, "w-1")).Status == corev1.ConditionTrue })
}
