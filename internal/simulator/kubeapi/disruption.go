package kubeapi

import (
	"fmt"
	"net/http"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// countBudgets writes what each disruption budget allows now.
func (c *cluster) countBudgets() {
	for _, b := range list[*policyv1.PodDisruptionBudget](c, budgets, "") {
		s := c.count(b)
		modify(c, budgets, b, func(b *policyv1.PodDisruptionBudget) { s.Conditions = b.Status.Conditions; b.Status = s })
	}
}

// count follows the disruption controller: expected are the replicas of the pods' owners, or the pods themselves.
func (c *cluster) count(b *policyv1.PodDisruptionBudget) policyv1.PodDisruptionBudgetStatus {
	s := policyv1.PodDisruptionBudgetStatus{ObservedGeneration: b.Generation}
	owners := map[string]bool{}
	for _, p := range c.guarded(b) {
		if p.DeletionTimestamp == nil && podReady(p) {
			s.CurrentHealthy++
		}
		owner := metav1.GetControllerOf(p)
		if owner == nil || owner.Kind != "ReplicaSet" {
			s.ExpectedPods++
			continue
		}
		if rs, ok := get[*appsv1.ReplicaSet](c, replicasets, p.Namespace, owner.Name); ok && !owners[owner.Name] && rs.Spec.Replicas != nil {
			s.ExpectedPods += *rs.Spec.Replicas
		}
		owners[owner.Name] = true
	}
	switch {
	case b.Spec.MaxUnavailable != nil:
		s.DesiredHealthy = max(s.ExpectedPods-share(b.Spec.MaxUnavailable, s.ExpectedPods), 0)
	case b.Spec.MinAvailable != nil:
		s.DesiredHealthy = share(b.Spec.MinAvailable, s.ExpectedPods)
	}
	s.DisruptionsAllowed = max(s.CurrentHealthy-s.DesiredHealthy, 0)
	if s.ExpectedPods == 0 {
		s.DisruptionsAllowed = 0
	}
	return s
}

func share(v *intstr.IntOrString, of int32) int32 {
	n, err := intstr.GetScaledValueFromIntOrPercent(v, int(of), true)
	if err != nil {
		return of
	}
	return int32(n)
}

func (c *cluster) guarded(b *policyv1.PodDisruptionBudget) []*corev1.Pod {
	selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
	if err != nil {
		return nil
	}
	var all []*corev1.Pod
	for _, p := range list[*corev1.Pod](c, pods, b.Namespace) {
		if selector.Matches(labels.Set(p.Labels)) && !ended(p) {
			all = append(all, p)
		}
	}
	return all
}

// evict deletes a pod if the disruption budgets allow it; else 429 with the budget as its cause.
func (s *server) evict(w http.ResponseWriter, q *request, data []byte) error {
	var eviction policyv1.Eviction
	if err := decode(data, &eviction); err != nil {
		return err
	}
	p, ok := get[*corev1.Pod](s.cluster, pods, q.namespace, q.name)
	if !ok {
		return apierrors.NewNotFound(pods.groupResource(), q.name)
	}
	dry := q.dryRun() || (eviction.DeleteOptions != nil && len(eviction.DeleteOptions.DryRun) > 0)
	// A pod that has ended, or does not run yet, disrupts nobody.
	if !ended(p) && p.Status.Phase != corev1.PodPending && p.DeletionTimestamp == nil {
		if err := s.disrupt(p, dry); err != nil {
			return err
		}
	}
	if !dry {
		var grace *int64
		if eviction.DeleteOptions != nil {
			grace = eviction.DeleteOptions.GracePeriodSeconds
		}
		s.target(p)
		s.expire(pods, p, grace)
	}
	answer(w, http.StatusCreated, metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusSuccess, Code: http.StatusCreated})
	return nil
}

// disrupt takes one disruption from the budget of a pod.
func (s *server) disrupt(p *corev1.Pod, dry bool) error {
	for _, b := range list[*policyv1.PodDisruptionBudget](s.cluster, budgets, p.Namespace) {
		selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
		if err != nil || !selector.Matches(labels.Set(p.Labels)) {
			continue
		}
		_, err = s.update(budgets, b.Namespace, b.Name, func(o object) error {
			b := o.(*policyv1.PodDisruptionBudget)
			if b.Status.ObservedGeneration < b.Generation {
				return tooMany(fmt.Sprintf("The disruption budget %s is still being processed by the server.", b.Name))
			}
			if b.Status.DisruptionsAllowed <= 0 {
				return tooMany(fmt.Sprintf("The disruption budget %s needs %d healthy pods and has %d currently", b.Name, b.Status.DesiredHealthy, b.Status.CurrentHealthy))
			}
			if !dry {
				b.Status.DisruptionsAllowed--
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// tooMany is the error that drains wait on (registry/core/pod/storage/eviction.go).
func tooMany(cause string) error {
	err := apierrors.NewTooManyRequestsError("Cannot evict pod as it would violate the pod's disruption budget.")
	err.ErrStatus.Details = &metav1.StatusDetails{Causes: []metav1.StatusCause{{Type: policyv1.DisruptionBudgetCause, Message: cause}}}
	return err
}

// target marks a pod as evicted (recorded: EvictionByEvictionAPI just before its deletion).
func (s *server) target(p *corev1.Pod) {
	modify(s.cluster, pods, p, func(p *corev1.Pod) {
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{
			Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue,
			Reason: "EvictionByEvictionAPI", Message: "Eviction API: evicting", LastTransitionTime: now(),
		})
	})
}
