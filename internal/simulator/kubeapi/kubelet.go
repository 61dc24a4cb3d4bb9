package kubeapi

import (
	"context"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// kubelet is the kubelet of one node, with the little that Talos itself does to the Node object.
type kubelet struct {
	*cluster
	conf  world.Kubelet
	boot  string        // id of this boot
	woken chan struct{} // a pod of this node changed
	going chan struct{} // closed when the node goes down on purpose
}

// RunKubelet is a kubelet's life: register when the API can be reached, turn Ready, keep the lease and the pods
// until ctx ends. If the node's state was thrown away with the cluster's, it registers again.
func (k *Kubernetes) RunKubelet(ctx context.Context, name string, conf world.Kubelet) {
	c := k.cluster(name)
	l := &kubelet{cluster: c, conf: conf, boot: newUUID(), woken: make(chan struct{}, 1), going: make(chan struct{})}
	c.mu2.Lock()
	c.kubelets[conf.Node] = l
	c.silent[conf.Node] = 0
	c.mu2.Unlock()
	defer l.vanish()
	for ctx.Err() == nil {
		l.live(ctx, c.age())
	}
}

// vanish leaves the rest to the node controller.
func (l *kubelet) vanish() {
	l.mu2.Lock()
	defer l.mu2.Unlock()
	if l.kubelets[l.conf.Node] == l {
		delete(l.kubelets, l.conf.Node)
	}
}

// GoingDown cordons the node as Talos does, with its annotation, and has the kubelet say that it shuts down
// (recorded: both within a second of the sequence's start). Its pods end, mirror pods as Failed.
func (k *Kubernetes) GoingDown(name, node string) {
	c := k.cluster(name)
	l := c.kubelet(node)
	if l == nil {
		return
	}
	select {
	case <-l.going:
	default:
		close(l.going)
	}
	if !l.reaches() {
		return
	}
	c.update(nodes, "", node, func(o object) error {
		n := o.(*corev1.Node)
		if !n.Spec.Unschedulable {
			n.Spec.Unschedulable = true
			setAnnotation(n, annotationCordoned, "true")
		}
		setReady(n, corev1.ConditionFalse, "KubeletNotReady", "node is shutting down")
		return nil
	})
	l.stopPods()
}

// live is one registration with a cluster of a given age.
func (l *kubelet) live(ctx context.Context, age int) {
	for !l.reaches() {
		if !l.world.Sleep(ctx, time.Second) {
			return
		}
	}
	fresh := l.register()
	if l.conf.ServingCSR {
		l.requestServingCertificate()
	}
	l.world.Log.Debug("kubelet registered", "cluster", l.name, "node", l.conf.Node, "new", fresh)
	talos, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); l.talos(talos, fresh) }()
	defer func() { stop(); <-done }()

	if !l.world.Sleep(ctx, l.between(time.Second, 10*time.Second)) {
		return
	}
	beat := l.beat()
	for ctx.Err() == nil && l.age() == age {
		l.ready()
		if l.reaches() {
			l.renew()
			l.syncPods()
		}
		l.rest(ctx, beat)
	}
}

// ready reports Ready, first and after the node controller lost sight of the node.
func (l *kubelet) ready() {
	n, ok := get[*corev1.Node](l.cluster, nodes, "", l.conf.Node)
	if !ok || isReady(n) || l.down() || !l.reaches() {
		return
	}
	e, err := l.update(nodes, "", l.conf.Node, func(o object) error {
		n := o.(*corev1.Node)
		n.Status.Conditions = keepTransitions(l.status().Conditions, n.Status.Conditions)
		setReady(n, corev1.ConditionTrue, "KubeletReady", "kubelet is posting ready status")
		return nil
	})
	if err == nil {
		l.record(e.object, "kubelet", corev1.EventTypeNormal, "NodeReady", "Node %s status is now: NodeReady", l.conf.Node)
	}
}

// reaches says whether the kubelet can talk to an API that can write.
func (l *kubelet) reaches() bool {
	return (l.conf.Endpoint == nil || l.conf.Endpoint()) && l.answers()
}

// down says whether the node goes down on purpose: then nothing makes it Ready again in this life.
func (l *kubelet) down() bool {
	select {
	case <-l.going:
		return true
	default:
		return false
	}
}

// beat is the pause between lease renewals: 10 s of the world as the kubelet does, and longer in a fast world,
// where a thousand renewals a second would tell nobody anything.
func (l *kubelet) beat() time.Duration {
	d := 10 * time.Second
	for l.world.Real(d) < 250*time.Millisecond {
		d *= 2
	}
	return d
}

// rest waits for the next beat, or a moment when a pod needs the kubelet.
func (l *kubelet) rest(ctx context.Context, beat time.Duration) {
	t := time.NewTimer(l.world.Real(beat))
	defer t.Stop()
	select {
	case <-t.C:
	case <-l.woken:
		l.world.Sleep(ctx, l.between(500*time.Millisecond, 2*time.Second))
	case <-ctx.Done():
	}
}

func (l *kubelet) wake() {
	select {
	case l.woken <- struct{}{}:
	default:
	}
}

func (l *kubelet) between(least, most time.Duration) time.Duration {
	return least + time.Duration(l.world.IntN(int((most-least)/time.Millisecond)))*time.Millisecond
}

// renew renews the node's lease; the first time it makes it.
func (l *kubelet) renew() {
	node, ok := get[*corev1.Node](l.cluster, nodes, "", l.conf.Node)
	if !ok {
		return // deleted by somebody: a kubelet registers at its start only
	}
	at := metav1.NowMicro()
	_, err := l.update(leases, corev1.NamespaceNodeLease, l.conf.Node, func(o object) error {
		o.(*coordinationv1.Lease).Spec.RenewTime = &at
		return nil
	})
	if err == nil {
		return
	}
	seconds := int32(40)
	l.create(leases, &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: corev1.NamespaceNodeLease, Name: l.conf.Node, OwnerReferences: []metav1.OwnerReference{
			{APIVersion: "v1", Kind: "Node", Name: node.Name, UID: node.UID},
		}},
		Spec: coordinationv1.LeaseSpec{HolderIdentity: &l.conf.Node, LeaseDurationSeconds: &seconds, RenewTime: &at},
	})
}
