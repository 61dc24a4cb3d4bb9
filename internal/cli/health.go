package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/talos-manager/talos-manager/client"
)

func (p *program) clusterHealth() *cobra.Command {
	return &cobra.Command{
		Use: "health CLUSTER", Short: "Ask the nodes, the etcd and the Kubernetes API of a cluster how they are",
		Long: `Ask the nodes of a cluster over Talos' API, and its Kubernetes API, how they are. It takes some seconds at most, and
changes nothing. The exit code is 1 if anything is not well; what, stands in the error.`,
		Example: "  talos-manager cluster health prod", Args: takes("CLUSTER"),
		ValidArgsFunction: p.completeBy(clusterNames, false),
		RunE: p.run(func(ctx context.Context, c *client.Client, args []string) error {
			h, err := c.ClusterHealth(ctx, args[0])
			if err != nil {
				return err
			}
			if err := p.show(h, func(t *table) { healthTable(t, h) }); err != nil || len(h.Problems) == 0 {
				return err
			}
			return fmt.Errorf("cluster %s is not well:\n  %s", args[0], printable(strings.Join(h.Problems, "\n  ")))
		}),
	}
}

// healthTable has a line for each server that runs as a node, and each node that is no server of the cluster.
func healthTable(t *table, h client.ClusterHealth) {
	etcd := "no control plane told of members"
	if e := h.Etcd; e.Voters > 0 {
		etcd = fmt.Sprintf("%d of %d members run, %d are needed", e.Running, e.Voters, e.Quorum)
	}
	t.field("etcd", etcd)
	t.field("Kubernetes", first(h.Kubernetes.Version, h.Kubernetes.Problem))
	if len(h.Nodes)+len(h.Kubernetes.Nodes) == 0 {
		return
	}
	fmt.Fprintln(t.w)
	t.row("NODE", "SERVER", "ROLE", "TALOS", "ETCD", "KUBELET", "KUBERNETES")
	listed := map[string]client.KubernetesNode{}
	for _, n := range h.Kubernetes.Nodes {
		if n.Server != nil {
			listed[n.Server.ID] = n
		}
	}
	for _, n := range h.Nodes {
		k, there := listed[n.Server.ID]
		t.row(n.Hostname, n.Server.Name, n.Role, first(n.Talos, "no answer"), n.Etcd, k.Kubelet, readiness(k, there))
	}
	for _, k := range h.Kubernetes.Nodes {
		if k.Server == nil {
			t.row(k.Name, "", "", "", "", k.Kubelet, readiness(k, true))
		}
	}
}

// readiness is what kubectl get nodes says.
func readiness(n client.KubernetesNode, there bool) string {
	switch {
	case !there:
		return "unknown"
	case !n.Ready:
		return "NotReady"
	case n.Cordoned:
		return "Ready,SchedulingDisabled"
	}
	return "Ready"
}
