package resources

import (
	"context"
	"fmt"
	"sync"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/resource/meta"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/cosi-project/runtime/pkg/state/registry"
	"github.com/siderolabs/talos/pkg/machinery/resources/block"
	"github.com/siderolabs/talos/pkg/machinery/resources/cluster"
	"github.com/siderolabs/talos/pkg/machinery/resources/config"
	"github.com/siderolabs/talos/pkg/machinery/resources/containers"
	"github.com/siderolabs/talos/pkg/machinery/resources/cri"
	"github.com/siderolabs/talos/pkg/machinery/resources/etcd"
	"github.com/siderolabs/talos/pkg/machinery/resources/files"
	"github.com/siderolabs/talos/pkg/machinery/resources/hardware"
	"github.com/siderolabs/talos/pkg/machinery/resources/k8s"
	"github.com/siderolabs/talos/pkg/machinery/resources/kubeaccess"
	"github.com/siderolabs/talos/pkg/machinery/resources/kubespan"
	"github.com/siderolabs/talos/pkg/machinery/resources/network"
	"github.com/siderolabs/talos/pkg/machinery/resources/perf"
	"github.com/siderolabs/talos/pkg/machinery/resources/runtime"
	"github.com/siderolabs/talos/pkg/machinery/resources/secrets"
	"github.com/siderolabs/talos/pkg/machinery/resources/security"
	"github.com/siderolabs/talos/pkg/machinery/resources/siderolink"
	"github.com/siderolabs/talos/pkg/machinery/resources/storage"
	timesync "github.com/siderolabs/talos/pkg/machinery/resources/time"
	"github.com/siderolabs/talos/pkg/machinery/resources/v1alpha1"
)

// built are the definitions as resources. They are the same in every store, and finding the singular of every
// type's name, which is how aliases come about, takes far longer than a simulated node takes to boot.
var built = sync.OnceValues(func() ([]*meta.ResourceDefinition, error) {
	var all []*meta.ResourceDefinition
	for _, d := range definitions() {
		r, err := meta.NewResourceDefinition(d.ResourceDefinition())
		if err != nil {
			return nil, fmt.Errorf("definition %s: %w", d.ResourceDefinition().Type, err)
		}
		all = append(all, r)
	}
	return all, nil
})

// define registers every namespace and every type of the machinery, as the runtime's registries do: talosctl finds
// types, their aliases and their columns by asking the node for its definitions.
func define(ctx context.Context, s state.State) error {
	names := registry.NewNamespaceRegistry(s)
	if err := names.RegisterDefault(ctx); err != nil {
		return err
	}
	for _, n := range namespaces() {
		if err := names.Register(ctx, n, ""); err != nil {
			return fmt.Errorf("namespace %s: %w", n, err)
		}
	}
	all, err := built()
	if err != nil {
		return err
	}
	for _, d := range all {
		if err := s.Create(ctx, d.DeepCopy(), state.WithCreateOwner(meta.Owner)); err != nil {
			return err
		}
	}
	return nil
}

func namespaces() []resource.Namespace {
	return []resource.Namespace{
		v1alpha1.NamespaceName, cluster.NamespaceName, cluster.RawNamespaceName, config.NamespaceName,
		containers.NamespaceName, cri.NamespaceName, etcd.NamespaceName, files.NamespaceName, hardware.NamespaceName,
		k8s.NamespaceName, k8s.ControlPlaneNamespaceName, kubespan.NamespaceName, network.NamespaceName,
		network.ConfigNamespaceName, perf.NamespaceName, secrets.NamespaceName, security.NamespaceName,
		storage.NamespaceName,
	}
}

func definitions() []meta.ResourceWithRD {
	return []meta.ResourceWithRD{
		&block.Device{}, &block.DiscoveredVolume{}, &block.DiscoveredVolumesStatus{},
		&block.DiscoveryRefreshRequest{}, &block.DiscoveryRefreshStatus{}, &block.Disk{}, &block.FSScrubSchedule{},
		&block.FSScrubStatus{}, &block.MountRequest{}, &block.MountStatus{}, &block.SwapStatus{}, &block.Symlink{},
		&block.SystemDisk{}, &block.UserDiskConfigStatus{}, &block.VolumeConfig{}, &block.VolumeLifecycle{},
		&block.VolumeMountRequest{}, &block.VolumeMountStatus{}, &block.VolumeStatus{},
		&block.VolumeTrimSchedule{}, &block.ZswapStatus{},
		&cluster.Affiliate{}, &cluster.Config{}, &cluster.Identity{}, &cluster.Info{}, &cluster.Member{},
		&containers.ContainerImageStatus{}, &containers.ContainerInstanceSpec{},
		&containers.ContainerInstanceStatus{}, &containers.ContainerLifecycle{},
		&containers.ContainerMountStatus{}, &containers.ContainerSpec{},
		&cri.BaseRuntimeSpecConfig{}, &cri.CustomizationConfig{}, &cri.ImageCacheConfig{}, &cri.RegistriesConfig{},
		&cri.SeccompProfile{},
		&etcd.Config{}, &etcd.Member{}, &etcd.PKIStatus{}, &etcd.Spec{},
		&files.EtcFileSpec{}, &files.EtcFileStatus{},
		&hardware.CPUCore{}, &hardware.MemoryModule{}, &hardware.PCIDevice{}, &hardware.PCIDriverRebindConfig{},
		&hardware.PCIDriverRebindStatus{}, &hardware.PCRStatus{}, &hardware.Processor{},
		&hardware.SystemInformation{},
		&k8s.APIServerConfig{}, &k8s.AdmissionControlConfig{}, &k8s.AuditPolicyConfig{},
		&k8s.AuthenticationConfig{}, &k8s.AuthorizationConfig{}, &k8s.BootstrapManifestsConfig{},
		&k8s.ConfigStatus{}, &k8s.ControllerManagerConfig{}, &k8s.Endpoint{}, &k8s.EtcdEncryptionConfig{},
		&k8s.ExtraManifestsConfig{}, &k8s.KubePrismConfig{}, &k8s.KubePrismEndpoints{}, &k8s.KubePrismStatuses{},
		&k8s.KubeletConfig{}, &k8s.KubeletKubeconfig{}, &k8s.KubeletLifecycle{}, &k8s.KubeletSpec{},
		&k8s.KubeletStatus{}, &k8s.Manifest{}, &k8s.ManifestStatus{}, &k8s.NodeAnnotationSpec{},
		&k8s.NodeCordonedSpec{}, &k8s.NodeIP{}, &k8s.NodeIPConfig{}, &k8s.NodeLabelSpec{}, &k8s.NodeStatus{},
		&k8s.NodeTaintSpec{}, &k8s.Nodename{}, &k8s.SchedulerConfig{}, &k8s.SecretsStatus{}, &k8s.StaticPod{},
		&k8s.StaticPodServerStatus{}, &k8s.StaticPodStatus{},
		&kubeaccess.Config{},
		&kubespan.Config{}, &kubespan.Endpoint{}, &kubespan.Identity{}, &kubespan.PeerSpec{},
		&kubespan.PeerStatus{},
		&network.AddressSpec{}, &network.AddressStatus{}, &network.BGPInstanceConfig{}, &network.BGPPeerStatus{},
		&network.DNSResolveCache{}, &network.DNSUpstream{}, &network.DeviceConfigSpec{}, &network.EthernetSpec{},
		&network.EthernetStatus{}, &network.HardwareAddr{}, &network.HostDNSConfig{}, &network.HostnameSpec{},
		&network.HostnameStatus{}, &network.LinkAliasSpec{}, &network.LinkRefresh{}, &network.LinkSpec{},
		&network.LinkStatus{}, &network.NfTablesChain{}, &network.NodeAddress{}, &network.NodeAddressFilter{},
		&network.NodeAddressSortAlgorithm{}, &network.OperatorSpec{}, &network.PlatformConfig{},
		&network.ProbeSpec{}, &network.ProbeStatus{}, &network.ResolverSpec{}, &network.ResolverStatus{},
		&network.RouteSpec{}, &network.RouteStatus{}, &network.RoutingRuleSpec{}, &network.RoutingRuleStatus{},
		&network.StaticHost{}, &network.Status{}, &network.TimeServerSpec{}, &network.TimeServerStatus{},
		&perf.CPU{}, &perf.Memory{},
		&runtime.APIServiceConfig{}, &runtime.BootID{}, &runtime.BootedEntry{}, &runtime.DevicesStatus{},
		&runtime.Diagnostic{}, &runtime.Environment{}, &runtime.EventSinkConfig{},
		&runtime.ExtensionServiceConfig{}, &runtime.ExtensionServiceConfigStatus{}, &runtime.ExtensionStatus{},
		&runtime.ImageFactorySchematic{}, &runtime.KernelCmdline{}, &runtime.KernelModuleSpec{},
		&runtime.KernelModuleStatus{}, &runtime.KernelParamDefaultSpec{}, &runtime.KernelParamSpec{},
		&runtime.KernelParamStatus{}, &runtime.KmsgLogConfig{}, &runtime.LoadedKernelModule{},
		&runtime.MachineResetSignal{}, &runtime.MachineStatus{}, &runtime.MaintenanceServiceConfig{},
		&runtime.MaintenanceServiceRequest{}, &runtime.MetaKey{}, &runtime.MetaLoaded{}, &runtime.MountStatus{},
		&runtime.OOMAction{}, &runtime.PlatformMetadata{}, &runtime.RebootRequest{}, &runtime.SBOMItem{},
		&runtime.SecurityState{}, &runtime.ServicePID{}, &runtime.UnattendedInstallStatus{},
		&runtime.UniqueMachineToken{}, &runtime.Version{}, &runtime.WatchdogTimerConfig{},
		&runtime.WatchdogTimerStatus{},
		&secrets.API{}, &secrets.CertSAN{}, &secrets.EncryptionSalt{}, &secrets.Etcd{}, &secrets.EtcdRoot{},
		&secrets.Kubelet{}, &secrets.Kubernetes{}, &secrets.KubernetesDynamicCerts{}, &secrets.KubernetesRoot{},
		&secrets.MaintenanceRoot{}, &secrets.OSRoot{}, &secrets.Trustd{},
		&security.ImageVerificationRule{}, &security.TUFTrustedRoot{},
		&siderolink.Config{}, &siderolink.Status{}, &siderolink.Tunnel{},
		&storage.LVMLogicalVolumeSpec{}, &storage.LVMLogicalVolumeStatus{}, &storage.LVMPhysicalVolumeSpec{},
		&storage.LVMPhysicalVolumeStatus{}, &storage.LVMRefreshRequest{}, &storage.LVMValidationError{},
		&storage.LVMVolumeGroupSpec{}, &storage.LVMVolumeGroupStatus{}, &storage.MDArraySpec{},
		&storage.MDArrayStatus{}, &storage.MDRefreshRequest{},
		&timesync.AdjtimeStatus{}, &timesync.NTPStatus{}, &timesync.Status{},
		&v1alpha1.AcquireConfigSpec{}, &v1alpha1.AcquireConfigStatus{}, &v1alpha1.Service{},
		&config.MachineConfig{}, config.NewMachineType(), &meta.ResourceDefinition{}, &meta.Namespace{},
	}
}
