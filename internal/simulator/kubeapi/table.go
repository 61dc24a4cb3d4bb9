package kubeapi

import (
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/duration"
)

// printer is how kubectl shows a resource: "Name" columns, those with a "+" only with -o wide.
// The columns follow kubernetes/pkg/printers/internalversion.
type printer struct {
	columns string
	row     func(object) []any
}

var plain = printer{"Name,Age", func(o object) []any { return []any{o.GetName(), ageOf(o.GetCreationTimestamp())} }}

// printers are those of the resources whose columns people read.
var printers = map[*resource]printer{
	nodes:       {"Name,Status,Roles,Age,Version,+Internal-IP,+External-IP,+OS-Image,+Kernel-Version,+Container-Runtime", nodeRow},
	pods:        {"Name,Ready,Status,Restarts,Age,+IP,+Node,+Nominated Node,+Readiness Gates", podRow},
	namespaces:  {"Name,Status,Age", namespaceRow},
	deployments: {"Name,Ready,Up-to-date,Available,Age", deploymentRow},
	daemonsets:  {"Name,Desired,Current,Ready,Up-to-date,Available,Node Selector,Age", daemonsetRow},
	budgets:     {"Name,Min Available,Max Unavailable,Allowed Disruptions,Age", budgetRow},
	csrs:        {"Name,Age,SignerName,Requestor,RequestedDuration,Condition", csrRow},
	events:      {"Last Seen,Type,Reason,Object,Message", eventRow},
}

func (q *request) table(page []*entry, meta metav1.ListMeta) *metav1.Table {
	p, ok := printers[q.res]
	if !ok {
		p = plain
	}
	t := &metav1.Table{TypeMeta: metav1.TypeMeta{Kind: "Table", APIVersion: "meta.k8s.io/v1"}, ListMeta: meta, Rows: []metav1.TableRow{}}
	for name := range strings.SplitSeq(p.columns, ",") {
		d := metav1.TableColumnDefinition{Name: strings.TrimPrefix(name, "+"), Type: "string"}
		if strings.HasPrefix(name, "+") {
			d.Priority = 1
		}
		if name == "Name" {
			d.Format = "name"
		}
		t.ColumnDefinitions = append(t.ColumnDefinitions, d)
	}
	for _, e := range page {
		row := metav1.TableRow{Cells: p.row(e.object)}
		switch q.query.Get("includeObject") {
		case string(metav1.IncludeNone):
		case string(metav1.IncludeObject):
			row.Object = runtime.RawExtension{Raw: e.JSON()}
		default:
			row.Object = runtime.RawExtension{Raw: encode(partial(e.object))}
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func ageOf(t metav1.Time) string {
	if t.IsZero() {
		return "<unknown>"
	}
	return duration.HumanDuration(time.Since(t.Time))
}

func nodeRow(o object) []any {
	n := o.(*corev1.Node)
	status := "NotReady"
	switch ready := condition(n, corev1.NodeReady); {
	case ready == nil:
		status = "Unknown"
	case ready.Status == corev1.ConditionTrue:
		status = "Ready"
	}
	if n.Spec.Unschedulable {
		status += ",SchedulingDisabled"
	}
	info := n.Status.NodeInfo
	return []any{
		n.Name, status, rolesOf(n), ageOf(n.CreationTimestamp), info.KubeletVersion, addressOf(n, corev1.NodeInternalIP),
		addressOf(n, corev1.NodeExternalIP), info.OSImage, info.KernelVersion, info.ContainerRuntimeVersion,
	}
}

func rolesOf(n *corev1.Node) string {
	var roles []string
	for k := range n.Labels {
		if role, ok := strings.CutPrefix(k, "node-role.kubernetes.io/"); ok && role != "" {
			roles = append(roles, role)
		}
	}
	if len(roles) == 0 {
		return "<none>"
	}
	slices.Sort(roles)
	return strings.Join(roles, ",")
}

func addressOf(n *corev1.Node, kind corev1.NodeAddressType) string {
	for _, a := range n.Status.Addresses {
		if a.Type == kind {
			return a.Address
		}
	}
	return "<none>"
}

func podRow(o object) []any {
	p := o.(*corev1.Pod)
	ready, restarts := 0, 0
	for _, c := range p.Status.ContainerStatuses {
		restarts += int(c.RestartCount)
		if c.Ready {
			ready++
		}
	}
	status := string(p.Status.Phase)
	if p.Status.Reason != "" {
		status = p.Status.Reason
	}
	switch {
	case p.DeletionTimestamp != nil:
		status = "Terminating"
	case p.Status.Phase == corev1.PodPending && p.Spec.NodeName != "":
		status = "ContainerCreating"
	case p.Status.Phase == corev1.PodSucceeded:
		status = "Completed"
	}
	return []any{
		p.Name, fmt.Sprintf("%d/%d", ready, len(p.Spec.Containers)), status, itoa(restarts), ageOf(p.CreationTimestamp),
		orNone(p.Status.PodIP), orNone(p.Spec.NodeName), orNone(p.Status.NominatedNodeName), "<none>",
	}
}

func orNone(s string) string {
	if s == "" {
		return "<none>"
	}
	return s
}

func namespaceRow(o object) []any {
	return []any{o.GetName(), string(o.(*corev1.Namespace).Status.Phase), ageOf(o.GetCreationTimestamp())}
}

func deploymentRow(o object) []any {
	d := o.(*appsv1.Deployment)
	return []any{
		d.Name, fmt.Sprintf("%d/%d", d.Status.ReadyReplicas, *d.Spec.Replicas), itoa(int(d.Status.UpdatedReplicas)),
		itoa(int(d.Status.AvailableReplicas)), ageOf(d.CreationTimestamp),
	}
}

func daemonsetRow(o object) []any {
	d := o.(*appsv1.DaemonSet)
	return []any{
		d.Name, itoa(int(d.Status.DesiredNumberScheduled)), itoa(int(d.Status.CurrentNumberScheduled)), itoa(int(d.Status.NumberReady)),
		itoa(int(d.Status.UpdatedNumberScheduled)), itoa(int(d.Status.NumberAvailable)),
		orNone(metav1.FormatLabelSelector(&metav1.LabelSelector{MatchLabels: d.Spec.Template.Spec.NodeSelector})), ageOf(d.CreationTimestamp),
	}
}

func budgetRow(o object) []any {
	b := o.(*policyv1.PodDisruptionBudget)
	least, most := "N/A", "N/A"
	if b.Spec.MinAvailable != nil {
		least = b.Spec.MinAvailable.String()
	}
	if b.Spec.MaxUnavailable != nil {
		most = b.Spec.MaxUnavailable.String()
	}
	return []any{b.Name, least, most, itoa(int(b.Status.DisruptionsAllowed)), ageOf(b.CreationTimestamp)}
}

func csrRow(o object) []any {
	c := o.(*certificatesv1.CertificateSigningRequest)
	var words []string
	for _, cond := range c.Status.Conditions {
		words = append(words, string(cond.Type))
	}
	if len(words) == 0 {
		words = []string{"Pending"}
	}
	if len(c.Status.Certificate) > 0 {
		words = append(words, "Issued")
	}
	lasts := "<none>"
	if c.Spec.ExpirationSeconds != nil {
		lasts = duration.HumanDuration(time.Duration(*c.Spec.ExpirationSeconds) * time.Second)
	}
	return []any{c.Name, ageOf(c.CreationTimestamp), c.Spec.SignerName, c.Spec.Username, lasts, strings.Join(words, ",")}
}

func eventRow(o object) []any {
	e := o.(*corev1.Event)
	return []any{ageOf(e.LastTimestamp), e.Type, e.Reason, strings.ToLower(e.InvolvedObject.Kind) + "/" + e.InvolvedObject.Name, e.Message}
}
