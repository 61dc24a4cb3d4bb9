package modernise

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// effect lists what a patch changed in a view: each path with what stands there now. The bases of two versions
// differ, so only what a patch does can be compared, not what comes out.
func effect(from, to map[string]any) map[string]any {
	out := map[string]any{}
	diff("", from, to, out)
	return out
}

func diff(path string, from, to any, out map[string]any) {
	a, aMap := from.(map[string]any)
	b, bMap := to.(map[string]any)
	if aMap && bMap || aMap && to == nil || bMap && from == nil {
		keys := slices.Sorted(maps.Keys(a))
		for k := range b {
			if _, ok := a[k]; !ok {
				keys = append(keys, k)
			}
		}
		for _, k := range keys {
			diff(join(path, k), a[k], b[k], out)
		}
		return
	}
	x, xList := from.([]any)
	y, yList := to.([]any)
	if xList && yList || xList && to == nil || yList && from == nil {
		added, gone := without(y, x), without(x, y)
		if len(added) > 0 {
			out[path+"[]"] = added
		}
		if len(gone) > 0 {
			out[path+"[-]"] = gone
		}
		return
	}
	if text(from) != text(to) {
		out[path] = to
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// without lists the elements of a that are not in b, in order.
func without(a, b []any) []any {
	left := map[string]int{}
	for _, e := range b {
		left[text(e)]++
	}
	var out []any
	for _, e := range a {
		if left[text(e)] > 0 {
			left[text(e)]--
			continue
		}
		out = append(out, e)
	}
	return out
}

func text(v any) string {
	if v == nil {
		return ""
	}
	if s, ok := v.(string); ok {
		return s
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}

// differences compares two effects. What only one patch had to set, because the other's base has it already, is equal
// when both end the same.
func differences(old, new map[string]any, oldTo, newTo map[string]any) []Difference {
	var out []Difference
	keys := slices.Sorted(maps.Keys(old))
	for k := range new {
		if _, ok := old[k]; !ok {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys {
		a, inOld := old[k]
		b, inNew := new[k]
		if inOld && inNew && text(a) == text(b) {
			continue
		}
		if inOld != inNew && same(k, a, b, inOld, oldTo, newTo) {
			continue
		}
		if inOld != inNew { // say what is there, not what was set
			a, b = final(oldTo, k, a), final(newTo, k, b)
		}
		out = append(out, Difference{Path: k, Old: shown(k, a), New: shown(k, b), Why: why(k)})
	}
	return out
}

// same says whether a path that one patch changed ends the same without the other changing it.
func same(path string, a, b any, inOld bool, oldTo, newTo map[string]any) bool {
	elements, other := b, oldTo
	if inOld {
		elements, other = a, newTo
	}
	if at, ok := strings.CutSuffix(path, "[]"); ok {
		have, _ := lookup(other, at).([]any)
		return len(without(elements.([]any), have)) == 0
	}
	if at, ok := strings.CutSuffix(path, "[-]"); ok {
		have, _ := lookup(other, at).([]any)
		return len(without(elements.([]any), have)) == len(elements.([]any))
	}
	return text(lookup(other, path)) == text(elements)
}

func final(view map[string]any, path string, v any) any {
	if strings.HasSuffix(path, "]") {
		return v
	}
	return lookup(view, path)
}

// lookup finds a path. Keys may hold dots, so the longest one that fits is taken.
func lookup(v any, path string) any {
	m, ok := v.(map[string]any)
	if !ok {
		return nil
	}
	if e, ok := m[path]; ok {
		return e
	}
	for i := len(path) - 1; i > 0; i-- {
		if path[i] != '.' {
			continue
		}
		if e, ok := m[path[:i]]; ok {
			return lookup(e, path[i+1:])
		}
	}
	return nil
}

var secretPath = regexp.MustCompile(`(?i)(password|passphrase|secret|token|privatekey|presharedkey|issuingkey|\.auth$|RegistryAuth|Encryption\.Keys|IssuingCA|ClientIdentity|` +
	`^Files|^Environment|ManifestConfigs|^K8sStaticPod|^CRICustomization|ExtensionService|wireguard)`)

// shown is a value for people. What may be a secret is not shown.
func shown(path string, v any) string {
	s := text(v)
	if s != "" && secretPath.MatchString(path) || strings.Contains(s, "PRIVATE KEY") {
		return "(not shown)"
	}
	return s
}

// why explains the differences that are known.
func why(path string) string {
	for prefix, reason := range map[string]string{
		"network.defaultDHCP":                         "with link documents, cards that no document names no longer ask for DHCP",
		"Cluster.SecretboxEncryptionSecret":           "it comes from the cluster's secrets bundle",
		"Cluster.AESCBCEncryptionSecret":              "it comes from the cluster's secrets bundle",
		"K8sAggregatorCAConfig":                       "it comes from the cluster's secrets bundle",
		"K8sAPIServerCAConfig":                        "it comes from the cluster's secrets bundle",
		"K8sServiceAccountConfig.IssuingKey":          "it comes from the cluster's secrets bundle",
		"K8sServiceAccountConfig.AcceptedKeys":        "it comes from the cluster's secrets bundle",
		"Files./etc/":                                 "the document is the whole file, and nothing is appended",
		"Install.Disk":                                "the older selector also passes over disks without a transport, read-only ones and CD-ROMs",
		"Install.LegacyBIOSSupport":                   "the installer no longer marks the disk bootable for an old BIOS",
		"K8sAPIServerConfig.UseAuthenticationConfig":  "the older section of the API server does not use a KubeAuthenticationConfig",
		"K8sAPIServerConfig.StartupProbesEnabled":     "the older section of the API server has no startup probes",
		"K8sAPIServerConfig.InjectDefaultAuthorizers": "the older section of the API server brings its authorizers itself",
		"K8sAPIServerConfig.ExtraVolumes":             "the generated API server mounts the certificate authorities by itself",
		"K8sControllerManagerConfig.ExtraVolumes":     "the generated document has mounts of its own",
		"K8sAPIServerConfig.ExtraArgs.oidc-":          "authentication is configured in KubeAuthenticationConfig",
		"K8sAPIServerConfig.ExtraArgs.anonymous-auth": "authentication is configured in KubeAuthenticationConfig",
		"K8sAuthenticationConfig":                     "authentication is configured in KubeAuthenticationConfig",
		"K8sProxyConfig.ExtraArgs":                    "kube-proxy is configured by a file",
		"K8sKubeletConfig.DisableManifestsDirectory":  "the manifests directory is off for good",
	} {
		if strings.HasPrefix(path, prefix) {
			return reason
		}
	}
	return ""
}
