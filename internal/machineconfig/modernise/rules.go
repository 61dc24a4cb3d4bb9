package modernise

import (
	"slices"

	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/gendata"
	"go.yaml.in/yaml/v4"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Minors that brought what the rules are about. Nodes of an older one answer "unknown keys" to the new form.
const (
	trustedRoots    = 8  // TrustedRootsConfig
	volumeCrypto    = 11 // VolumeConfig with encryption
	multiDocument   = 12 // network and registry documents; the generated config has more than one document
	kubeSpanDoc     = 13 // KubeSpanConfig, EnvironmentConfig
	kubernetesDocs  = 14 // Kube*Config, UnattendedInstallConfig, sysctls, files: v1alpha1 is nearly empty
	oldestSupported = 6
)

// rules lists all rules in the order they are applied.
func rules() []rule {
	return slices.Concat(networkRules(), installRules(), nodeRules(), clusterRules(), storageRules(), fileRules())
}

// newestMinor is that of the library: the newest Talos this program knows.
func newestMinor() int {
	c, err := config.ParseContractFromVersion(gendata.VersionTag)
	if err != nil {
		return kubernetesDocs
	}
	return c.Minor
}

// generatedTree is the single document that the last versions with one generated, for what an index in it means.
func generatedTree() *yaml.Node {
	b, err := baseOf(multiDocument-1, fleet.ControlPlane, kubernetesVersion)
	if err != nil {
		return mapping()
	}
	root, err := parse(string(b.text), 0)
	if err != nil || root == nil {
		return mapping()
	}
	return root
}
