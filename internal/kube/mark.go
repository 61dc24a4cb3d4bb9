package kube

import (
	"context"
	"encoding/json"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// attempts is how often a change that somebody else overtook is made anew from the newest state.
const attempts = 5

// SetLabels gives a node these labels. Others stay, equal ones are not written again, and one that Talos owns with
// another value is refused: it comes from the machine config.
func (c *Cluster) SetLabels(ctx context.Context, node string, labels map[string]string) error {
	if err := fleet.CheckLabels(labels); err != nil {
		return err
	}
	if len(labels) == 0 {
		return nil
	}
	return c.change(ctx, node, "label", func(n *corev1.Node) (map[string]any, error) {
		differ, err := labelsToSet(n, labels)
		if len(differ) == 0 || err != nil {
			return nil, err
		}
		return map[string]any{"metadata": map[string]any{"labels": differ}}, nil
	})
}

// labelsToSet plans SetLabels.
func labelsToSet(n *corev1.Node, labels map[string]string) (map[string]string, error) {
	talos := owned(n, ownedLabels)
	differ := map[string]string{}
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		v := labels[k]
		if have, there := n.Labels[k]; there && have == v {
			continue
		}
		if slices.Contains(talos, k) {
			return nil, fleet.Errorf(fleet.Refused, "label %s of node %s is %q by its Talos machine config, not %q", k, n.Name, n.Labels[k], v).
				WithHint("change machine.nodeLabels (KubeNodeConfig since Talos 1.14), or the rule")
		}
		differ[k] = v
	}
	return differ, nil
}

// SetTaints gives a node these taints. Of the same key and effect the value changes, and of two such given the later
// counts; others stay, and a key that Talos owns is refused, as with labels.
func (c *Cluster) SetTaints(ctx context.Context, node string, taints []fleet.Taint) error {
	for _, t := range taints {
		if err := t.Validate(); err != nil {
			return err
		}
	}
	if len(taints) == 0 {
		return nil
	}
	return c.change(ctx, node, "taint", func(n *corev1.Node) (map[string]any, error) {
		next, err := taintsToSet(n, fleet.UniqueTaints(taints))
		if next == nil || err != nil {
			return nil, err
		}
		return map[string]any{
			"metadata": map[string]any{"resourceVersion": n.ResourceVersion}, // the list is replaced as a whole
			"spec":     map[string]any{"taints": next},
		}, nil
	})
}

// taintsToSet plans SetTaints: the whole list that the node should have, nil if it has it.
func taintsToSet(n *corev1.Node, taints []fleet.Taint) ([]corev1.Taint, error) {
	talos := owned(n, ownedTaints)
	next, changed := slices.Clone(n.Spec.Taints), false
	for _, t := range taints {
		want := corev1.Taint{Key: t.Key, Value: t.Value, Effect: corev1.TaintEffect(t.Effect)}
		i := slices.IndexFunc(next, func(o corev1.Taint) bool { return o.Key == want.Key && o.Effect == want.Effect })
		if i >= 0 && next[i].Value == want.Value {
			continue
		}
		if slices.Contains(talos, t.Key) {
			return nil, fleet.Errorf(fleet.Refused, "taint %s of node %s comes from its Talos machine config and cannot become %s", t.Key, n.Name, t).
				WithHint("change machine.nodeTaints (KubeNodeConfig since Talos 1.14), or the rule")
		}
		changed = true
		if i >= 0 {
			next[i] = want
			continue
		}
		next = append(next, want)
	}
	if !changed {
		return nil, nil
	}
	return next, nil
}

// Cordon keeps new pods away from a node.
func (c *Cluster) Cordon(ctx context.Context, node string) error {
	return c.cordon(ctx, node, "cordon", true)
}

// Uncordon lets pods come again, whoever cordoned the node.
func (c *Cluster) Uncordon(ctx context.Context, node string) error {
	return c.cordon(ctx, node, "uncordon", false)
}

func (c *Cluster) cordon(ctx context.Context, node, doing string, closed bool) error {
	return c.change(ctx, node, doing, func(n *corev1.Node) (map[string]any, error) {
		if n.Spec.Unschedulable == closed {
			return nil, nil
		}
		return map[string]any{"spec": map[string]any{"unschedulable": closed}}, nil
	})
}

// change reads a node, plans a merge patch from it (nil: nothing to do) and sends it; if somebody was faster, again.
func (c *Cluster) change(ctx context.Context, name, doing string, plan func(*corev1.Node) (map[string]any, error)) error {
	var err error
	for range attempts {
		var n *corev1.Node
		if n, err = c.node(ctx, name); err != nil {
			return err
		}
		patch, planErr := plan(n)
		if patch == nil || planErr != nil {
			return planErr
		}
		if err = c.send(ctx, name, doing, patch); fleet.KindOf(err) != fleet.Conflict {
			return err
		}
	}
	return err
}

func (c *Cluster) send(ctx context.Context, name, doing string, patch map[string]any) error {
	data, err := json.Marshal(patch)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	_, err = c.core.Nodes().Patch(ctx, name, types.MergePatchType, data, metav1.PatchOptions{FieldManager: manager})
	if err != nil {
		return c.explain(ctx, err, "%s node %s", doing, name)
	}
	return nil
}

// owned reads the keys that Talos keeps in an annotation, a JSON list.
func owned(n *corev1.Node, annotation string) []string {
	var keys []string
	if json.Unmarshal([]byte(n.Annotations[annotation]), &keys) != nil {
		return nil
	}
	return keys
}
