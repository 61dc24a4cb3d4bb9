package talosnode

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/configdiff"
	"github.com/siderolabs/talos/pkg/machinery/config/configloader"
	"github.com/siderolabs/talos/pkg/machinery/config/container"
)

// mode is a metal node's or a Cloud server's for the validation of configs: Talos is installed already.
type mode struct{ name string }

func (m mode) String() string      { return m.name }
func (mode) RequiresInstall() bool { return false }
func (mode) InContainer() bool     { return false }

// load decodes a config as this version of Talos would: documents it does not know yet are an error.
func (n *node) load(data []byte) (config.Provider, error) {
	cfg, err := configloader.NewFromBytes(data)
	if err != nil {
		return nil, err
	}
	for _, d := range cfg.Documents() {
		if since, ok := documentSince[d.Kind()]; ok && minor(n.info.Version) < since {
			return nil, fmt.Errorf("error decoding document v1alpha1/%s/ (line %d): %q %q: not registered",
				d.Kind(), lineOf(data, d.Kind()), d.Kind(), d.APIVersion())
		}
	}
	return cfg, nil
}

func (n *node) validate(cfg config.Provider) ([]string, error) {
	return cfg.ValidateAtRuntime(n.ctx, n.resources(), mode{n.info.Platform})
}

// documentSince is the minor version of Talos 1 that first knew a kind of document (release notes; older kinds are
// known to every version that is simulated).
var documentSince = map[string]int{
	"UserVolumeConfig": 11, "RawVolumeConfig": 11, "SwapVolumeConfig": 11, "ZswapConfig": 11, "ExistingVolumeConfig": 11,
	"HostnameConfig": 12, "LinkConfig": 12, "LinkAliasConfig": 12, "VLANConfig": 12, "BondConfig": 12, "BridgeConfig": 12,
	"DHCPv4Config": 12, "DHCPv6Config": 12, "Layer2VIPConfig": 12, "HCloudVIPConfig": 12, "ResolverConfig": 12,
	"StaticHostConfig": 12, "TimeSyncConfig": 12, "WireguardConfig": 12, "EthernetConfig": 10, "OOMConfig": 12,
	"RegistryMirrorConfig": 12, "RegistryAuthConfig": 12, "RegistryTLSConfig": 12,
	"KubeSpanConfig": 13, "EnvironmentConfig": 13, "ImageVerificationConfig": 13,
	"UnattendedInstallConfig": 14, "KubeNodeConfig": 14, "KubeletConfig": 14, "KubeAPIServerConfig": 14,
	"KubeClusterConfig": 14, "KubeNetworkConfig": 14, "KubeFlannelCNIConfig": 14, "KubeProxyConfig": 14,
	"KubePrismConfig": 14, "KubeAPIServerCAConfig": 14, "SysctlConfig": 14, "SysfsConfig": 14, "KernelModuleConfig": 14,
	"UdevRulesConfig": 14, "EtcFileConfig": 14, "DiscoveryServiceConfig": 14, "DiscoveryIdentityConfig": 14,
	"SecurityProfileConfig": 14, "RAIDArrayConfig": 14, "BGPInstanceConfig": 14, "FilesystemTrimConfig": 14,
}

func lineOf(data []byte, kind string) int {
	first := 1
	for i, line := range strings.Split(string(data), "\n") {
		switch strings.TrimSpace(line) {
		case "---":
			first = i + 2
		case "kind: " + kind:
			return first
		}
	}
	return first
}

// minor of a version: 14 of v1.14.1, and of what cannot be read.
func minor(version string) int {
	var major, m int
	if _, err := fmt.Sscanf(strings.TrimPrefix(version, "v"), "%d.%d", &major, &m); err != nil {
		return 14
	}
	return m
}

// setConfig makes the node run a config.
func (n *node) setConfig(cfg config.Provider) {
	n.mu.Lock()
	n.running = cfg
	n.mu.Unlock()
	n.kube.changed()
	n.env.Clusters.renew(n)
	n.publishNow()
}

// setPersistent makes a config that of the next boot. Talos writes it to STATE.
func (n *node) setPersistent(cfg config.Provider) error {
	data, err := cfg.Bytes()
	if err == nil {
		err = n.provision()
	}
	if err == nil {
		err = n.lock(cfg, stateLabel)
	}
	if err == nil {
		err = n.setFile(stateLabel, configFile, data)
	}
	if err != nil {
		return err
	}
	n.mu.Lock()
	n.persistent = cfg
	n.mu.Unlock()
	n.publishNow()
	return nil
}

// configComplete lets the boot go on.
func (n *node) configComplete() {
	n.mu.Lock()
	defer n.mu.Unlock()
	select {
	case <-n.complete:
	default:
		close(n.complete)
	}
}

// endTrial forgets about going back to the config before a trial.
func (n *node) endTrial() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.revert != nil {
		n.revert.Stop()
		n.revert = nil
	}
}

// immediate says why a config needs a reboot, nil if it does not (Talos 1.13, CanApplyImmediate).
func (n *node) immediate(next config.Provider) error {
	current := n.config()
	if current == nil || current.RawV1Alpha1() == nil || next.RawV1Alpha1() == nil {
		return errors.New("no current config")
	}
	was, will := current.RawV1Alpha1(), next.RawV1Alpha1().DeepCopy()
	will.ConfigDebug, will.ClusterConfig = was.ConfigDebug, was.ClusterConfig
	if a, b := was.MachineConfig, will.MachineConfig; a != nil && b != nil {
		b.MachineCA, b.MachineAcceptedCAs, b.MachineTime = a.MachineCA, a.MachineAcceptedCAs, a.MachineTime
		b.MachineCertSANs, b.MachineInstall, b.MachineNetwork = a.MachineCertSANs, a.MachineInstall, a.MachineNetwork
		b.MachineSysfs, b.MachineSysctls, b.MachineLogging = a.MachineSysfs, a.MachineSysctls, a.MachineLogging
		b.MachineControlPlane, b.MachineKubelet, b.MachineKernel = a.MachineControlPlane, a.MachineKubelet, a.MachineKernel
		b.MachineRegistries, b.MachinePods = a.MachineRegistries, a.MachinePods
		b.MachineSeccompProfiles, b.MachineNodeAnnotations = a.MachineSeccompProfiles, a.MachineNodeAnnotations
		b.MachineNodeLabels, b.MachineNodeTaints = a.MachineNodeLabels, a.MachineNodeTaints
		if x, y := a.MachineFeatures, b.MachineFeatures; x != nil && y != nil {
			y.KubernetesTalosAPIAccessConfig, y.KubePrismSupport = x.KubernetesTalosAPIAccessConfig, x.KubePrismSupport
			y.HostDNSSupport, y.ImageCacheSupport = x.HostDNSSupport, x.ImageCacheSupport
			y.FeatureNodeAddressSortAlgorithm = x.FeatureNodeAddressSortAlgorithm
		}
	}
	if reflect.DeepEqual(was, will) {
		return nil
	}
	diff, err := configdiff.DiffConfigs(container.NewV1Alpha1(was), container.NewV1Alpha1(will))
	if err != nil {
		return err
	}
	return errors.New("this config change can't be applied in immediate mode\ndiff:\n" + diff)
}

// difference of a config to the running one, as a dry run shows it.
func (n *node) difference(next config.Provider) (string, error) {
	var old config.Encoder
	if cfg := n.config(); cfg != nil {
		old = cfg
	}
	diff, err := configdiff.DiffConfigs(old, next)
	if diff == "" {
		diff = "No changes."
	}
	return "Config diff:\n\n" + diff, err
}

// rebootForConfig reboots into the persistent config.
func (n *node) rebootForConfig() {
	n.mu.Lock()
	n.rebooting = true
	n.mu.Unlock()
	n.spawn(func() { n.sequencer.reboot(n.ctx, 0, true) })
}
