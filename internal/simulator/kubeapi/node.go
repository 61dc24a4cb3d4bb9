package kubeapi

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	quantity "k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Marks that Talos leaves on its Node.
const (
	annotationCordoned    = "talos.dev/cordoned"
	annotationOwnedLabels = "talos.dev/owned-labels"
	annotationOwnedTaints = "talos.dev/owned-taints"
	labelControlPlane     = "node-role.kubernetes.io/control-plane"
	labelNoLoadBalancer   = "node.kubernetes.io/exclude-from-external-load-balancers"
)

func newUUID() string { return uuid.NewString() }

// register creates the node as a kubelet does, without role labels, or takes over the one that is there: a Node
// outlasts a reset of its machine. True says that it is new.
func (l *kubelet) register() bool {
	fresh := l.newNode()
	e, err := l.create(nodes, fresh)
	if err == nil {
		l.requestClientCertificate()
		l.announce(e.object)
		return true
	}
	e, err = l.update(nodes, "", l.conf.Node, func(o object) error {
		n := o.(*corev1.Node)
		for k, v := range fresh.Labels {
			setLabel(n, k, v)
		}
		ready := condition(n, corev1.NodeReady)
		conditions := fresh.Status.Conditions
		if ready != nil && ready.Status == corev1.ConditionTrue { // the kubelet restarted: still Ready
			conditions = n.Status.Conditions
		}
		n.Status = fresh.Status
		n.Status.Conditions = keepTransitions(conditions, o.(*corev1.Node).Status.Conditions)
		return nil
	})
	if err == nil {
		l.announce(e.object)
	}
	return false
}

func (l *kubelet) announce(n object) {
	l.record(n, "kubelet", corev1.EventTypeNormal, "Starting", "Starting kubelet.")
}

// newNode is what the kubelet of a Talos node registers (recorded in 09-node-*-first-registered.yaml).
func (l *kubelet) newNode() *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{
		Name:        l.conf.Node,
		Annotations: map[string]string{"volumes.kubernetes.io/controller-managed-attach-detach": "true"},
		Labels: map[string]string{
			"beta.kubernetes.io/arch": l.conf.Arch, "beta.kubernetes.io/os": "linux",
			corev1.LabelArchStable: l.conf.Arch, corev1.LabelOSStable: "linux", corev1.LabelHostname: l.conf.Node,
		},
	}}
	if l.conf.ControlPlane && !l.conf.Schedulable {
		n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: labelControlPlane, Effect: corev1.TaintEffectNoSchedule})
	}
	n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoSchedule})
	n.Status = l.status()
	return n
}

func (l *kubelet) status() corev1.NodeStatus {
	at := now()
	s := corev1.NodeStatus{
		Capacity:    l.capacity(0, 0),
		Allocatable: l.capacity(50, 512<<20), // what Talos reserves for the system
		Conditions: []corev1.NodeCondition{
			{Type: corev1.NodeMemoryPressure, Status: corev1.ConditionFalse, Reason: "KubeletHasSufficientMemory", Message: "kubelet has sufficient memory available"},
			{Type: corev1.NodeDiskPressure, Status: corev1.ConditionFalse, Reason: "KubeletHasNoDiskPressure", Message: "kubelet has no disk pressure"},
			{Type: corev1.NodePIDPressure, Status: corev1.ConditionFalse, Reason: "KubeletHasSufficientPID", Message: "kubelet has sufficient PID available"},
			{Type: corev1.NodeReady, Status: corev1.ConditionFalse, Reason: "KubeletNotReady", Message: "CSINode is not yet initialized"},
		},
		DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: 10250}},
		NodeInfo: corev1.NodeSystemInfo{
			MachineID: machineID(l.conf.Node), SystemUUID: l.systemUUID(), BootID: l.boot, KernelVersion: kernelOf(l.conf.TalosVersion),
			OSImage: fmt.Sprintf("Talos (%s)", l.conf.TalosVersion), ContainerRuntimeVersion: "containerd://2.2.4",
			KubeletVersion: l.conf.Version, OperatingSystem: "linux", Architecture: l.conf.Arch,
		},
	}
	for i := range s.Conditions {
		s.Conditions[i].LastHeartbeatTime, s.Conditions[i].LastTransitionTime = at, at
	}
	for _, a := range l.conf.Addresses {
		s.Addresses = append(s.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: a.String()})
	}
	s.Addresses = append(s.Addresses, corev1.NodeAddress{Type: corev1.NodeHostName, Address: l.conf.Node})
	return s
}

func (l *kubelet) capacity(lessMilli, lessBytes int64) corev1.ResourceList {
	return corev1.ResourceList{
		corev1.ResourceCPU:    *quantity.NewMilliQuantity(max(int64(l.conf.Cores)*1000-lessMilli, 0), quantity.DecimalSI),
		corev1.ResourceMemory: *quantity.NewQuantity(max(l.conf.MemoryBytes-lessBytes, 0), quantity.BinarySI),
		corev1.ResourcePods:   *quantity.NewQuantity(110, quantity.DecimalSI),
		"hugepages-1Gi":       *quantity.NewQuantity(0, quantity.DecimalSI),
		"hugepages-2Mi":       *quantity.NewQuantity(0, quantity.DecimalSI),
	}
}

func (l *kubelet) systemUUID() string {
	if l.conf.UUID != "" {
		return l.conf.UUID
	}
	return machineID(l.conf.Node)
}

// machineID is stable for a name, as a machine's is.
func machineID(name string) string {
	sum := md5.Sum([]byte(name))
	return hex.EncodeToString(sum[:])
}

// kernelOf is the kernel that a Talos release carries.
func kernelOf(talos string) string {
	if strings.HasPrefix(talos, "v1.13.") {
		return "6.18.44-talos"
	}
	return "6.18.50-talos"
}

func condition(n *corev1.Node, kind corev1.NodeConditionType) *corev1.NodeCondition {
	for i := range n.Status.Conditions {
		if n.Status.Conditions[i].Type == kind {
			return &n.Status.Conditions[i]
		}
	}
	return nil
}

func isReady(n *corev1.Node) bool {
	ready := condition(n, corev1.NodeReady)
	return ready != nil && ready.Status == corev1.ConditionTrue
}

// setReady changes the Ready condition, and with Unknown or True all the others.
func setReady(n *corev1.Node, status corev1.ConditionStatus, reason, message string) {
	at := now()
	for i := range n.Status.Conditions {
		c := &n.Status.Conditions[i]
		if c.Type != corev1.NodeReady {
			continue
		}
		if c.Status != status {
			c.LastTransitionTime = at
		}
		if status != corev1.ConditionUnknown {
			c.LastHeartbeatTime = at
		}
		c.Status, c.Reason, c.Message = status, reason, message
	}
}

// keepTransitions gives next the times at which conditions last changed.
func keepTransitions(next, last []corev1.NodeCondition) []corev1.NodeCondition {
	next = slices.Clone(next)
	for i := range next {
		for _, old := range last {
			if old.Type == next[i].Type && old.Status == next[i].Status {
				next[i].LastTransitionTime = old.LastTransitionTime
			}
		}
	}
	return next
}

func setLabel(o object, key, value string) {
	all := maps.Clone(o.GetLabels())
	if all == nil {
		all = map[string]string{}
	}
	all[key] = value
	o.SetLabels(all)
}

func setAnnotation(o object, key, value string) {
	all := maps.Clone(o.GetAnnotations())
	if all == nil {
		all = map[string]string{}
	}
	all[key] = value
	o.SetAnnotations(all)
}
