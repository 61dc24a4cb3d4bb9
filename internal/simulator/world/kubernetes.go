package world

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
)

// Kubernetes is what Talos nodes need of the Kubernetes simulator (package kubeapi): a control plane node
// serves its cluster's API while its static pod runs, and every node has a kubelet that registers it. Package
// talosnode uses it without knowing kubeapi; package simulator joins them.
type Kubernetes interface {
	// ServeAPI serves the API of the cluster on l until ctx ends. The state of a cluster lives in its etcd, so
	// it outlasts any one API server. It closes l.
	ServeAPI(ctx context.Context, cluster string, l net.Listener, c APIServer)
	// RunKubelet registers the node and keeps it Ready until ctx ends, as long as the API answers. When ctx ends
	// without GoingDown, the node turns Unknown after 40 s of the world.
	RunKubelet(ctx context.Context, cluster string, k Kubelet)
	// GoingDown says that the node shuts down on purpose: cordoned by Talos and NotReady at once.
	GoingDown(cluster, node string)
	// Forget throws the state of a cluster away: its etcd was wiped.
	Forget(cluster string)
}

// APIServer is the configuration of one kube-apiserver.
type APIServer struct {
	Node      string      // its node's name
	Version   string      // v1.36.3
	TLS       *tls.Config // server certificate, and ClientCAs = the Kubernetes CA
	HasQuorum func() bool // etcd of the cluster can write
}

// Kubelet is the configuration of one kubelet.
type Kubelet struct {
	Node         string
	Version      string // v1.36.3
	TalosVersion string // v1.14.1
	Arch         string
	ControlPlane bool
	Schedulable  bool              // a control plane that takes pods (allowSchedulingOnControlPlanes): no taint
	UUID         string            // SMBIOS system UUID; default: made from the name
	ServingCSR   bool              // rotate-server-certificates: asks for a serving certificate, which somebody approves
	Addresses    []netip.Addr      // internal addresses
	Labels       map[string]string // from the machine config; Talos adds them seconds later
	Taints       map[string]string // key -> "value:Effect"
	Cores        int
	MemoryBytes  int64
	Endpoint     func() bool // the API can be reached from this node
}
