package kubeapi

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// talos is what Talos' own controllers do to the Node once it is there: role and configured labels and taints with
// the annotations that list them, seconds to 40 s later, and the end of a cordon that Talos made.
func (l *kubelet) talos(ctx context.Context, fresh bool) {
	wait := l.between(time.Second, 5*time.Second)
	if fresh {
		wait = l.between(time.Second, 40*time.Second)
	}
	for {
		if !l.world.Sleep(ctx, wait) {
			return
		}
		if l.down() {
			return
		}
		if l.reaches() {
			l.update(nodes, "", l.conf.Node, func(o object) error { l.own(o.(*corev1.Node)); return nil })
			return
		}
		wait = time.Second
	}
}

// own sets what the machine config wants, takes back what an earlier config wanted, and uncordons.
func (l *kubelet) own(n *corev1.Node) {
	labels, taints := l.wanted()
	for _, k := range owned(n, annotationOwnedLabels) {
		if _, still := labels[k]; !still {
			delete(n.Labels, k)
		}
	}
	for _, k := range owned(n, annotationOwnedTaints) {
		n.Spec.Taints = slices.DeleteFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Key == k })
	}
	for k, v := range labels {
		setLabel(n, k, v)
	}
	var keys []string
	for _, t := range taints {
		n.Spec.Taints = slices.DeleteFunc(n.Spec.Taints, func(old corev1.Taint) bool { return old.Key == t.Key })
		keys = append(keys, t.Key)
	}
	n.Spec.Taints = append(taints, n.Spec.Taints...)
	setOwned(n, annotationOwnedLabels, slices.Sorted(maps.Keys(labels)))
	setOwned(n, annotationOwnedTaints, keys)
	if n.Annotations[annotationCordoned] == "true" {
		delete(n.Annotations, annotationCordoned)
		n.Spec.Unschedulable = false
	}
}

func (l *kubelet) wanted() (map[string]string, []corev1.Taint) {
	labels := maps.Clone(l.conf.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	var taints []corev1.Taint
	if l.conf.ControlPlane {
		labels[labelControlPlane] = ""
		labels[labelNoLoadBalancer] = ""
		if !l.conf.Schedulable {
			taints = append(taints, corev1.Taint{Key: labelControlPlane, Effect: corev1.TaintEffectNoSchedule})
		}
	}
	for _, k := range slices.Sorted(maps.Keys(l.conf.Taints)) {
		if k == labelControlPlane {
			continue
		}
		value, effect, found := strings.Cut(l.conf.Taints[k], ":")
		if !found { // Talos takes "Effect" alone too
			value, effect = "", value
		}
		taints = append(taints, corev1.Taint{Key: k, Value: value, Effect: corev1.TaintEffect(effect)})
	}
	return labels, taints
}

// owned reads the JSON list of an annotation.
func owned(n *corev1.Node, annotation string) []string {
	var keys []string
	if json.Unmarshal([]byte(n.Annotations[annotation]), &keys) != nil {
		return nil
	}
	return keys
}

func setOwned(n *corev1.Node, annotation string, keys []string) {
	if len(keys) == 0 {
		delete(n.Annotations, annotation)
		return
	}
	setAnnotation(n, annotation, string(encode(keys)))
}
