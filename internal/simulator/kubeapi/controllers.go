package kubeapi

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	nodeMonitorPeriod = 5 * time.Second  // kube-controller-manager's --node-monitor-period
	nodeMonitorGrace  = 40 * time.Second // --node-monitor-grace-period
)

// lead runs the controllers while nobody else does: once after every change, and every five seconds of the world.
func (c *cluster) lead(ctx context.Context) {
	select {
	case c.lease <- struct{}{}:
	case <-ctx.Done():
		return
	}
	defer func() { <-c.lease }()
	tick := time.NewTicker(c.world.Real(nodeMonitorPeriod))
	defer tick.Stop()
	for {
		ticked := false
		select {
		case <-tick.C:
			ticked = true
		case <-c.woken:
			c.world.Sleep(ctx, 20*time.Millisecond) // several changes often come together
		case <-ctx.Done():
			return
		}
		if c.answers() {
			c.round(ticked)
		}
	}
}

// round lets every controller look once.
func (c *cluster) round(ticked bool) {
	if ticked {
		c.watchNodes()
		c.forgetEvents()
	}
	c.taintNodes(ticked)
	c.evictTainted()
	c.collect(ticked)
	c.runDaemonSets()
	c.runDeployments()
	c.runReplicaSets()
	c.schedule()
	c.countBudgets()
	c.issueCertificates()
}

// watchNodes turns nodes Unknown that gave no sign of life for 40 s. It counts its own rounds, not the clock: a
// slow test makes the world slow, and not its nodes dead.
func (c *cluster) watchNodes() {
	for _, n := range list[*corev1.Node](c, nodes, "") {
		if !c.silentTooLong(n.Name) || condition(n, corev1.NodeReady).Status == corev1.ConditionUnknown {
			continue
		}
		modify(c, nodes, n, func(n *corev1.Node) {
			at := now()
			for i := range n.Status.Conditions {
				s := &n.Status.Conditions[i]
				s.Status, s.Reason, s.Message, s.LastTransitionTime = corev1.ConditionUnknown, "NodeStatusUnknown", "Kubelet stopped posting node status.", at
			}
		})
		c.record(n, "node-controller", corev1.EventTypeNormal, "NodeNotReady", "Node %s status is now: NodeNotReady", n.Name)
	}
}

func (c *cluster) silentTooLong(node string) bool {
	k := c.kubelet(node)
	alive := k != nil && (k.conf.Endpoint == nil || k.conf.Endpoint())
	c.mu2.Lock()
	defer c.mu2.Unlock()
	if alive {
		c.silent[node] = 0
		return false
	}
	c.silent[node]++
	return c.silent[node] >= int(nodeMonitorGrace/nodeMonitorPeriod)
}

// taintNodes says by taints what the node's state is, gives new nodes their pod network, and marks the pods of
// nodes that are not ready.
func (c *cluster) taintNodes(ticked bool) {
	for _, n := range list[*corev1.Node](c, nodes, "") {
		if n.Spec.PodCIDR == "" {
			c.adopt(n)
		}
		c.taintNode(n, ticked)
		if !isReady(n) {
			c.doubtPods(n.Name)
		}
	}
}

func (c *cluster) adopt(n *corev1.Node) {
	taken := map[string]bool{}
	for _, other := range list[*corev1.Node](c, nodes, "") {
		taken[other.Spec.PodCIDR] = true
	}
	cidr := ""
	for i := 0; cidr == "" || taken[cidr]; i++ {
		cidr = fmt.Sprintf("10.%d.%d.0/24", 244+i/256, i%256)
	}
	modify(c, nodes, n, func(n *corev1.Node) {
		n.Spec.PodCIDR, n.Spec.PodCIDRs = cidr, []string{cidr}
		setAnnotation(n, "node.alpha.kubernetes.io/ttl", "0")
	})
	c.record(n, "node-controller", corev1.EventTypeNormal, "RegisteredNode", "Node %s event: Registered Node %s in Controller", n.Name, n.Name)
}

// lifecycle are the taints that the node controller owns.
func lifecycle(n *corev1.Node) []corev1.Taint {
	var want []corev1.Taint
	if n.Spec.Unschedulable {
		want = append(want, corev1.Taint{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule})
	}
	switch ready := condition(n, corev1.NodeReady); {
	case ready == nil || ready.Status == corev1.ConditionUnknown:
		want = append(want, corev1.Taint{Key: corev1.TaintNodeUnreachable, Effect: corev1.TaintEffectNoSchedule},
			corev1.Taint{Key: corev1.TaintNodeUnreachable, Effect: corev1.TaintEffectNoExecute})
	case ready.Status == corev1.ConditionFalse:
		want = append(want, corev1.Taint{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoSchedule},
			corev1.Taint{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoExecute})
	}
	return want
}

// taintNode adds and removes at once, but NoExecute for not-ready only with a tick (recorded: up to 17 s later; a
// node that has just registered never has it).
func (c *cluster) taintNode(n *corev1.Node, ticked bool) {
	if _, differs := nextTaints(n, ticked); !differs { // of thousands of looks few find something
		return
	}
	modify(c, nodes, n, func(n *corev1.Node) { n.Spec.Taints, _ = nextTaints(n, ticked) })
}

// nextTaints plans taintNode: the taints a node should have, and whether those are others than it has.
func nextTaints(n *corev1.Node, ticked bool) ([]corev1.Taint, bool) {
	want := lifecycle(n)
	next := slices.DeleteFunc(slices.Clone(n.Spec.Taints), func(t corev1.Taint) bool {
		switch t.Key {
		case corev1.TaintNodeUnschedulable, corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable:
			return !hasTaint(want, t)
		}
		return false
	})
	differs := len(next) != len(n.Spec.Taints)
	for _, t := range want {
		late := t.Key == corev1.TaintNodeNotReady && t.Effect == corev1.TaintEffectNoExecute && !ticked
		if late || hasTaint(next, t) {
			continue
		}
		at := now()
		t.TimeAdded = &at
		next, differs = append(next, t), true
	}
	return next, differs
}

func hasTaint(all []corev1.Taint, t corev1.Taint) bool {
	return slices.ContainsFunc(all, func(o corev1.Taint) bool { return o.Key == t.Key && o.Effect == t.Effect })
}

// doubtPods marks the pods of a node that is not ready as not ready; the kubelet knows better when it is back.
func (c *cluster) doubtPods(node string) {
	for _, p := range c.podsOf(node) {
		if podReady(p) {
			modify(c, pods, p, func(p *corev1.Pod) { setPodReady(p, corev1.ConditionFalse) })
		}
	}
}

// evictTainted deletes pods from nodes whose NoExecute taints they do not tolerate, or no longer.
func (c *cluster) evictTainted() {
	for _, n := range list[*corev1.Node](c, nodes, "") {
		for i := range n.Spec.Taints {
			if n.Spec.Taints[i].Effect != corev1.TaintEffectNoExecute {
				continue
			}
			for _, p := range c.podsOf(n.Name) {
				if p.DeletionTimestamp == nil && !isMirror(p) && !c.endures(p, &n.Spec.Taints[i]) {
					c.expire(pods, p, nil)
				}
			}
		}
	}
}

// endures says whether a pod may still stay; patience counts in seconds of the world.
func (c *cluster) endures(p *corev1.Pod, t *corev1.Taint) bool {
	for i := range p.Spec.Tolerations {
		tol := &p.Spec.Tolerations[i]
		if !tolerated(tol, t) {
			continue
		}
		if tol.TolerationSeconds == nil || t.TimeAdded == nil {
			return true
		}
		if time.Since(t.TimeAdded.Time) < c.world.Real(time.Duration(*tol.TolerationSeconds)*time.Second) {
			return true
		}
	}
	return false
}

func tolerates(p *corev1.Pod, t *corev1.Taint) bool {
	return slices.ContainsFunc(p.Spec.Tolerations, func(tol corev1.Toleration) bool { return tolerated(&tol, t) })
}

// tolerated follows corev1.Toleration.ToleratesTaint, which wants a logger and knows numbers we do not need.
func tolerated(tol *corev1.Toleration, t *corev1.Taint) bool {
	if tol.Effect != "" && tol.Effect != t.Effect || tol.Key != "" && tol.Key != t.Key {
		return false
	}
	if tol.Operator == corev1.TolerationOpExists {
		return true
	}
	return tol.Key != "" && tol.Value == t.Value
}

// collect removes what lost its owner or its node.
func (c *cluster) collect(ticked bool) {
	alive := map[string]bool{}
	for kind, res := range map[string]*resource{"Node": nodes, "Deployment": deployments, "ReplicaSet": replicasets, "DaemonSet": daemonsets} {
		all, _ := c.entries(res, "")
		for _, e := range all {
			alive[kind+string(e.object.GetUID())] = true
		}
	}
	orphan := func(o object) bool {
		owner := metav1.GetControllerOf(o)
		if owner == nil && len(o.GetOwnerReferences()) > 0 {
			owner = &o.GetOwnerReferences()[0]
		}
		if owner == nil {
			return false
		}
		switch owner.Kind {
		case "Node", "Deployment", "ReplicaSet", "DaemonSet":
			return !alive[owner.Kind+string(owner.UID)]
		}
		return false
	}
	for _, res := range []*resource{replicasets, pods, leases} {
		all, _ := c.entries(res, "")
		for _, e := range all {
			p, isPod := e.object.(*corev1.Pod)
			lost := isPod && ticked && p.Spec.NodeName != "" && c.entry(nodes, "", p.Spec.NodeName) == nil
			switch {
			case lost || (isPod && isMirror(p) && orphan(p)):
				c.remove(res, e.object.GetNamespace(), e.object.GetName())
			case e.object.GetDeletionTimestamp() == nil && orphan(e.object):
				c.expire(res, e.object, nil)
			}
		}
	}
}

// forgetEvents drops events after their hour.
func (c *cluster) forgetEvents() {
	for _, e := range list[*corev1.Event](c, events, "") {
		if time.Since(e.CreationTimestamp.Time) > max(c.world.Real(time.Hour), 5*time.Minute) {
			c.remove(events, e.Namespace, e.Name)
		}
	}
}
