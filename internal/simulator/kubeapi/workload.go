package kubeapi

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/rand"
)

const labelTemplate = appsv1.DefaultDeploymentUniqueLabelKey

// templateHash tells templates apart, as the hash in a replica set's name does.
func templateHash(t corev1.PodTemplateSpec) string {
	h := fnv.New32a()
	h.Write(encode(t))
	return rand.SafeEncodeString(fmt.Sprint(h.Sum32()))
}

// runDaemonSets keeps one pod of the present template on every node that takes it.
func (c *cluster) runDaemonSets() {
	for _, d := range list[*appsv1.DaemonSet](c, daemonsets, "") {
		hash := templateHash(d.Spec.Template)
		t := *d.Spec.Template.DeepCopy()
		t.Labels = maps.Clone(t.Labels)
		if t.Labels == nil {
			t.Labels = map[string]string{}
		}
		t.Labels[appsv1.ControllerRevisionHashLabelKey] = hash
		t.Spec.Tolerations = append(t.Spec.Tolerations, daemonTolerations()...)
		c.runDaemonSet(d, t, hash)
	}
}

func (c *cluster) runDaemonSet(d *appsv1.DaemonSet, t corev1.PodTemplateSpec, hash string) {
	have := map[string]*corev1.Pod{}
	for _, p := range c.owned(d) {
		if p.Labels[appsv1.ControllerRevisionHashLabelKey] != hash || have[p.Spec.NodeName] != nil {
			c.expire(pods, p, nil)
			continue
		}
		have[p.Spec.NodeName] = p
	}
	var s appsv1.DaemonSetStatus
	for _, n := range list[*corev1.Node](c, nodes, "") {
		p := have[n.Name]
		if !fits(&corev1.Pod{Spec: t.Spec}, n) {
			if p != nil {
				c.expire(pods, p, nil)
			}
			continue
		}
		s.DesiredNumberScheduled++
		if p == nil {
			c.spawn(d, t, n.Name)
			continue
		}
		s.CurrentNumberScheduled++
		s.UpdatedNumberScheduled++
		if podReady(p) {
			s.NumberReady++
			s.NumberAvailable++
		}
	}
	s.NumberUnavailable = s.DesiredNumberScheduled - s.NumberAvailable
	s.ObservedGeneration = d.Generation
	modify(c, daemonsets, d, func(d *appsv1.DaemonSet) { d.Status = s })
}

// daemonTolerations are those that the daemon set controller adds to every pod.
func daemonTolerations() []corev1.Toleration {
	return []corev1.Toleration{
		{Key: corev1.TaintNodeNotReady, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute},
		{Key: corev1.TaintNodeUnreachable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute},
		{Key: corev1.TaintNodeNotReady, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule},
		{Key: corev1.TaintNodeUnreachable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule},
		{Key: corev1.TaintNodeUnschedulable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule},
	}
}

// runDeployments keeps a replica set for each deployment's present template and lets go of the older ones at once.
func (c *cluster) runDeployments() {
	for _, d := range list[*appsv1.Deployment](c, deployments, "") {
		hash := templateHash(d.Spec.Template)
		var current *appsv1.ReplicaSet
		for _, rs := range list[*appsv1.ReplicaSet](c, replicasets, d.Namespace) {
			switch {
			case !metav1.IsControlledBy(rs, d):
			case rs.Labels[labelTemplate] == hash:
				current = rs
			default:
				c.remove(replicasets, rs.Namespace, rs.Name)
			}
		}
		if current == nil {
			c.create(replicasets, replicaSet(d, hash))
			continue
		}
		modify(c, replicasets, current, func(rs *appsv1.ReplicaSet) { rs.Spec.Replicas = d.Spec.Replicas })
		modify(c, deployments, d, func(d *appsv1.Deployment) {
			s := current.Status
			d.Status = appsv1.DeploymentStatus{
				ObservedGeneration: d.Generation, Replicas: s.Replicas, UpdatedReplicas: s.Replicas,
				ReadyReplicas: s.ReadyReplicas, AvailableReplicas: s.AvailableReplicas, UnavailableReplicas: max(*d.Spec.Replicas-s.AvailableReplicas, 0),
			}
		})
	}
}

func replicaSet(d *appsv1.Deployment, hash string) *appsv1.ReplicaSet {
	t := *d.Spec.Template.DeepCopy()
	if t.Labels == nil {
		t.Labels = map[string]string{}
	}
	t.Labels[labelTemplate] = hash
	selector := d.Spec.Selector.DeepCopy()
	if selector == nil {
		selector = &metav1.LabelSelector{}
	}
	if selector.MatchLabels == nil {
		selector.MatchLabels = map[string]string{}
	}
	selector.MatchLabels[labelTemplate] = hash
	return &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: d.Namespace, Name: d.Name + "-" + hash, Labels: maps.Clone(t.Labels),
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(d, deployments.kindVersion())},
		},
		Spec: appsv1.ReplicaSetSpec{Replicas: d.Spec.Replicas, Selector: selector, Template: t},
	}
}

// runReplicaSets keeps the number of pods; those that end or are being deleted are replaced at once.
func (c *cluster) runReplicaSets() {
	for _, rs := range list[*appsv1.ReplicaSet](c, replicasets, "") {
		want := 1
		if rs.Spec.Replicas != nil {
			want = int(*rs.Spec.Replicas)
		}
		mine := c.owned(rs)
		for i := len(mine); i < want; i++ {
			c.spawn(rs, rs.Spec.Template, "")
		}
		for len(mine) > want {
			c.expire(pods, mine[len(mine)-1], nil)
			mine = mine[:len(mine)-1]
		}
		ready := int32(0)
		for _, p := range mine {
			if podReady(p) {
				ready++
			}
		}
		modify(c, replicasets, rs, func(rs *appsv1.ReplicaSet) {
			rs.Status = appsv1.ReplicaSetStatus{
				ObservedGeneration: rs.Generation, Replicas: int32(len(mine)), FullyLabeledReplicas: int32(len(mine)),
				ReadyReplicas: ready, AvailableReplicas: ready,
			}
		})
	}
}

// schedule puts waiting pods on the fitting node with the fewest.
func (c *cluster) schedule() {
	var load map[string]int
	for _, p := range list[*corev1.Pod](c, pods, "") {
		if p.Spec.NodeName != "" || p.DeletionTimestamp != nil || ended(p) {
			continue
		}
		if load == nil {
			load = map[string]int{}
			for _, other := range list[*corev1.Pod](c, pods, "") {
				load[other.Spec.NodeName]++
			}
		}
		fitting := slices.DeleteFunc(list[*corev1.Node](c, nodes, ""), func(n *corev1.Node) bool { return !isReady(n) || !fits(p, n) })
		if len(fitting) == 0 {
			continue
		}
		best := slices.MinFunc(fitting, func(a, b *corev1.Node) int { return load[a.Name] - load[b.Name] })
		load[best.Name]++
		modify(c, pods, p, func(p *corev1.Pod) { p.Spec.NodeName = best.Name })
	}
}

// fits says whether a node takes a pod, by name, selector and taints.
func fits(p *corev1.Pod, n *corev1.Node) bool {
	if !labels.SelectorFromSet(p.Spec.NodeSelector).Matches(labels.Set(n.Labels)) {
		return false
	}
	for i := range n.Spec.Taints {
		t := &n.Spec.Taints[i]
		if t.Effect != corev1.TaintEffectPreferNoSchedule && !tolerates(p, t) {
			return false
		}
	}
	return true
}
