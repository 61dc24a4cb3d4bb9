package talosnode

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// kubernetes is a node's part in Kubernetes: static pods on a control plane, and the kubelet.
type kubernetes struct {
	node *node

	mu       sync.Mutex
	key      string             // of the cluster the kubelet is registered with
	serves   string             // of the cluster whose API server runs here
	pods     context.CancelFunc // of the static pods
	podsEnd  chan struct{}
	status   *nodeStatus // what Kubernetes says of the node
	since    time.Time   // since when the API server runs
	lost     time.Time   // since when the API server has no quorum
	restarts chan struct{}
}

func newKubernetes(n *node) *kubernetes {
	return &kubernetes{node: n, restarts: make(chan struct{}, 1)}
}

// version of Kubernetes in the config: the tag of the kubelet's image.
func (k *kubernetes) version() string {
	image := ""
	if c := k.node.config().K8sKubeletConfig(); c != nil {
		image = c.Image()
	}
	if i := strings.LastIndex(image, ":"); i >= 0 {
		return image[i+1:]
	}
	return "v1.36.3"
}

func (k *kubernetes) nodeName() string {
	if !k.node.configured() {
		return ""
	}
	return strings.ToLower(k.node.hostname())
}

// changed tells the kubelet about a config.
func (k *kubernetes) changed() {
	select {
	case k.restarts <- struct{}{}:
	default:
	}
}

// pull is the kubelet's preparation: its image.
func (k *kubernetes) pull(ctx context.Context) error {
	image := []byte(k.version())
	if string(k.node.file(ephemeral, "kubelet-image")) == string(image) {
		return k.node.pass(ctx, stepTime)
	}
	if err := k.node.pass(ctx, pullTime); err != nil {
		return err
	}
	return k.node.setFile(ephemeral, "kubelet-image", image)
}

// kubelet runs the kubelet until ctx ends.
func (k *kubernetes) kubelet(ctx context.Context) {
	if k.node.env.Kubernetes == nil {
		return
	}
	k.startPods()
	for {
		key := k.find(ctx)
		if key == "" {
			return
		}
		k.register(ctx, key)
		if ctx.Err() != nil {
			return
		}
	}
}

// find waits for an API server that the node can reach.
func (k *kubernetes) find(ctx context.Context) string {
	for {
		if _, key := k.node.env.Clusters.apiServer(k.node); key != "" {
			return key
		}
		if !k.node.sleep(ctx, registerTime) {
			return ""
		}
	}
}

// register runs one registration: until the kubelet ends, the config changes or the cluster is another one.
func (k *kubernetes) register(ctx context.Context, key string) {
	n := k.node
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	k.mu.Lock()
	k.key = key
	k.mu.Unlock()
	conf := k.conf(key)
	n.spawn(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-k.restarts:
				cancel()
				return
			case <-time.After(n.rarely(5 * time.Second)):
			}
			if _, now := n.env.Clusters.apiServer(n); now != "" && now != key {
				cancel()
				return
			}
		}
	})
	n.env.Kubernetes.RunKubelet(ctx, key, conf)
}

func (k *kubernetes) conf(key string) world.Kubelet {
	n := k.node
	conf := world.Kubelet{
		Node: k.nodeName(), Version: k.version(), TalosVersion: n.info.Version, Arch: n.machine.Arch,
		ControlPlane: n.controlPlane(), Addresses: n.kubeletAddresses(), Cores: n.machine.Cores, MemoryBytes: n.machine.MemoryBytes,
		Endpoint: func() bool {
			other, now := n.env.Clusters.apiServer(n)
			return other != nil && now == key
		},
	}
	if c := n.config().K8sNodeConfig(); c != nil {
		conf.Labels, conf.Taints = c.Labels(), c.Taints()
		_, kept := conf.Taints["node-role.kubernetes.io/control-plane"]
		conf.Schedulable = conf.ControlPlane && !kept
	}
	return conf
}

// startPods starts the static pods of a control plane, unless they run.
func (k *kubernetes) startPods() {
	n := k.node
	k.mu.Lock()
	defer k.mu.Unlock()
	if !n.controlPlane() || k.pods != nil {
		return
	}
	ctx, cancel := context.WithCancel(n.ctx)
	done := make(chan struct{})
	k.pods, k.podsEnd = cancel, done
	n.spawn(func() { defer close(done); k.runPods(ctx) })
}

// stopPods stops them.
func (k *kubernetes) stopPods() {
	k.mu.Lock()
	cancel, done := k.pods, k.podsEnd
	k.pods = nil
	k.mu.Unlock()
	if cancel != nil {
		cancel()
		<-done
	}
}

// runPods serves the Kubernetes API once etcd is up. Images that are not on the disk are pulled first.
func (k *kubernetes) runPods(ctx context.Context) {
	n := k.node
	for ctx.Err() == nil {
		if !n.services.until(ctx, func() bool { return n.services.up("etcd") }) {
			return
		}
		wait := podsTime
		if len(n.file(ephemeral, "pod-images")) == 0 {
			wait = podsPullTime
		}
		if !n.sleep(ctx, wait) {
			return
		}
		_ = n.setFile(ephemeral, "pod-images", []byte(k.version()))
		k.serve(ctx)
	}
}

// serve runs the API server as long as this node's etcd process runs.
func (k *kubernetes) serve(ctx context.Context) {
	n := k.node
	e, _ := n.etcd.serving()
	conf, err := n.kubeTLS()
	if e == nil || err != nil {
		n.sleep(ctx, time.Second)
		return
	}
	l, err := n.listenAll("6443")
	if err != nil {
		n.sleep(ctx, time.Second)
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	k.setServes(e.kube)
	defer k.setServes("")
	n.spawn(func() {
		n.services.until(ctx, func() bool { s, ok := n.services.get("etcd"); return !ok || !s.running() })
		cancel()
	})
	n.env.Kubernetes.ServeAPI(ctx, e.kube, l, world.APIServer{
		Node: k.nodeName(), Version: k.version(), TLS: conf,
		HasQuorum: func() bool { return n.env.Clusters.hasQuorum(e) },
	})
	l.Close()
}

func (k *kubernetes) setServes(key string) {
	k.mu.Lock()
	k.serves, k.since = key, time.Now()
	k.mu.Unlock()
	k.node.env.Clusters.serves(k.node, key != "")
	k.node.status.touch()
}

func (k *kubernetes) serving() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.serves
}

// goingDown tells Kubernetes that the node goes down on purpose.
func (k *kubernetes) goingDown() {
	k.mu.Lock()
	key := k.key
	k.mu.Unlock()
	if key != "" && k.node.env.Kubernetes != nil {
		k.node.env.Kubernetes.GoingDown(key, k.nodeName())
	}
}

// podProblems lists static pods that are not ready: the controllers lose their leases without a quorum.
func (k *kubernetes) podProblems() []string {
	n := k.node
	if k.serving() == "" {
		return nil
	}
	e, _ := n.etcd.own()
	quorum := n.env.Clusters.hasQuorum(e)
	k.mu.Lock()
	defer k.mu.Unlock()
	if quorum {
		k.lost = time.Time{}
		return nil
	}
	if k.lost.IsZero() {
		k.lost = time.Now()
	}
	var problems []string
	for i, pod := range []string{"kube-controller-manager", "kube-scheduler"} {
		if time.Since(k.lost) >= n.w.Real(quorumPods+time.Duration(i)*15*time.Second) {
			problems = append(problems, fmt.Sprintf("kube-system/%s-%s not ready", pod, strings.ToLower(n.hostname())))
		}
	}
	return problems
}

// nodeProblem says why the node is not ready in Kubernetes, "" if it is.
func (k *kubernetes) nodeProblem() string {
	name := k.nodeName()
	if name == "" || k.node.env.Kubernetes == nil {
		return ""
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.status == nil:
		return fmt.Sprintf("node %q status is not available yet", name)
	case !k.status.ready:
		return fmt.Sprintf("node %q is not ready", name)
	}
	return ""
}

// apiServer finds an API server of the cluster that n can reach, and the key of its state. With KubePrism any of
// them will do, else it must be behind the cluster's endpoint.
func (c *Clusters) apiServer(n *node) (*node, string) {
	cfg := n.config()
	if cfg == nil || cfg.K8sClusterConfig() == nil {
		return nil, ""
	}
	c.mu.Lock()
	servers := slices.Clone(c.of(n).servers)
	var behind *node // the endpoint, if it is a node's address
	if ip, err := netip.ParseAddr(cfg.K8sClusterConfig().ClusterEndpoint().Hostname()); err == nil {
		behind = c.of(n).at[ip]
	}
	c.mu.Unlock()
	servers = slices.DeleteFunc(servers, func(o *node) bool { return o.kube.serving() == "" || !c.hasQuorum(first(o.etcd.own())) })
	for _, wanted := range []*node{n, behind} {
		if slices.Contains(servers, wanted) {
			return wanted, wanted.kube.serving()
		}
	}
	// An endpoint that is no node's address is a name or a load balancer, which leads to any of them.
	if len(servers) == 0 || behind != nil && cfg.K8sKubePrismConfig() == nil {
		return nil, ""
	}
	return servers[0], servers[0].kube.serving()
}

func first(e *etcd, _ *member) *etcd { return e }

// kubeletAddresses are the node's addresses in Kubernetes: those in the wanted subnets, else the first one.
func (n *node) kubeletAddresses() []netip.Addr {
	all := n.addresses()
	if c := n.config().K8sNodeConfig(); c != nil && c.NodeIP() != nil && len(c.NodeIP().ValidSubnets()) > 0 {
		var picked []netip.Addr
		for _, a := range all {
			if within(a, c.NodeIP().ValidSubnets()) {
				picked = append(picked, a)
			}
		}
		if len(picked) > 0 {
			return picked
		}
	}
	return all[:min(1, len(all))]
}
