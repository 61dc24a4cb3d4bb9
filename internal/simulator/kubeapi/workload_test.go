package kubeapi_test

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
)

// deploy runs "web" with so many replicas.
func (l *lab) deploy(c kubernetes.Interface, replicas int32) {
	l.Helper()
	own := map[string]string{"app": "web"}
	_, err := c.AppsV1().Deployments("default").Create(l.Context(), &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: appsv1.DeploymentSpec{
		Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: own},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: own}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "nginx"}}}},
	}}, metav1.CreateOptions{})
	if err != nil {
		l.Fatal(err)
	}
}

// running lists web's ready pods as "name on node".
func (l *lab) running(c kubernetes.Interface) map[string]string {
	l.Helper()
	list, err := c.CoreV1().Pods("default").List(l.Context(), metav1.ListOptions{LabelSelector: "app=web", FieldSelector: "status.phase=Running"})
	if err != nil {
		l.Fatal(err)
	}
	on := map[string]string{}
	for _, p := range list.Items {
		for _, cond := range p.Status.Conditions {
			if cond.Type == corev1.PodReady && cond.Status == corev1.ConditionTrue && p.DeletionTimestamp == nil {
				on[p.Name] = p.Spec.NodeName
			}
		}
	}
	return on
}

func (l *lab) workers(c kubernetes.Interface, names ...string) {
	l.Helper()
	for _, name := range names {
		l.kubelet(name, nil)
		l.until(name+" Ready", func() bool { return ready(l.node(c, name)).Status == corev1.ConditionTrue })
	}
}

func evict(l *lab, c kubernetes.Interface, pod string) error {
	return c.PolicyV1().Evictions("default").Evict(l.Context(), &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: pod, Namespace: "default"}})
}

func TestEvictedPodsComeBackOnOtherNodes(t *testing.T) {
	l := newLab(t, 100)
	c := l.admin()
	l.workers(c, "w-1")
	l.deploy(c, 2)
	l.until("web runs on w-1", func() bool { return len(l.running(c)) == 2 })
	l.workers(c, "w-2")
	l.patch(c, "w-1", `{"spec":{"unschedulable":true}}`)
	for pod := range l.running(c) {
		if err := evict(l, c, pod); err != nil {
			t.Fatal(err)
		}
	}
	l.until("web runs on w-2", func() bool {
		on := l.running(c)
		for _, node := range on {
			if node != "w-2" {
				return false
			}
		}
		return len(on) == 2
	})
	l.until("the deployment is available", func() bool {
		d, err := c.AppsV1().Deployments("default").Get(t.Context(), "web", metav1.GetOptions{})
		return err == nil && d.Status.AvailableReplicas == 2 && d.Status.ObservedGeneration == d.Generation
	})
}

func TestABudgetHoldsEvictionsBack(t *testing.T) {
	l := newLab(t, 100)
	c := l.admin()
	l.workers(c, "w-1")
	l.deploy(c, 2)
	least := intstr.FromInt32(2)
	_, err := c.PolicyV1().PodDisruptionBudgets("default").Create(t.Context(), &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec:       policyv1.PodDisruptionBudgetSpec{MinAvailable: &least, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	budget := func() *policyv1.PodDisruptionBudget {
		b, err := c.PolicyV1().PodDisruptionBudgets("default").Get(t.Context(), "web", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	l.until("the budget has counted", func() bool { s := budget().Status; return s.CurrentHealthy == 2 && s.DesiredHealthy == 2 })
	victim := ""
	for victim = range l.running(c) {
		break
	}
	err = evict(l, c, victim)
	if !apierrors.IsTooManyRequests(err) || !apierrors.HasStatusCause(err, policyv1.DisruptionBudgetCause) {
		t.Fatalf("eviction against the budget: %v", err)
	}
	if status, _ := err.(apierrors.APIStatus); status == nil || !strings.Contains(status.Status().Details.Causes[0].Message, "needs 2 healthy pods and has 2") {
		t.Errorf("cause %v", err)
	}
	least = intstr.FromInt32(1)
	b := budget()
	b.Spec.MinAvailable = &least
	if _, err := c.PolicyV1().PodDisruptionBudgets("default").Update(t.Context(), b, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	l.until("one may go", func() bool { return budget().Status.DisruptionsAllowed == 1 })
	if err := evict(l, c, victim); err != nil {
		t.Errorf("eviction within the budget: %v", err)
	}
	for victim = range l.running(c) {
		break
	}
	if err := evict(l, c, victim); !apierrors.IsTooManyRequests(err) {
		t.Errorf("the second at once: %v", err)
	}
}

func TestPodsLeaveADeadNodeAfterFiveMinutes(t *testing.T) {
	l := newLab(t, 1000)
	c := l.admin()
	stop := l.kubelet("w-1", nil)
	l.until("w-1 Ready", func() bool { return ready(l.node(c, "w-1")).Status == corev1.ConditionTrue })
	l.deploy(c, 1)
	l.until("web runs", func() bool { return len(l.running(c)) == 1 })
	l.workers(c, "w-2")
	stop()
	l.until("web runs on w-2", func() bool {
		for _, node := range l.running(c) {
			if node == "w-2" {
				return true
			}
		}
		return false
	})
}

func TestADownNodesPodsEndAndItsStaticPodsComeBack(t *testing.T) {
	l := newLab(t, 100)
	c := l.admin()
	stop := l.kubelet("cp-1", controlPlane)
	mirror := func() *corev1.Pod {
		p, err := c.CoreV1().Pods("kube-system").Get(t.Context(), "kube-apiserver-cp-1", metav1.GetOptions{})
		if err != nil {
			return &corev1.Pod{}
		}
		return p
	}
	l.until("the mirror pod runs", func() bool { return mirror().Status.Phase == corev1.PodRunning })
	uid := mirror().UID
	l.kube.GoingDown("prod", "cp-1")
	if p := mirror(); p.Status.Phase != corev1.PodFailed || p.Status.Reason != "Terminated" {
		t.Errorf("phase %s, reason %s", p.Status.Phase, p.Status.Reason)
	}
	stop()
	l.kubelet("cp-1", controlPlane)
	l.until("another mirror pod runs", func() bool { p := mirror(); return p.UID != uid && p.Status.Phase == corev1.PodRunning })
	if image := mirror().Spec.Containers[0].Image; image != "registry.k8s.io/kube-apiserver:v1.36.3" {
		t.Errorf("image %s", image)
	}
}
