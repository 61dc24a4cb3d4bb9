// Package kubeapi is the Kubernetes of the pretend data centre: for every cluster one state (what its etcd would
// hold), any number of API servers over it that speak the REST protocol to unmodified kubectl and client-go,
// the controllers that matter to a node's life (node lifecycle, daemon sets, deployments, scheduler, disruption
// budgets, certificate requests, garbage) and a kubelet per node.
//
//	kubelet starts:  (absent) --register--> NotReady --1 to 10 s--> Ready; Talos adds its labels meanwhile
//	on purpose:      Ready --GoingDown--> cordoned, NotReady at once --40 s silent--> Unknown
//	power cut:       Ready --40 s silent--> Unknown
//	comes back:      the same Node object turns Ready, and Talos uncordons what Talos cordoned
//
// What it refuses to be: it runs nothing, and pods "run" by saying so. It has no admission plugins and no custom
// resources; it keeps RBAC objects and does not obey them (the group system:masters may do everything, a node what
// kubelets do, others nothing); server-side apply merges without a record of owners; it answers JSON even to who
// would rather have protobuf. It imports none of the manager's code.
package kubeapi

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"sync"

	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// Kubernetes holds the clusters of one world. It implements world.Kubernetes.
type Kubernetes struct {
	world *world.World

	mu       sync.Mutex
	clusters map[string]*cluster
}

var _ world.Kubernetes = (*Kubernetes)(nil)

// New makes a world's Kubernetes, without any cluster.
func New(w *world.World) *Kubernetes {
	return &Kubernetes{world: w, clusters: map[string]*cluster{}}
}

func (k *Kubernetes) cluster(name string) *cluster {
	k.mu.Lock()
	defer k.mu.Unlock()
	c := k.clusters[name]
	if c == nil {
		c = newCluster(k.world, name)
		k.clusters[name] = c
	}
	return c
}

// ServeAPI serves the API of a cluster on l until ctx ends, and runs the cluster's controllers if no other API
// server's neighbour does. It closes l and returns when no request is in flight.
func (k *Kubernetes) ServeAPI(ctx context.Context, name string, l net.Listener, conf world.APIServer) {
	c := k.cluster(name)
	s := &server{cluster: c, conf: conf}
	c.started(s)
	defer c.stopped(s)

	web := &http.Server{
		Handler:     s,
		TLSConfig:   serverTLS(conf.TLS),
		ErrorLog:    log.New(io.Discard, "", 0), // handshakes that fail are the other side's news
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	var helpers sync.WaitGroup
	helpers.Go(func() { <-ctx.Done(); web.Close() })
	helpers.Go(func() { c.lead(ctx) })
	err := web.ServeTLS(l, "", "")
	if ctx.Err() == nil {
		k.world.Log.Error("kubernetes API server stopped", "cluster", name, "node", conf.Node, "error", err)
	}
	helpers.Wait()
	s.inflight.Wait()
}

// Forget throws the state of a cluster away. Watches end with 410 Gone, as after an etcd that was wiped.
func (k *Kubernetes) Forget(name string) { k.cluster(name).forget() }
