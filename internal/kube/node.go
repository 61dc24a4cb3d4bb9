package kube

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

const (
	roleLabel          = "node-role.kubernetes.io/control-plane"
	cordonedAnnotation = "talos.dev/cordoned"
	ownedLabels        = "talos.dev/owned-labels"
	ownedTaints        = "talos.dev/owned-taints"
)

// Node is what Kubernetes says of one node.
type Node struct {
	Name            string
	UID             string
	Ready           bool
	Reason          string // why it is not Ready: "KubeletNotReady: CSINode is not yet initialized"; "" when it is
	Since           time.Time
	ControlPlane    bool   // has the role label, which Talos adds up to 40 s after the node registers
	Unschedulable   bool   // cordoned, by whomever
	CordonedByTalos bool   // Talos cordoned it on its way down, and uncordons it after the boot
	Version         string // of the kubelet: v1.36.3
	OSImage         string // "Talos (v1.14.1)"
	TalosVersion    string // v1.14.1; "" if it is no Talos
	ProviderID      string
	InternalIPs     []string
	Labels          map[string]string
	Taints          []fleet.Taint
	CreatedAt       time.Time
}

// Nodes lists all nodes, by name.
func (c *Cluster) Nodes(ctx context.Context) ([]Node, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	var all []Node
	for page := (metav1.ListOptions{Limit: 500}); ; {
		l, err := c.core.Nodes().List(ctx, page)
		if err != nil {
			return nil, c.explain(ctx, err, "list nodes")
		}
		for i := range l.Items {
			all = append(all, nodeOf(&l.Items[i]))
		}
		if page.Continue = l.Continue; page.Continue == "" {
			return all, nil
		}
	}
}

// Node finds one node; the error of a missing one is fleet.NotFound.
func (c *Cluster) Node(ctx context.Context, name string) (Node, error) {
	n, err := c.node(ctx, name)
	if err != nil {
		return Node{}, err
	}
	return nodeOf(n), nil
}

func (c *Cluster) node(ctx context.Context, name string) (*corev1.Node, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	n, err := c.core.Nodes().Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, c.explain(ctx, err, "read node %s", name)
	}
	return n, nil
}

// DeleteNode deletes the Node object; one that is gone is no error. A kubelet that still runs does not register it
// again before its next start.
func (c *Cluster) DeleteNode(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	err := c.core.Nodes().Delete(ctx, name, metav1.DeleteOptions{})
	if err == nil {
		return nil
	}
	if err = c.explain(ctx, err, "delete node %s", name); fleet.KindOf(err) == fleet.NotFound {
		return nil
	}
	return err
}

func nodeOf(n *corev1.Node) Node {
	out := Node{
		Name: n.Name, UID: string(n.UID), Unschedulable: n.Spec.Unschedulable, Version: n.Status.NodeInfo.KubeletVersion,
		CordonedByTalos: n.Annotations[cordonedAnnotation] == "true", OSImage: n.Status.NodeInfo.OSImage, TalosVersion: talosVersion(n.Status.NodeInfo.OSImage),
		ProviderID: n.Spec.ProviderID, Labels: n.Labels, CreatedAt: n.CreationTimestamp.Time, Reason: "NodeStatusNeverUpdated: the kubelet has not said anything yet",
	}
	_, out.ControlPlane = n.Labels[roleLabel]
	for _, c := range n.Status.Conditions {
		if c.Type != corev1.NodeReady {
			continue
		}
		out.Ready, out.Since, out.Reason = c.Status == corev1.ConditionTrue, c.LastTransitionTime.Time, ""
		if !out.Ready {
			out.Reason = c.Reason + ": " + c.Message
		}
	}
	for _, a := range n.Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			out.InternalIPs = append(out.InternalIPs, a.Address)
		}
	}
	for _, t := range n.Spec.Taints {
		out.Taints = append(out.Taints, fleet.Taint{Key: t.Key, Value: t.Value, Effect: string(t.Effect)})
	}
	return out
}

// talosVersion reads "Talos (v1.14.1)".
func talosVersion(image string) string {
	v, found := strings.CutPrefix(image, "Talos (")
	if !found {
		return ""
	}
	return strings.TrimSuffix(v, ")")
}

// named is how many nodes a sentence names before it only counts the others.
const named = 4

// WaitsFor says in one sentence which of the expected nodes are missing or not Ready, and why; "" if all are Ready.
func WaitsFor(nodes []Node, expected ...string) string {
	byName := make(map[string]Node, len(nodes))
	for _, n := range nodes {
		byName[n.Name] = n
	}
	var missing, unready []string
	for _, name := range expected {
		n, there := byName[name]
		switch {
		case !there:
			missing = append(missing, name)
		case !n.Ready:
			unready = append(unready, fmt.Sprintf("%s (%s)", name, n.Reason))
		}
	}
	var parts []string
	if len(missing) > 0 {
		parts = append(parts, plural(len(missing), "node", "nodes")+" "+enumerate(missing)+" to join Kubernetes")
	}
	if len(unready) > 0 {
		parts = append(parts, plural(len(unready), "node", "nodes")+" "+enumerate(unready)+" to become Ready")
	}
	return strings.Join(parts, "; ")
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// enumerate joins names: "a", "a and b", "a, b, c, d and 3 more".
func enumerate(names []string) string {
	if len(names) > named+1 {
		names = append(names[:named:named], fmt.Sprintf("%d more", len(names)-named))
	}
	if len(names) == 1 {
		return names[0]
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}
