package kubeapi

import (
	"reflect"

	appsv1 "k8s.io/api/apps/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validate checks what the API checks of every object, and of a node its taints.
func (q *request) validate(obj object) error {
	meta := reflect.ValueOf(obj).Elem().FieldByName("ObjectMeta").Addr().Interface().(*metav1.ObjectMeta)
	wrong := validation.ValidateObjectMeta(meta, q.res.namespaced, nameRule(q.res), field.NewPath("metadata"))
	if n, ok := obj.(*corev1.Node); ok {
		wrong = append(wrong, checkTaints(n.Spec.Taints, field.NewPath("spec", "taints"))...)
	}
	if len(wrong) > 0 {
		return apierrors.NewInvalid(schema.GroupKind{Group: q.res.version.Group, Kind: q.res.kind}, obj.GetName(), wrong)
	}
	return nil
}

func nameRule(res *resource) validation.ValidateNameFunc {
	switch {
	case res == namespaces:
		return validation.ValidateNamespaceName
	case res.version.Group == "rbac.authorization.k8s.io": // "system:node" is a good name there
		return func(string, bool) []string { return nil }
	}
	return validation.NameIsDNSSubdomain
}

// checkTaints follows ValidateNodeTaints of kubernetes/pkg/apis/core/validation.
func checkTaints(taints []corev1.Taint, at *field.Path) field.ErrorList {
	var wrong field.ErrorList
	type one struct {
		key    string
		effect corev1.TaintEffect
	}
	seen := map[one]bool{}
	for i, t := range taints {
		at := at.Index(i)
		wrong = append(wrong, metavalidation.ValidateLabelName(t.Key, at.Child("key"))...)
		for _, msg := range utilvalidation.IsValidLabelValue(t.Value) {
			wrong = append(wrong, field.Invalid(at.Child("value"), t.Value, msg))
		}
		switch t.Effect {
		case corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute:
		default:
			wrong = append(wrong, field.NotSupported(at.Child("effect"), t.Effect, []string{"NoSchedule", "PreferNoSchedule", "NoExecute"}))
		}
		if seen[one{t.Key, t.Effect}] {
			wrong = append(wrong, field.Duplicate(at, t))
		}
		seen[one{t.Key, t.Effect}] = true
	}
	return wrong
}

// setDefaults fills in what the API and its admission plugins fill in and somebody here reads.
func (q *request) setDefaults(obj object) {
	switch o := obj.(type) {
	case *corev1.Pod:
		o.Status = corev1.PodStatus{}
		defaultPod(o)
	case *corev1.Namespace:
		o.Status.Phase = corev1.NamespaceActive
		if o.Labels == nil {
			o.Labels = map[string]string{}
		}
		o.Labels[corev1.LabelMetadataName] = o.Name
	case *appsv1.Deployment:
		if o.Spec.Replicas == nil {
			one := int32(1)
			o.Spec.Replicas = &one
		}
		o.Status = appsv1.DeploymentStatus{}
	case *certificatesv1.CertificateSigningRequest:
		o.Spec.Username, o.Spec.Groups = q.who.name, q.who.groups
		o.Status = certificatesv1.CertificateSigningRequestStatus{}
	}
}

// defaultPod adds what every pod gets, the five minutes on a broken node among it (DefaultTolerationSeconds).
func defaultPod(p *corev1.Pod) {
	if p.Spec.RestartPolicy == "" {
		p.Spec.RestartPolicy = corev1.RestartPolicyAlways
	}
	if p.Spec.TerminationGracePeriodSeconds == nil {
		grace := int64(corev1.DefaultTerminationGracePeriodSeconds)
		p.Spec.TerminationGracePeriodSeconds = &grace
	}
	if p.Spec.SchedulerName == "" {
		p.Spec.SchedulerName = corev1.DefaultSchedulerName
	}
	if p.Status.Phase == "" {
		p.Status.Phase = corev1.PodPending
	}
	for _, key := range []string{corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable} {
		if !tolerates(p, &corev1.Taint{Key: key, Effect: corev1.TaintEffectNoExecute}) {
			patience := int64(300)
			p.Spec.Tolerations = append(p.Spec.Tolerations, corev1.Toleration{
				Key: key, Operator: corev1.TolerationOpExists,
				Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &patience,
			})
		}
	}
}
