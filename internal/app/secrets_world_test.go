package app_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"strings"

	"github.com/talos-manager/talos-manager/client"
)

// hide makes a secret of a sort and remembers it.
func (l *lab) hide(what, value string) string {
	l.secrets = append(l.secrets, secret{what: what, value: value})
	return value
}

// random is a key as WireGuard has them.
func (l *lab) random() string {
	l.Helper()
	key := make([]byte, 32)
	_, err := rand.Read(key)
	l.must(err)
	return base64.StdEncoding.EncodeToString(key)
}

// key is a private key, PEM.
func (l *lab) key() string {
	l.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	l.must(err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	l.must(err)
	text := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	l.hide("a private key in a file", strings.Split(text, "\n")[1])
	return text
}

func indent(text, by string) string {
	return by + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n"+by)
}

func (l *lab) patches() {
	l.Helper()
	l.patchesOfProd()
	l.patchesOfOld()
	// That a variable is a secret is known by the patch that uses it. It changes twice, so that there is a history, and
	// once more as a draft.
	base := client.LayerRef{Scope: client.ScopeConfig, Owner: "base"}
	auth := "apiVersion: v1alpha1\nkind: RegistryAuthConfig\nname: r.example.com\nusername: ci\npassword: ${opener}\n"
	both := contents(auth)
	both.Patches[0].Name = "registry"
	both.Variables = map[string]string{
		"opener": l.hide("a variable that a patch uses as a password", `reg "pass" <&> 'w' + é/1`), "db_password": l.hide("a variable whose name says so", "open-variable-sesame"),
	}
	_, err := l.UpdateLayer(l.Context(), base, client.LayerUpdate{ConfigContents: both})
	l.must(err)
	l.change(base, "registry", auth+"# twice\n", false)
	l.change(base, "registry", auth+"---\napiVersion: v1alpha1\nkind: RegistryAuthConfig\nname: broken.example.com\nusername: x\npassword: "+l.hide("a password in a draft", "open-draft-sesame")+"\nnothing: [\n", true)
}

// patchesOfProd are those of a cluster of the newest Talos: documents.
func (l *lab) patchesOfProd() {
	l.Helper()
	cluster := client.LayerRef{Scope: client.ScopeCluster, Owner: "prod"}
	l.add(cluster, "wireguard", "apiVersion: v1alpha1\nkind: WireguardConfig\nname: wg0\nprivateKey: "+l.hide("a WireGuard key", l.random())+
		"\npeers:\n  - publicKey: "+l.random()+"\n    presharedKey: "+l.hide("a WireGuard preshared key", l.random())+"\n    allowedIPs: [10.9.0.0/24]\n")
	l.add(cluster, "encryption", "apiVersion: v1alpha1\nkind: VolumeConfig\nname: EPHEMERAL\nencryption:\n  provider: luks2\n  keys:\n    - slot: 0\n      static:\n        passphrase: "+
		l.hide("a disk's passphrase", "open-disk-sesame")+"\n")
	l.add(cluster, "environment", "apiVersion: v1alpha1\nkind: EnvironmentConfig\nvariables:\n  HTTPS_PROXY: http://proxy:"+l.hide("a proxy's password", "open-proxy-sesame")+
		"@proxy.example.com:3128\n  API_TOKEN: "+l.hide("a token in the environment", "open-token-sesame")+"\n")
	l.add(cluster, "kubespan", "apiVersion: v1alpha1\nkind: KubeSpanConfig\nenabled: true\n")
	planes := client.LayerRef{Scope: client.ScopeRole, Owner: "prod", Role: client.ControlPlane}
	l.add(planes, "manifest", "apiVersion: v1alpha1\nkind: KubeInlineManifestConfig\nname: login\nmanifest: |\n  apiVersion: v1\n  kind: Secret\n  metadata: {name: login, namespace: default}\n  stringData:\n    open: "+
		l.hide("a Kubernetes secret", "open-manifest-sesame")+"\n")
	_, err := l.ApplyRecipe(l.Context(), "registry-auth", client.RecipeUse{
		LayerSave: client.LayerSave{Why: "not " + l.hide("a secret among a recipe's parameters", "open-recipe-sesame")}, Layer: &planes, As: "planes",
		Parameters: map[string]any{"registry": "p.example.com", "username": "ci", "password": "open-recipe-sesame"},
	})
	l.must(err)
	own := "apiVersion: v1alpha1\nkind: ExtensionServiceConfig\nname: tunnel\nconfigFiles:\n  - mountPath: /etc/tunnel.key\n    content: |\n" + indent(l.key(), "      ") +
		"\n  - mountPath: /etc/tunnel.conf\n    content: |\n      # of the tunnel\n      api_token = " + l.hide("a token in a file", "open-file-sesame") + "\n"
	for _, server := range []string{"worker-1", "cp-1"} {
		_, err := l.AssignServer(l.Context(), server, client.AssignmentChange{Patch: &own})
		l.must(err)
	}
}

// patchesOfOld are those of a cluster of an old Talos: fields, and operations of RFC 6902.
func (l *lab) patchesOfOld() {
	l.Helper()
	cluster := client.LayerRef{Scope: client.ScopeCluster, Owner: "old"}
	l.add(cluster, "fields", "machine:\n  network:\n    interfaces:\n      - interface: wg0\n        addresses: [10.9.1.1/24]\n        wireguard:\n          privateKey: "+
		l.hide("an old WireGuard key", l.random())+"\n      - interface: eth0\n        dhcp: true\n        vip:\n          ip: 198.51.100.9\n          hcloud: {apiToken: "+l.hide("an API token", "open-api-sesame")+
		"}\n  systemDiskEncryption:\n    state:\n      provider: luks2\n      keys: [{slot: 0, static: {passphrase: "+l.hide("an old disk's passphrase", "open-state-sesame")+"}}]\n"+
		"  registries:\n    config:\n      r.example.com: {auth: {username: ci, password: first}}\n  env: {LANG: C}\n")
	l.add(cluster, "operations", `[{"op": "replace", "path": "/machine/registries/config/r.example.com/auth/password", "value": "`+l.hide("a password in an operation", "open-operation-sesame")+
		`"}, {"op": "add", "path": "/machine/env/BACKUP_SECRET", "value": "`+l.hide("a secret in an operation", "open-env-sesame")+`"}]`)
	l.add(cluster, "kernel", "machine:\n  install:\n    extraKernelArgs: [mitigations=off]\ncluster:\n  extraManifestHeaders: {Authorization: \"Bearer "+l.hide("a header", "open-header-sesame")+"\"}\n")
}

func (l *lab) add(layer client.LayerRef, name, text string) {
	l.Helper()
	_, err := l.AddPatch(l.Context(), layer, client.NewPatch{Patch: client.Patch{Name: name, Text: text}})
	l.must(err)
}

func (l *lab) change(layer client.LayerRef, name, text string, draft bool) {
	l.Helper()
	_, err := l.ChangePatch(l.Context(), layer, name, client.PatchChange{LayerSave: client.LayerSave{Draft: draft}, Text: &text})
	l.must(err)
}

// layers are all that there are.
func (l *lab) layers() (all []client.LayerRef) {
	for _, cluster := range []string{"prod", "old"} {
		all = append(all, client.LayerRef{Scope: client.ScopeCluster, Owner: cluster})
		for _, role := range []string{client.ControlPlane, client.Worker} {
			all = append(all, client.LayerRef{Scope: client.ScopeRole, Owner: cluster, Role: role})
		}
	}
	all = append(all, client.LayerRef{Scope: client.ScopeConfig, Owner: "base"})
	for _, server := range []string{"cp-1", "worker-1", "metal-cp-1"} {
		all = append(all, client.LayerRef{Scope: client.ScopeServer, Owner: server})
	}
	return all
}
