package diff

import (
	"reflect"
	"regexp"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/config/types/meta"
)

// ownsKey says whether a Go type's key field is a private key.
func ownsKey(t reflect.Type) bool { return t == reflect.TypeFor[meta.CertificateAndKey]() }

// secretFields are the fields that are secrets, by kind and path; for several kinds by path alone. The keys of
// certificates are known by their type, and what these miss by the names and forms below.
var secretFields = map[string]bool{
	// all that the library's RedactSecrets knows
	"v1alpha1 machine.token":                                                   true,
	"v1alpha1 machine.registries.config.*.auth.password":                       true,
	"v1alpha1 machine.registries.config.*.auth.auth":                           true,
	"v1alpha1 machine.registries.config.*.auth.identityToken":                  true,
	"v1alpha1 machine.network.interfaces[].wireguard.privateKey":               true,
	"v1alpha1 machine.network.interfaces[].vip.equinixMetal.apiToken":          true,
	"v1alpha1 machine.network.interfaces[].vip.hcloud.apiToken":                true,
	"v1alpha1 machine.network.interfaces[].vlans[].vip.equinixMetal.apiToken":  true,
	"v1alpha1 machine.network.interfaces[].vlans[].vip.hcloud.apiToken":        true,
	"v1alpha1 machine.systemDiskEncryption.state.keys[].static.passphrase":     true,
	"v1alpha1 machine.systemDiskEncryption.ephemeral.keys[].static.passphrase": true,
	"v1alpha1 cluster.secret":                                                  true,
	"v1alpha1 cluster.token":                                                   true,
	"v1alpha1 cluster.aescbcEncryptionSecret":                                  true,
	"v1alpha1 cluster.secretboxEncryptionSecret":                               true,
	"DiscoveryIdentityConfig clusterSecret":                                    true,
	"HCloudVIPConfig apiToken":                                                 true,
	"KubeServiceAccountConfig issuer.privateKey":                               true,
	"RegistryAuthConfig auth":                                                  true,
	"RegistryAuthConfig identityToken":                                         true,
	"RegistryAuthConfig password":                                              true,
	"SideroLinkConfig uniqueToken":                                             true,
	"WireguardConfig privateKey":                                               true,
	"WireguardConfig peers[].presharedKey":                                     true,
	"encryption.keys[].static.passphrase":                                      true,

	// who knows a cluster's id can disturb it at the discovery service
	"v1alpha1 cluster.id":               true,
	"DiscoveryIdentityConfig clusterID": true,

	// headers with which manifests are fetched
	"v1alpha1 cluster.extraManifestHeaders.*": true,
	"KubeExternalManifestConfig headers.*":    true,
}

func isSecret(kind, path string) bool { return secretFields[kind+" "+path] || secretFields[path] }

// Names of environment variables, arguments and fields of plain YAML that hold secrets, and endings of names that only
// speak of one (tokenFile, secretName).
var (
	secretName = regexp.MustCompile(`(?i)pass(word|wd|phrase)?$|password|passwd|passphrase|secret|token|credential|private[-_.]?key|pre[-_.]?shared|psk|api[-_.]?key|access[-_.]?key|auth[-_.]?key|authorization|(^|[-_.]|[a-z])key([-_.]?data)?$`)
	onlyAbout  = regexp.MustCompile(`(?i)(file|path|dir|name|namespace|ref|refs|ttl|type|size|mode|version|provider|providers|algorithm|enabled|disabled|id|url|uri|image|kind|audience|audiences|expiry|expiration|duration|public[-_.]?key)$`)
)

// suspect says whether the value of something of this name is a secret.
func suspect(name string) bool {
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		name = name[i+1:]
	}
	return secretName.MatchString(name) && !onlyAbout.MatchString(name)
}

// Secrets by their form, in any text.
var (
	privateKeyBlock = regexp.MustCompile(`(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----(.*?)-----END [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----`)
	urlPassword     = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://[^\s:/?#@'"]*:([^\s/?#'"]+)@`)
	queryPassword   = regexp.MustCompile(`(?i)[?&][a-z0-9_.-]*(?:token|secret|password|passwd|apikey|api_key|signature)=([^&\s'"#]+)`)
	authHeader      = regexp.MustCompile(`(?i)\b(?:bearer|basic)\s+([A-Za-z0-9._~+/=-]{8,})`)
	// NAME=value, "name": "value" and name: value on a line of their own: in files, manifests and environments
	assignment     = regexp.MustCompile(`(?m)^[ \t]*(?:export[ \t]+|-[ \t]+)?["']?([A-Za-z0-9_./-]+)["']?[ \t]*[:=][ \t]*["']?([^\s"'][^"'\r\n]*?)["']?[ \t]*,?[ \t]*\r?$`)
	secretManifest = regexp.MustCompile(`(?m)^kind:\s*["']?Secret["']?\s*$`)
)

// forms are those whose first group is a secret wherever they stand.
var forms = []*regexp.Regexp{privateKeyBlock, urlPassword, queryPassword, authHeader}

// mayHoldForms says quickly that a text has none of them.
func mayHoldForms(text string) bool {
	return strings.ContainsAny(text, ":?&") || strings.Contains(text, "-----BEGIN") || strings.Contains(text, "earer") || strings.Contains(text, "asic")
}

// formed finds secrets in a text by their form.
func formed(text string, found func(secret string)) {
	if !mayHoldForms(text) {
		return
	}
	for _, form := range forms {
		for _, m := range form.FindAllStringSubmatch(text, -1) {
			found(m[1])
		}
	}
}

// assigned finds secrets in the text of a file by the names they are given.
func assigned(text string, found func(secret string)) {
	for _, m := range assignment.FindAllStringSubmatch(text, -1) {
		if suspect(m[1]) {
			found(m[2])
		}
	}
}
