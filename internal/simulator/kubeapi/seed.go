package kubeapi

import (
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/rand"

	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// seed makes what a Talos cluster has from its first minute (09-objects-default-config.txt), as far as anybody
// looks at it. What is there already stays.
func (c *cluster) seed(conf world.APIServer) {
	if c.entry(namespaces, "", metav1.NamespaceDefault) != nil {
		return
	}
	for _, name := range []string{metav1.NamespaceDefault, corev1.NamespaceNodeLease, metav1.NamespacePublic, metav1.NamespaceSystem} {
		c.create(namespaces, &corev1.Namespace{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelMetadataName: name}},
			Status:     corev1.NamespaceStatus{Phase: corev1.NamespaceActive},
		})
		c.create(accounts, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: "default"}})
	}
	c.create(services, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: "kubernetes", Labels: map[string]string{"component": "apiserver", "provider": "kubernetes"}},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeClusterIP, ClusterIP: "10.96.0.1", ClusterIPs: []string{"10.96.0.1"},
			Ports: []corev1.ServicePort{{Name: "https", Protocol: corev1.ProtocolTCP, Port: 443, TargetPort: intstr.FromInt32(6443)}},
		},
	})
	c.create(secrets, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: "bootstrap-token-" + rand.String(6)},
		Type:       corev1.SecretTypeBootstrapToken,
	})
	c.create(daemonsets, systemDaemon("kube-flannel", "ghcr.io/siderolabs/flannel:v0.28.4"))
	c.create(daemonsets, systemDaemon("kube-proxy", "registry.k8s.io/kube-proxy:"+conf.Version))
	c.create(deployments, coreDNS())
}

func systemMeta(name string) (metav1.ObjectMeta, *metav1.LabelSelector, map[string]string) {
	own := map[string]string{"k8s-app": strings.TrimPrefix(name, "kube-")}
	return metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: name, Labels: own}, &metav1.LabelSelector{MatchLabels: own}, own
}

// systemDaemon runs on every node, whatever its taints.
func systemDaemon(name, image string) *appsv1.DaemonSet {
	meta, selector, own := systemMeta(name)
	return &appsv1.DaemonSet{ObjectMeta: meta, Spec: appsv1.DaemonSetSpec{Selector: selector, Template: corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: own},
		Spec: corev1.PodSpec{
			HostNetwork: true, PriorityClassName: "system-node-critical", Containers: []corev1.Container{{Name: name, Image: image}},
			Tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
		},
	}}}
}

func coreDNS() *appsv1.Deployment {
	meta, selector, own := systemMeta("coredns")
	two := int32(2)
	return &appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{Replicas: &two, Selector: selector, Template: corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: own},
		Spec: corev1.PodSpec{
			PriorityClassName: "system-cluster-critical",
			Containers:        []corev1.Container{{Name: "coredns", Image: "registry.k8s.io/coredns/coredns:v1.14.2"}},
			Tolerations:       []corev1.Toleration{{Key: labelControlPlane, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule}},
		},
	}}}
}
