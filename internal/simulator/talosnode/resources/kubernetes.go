package resources

import (
	"net/netip"
	"strings"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/resources/k8s"
)

const staticPods = "http://127.0.0.1:41245" // where the kubelet asks for static pods; the port is a random one

// kubernetes are the resources of a node with a complete config: what the kubelet is told, what it says, and on
// control planes the static pods.
func (v View) kubernetes(w *wanted) {
	w.add("k8s.StaticPodServerController",
		with(k8s.NewStaticPodServerStatus(k8s.NamespaceName, k8s.StaticPodServerStatusResourceID), k8s.StaticPodServerStatusSpec{URL: staticPods}))
	if !v.configured() {
		return
	}
	v.kubelet(w)
	v.endpoints(w)
	v.node(w)
	if v.Type.IsControlPlane() {
		v.controlPlane(w)
	}
}

func (v View) kubelet(w *wanted) {
	c := v.Running.K8sKubeletConfig()
	if v.Nodename == "" || c == nil {
		return
	}
	w.add("k8s.NodenameController", with(k8s.NewNodename(k8s.NamespaceName, k8s.NodenameID),
		k8s.NodenameSpec{Nodename: v.Nodename, HostnameVersion: "1"}))
	pods, services := v.subnets()
	w.add("k8s.NodeIPConfigController", with(k8s.NewNodeIPConfig(k8s.NamespaceName, k8s.KubeletID),
		k8s.NodeIPConfigSpec{ValidSubnets: []string{"0.0.0.0/0"}, ExcludeSubnets: append(pods, services...)}))
	w.add("k8s.NodeIPController", with(k8s.NewNodeIP(k8s.NamespaceName, k8s.KubeletID), k8s.NodeIPSpec{Addresses: first(v.bare())}))
	w.add("k8s.KubeletConfigController", with(k8s.NewKubeletConfig(k8s.NamespaceName, k8s.KubeletID), k8s.KubeletConfigSpec{
		Image: c.Image(), ClusterDNS: filled(c.ClusterDNS()), ClusterDomain: v.domain(), ExtraConfig: c.ExtraConfig(),
		DefaultRuntimeSeccompEnabled: c.DefaultRuntimeSeccompProfileEnabled(),
		DisableManifestsDirectory:    c.DisableManifestsDirectory(), StaticPodListURL: staticPods,
	}))
	w.add("k8s.KubeletSpecController", with(k8s.NewKubeletSpec(k8s.NamespaceName, k8s.KubeletID), k8s.KubeletSpecSpec{
		Image: c.Image(), ExpectedNodename: v.Nodename,
		Args: []string{
			"--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubeconfig", "--cert-dir=/var/lib/kubelet/pki",
			"--config=/etc/kubernetes/kubelet.yaml", "--hostname-override=" + v.Nodename,
			"--kubeconfig=/etc/kubernetes/kubeconfig-kubelet",
		},
		Config: map[string]any{"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration"},
	}))
	w.add("", k8s.NewKubeletLifecycle(k8s.NamespaceName, k8s.KubeletLifecycleID))
}

// subnets of pods and services.
func (v View) subnets() (pods, services []string) {
	pods, services = []string{}, []string{}
	n := v.Running.K8sNetworkConfig()
	if n == nil {
		return pods, services
	}
	for _, p := range n.PodCIDRs() {
		pods = append(pods, p.String())
	}
	for _, p := range n.ServiceCIDRs() {
		services = append(services, p.String())
	}
	return pods, services
}

func (v View) domain() string {
	if n := v.Running.K8sNetworkConfig(); n != nil {
		return n.DNSDomain()
	}
	return ""
}

func first(all []netip.Addr) []netip.Addr { return all[:min(1, len(all))] }

// endpoints are where the API server is: by the config, by Kubernetes once the node can ask it, and what KubePrism
// makes of both.
func (v View) endpoints(w *wanted) {
	c := v.Running.K8sClusterConfig()
	if c == nil || c.ClusterEndpoint() == nil {
		return
	}
	host := c.ClusterEndpoint().Hostname()
	static := k8s.EndpointSpec{Addresses: []netip.Addr{}, Hosts: []string{}}
	if a, err := netip.ParseAddr(host); err == nil {
		static.Addresses = append(static.Addresses, a)
	} else {
		static.Hosts = append(static.Hosts, host)
	}
	w.add("k8s.StaticEndpointController",
		with(k8s.NewEndpoint(k8s.ControlPlaneNamespaceName, k8s.ControlPlaneKubernetesEndpointsID), static))
	if v.Node != nil {
		w.add("k8s.EndpointController", with(k8s.NewEndpoint(k8s.ControlPlaneNamespaceName, k8s.ControlPlaneAPIServerEndpointsID),
			k8s.EndpointSpec{Addresses: v.controlPlanes(), Hosts: []string{}}))
	}
	prism := v.Running.K8sKubePrismConfig()
	if prism == nil {
		return
	}
	all := []k8s.KubePrismEndpoint{{Host: host, Port: 6443}}
	if v.Type.IsControlPlane() {
		all = append(all, k8s.KubePrismEndpoint{Host: "localhost", Port: 6443})
	}
	for _, a := range v.controlPlanes() {
		all = append(all, k8s.KubePrismEndpoint{Host: a.String(), Port: 6443})
	}
	w.add("k8s.KubePrismEndpointsController", with(k8s.NewKubePrismEndpoints(k8s.NamespaceName, k8s.KubePrismEndpointsID),
		k8s.KubePrismEndpointsSpec{Endpoints: all}))
	w.add("k8s.KubePrismConfigController", with(k8s.NewKubePrismConfig(k8s.NamespaceName, k8s.KubePrismConfigID),
		k8s.KubePrismConfigSpec{Host: "127.0.0.1", Port: prism.Port(), Endpoints: all}))
	w.add("k8s.KubePrismController", with(k8s.NewKubePrismStatuses(k8s.NamespaceName, k8s.KubePrismStatusesID),
		k8s.KubePrismStatusesSpec{Host: "127.0.0.1:7445", Healthy: v.Node != nil}))
}

// node is what Kubernetes says and what the config wants it to say.
func (v View) node(w *wanted) {
	if n := v.Node; n != nil && v.Nodename != "" {
		w.add("k8s.NodeStatusController", with(k8s.NewNodeStatus(k8s.NamespaceName, v.Nodename), k8s.NodeStatusSpec{
			Nodename: v.Nodename, NodeReady: n.Ready, Unschedulable: n.Unschedulable, Labels: n.Labels,
			Annotations: n.Annotations, PodCIDRs: filled(n.PodCIDRs),
		}))
	}
	c := v.Running.K8sNodeConfig()
	if c == nil {
		return
	}
	labels := map[string]string{}
	for key, value := range c.Labels() {
		labels[key] = value
	}
	if v.Type.IsControlPlane() {
		labels["node-role.kubernetes.io/control-plane"] = ""
	}
	for key, value := range labels {
		w.add("k8s.NodeLabelSpecController", with(k8s.NewNodeLabelSpec(key), k8s.NodeLabelSpecSpec{Key: key, Value: value}))
	}
	for key, taint := range c.Taints() {
		value, effect, found := strings.Cut(taint, ":")
		if !found {
			value, effect = "", taint
		}
		w.add("k8s.NodeTaintSpecController", with(k8s.NewNodeTaintSpec(key), k8s.NodeTaintSpecSpec{Key: key, Value: value, Effect: effect}))
	}
	for key, value := range c.Annotations() {
		w.add("k8s.NodeAnnotationSpecController",
			with(k8s.NewNodeAnnotationSpec(key), k8s.NodeAnnotationSpecSpec{Key: key, Value: value}))
	}
}

// controlPlane is what only a control plane has.
func (v View) controlPlane(w *wanted) {
	w.add("k8s.RenderConfigsStaticPodController",
		with(k8s.NewConfigStatus(k8s.ControlPlaneNamespaceName, k8s.ConfigStatusStaticPodID), k8s.ConfigStatusSpec{Ready: true, Version: "1111"}))
	w.add("k8s.RenderSecretsStaticPodController",
		with(k8s.NewSecretsStatus(k8s.ControlPlaneNamespaceName, k8s.StaticPodSecretsStaticPodID), k8s.SecretsStatusSpec{Ready: true, Version: "1"}))
	v.components(w)
	for _, p := range v.StaticPods {
		w.add("k8s.ControlPlaneStaticPodController", with(k8s.NewStaticPod(k8s.NamespaceName, p.Name), k8s.StaticPodSpec{Pod: p.pod()}))
		if p.Running {
			w.add("k8s.KubeletStaticPodController", with(k8s.NewStaticPodStatus(k8s.NamespaceName, "kube-system/"+p.Name+"-"+v.Nodename),
				k8s.StaticPodStatusSpec{PodStatus: p.status(first(v.bare()))}))
		}
	}
	if v.Node != nil {
		w.add("k8s.ManifestApplyController", with(k8s.NewManifestStatus(k8s.ControlPlaneNamespaceName), k8s.ManifestStatusSpec{ManifestsApplied: []string{
			"00-kubelet-bootstrapping-token", "01-csr-approver-role-binding", "01-csr-node-bootstrap", "01-csr-renewal-role-binding",
			"11-kube-config-in-cluster", "11-talos-node-rbac-template",
		}}))
	}
}

// components are the settings of the three static pods, whose images a Kubernetes upgrade waits for.
func (v View) components(w *wanted) {
	none := map[string]k8s.ArgValues{}
	volumes, env := []k8s.ExtraVolume{}, map[string]string{}
	resources := k8s.Resources{Requests: map[string]string{"cpu": "", "memory": ""}, Limits: map[string]string{}}
	pods, services := v.subnets()
	if c := v.Running.K8sAPIServerConfig(); c != nil {
		w.add("k8s.ControlPlaneAPIServerController", with(k8s.NewAPIServerConfig(k8s.APIServerConfigID), k8s.APIServerConfigSpec{
			Image: c.Image(), LocalPort: c.APIPort(), EtcdServers: []string{"https://127.0.0.1:2379"}, AdvertisedAddress: "$(POD_IP)",
			ControlPlaneEndpoint: v.endpoint(), ServiceCIDRs: services, ExtraArgs: none, ExtraVolumes: volumes,
			EnvironmentVariables: env, Resources: resources,
		}))
	}
	if c := v.Running.K8sControllerManagerConfig(); c != nil {
		w.add("k8s.ControlPlaneControllerManagerController", with(k8s.NewControllerManagerConfig(k8s.ControllerManagerConfigID), k8s.ControllerManagerConfigSpec{
			Enabled: c.Enabled(), Image: c.Image(), PodCIDRs: pods, ServiceCIDRs: services,
			ExtraArgs: none, ExtraVolumes: volumes, EnvironmentVariables: env, Resources: resources,
		}))
	}
	if c := v.Running.K8sSchedulerConfig(); c != nil {
		w.add("k8s.ControlPlaneSchedulerController", with(k8s.NewSchedulerConfig(k8s.SchedulerConfigID), k8s.SchedulerConfigSpec{
			Enabled: c.Enabled(), Image: c.Image(), ExtraArgs: none, ExtraVolumes: volumes, EnvironmentVariables: env,
			Resources: resources, Config: map[string]any{},
		}))
	}
}

func (v View) endpoint() string {
	if c := v.Running.K8sClusterConfig(); c != nil && c.ClusterEndpoint() != nil {
		return c.ClusterEndpoint().String()
	}
	return ""
}

// pod is the static pod's manifest, without what only the kubelet reads.
func (p StaticPod) pod() map[string]any {
	_, version, _ := strings.Cut(p.Image, ":v")
	return map[string]any{
		"apiVersion": "v1", "kind": "Pod",
		"metadata": map[string]any{
			"name": p.Name, "namespace": "kube-system",
			"annotations": map[string]any{"talos.dev/config-version": "1", "talos.dev/secrets-version": "1"},
			"labels": map[string]any{
				"app.kubernetes.io/component": "control-plane", "app.kubernetes.io/managed-by": "Talos",
				"app.kubernetes.io/name": p.Name, "app.kubernetes.io/version": version,
				"component": p.Name, "k8s-app": p.Name, "tier": "control-plane",
			},
		},
		"spec": map[string]any{
			"hostNetwork": true, "priority": 2000000000, "priorityClassName": "system-cluster-critical",
			"containers": []any{map[string]any{"name": p.Name, "image": p.Image}},
		},
		"status": map[string]any{},
	}
}

// status is what the kubelet says of the pod.
func (p StaticPod) status(addresses []netip.Addr) map[string]any {
	since := p.Since.UTC().Format(time.RFC3339)
	ready := "False"
	if p.Healthy {
		ready = "True"
	}
	condition := func(kind, status string) any {
		return map[string]any{"type": kind, "status": status, "lastProbeTime": nil, "lastTransitionTime": since}
	}
	s := map[string]any{
		"phase": "Running", "qosClass": "Burstable", "startTime": since,
		"conditions": []any{
			condition("PodReadyToStartContainers", "True"), condition("Initialized", "True"), condition("Ready", ready),
			condition("ContainersReady", ready), condition("PodScheduled", "True"),
		},
		"containerStatuses": []any{map[string]any{
			"name": p.Name, "image": p.Image, "ready": p.Healthy, "started": true, "restartCount": 0,
			"lastState": map[string]any{}, "state": map[string]any{"running": map[string]any{"startedAt": since}},
		}},
	}
	for _, a := range addresses {
		ip := a.String()
		s["hostIP"], s["podIP"] = ip, ip
		s["hostIPs"], s["podIPs"] = []any{map[string]any{"ip": ip}}, []any{map[string]any{"ip": ip}}
	}
	return s
}
