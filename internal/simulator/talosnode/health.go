package talosnode

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/api/cluster"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// healthCheck is one line of talosctl health.
type healthCheck struct {
	name string
	fail func([]netip.Addr) error // nil: it holds as soon as the one before does
}

// HealthCheck implements cluster.ClusterServiceServer: one check after the other, each until it holds, as
// talosctl health prints them.
func (v *server) HealthCheck(in *cluster.HealthCheckRequest, out grpc.ServerStreamingServer[cluster.HealthCheckProgress]) error {
	n := v.node
	if !n.controlPlane() {
		return onlyControlPlane("cluster health check")
	}
	ctx, cancel := context.WithTimeout(out.Context(), in.GetWaitTimeout().AsDuration())
	defer cancel()
	nodes, err := n.discovered(in.GetClusterInfo())
	if err != nil {
		return err
	}
	names := make([]string, 0, len(nodes))
	for _, a := range nodes {
		names = append(names, a.String())
	}
	if err := out.Send(&cluster.HealthCheckProgress{Message: fmt.Sprintf("discovered nodes: %q", names)}); err != nil {
		return err
	}
	for _, c := range n.healthChecks() {
		if err := n.pursue(ctx, c, nodes, out); err != nil {
			return err
		}
	}
	return nil
}

// pursue waits until a check holds, and says so whenever the reason changes.
func (n *node) pursue(ctx context.Context, c healthCheck, nodes []netip.Addr, out grpc.ServerStreamingServer[cluster.HealthCheckProgress]) error {
	said := ""
	say := func(what string) error {
		if line := "waiting for " + c.name + ": " + what; line != said {
			said = line
			return out.Send(&cluster.HealthCheckProgress{Message: line})
		}
		return nil
	}
	if err := say("..."); err != nil {
		return err
	}
	for {
		var failed error
		if c.fail != nil {
			failed = c.fail(nodes)
		}
		if failed == nil {
			return say("OK")
		}
		if err := say(failed.Error()); err != nil {
			return err
		}
		if !n.sleep(ctx, 5*time.Second) {
			return status.Error(codes.DeadlineExceeded, "context deadline exceeded")
		}
	}
}

// discovered are the nodes to check: those named, else the cluster's members.
func (n *node) discovered(info *cluster.ClusterInfo) ([]netip.Addr, error) {
	var list []netip.Addr
	for _, s := range slices.Concat(info.GetControlPlaneNodes(), info.GetWorkerNodes()) {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return nil, err
		}
		list = append(list, a)
	}
	if len(list) > 0 {
		return list, nil
	}
	for _, m := range n.env.Clusters.members(n) {
		list = append(list, m.address)
	}
	return list, nil
}

func (n *node) healthChecks() []healthCheck {
	return []healthCheck{
		{"etcd to be healthy", n.every(func(o *node) error { return o.serviceHealthy("etcd", o.controlPlane()) })},
		{"etcd members to be consistent across nodes", n.sameEtcd},
		{"etcd members to be control plane nodes", nil},
		{"apid to be ready", n.every(func(o *node) error { return o.serviceHealthy("apid", true) })},
		{"all nodes memory sizes", nil},
		{"all nodes disk sizes", nil},
		{"no diagnostics", nil},
		{"kubelet to be healthy", n.every(func(o *node) error { return o.serviceHealthy("kubelet", true) })},
		{"all nodes to finish boot sequence", n.every(func(o *node) error { return o.finished() })},
		{"all k8s nodes to report", n.every(func(o *node) error { return o.reported() })},
		{"all control plane static pods to be running", n.every(func(o *node) error { return o.podsRun() })},
		{"all control plane components to be ready", nil},
		{"all k8s nodes to report ready", n.every(func(o *node) error { return o.nodeReady() })},
		{"kube-proxy to report ready", nil},
		{"coredns to report ready", nil},
		{"all k8s nodes to report schedulable", nil},
	}
}

// every checks each node; one that does not run cannot be reached.
func (n *node) every(check func(*node) error) func([]netip.Addr) error {
	return func(nodes []netip.Addr) error {
		running := n.env.Clusters.nodes(n)
		for _, a := range nodes {
			i := slices.IndexFunc(running, func(o *node) bool { return o.local(a.String()) })
			if i < 0 {
				return fmt.Errorf("1 error occurred:\n\t* %s: rpc error: code = Unavailable desc = connection error: desc = "+
					"\"transport: Error while dialing: dial tcp %s:50000: connect: no route to host\"", a, a)
			}
			if err := check(running[i]); err != nil {
				return err
			}
		}
		return nil
	}
}

func (n *node) serviceHealthy(id string, wanted bool) error {
	if !wanted || n.services.up(id) {
		return nil
	}
	return fmt.Errorf("1 error occurred:\n\t* %s: service is not healthy: %s", n.address(), id)
}

// sameEtcd finds etcds that should be one.
func (n *node) sameEtcd(nodes []netip.Addr) error {
	own, _ := n.etcd.serving()
	return n.every(func(o *node) error {
		if !o.controlPlane() {
			return nil
		}
		if e, _ := o.etcd.serving(); e != own {
			return fmt.Errorf("%s: etcd member is not consistent with the other nodes", o.address())
		}
		return nil
	})(nodes)
}

func (n *node) finished() error {
	if s := n.status.now(); stages[s.stage].String() != "running" {
		return fmt.Errorf("1 error occurred:\n\t* %s: expected machine stage running, got %s", n.address(), stages[s.stage])
	}
	return nil
}

func (n *node) reported() error {
	if n.kube.known() {
		return nil
	}
	return fmt.Errorf("can't find expected node with IPs [%q]", n.address())
}

func (n *node) nodeReady() error {
	if n.kube.nodeProblem() == "" {
		return nil
	}
	return fmt.Errorf("some nodes are not ready: [%s]", n.kube.nodeName())
}

func (n *node) podsRun() error {
	if n.env.Kubernetes == nil || !n.controlPlane() || n.kube.serving() != "" {
		return nil
	}
	return fmt.Errorf("missing static pods on node %s: [kube-system/kube-apiserver kube-system/kube-controller-manager kube-system/kube-scheduler]", n.address())
}
