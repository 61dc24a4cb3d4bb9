package schema

import (
	_ "embed"
	"slices"
	"strings"
)

//go:embed advice.txt
var adviceText string

// advice says which documents took over a field of V1Alpha1. It is read both ways: what to write instead of the old
// field, and which field to use on a Talos that does not know the document yet.
type advice struct {
	path  string   // of the old field; [] for list elements and map values
	kinds []string // that took it over, the usual one first
	clash string   // when Talos refuses the old field beside the first of the documents: never, set, true
	write string   // what to write instead
}

func parseAdvice(text string) []advice {
	var out []advice
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		c := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		a := advice{path: c[0], clash: c[2], write: c[3]}
		if c[1] != "-" {
			a.kinds = strings.Split(c[1], ",")
		}
		out = append(out, a)
	}
	return out
}

// earlier names the field of V1Alpha1 that does what a document does, for a release that does not know the document.
func (t *table) earlier(kind string, r release) string {
	for _, a := range t.advice {
		if !slices.Contains(a.kinds, kind) {
			continue
		}
		if f := t.find(V1Alpha1, a.path); f != nil && f.in(r) {
			return "write " + a.path + " instead"
		}
	}
	return ""
}

// generated gives the minor from which Talos' own generator makes a document, and whether it does for control planes
// only. Patches are merged into what it makes, so an old field meets them there.
func generated(kind string) (minor int, controlPlane bool) {
	switch kind {
	case "HostnameConfig":
		return 12, false
	case "DiscoveryServiceConfig", "DiscoveryIdentityConfig", "UnattendedInstallConfig", "ResolverConfig", "KubeClusterConfig",
		"KubeNodeConfig", "KubeletConfig", "KubeNetworkConfig", "KubeAPIServerCAConfig", "KubePrismConfig":
		return 14, false
	case "KubeAggregatorCAConfig", "KubeAdmissionControlConfig", "KubeAuditPolicyConfig", "KubeAuthorizerConfig",
		"KubeEtcdEncryptionConfig", "KubeServiceAccountConfig", "KubeAPIServerConfig", "KubeControllerManagerConfig",
		"KubeSchedulerConfig", "KubeProxyConfig", "KubeFlannelCNIConfig", "KubeCoreDNSConfig":
		return 14, true
	}
	return 0, false
}
