package kubeapi

import (
	"fmt"
	"hash/fnv"
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/rand"
)

// podsOf lists the pods on a node.
func (c *cluster) podsOf(node string) []*corev1.Pod {
	var on []*corev1.Pod
	for _, p := range list[*corev1.Pod](c, pods, "") {
		if p.Spec.NodeName == node {
			on = append(on, p)
		}
	}
	return on
}

// isMirror says whether a pod only shows a static pod: it ends with its node, not by being deleted.
func isMirror(p *corev1.Pod) bool { return p.Annotations[corev1.MirrorPodAnnotationKey] != "" }

func ended(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodFailed || p.Status.Phase == corev1.PodSucceeded
}

func podReady(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func setPodReady(p *corev1.Pod, status corev1.ConditionStatus) {
	for i := range p.Status.Conditions {
		c := &p.Status.Conditions[i]
		if c.Type == corev1.PodReady && c.Status != status {
			c.Status, c.LastTransitionTime = status, now()
		}
	}
}

// spawn creates a pod from a template for its owner; node may be empty.
func (c *cluster) spawn(owner object, t corev1.PodTemplateSpec, node string) {
	p := &corev1.Pod{ObjectMeta: *t.ObjectMeta.DeepCopy(), Spec: *t.Spec.DeepCopy()}
	p.Name = owner.GetName() + "-" + rand.String(5)
	p.GenerateName = owner.GetName() + "-"
	p.Namespace = owner.GetNamespace()
	p.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(owner, owner.GetObjectKind().GroupVersionKind())}
	p.Spec.NodeName = node
	defaultPod(p)
	c.create(pods, p)
}

// owned finds the pods of an owner that are alive.
func (c *cluster) owned(owner object) []*corev1.Pod {
	var mine []*corev1.Pod
	for _, p := range list[*corev1.Pod](c, pods, owner.GetNamespace()) {
		if metav1.IsControlledBy(p, owner) && p.DeletionTimestamp == nil && !ended(p) {
			mine = append(mine, p)
		}
	}
	return mine
}

// syncPods is what the kubelet does for its pods: mirror pods for the static ones, start, stop.
func (l *kubelet) syncPods() {
	node, ok := get[*corev1.Node](l.cluster, nodes, "", l.conf.Node)
	if !ok || l.down() {
		return
	}
	if l.conf.ControlPlane {
		l.mirror(node)
	}
	for _, p := range l.podsOf(l.conf.Node) {
		switch {
		case p.DeletionTimestamp != nil:
			l.remove(pods, p.Namespace, p.Name)
		case !ended(p) && !podReady(p):
			modify(l.cluster, pods, p, func(p *corev1.Pod) { l.run(p, node) })
		}
	}
}

// stopPods ends the pods of a node that shuts down (recorded: Failed, reason Terminated, TerminationByKubelet).
func (l *kubelet) stopPods() {
	for _, p := range l.podsOf(l.conf.Node) {
		if ended(p) {
			continue
		}
		modify(l.cluster, pods, p, func(p *corev1.Pod) {
			p.Status.Phase, p.Status.Reason, p.Status.Message = corev1.PodFailed, "Terminated", "Pod was terminated in response to imminent node shutdown."
			setPodReady(p, corev1.ConditionFalse)
			for i := range p.Status.ContainerStatuses {
				s := &p.Status.ContainerStatuses[i]
				started := false
				s.Ready, s.Started = false, &started
				s.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Completed", FinishedAt: now()}}
			}
			p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{
				Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue,
				Reason: corev1.PodReasonTerminationByKubelet, Message: "Pod was terminated in response to imminent node shutdown.", LastTransitionTime: now(),
			})
		})
	}
}

// run says that a pod's containers run.
func (l *kubelet) run(p *corev1.Pod, node *corev1.Node) {
	at := now()
	host := addressOf(node, corev1.NodeInternalIP)
	s := &p.Status
	s.Phase, s.Reason, s.Message = corev1.PodRunning, "", ""
	s.HostIP, s.HostIPs = host, []corev1.HostIP{{IP: host}}
	s.PodIP = host
	if !p.Spec.HostNetwork {
		s.PodIP = podAddress(node.Spec.PodCIDR, p.Name)
	}
	s.PodIPs = []corev1.PodIP{{IP: s.PodIP}}
	s.QOSClass = corev1.PodQOSBurstable
	if s.StartTime == nil {
		s.StartTime = &at
	}
	s.Conditions = nil
	for _, kind := range []corev1.PodConditionType{corev1.PodReadyToStartContainers, corev1.PodInitialized, corev1.PodReady, corev1.ContainersReady, corev1.PodScheduled} {
		s.Conditions = append(s.Conditions, corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: at})
	}
	s.ContainerStatuses = nil
	for _, c := range p.Spec.Containers {
		started := true
		s.ContainerStatuses = append(s.ContainerStatuses, corev1.ContainerStatus{
			Name: c.Name, Image: c.Image, Ready: true, Started: &started,
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: at}},
		})
	}
}

// podAddress picks an address of the node's pod network.
func podAddress(cidr, name string) string {
	prefix, err := netip.ParsePrefix(cidr)
	if err != nil {
		return ""
	}
	h := fnv.New32a()
	h.Write([]byte(name))
	b := prefix.Addr().As4()
	b[3] = byte(2 + h.Sum32()%250)
	return netip.AddrFrom4(b).String()
}

// staticPods are what Talos runs on a control plane.
var staticPods = []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler"}

// mirror keeps the mirror pods of the static pods: made anew after a shutdown, and when their image changed.
func (l *kubelet) mirror(node *corev1.Node) {
	version := l.serves(l.conf.Node)
	if version == "" {
		version = l.conf.Version
	}
	for _, component := range staticPods {
		want := l.staticPod(node, component, version)
		if old, ok := get[*corev1.Pod](l.cluster, pods, want.Namespace, want.Name); ok {
			same := old.Spec.Containers[0].Image == want.Spec.Containers[0].Image && metav1.IsControlledBy(old, node)
			if same && !ended(old) && old.DeletionTimestamp == nil {
				continue
			}
			l.remove(pods, old.Namespace, old.Name)
		}
		l.create(pods, want)
	}
}

// staticPod follows 09-mirror-pod-kube-apiserver.yaml.
func (l *kubelet) staticPod(node *corev1.Node, component, version string) *corev1.Pod {
	hash := machineID(component + version + l.boot)
	priority := int32(2_000_000_000)
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: metav1.NamespaceSystem, Name: component + "-" + l.conf.Node,
			Annotations: map[string]string{
				"kubernetes.io/config.hash": hash, corev1.MirrorPodAnnotationKey: hash,
				"kubernetes.io/config.source": "http", "talos.dev/config-version": "1", "talos.dev/secrets-version": "1",
			},
			Labels: map[string]string{
				"app.kubernetes.io/component": "control-plane", "app.kubernetes.io/managed-by": "Talos",
				"app.kubernetes.io/name": component, "app.kubernetes.io/version": strings.TrimPrefix(version, "v"),
				"component": component, "k8s-app": component, "tier": "control-plane",
			},
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(node, nodes.kindVersion())},
		},
		Spec: corev1.PodSpec{
			NodeName: l.conf.Node, HostNetwork: true, DNSPolicy: corev1.DNSClusterFirst,
			Priority: &priority, PriorityClassName: "system-cluster-critical",
			Containers: []corev1.Container{{
				Name: component, Image: fmt.Sprintf("registry.k8s.io/%s:%s", component, version),
				Command: []string{"/usr/local/bin/" + component}, ImagePullPolicy: corev1.PullIfNotPresent,
			}},
			Tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute}},
		},
	}
	p.OwnerReferences[0].BlockOwnerDeletion = nil
	defaultPod(p)
	return p
}
