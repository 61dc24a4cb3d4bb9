package kubeapi

import (
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// cluster is one Kubernetes: its state, who serves it, which kubelets are alive.
type cluster struct {
	*store
	name  string
	world *world.World
	woken chan struct{} // the controllers have something to look at
	lease chan struct{} // holds one token: who has it runs the controllers

	mu2      sync.Mutex // not store.mu: noticed is called under that
	servers  []*server
	kubelets map[string]*kubelet // running, by node
	silent   map[string]int      // rounds of the node controller without a sign of life
	epoch    int                 // counts Forgets
}

func newCluster(w *world.World, name string) *cluster {
	c := &cluster{
		name: name, world: w, woken: make(chan struct{}, 1), lease: make(chan struct{}, 1),
		kubelets: map[string]*kubelet{}, silent: map[string]int{},
	}
	c.store = newStore(c.notice)
	return c
}

// started adds an API server; the first one of a new cluster makes what every cluster has.
func (c *cluster) started(s *server) {
	c.mu2.Lock()
	c.servers = append(c.servers, s)
	c.mu2.Unlock()
	c.seed(s.conf)
	c.wake()
}

func (c *cluster) stopped(s *server) {
	c.mu2.Lock()
	defer c.mu2.Unlock()
	for i, other := range c.servers {
		if other == s {
			c.servers = append(c.servers[:i:i], c.servers[i+1:]...)
			return
		}
	}
}

// answers says whether any API server can read and write. Without one nothing in the cluster changes.
func (c *cluster) answers() bool {
	c.mu2.Lock()
	servers := c.servers
	c.mu2.Unlock()
	for _, s := range servers {
		if s.quorum() {
			return true
		}
	}
	return false
}

// serves gives the version of the API server on a node, "" if there is none.
func (c *cluster) serves(node string) string {
	c.mu2.Lock()
	defer c.mu2.Unlock()
	for _, s := range c.servers {
		if s.conf.Node == node {
			return s.conf.Version
		}
	}
	return ""
}

func (c *cluster) forget() {
	c.mu2.Lock()
	c.epoch++
	c.silent = map[string]int{}
	servers := c.servers
	c.mu2.Unlock()
	c.store.forget()
	for _, s := range servers {
		c.seed(s.conf)
	}
}

func (c *cluster) age() int {
	c.mu2.Lock()
	defer c.mu2.Unlock()
	return c.epoch
}

func (c *cluster) kubelet(node string) *kubelet {
	c.mu2.Lock()
	defer c.mu2.Unlock()
	return c.kubelets[node]
}

// notice wakes who acts on a change. It runs with the store locked, so it must not look anything up there.
func (c *cluster) notice(ch change) {
	if ch.res == leases || ch.res == events {
		return // nobody acts on those
	}
	c.wake()
	if ch.res != pods {
		return
	}
	if k := c.kubelet(ch.now.object.(*corev1.Pod).Spec.NodeName); k != nil {
		k.wake()
	}
}

func (c *cluster) wake() {
	select {
	case c.woken <- struct{}{}:
	default:
	}
}

// objects lists with the right type; the objects are shared and must not be changed.
func list[T object](c *cluster, res *resource, namespace string) []T {
	all, _ := c.entries(res, namespace)
	typed := make([]T, len(all))
	for i, e := range all {
		typed[i] = e.object.(T)
	}
	return typed
}

// get finds with the right type.
func get[T object](c *cluster, res *resource, namespace, name string) (T, bool) {
	if e := c.entry(res, namespace, name); e != nil {
		return e.object.(T), true
	}
	var none T
	return none, false
}

// change updates with the right type. An object that has gone meanwhile is no news to a controller.
func modify[T object](c *cluster, res *resource, of T, f func(T)) {
	c.update(res, of.GetNamespace(), of.GetName(), func(o object) error {
		if o.GetUID() == of.GetUID() {
			f(o.(T))
		}
		return nil
	})
}

// record writes an event about an object, as the components do for kubectl describe.
func (c *cluster) record(about object, component, kind, reason, format string, args ...any) {
	namespace := about.GetNamespace()
	if namespace == "" {
		namespace = metav1.NamespaceDefault
	}
	gvk := about.GetObjectKind().GroupVersionKind()
	at := now()
	c.create(events, &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("%s.%016x", about.GetName(), time.Now().UnixNano())},
		InvolvedObject: corev1.ObjectReference{
			Kind: gvk.Kind, APIVersion: gvk.GroupVersion().String(), Namespace: about.GetNamespace(),
			Name: about.GetName(), UID: about.GetUID(),
		},
		Reason: reason, Message: fmt.Sprintf(format, args...), Type: kind, Count: 1, FirstTimestamp: at, LastTimestamp: at,
		Source: corev1.EventSource{Component: component}, ReportingController: component,
	})
}
