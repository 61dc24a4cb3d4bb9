package diff

import "strconv"

// firstMinor is the first minor of Talos 1 that the tables know.
const firstMinor = 6

func oneDot(minor int) string { return "v1." + strconv.Itoa(minor) }

// immediateSince has the fields of the v1alpha1 document that a node takes without a reboot, and since when.
//
// Source: Runtime.CanApplyImmediate in internal/app/machined/pkg/runtime/v1alpha1/v1alpha1_runtime.go of siderolabs/talos,
// the same in every patch release of a minor from v1.6.0 to v1.13.9. It sets these fields of the new config to those of
// the running one, then compares both with reflect.DeepEqual. Other documents are not looked at. From v1.14 on (commit
// 995bc30d5) there is no such check: every change is taken without a reboot. testdata/immediate.txt has the fields as
// each version names them.
var immediateSince = map[string]int{
	"debug": 6, "cluster": 6,
	"machine.time": 6, "machine.certSANs": 6, "machine.install": 6, "machine.network": 6, "machine.sysfs": 6,
	"machine.sysctls": 6, "machine.logging": 6, "machine.controlPlane": 6, "machine.kubelet": 6, "machine.kernel": 6,
	"machine.registries": 6, "machine.pods": 6, "machine.seccompProfiles": 6, "machine.nodeLabels": 6,
	"machine.nodeTaints": 6, "machine.features.kubernetesTalosAPIAccess": 6, "machine.features.kubePrism": 6,
	"machine.ca": 7, "machine.acceptedCAs": 7, "machine.features.hostDNS": 7,
	"machine.nodeAnnotations":     8,
	"machine.features.imageCache": 9, "machine.features.nodeAddressSortAlgorithm": 9,
}

// withoutCheck is the first minor that takes every change without a reboot.
const withoutCheck = 14

func immediate(unit string, minor int) bool {
	since, known := immediateSince[unit]
	return minor >= withoutCheck || known && minor >= since
}

// rule is what a node does with a change of a field that it takes.
type rule struct {
	kind, field  string
	op           Op // of one only, where it is not ""
	since, until int
	effect       Effect
	services     []string
	why          string
	controlPlane bool // only control planes use it
}

// What several rules say.
const (
	bootOnly    = "it is read when the node boots"
	installOnly = "it is used when Talos is installed or upgraded, not by a node that runs"
	onceMade    = "it is used when the volume is created; one that exists stays as it is"
	notUpdated  = "Talos creates objects that are missing and leaves those that exist; `talosctl upgrade-k8s` updates them"
	etcdOnStart = "etcd reads it when it starts, and Talos does not restart etcd for a change"
	unlockOnly  = "it is applied when the volume is unlocked"
	envOnStart  = "services keep the environment they were started with, and a variable that was removed stays set"
	neverUnload = "Talos never unloads a module, and sets parameters only when it loads one"
	keepAddress = "nodes, pods and services that have an address of the old networks keep it"
	authOnStart = "containerd reads registry credentials when it starts"
)

// rules are the fields whose changes do not simply take effect at once. Sources: "Editing Machine Configuration" of each
// version's guide, and the controllers and boot sequence of v1.6.8, v1.13.9 and v1.14.0-rc.1: k8s/kubelet_service.go,
// k8s/manifest_apply.go, runtime/kernel_module_spec.go, runtime/environment.go, files/cri_config.go, cri/service.go,
// files/udev.go, runtime/extension_service.go and v1alpha1_sequencer_tasks.go.
var rules = []rule{
	// install and upgrade
	{kind: v1alpha1Kind, field: "machine.install", effect: AtInstall, why: installOnly},
	{kind: "UnattendedInstallConfig", effect: AtInstall, why: installOnly},

	// the boot sequence; before v1.14 the check above says so
	{kind: v1alpha1Kind, field: "machine.type", since: withoutCheck, effect: AfterReboot, why: bootOnly},
	{kind: v1alpha1Kind, field: "machine.files", since: withoutCheck, effect: AfterReboot, why: bootOnly},
	{kind: v1alpha1Kind, field: "machine.features.diskQuotaSupport", since: withoutCheck, effect: AfterReboot, why: "it is read when the volume is mounted"},
	{kind: "SecurityProfileConfig", since: withoutCheck, effect: AfterReboot, why: bootOnly},

	// environment
	{kind: v1alpha1Kind, field: "machine.env", since: withoutCheck, effect: AfterReboot, why: envOnStart},
	{kind: "EnvironmentConfig", effect: AfterReboot, why: envOnStart},

	// kernel modules: one that is new is loaded at once
	{kind: v1alpha1Kind, field: "machine.kernel.modules", op: Changed, effect: AfterReboot, why: neverUnload},
	{kind: v1alpha1Kind, field: "machine.kernel.modules", op: Removed, effect: AfterReboot, why: neverUnload},
	{kind: v1alpha1Kind, field: "machine.kernel.modules[].parameters", effect: AfterReboot, why: neverUnload},
	{kind: "KernelModuleConfig", field: "parameters", effect: AfterReboot, why: neverUnload},
	{kind: "KernelModuleConfig", op: Removed, effect: AfterReboot, why: neverUnload},

	// volumes
	{kind: v1alpha1Kind, field: "machine.systemDiskEncryption", since: withoutCheck, effect: AfterReboot, why: unlockOnly},
	{kind: "VolumeConfig", field: "encryption", effect: AfterReboot, why: unlockOnly},
	{kind: "UserVolumeConfig", field: "encryption", effect: AfterReboot, why: unlockOnly},
	{kind: "RawVolumeConfig", field: "encryption", effect: AfterReboot, why: unlockOnly},
	{kind: "SwapVolumeConfig", field: "encryption", effect: AfterReboot, why: unlockOnly},
	{kind: "VolumeConfig", field: "provisioning", effect: AtInstall, why: onceMade},

	// containerd of Kubernetes
	{kind: v1alpha1Kind, field: "machine.registries.config", until: withoutCheck - 1, effect: AfterReboot, why: authOnStart},
	{kind: v1alpha1Kind, field: "machine.registries.config", since: withoutCheck, effect: Restart, services: []string{"cri"}, why: authOnStart},
	{kind: v1alpha1Kind, field: "machine.registries.config.*.tls", effect: Immediate},
	{kind: "RegistryAuthConfig", until: withoutCheck - 1, effect: AfterReboot, why: authOnStart},
	{kind: "RegistryAuthConfig", since: withoutCheck, effect: Restart, services: []string{"cri"}, why: authOnStart},
	{kind: v1alpha1Kind, field: "machine.baseRuntimeSpecOverrides", since: withoutCheck, effect: Restart, services: []string{"cri"}},
	{kind: "CRIBaseRuntimeSpecConfig", effect: Restart, services: []string{"cri"}},
	{kind: "CRICustomizationConfig", effect: Restart, services: []string{"cri"}},

	// kubelet
	{kind: v1alpha1Kind, field: "machine.kubelet", effect: Restart, services: []string{"kubelet"}},
	{kind: v1alpha1Kind, field: "cluster.controlPlane", effect: Restart, services: []string{"kubelet"}},
	{kind: v1alpha1Kind, field: "cluster.network.dnsDomain", effect: Restart, services: []string{"kubelet"}},
	{kind: v1alpha1Kind, field: "machine.network.hostname", effect: Restart, services: []string{"kubelet"}, why: "the node joins Kubernetes under its new name; the old node object stays"},
	{kind: "HostnameConfig", effect: Restart, services: []string{"kubelet"}, why: "the node joins Kubernetes under its new name; the old node object stays"},
	{kind: "KubeletConfig", effect: Restart, services: []string{"kubelet"}},
	{kind: "KubeNodeConfig", field: "nodeIP", effect: Restart, services: []string{"kubelet"}},
	{kind: "KubeCredentialProviderConfig", effect: Restart, services: []string{"kubelet"}},
	{kind: "KubeClusterConfig", field: "endpoint", effect: Restart, services: []string{"kubelet"}},

	// networks of Kubernetes: they are in arguments of these, and what has an address keeps it
	{kind: v1alpha1Kind, field: "cluster.network.podSubnets", effect: Restart, services: []string{"kube-controller-manager"}, why: keepAddress, controlPlane: true},
	{kind: v1alpha1Kind, field: "cluster.network.serviceSubnets", effect: Restart, services: []string{"kubelet", "kube-apiserver", "kube-controller-manager"}, why: keepAddress},
	{kind: "KubeNetworkConfig", field: "dnsDomain", effect: Restart, services: []string{"kubelet"}},
	{kind: "KubeNetworkConfig", field: "podSubnets", effect: Restart, services: []string{"kube-controller-manager"}, why: keepAddress, controlPlane: true},
	{kind: "KubeNetworkConfig", field: "serviceSubnets", effect: Restart, services: []string{"kubelet", "kube-apiserver", "kube-controller-manager"}, why: keepAddress},

	// control planes: static pods are written anew, which restarts them
	{kind: v1alpha1Kind, field: "cluster.apiServer", effect: Restart, services: []string{"kube-apiserver"}, controlPlane: true},
	{kind: v1alpha1Kind, field: "cluster.controllerManager", effect: Restart, services: []string{"kube-controller-manager"}, controlPlane: true},
	{kind: v1alpha1Kind, field: "cluster.scheduler", effect: Restart, services: []string{"kube-scheduler"}, controlPlane: true},
	{kind: v1alpha1Kind, field: "cluster.serviceAccount", effect: Restart, services: []string{"kube-apiserver", "kube-controller-manager"}, controlPlane: true},
	{kind: v1alpha1Kind, field: "cluster.etcd", effect: AfterReboot, why: etcdOnStart, controlPlane: true},
	{kind: "KubeAPIServerConfig", effect: Restart, services: []string{"kube-apiserver"}, controlPlane: true},
	{kind: "KubeAdmissionControlConfig", effect: Restart, services: []string{"kube-apiserver"}, controlPlane: true},
	{kind: "KubeAuditPolicyConfig", effect: Restart, services: []string{"kube-apiserver"}, controlPlane: true},
	{kind: "KubeAuthenticationConfig", effect: Restart, services: []string{"kube-apiserver"}, controlPlane: true},
	{kind: "KubeAuthorizerConfig", effect: Restart, services: []string{"kube-apiserver"}, controlPlane: true},
	{kind: "KubeEtcdEncryptionConfig", effect: Restart, services: []string{"kube-apiserver"}, controlPlane: true},
	{kind: "KubeServiceAccountConfig", effect: Restart, services: []string{"kube-apiserver", "kube-controller-manager"}, controlPlane: true},
	{kind: "KubeControllerManagerConfig", effect: Restart, services: []string{"kube-controller-manager"}, controlPlane: true},
	{kind: "KubeSchedulerConfig", effect: Restart, services: []string{"kube-scheduler"}, controlPlane: true},

	// manifests
	{kind: v1alpha1Kind, field: "cluster.proxy", effect: NewObjects, why: notUpdated, controlPlane: true},
	{kind: v1alpha1Kind, field: "cluster.coreDNS", effect: NewObjects, why: notUpdated, controlPlane: true},
	{kind: v1alpha1Kind, field: "cluster.network.cni", effect: NewObjects, why: notUpdated, controlPlane: true},
	{kind: v1alpha1Kind, field: "cluster.inlineManifests", effect: NewObjects, why: notUpdated, controlPlane: true},
	{kind: v1alpha1Kind, field: "cluster.extraManifests", effect: NewObjects, why: notUpdated, controlPlane: true},
	{kind: v1alpha1Kind, field: "cluster.externalCloudProvider", effect: NewObjects, why: notUpdated, controlPlane: true},
	{kind: "KubeProxyConfig", effect: NewObjects, why: notUpdated, controlPlane: true},
	{kind: "KubeCoreDNSConfig", effect: NewObjects, why: notUpdated, controlPlane: true},
	{kind: "KubeFlannelCNIConfig", effect: NewObjects, why: notUpdated, controlPlane: true},
	{kind: "KubeInlineManifestConfig", effect: NewObjects, why: notUpdated, controlPlane: true},
	{kind: "KubeExternalManifestConfig", effect: NewObjects, why: notUpdated, controlPlane: true},

	// services of extensions, by name
	{kind: "ExtensionServiceConfig", effect: Restart},
}
