package machineconfig

import (
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/config"
)

// adviceFor says what to write instead, for what the library says of patches that follow guides of another version;
// "" if nothing is known.
func adviceFor(text string, contract *config.VersionContract) string {
	has := func(parts ...string) bool {
		for _, p := range parts {
			if strings.Contains(text, p) {
				return true
			}
		}
		return false
	}
	switch {
	case has("static hostname is already set", "'auto' and 'hostname'", "stable hostname"):
		return "since Talos 1.12 the hostname is a document: kind: HostnameConfig with auto: \"off\" and hostname; or leave it out, the server's name is set for you"
	case has("UnattendedInstallConfig", ".machine.install") || contract.UnattendedInstallConfig() && has("install disk"):
		return "since Talos 1.14 machine.install is the document UnattendedInstallConfig, which the manager needs none of; kernel arguments belong into the schematic (customization.extraKernelArgs)"
	case has("extraKernelArgs", "grubUseUKICmdline"):
		return "put kernel arguments into the schematic (customization.extraKernelArgs)"
	case has("system disk encryption"):
		return "keep one of the two: since Talos 1.11 the encryption of a volume is in its VolumeConfig"
	case has("nodeLabels", "nodeTaints", "nodeAnnotations"):
		return "since Talos 1.14 write the document KubeNodeConfig with labels, annotations and taints; on control planes keep the labels and the taint that Talos generates"
	case has("kubelet"):
		return "since Talos 1.14 write the document KubeletConfig"
	case has("cni", "CNI", "Flannel", "flannel", "cluster network config"):
		return "since Talos 1.14 write the document KubeNetworkConfig; remove Flannel with the document kind: KubeFlannelCNIConfig and $patch: delete"
	case has("proxy"):
		return "since Talos 1.14 switch kube-proxy off with the document kind: KubeProxyConfig and enabled: false"
	case has("control plane machines", "non-controlplane nodes"):
		return "limit the patch to the role controlplane"
	case has("lookup failed"):
		return "leave it out, or compare the name with the config before the patch"
	}
	return ""
}

// lastAdvice is for what neither adviceFor nor the schema knows.
func lastAdvice(text string) string {
	if strings.Contains(text, "already set") || strings.Contains(text, "conflict") || strings.Contains(text, "already configured") {
		return "a field of the old config and a document say the same thing: keep the document"
	}
	return noAdvice
}
