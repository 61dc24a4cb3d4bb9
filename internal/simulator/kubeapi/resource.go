package kubeapi

import (
	"reflect"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// resource is one line of the API: how objects of a kind are called, made and selected.
type resource struct {
	version    schema.GroupVersion
	plural     string
	kind       string
	namespaced bool
	short      []string
	all        bool   // of the category "all" (kubectl get all)
	subs       string // subresources, space separated
	generation bool   // counts changes of its spec
	make       func() object
	fields     func(object) fields.Set // selectable beyond name and namespace; may be nil
}

// The resources that the simulator itself works with.
var (
	nodes      = &resource{version: corev1.SchemeGroupVersion, plural: "nodes", kind: "Node", short: []string{"no"}, subs: "status", make: func() object { return &corev1.Node{} }, fields: nodeFields}
	namespaces = &resource{version: corev1.SchemeGroupVersion, plural: "namespaces", kind: "Namespace", short: []string{"ns"}, subs: "status", make: func() object { return &corev1.Namespace{} }, fields: namespaceFields}
	pods       = &resource{version: corev1.SchemeGroupVersion, plural: "pods", kind: "Pod", namespaced: true, short: []string{"po"}, all: true, subs: "status eviction", generation: true, make: func() object { return &corev1.Pod{} }, fields: podFields}
	events     = &resource{version: corev1.SchemeGroupVersion, plural: "events", kind: "Event", namespaced: true, short: []string{"ev"}, make: func() object { return &corev1.Event{} }, fields: eventFields}
	configmaps = &resource{version: corev1.SchemeGroupVersion, plural: "configmaps", kind: "ConfigMap", namespaced: true, short: []string{"cm"}, make: func() object { return &corev1.ConfigMap{} }}
	secrets    = &resource{version: corev1.SchemeGroupVersion, plural: "secrets", kind: "Secret", namespaced: true, make: func() object { return &corev1.Secret{} }, fields: secretFields}
	services   = &resource{version: corev1.SchemeGroupVersion, plural: "services", kind: "Service", namespaced: true, short: []string{"svc"}, all: true, subs: "status", make: func() object { return &corev1.Service{} }}
	endpoints  = &resource{version: corev1.SchemeGroupVersion, plural: "endpoints", kind: "Endpoints", namespaced: true, short: []string{"ep"}, make: func() object { return &corev1.Endpoints{} }} //nolint:staticcheck // deprecated, and still what "kubernetes" has
	accounts   = &resource{version: corev1.SchemeGroupVersion, plural: "serviceaccounts", kind: "ServiceAccount", namespaced: true, short: []string{"sa"}, make: func() object { return &corev1.ServiceAccount{} }}

	deployments = &resource{version: appsv1.SchemeGroupVersion, plural: "deployments", kind: "Deployment", namespaced: true, short: []string{"deploy"}, all: true, subs: "status", generation: true, make: func() object { return &appsv1.Deployment{} }}
	replicasets = &resource{version: appsv1.SchemeGroupVersion, plural: "replicasets", kind: "ReplicaSet", namespaced: true, short: []string{"rs"}, all: true, subs: "status", generation: true, make: func() object { return &appsv1.ReplicaSet{} }}
	daemonsets  = &resource{version: appsv1.SchemeGroupVersion, plural: "daemonsets", kind: "DaemonSet", namespaced: true, short: []string{"ds"}, all: true, subs: "status", generation: true, make: func() object { return &appsv1.DaemonSet{} }}

	leases  = &resource{version: coordinationv1.SchemeGroupVersion, plural: "leases", kind: "Lease", namespaced: true, make: func() object { return &coordinationv1.Lease{} }}
	csrs    = &resource{version: certificatesv1.SchemeGroupVersion, plural: "certificatesigningrequests", kind: "CertificateSigningRequest", short: []string{"csr"}, subs: "status approval", make: func() object { return &certificatesv1.CertificateSigningRequest{} }, fields: csrFields}
	budgets = &resource{version: policyv1.SchemeGroupVersion, plural: "poddisruptionbudgets", kind: "PodDisruptionBudget", namespaced: true, short: []string{"pdb"}, subs: "status", generation: true, make: func() object { return &policyv1.PodDisruptionBudget{} }}
)

// resources is the whole API, in the order of discovery.
var resources = []*resource{
	configmaps, endpoints, events, namespaces, nodes, pods, secrets, accounts, services,
	daemonsets, deployments, replicasets,
	{version: appsv1.SchemeGroupVersion, plural: "statefulsets", kind: "StatefulSet", namespaced: true, short: []string{"sts"}, all: true, subs: "status", generation: true, make: func() object { return &appsv1.StatefulSet{} }},
	csrs, leases, budgets,
	{version: rbacv1.SchemeGroupVersion, plural: "clusterrolebindings", kind: "ClusterRoleBinding", make: func() object { return &rbacv1.ClusterRoleBinding{} }},
	{version: rbacv1.SchemeGroupVersion, plural: "clusterroles", kind: "ClusterRole", make: func() object { return &rbacv1.ClusterRole{} }},
	{version: rbacv1.SchemeGroupVersion, plural: "rolebindings", kind: "RoleBinding", namespaced: true, make: func() object { return &rbacv1.RoleBinding{} }},
	{version: rbacv1.SchemeGroupVersion, plural: "roles", kind: "Role", namespaced: true, make: func() object { return &rbacv1.Role{} }},
}

// find gives the resource of a path, nil if the API has none such.
func find(version schema.GroupVersion, plural string) *resource {
	for _, r := range resources {
		if r.plural == plural && r.version == version {
			return r
		}
	}
	return nil
}

func (r *resource) groupResource() schema.GroupResource {
	return schema.GroupResource{Group: r.version.Group, Resource: r.plural}
}

func (r *resource) kindVersion() schema.GroupVersionKind { return r.version.WithKind(r.kind) }

// has says whether the resource has a subresource.
func (r *resource) has(sub string) bool {
	for s := range strings.FieldsSeq(r.subs) {
		if s == sub {
			return true
		}
	}
	return false
}

func (r *resource) singular() string { return strings.ToLower(r.kind) }

// part gives a field of a typed object, "Spec" or "Status"; nil if it has none.
func part(o object, name string) any {
	f := reflect.ValueOf(o).Elem().FieldByName(name)
	if !f.IsValid() {
		return nil
	}
	return f.Interface()
}

// copyPart sets to's field from from's.
func copyPart(to, from object, name string) {
	f := reflect.ValueOf(to).Elem().FieldByName(name)
	if f.IsValid() {
		f.Set(reflect.ValueOf(from.DeepCopyObject()).Elem().FieldByName(name))
	}
}

func nodeFields(o object) fields.Set {
	n := o.(*corev1.Node)
	return fields.Set{"spec.unschedulable": boolText(n.Spec.Unschedulable)}
}

func namespaceFields(o object) fields.Set {
	return fields.Set{"status.phase": string(o.(*corev1.Namespace).Status.Phase)}
}

func podFields(o object) fields.Set {
	p := o.(*corev1.Pod)
	return fields.Set{
		"spec.nodeName":            p.Spec.NodeName,
		"spec.restartPolicy":       string(p.Spec.RestartPolicy),
		"spec.schedulerName":       p.Spec.SchedulerName,
		"spec.serviceAccountName":  p.Spec.ServiceAccountName,
		"spec.hostNetwork":         boolText(p.Spec.HostNetwork),
		"status.phase":             string(p.Status.Phase),
		"status.podIP":             p.Status.PodIP,
		"status.nominatedNodeName": p.Status.NominatedNodeName,
	}
}

func eventFields(o object) fields.Set {
	e := o.(*corev1.Event)
	return fields.Set{
		"involvedObject.kind":            e.InvolvedObject.Kind,
		"involvedObject.namespace":       e.InvolvedObject.Namespace,
		"involvedObject.name":            e.InvolvedObject.Name,
		"involvedObject.uid":             string(e.InvolvedObject.UID),
		"involvedObject.apiVersion":      e.InvolvedObject.APIVersion,
		"involvedObject.resourceVersion": e.InvolvedObject.ResourceVersion,
		"involvedObject.fieldPath":       e.InvolvedObject.FieldPath,
		"reason":                         e.Reason,
		"reportingComponent":             e.ReportingController,
		"source":                         e.Source.Component,
		"type":                           e.Type,
	}
}

func secretFields(o object) fields.Set { return fields.Set{"type": string(o.(*corev1.Secret).Type)} }

func csrFields(o object) fields.Set {
	return fields.Set{"spec.signerName": o.(*certificatesv1.CertificateSigningRequest).Spec.SignerName}
}

func boolText(b bool) string {
	if b {
		return "true"
	}
	return "false"
}
