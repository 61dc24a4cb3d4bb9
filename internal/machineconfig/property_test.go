package machineconfig

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/siderolabs/talos/pkg/machinery/config/configloader"
	"pgregory.net/rapid"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// patches draws patches that can be applied, and what they leave of each sysctl and of the list of certSANs.
func drawPatches(rt *rapid.T) (patches []Patch, sysctls map[string]string, sans []string) {
	sysctls = map[string]string{}
	for i := range rapid.IntRange(0, 6).Draw(rt, "patches") {
		key, value := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "key"), rapid.StringMatching(`[a-z0-9]{1,8}|[ -~]{1,20}`).Draw(rt, "value")
		name := fmt.Sprintf("patch %d", i)
		quoted, err := json.Marshal(strings.ReplaceAll(value, "${", "$${"))
		if err != nil {
			rt.Fatal(err)
		}
		switch rapid.IntRange(0, 3).Draw(rt, "form") {
		case 0:
			patches = append(patches, Patch{name, fmt.Sprintf("machine:\n  sysctls:\n    %s: %s\n", key, quoted)})
		case 1:
			patches = append(patches, Patch{name, fmt.Sprintf(`{"machine": {"sysctls": {%q: %s}}}`, key, quoted)})
		case 2:
			patches = append(patches, Patch{name, fmt.Sprintf(`[{"op": "add", "path": "/machine/sysctls/%s", "value": %s}]`, key, quoted)})
		default:
			san := fmt.Sprintf("san%d.example.org", i)
			patches = append(patches, Patch{name, "machine:\n  certSANs: [" + san + "]\n"})
			sans = append(sans, san)
			continue
		}
		sysctls[key] = value
	}
	return append([]Patch{{"first", "machine: {sysctls: {first: '1'}}"}}, patches...), sysctls, sans
}

func TestLaterPatchesWinAndRenderingIsDeterministic(t *testing.T) {
	in := input(t, "v1.13.9", "v1.36.3", fleet.Worker)
	warm := NewCache(0)
	rapid.Check(t, func(rt *rapid.T) {
		in := in
		var sysctls map[string]string
		var sans []string
		in.Patches, sysctls, sans = drawPatches(rt)
		out, err := warm.Render(in)
		if err != nil {
			rt.Fatal(err)
		}
		if again, err := NewCache(0).Render(in); err != nil || !bytes.Equal(out, again) {
			rt.Fatalf("two renderings differ (%v):\n%s\n%s", err, out, again)
		}
		p, err := configloader.NewFromBytes(out)
		if err != nil {
			rt.Fatal(err)
		}
		for key, want := range sysctls {
			if got := p.SysctlConfig()[key]; got != want {
				rt.Errorf("%s is %q, the last patch says %q", key, got, want)
			}
		}
		if got := p.Machine().Security().CertSANs(); fmt.Sprint(got) != fmt.Sprint(sans) {
			rt.Errorf("certSANs are %v, want %v", got, sans)
		}
	})
}

// Patches that hold secrets of the cluster where they do not belong: the error must not.
func TestNoErrorHoldsASecret(t *testing.T) {
	in := input(t, "v1.13.9", "v1.36.3", fleet.ControlPlane)
	bundle, err := loadBundle(in.Secrets)
	if err != nil {
		t.Fatal(err)
	}
	secrets := secretsIn(bundle)
	if len(secrets) < 20 {
		t.Fatalf("only %d secrets", len(secrets))
	}
	c, errors := NewCache(0), 0
	rapid.Check(t, func(rt *rapid.T) {
		in := in
		in.Variables = Variables{"hostname": "a"}
		secret := rapid.SampledFrom(secrets).Draw(rt, "secret")
		text := rapid.SampledFrom([]string{
			"machine:\n  %s: 1\n", "machine:\n  network:\n    interfaces: %s\n", "machine:\n  network:\n    interfaces:\n      - interface: eth0\n        mtu: %s\n",
			"machine: %s\n", "%s", "- %s", "- op: %s\n  path: /machine\n", "- op: add\n  path: /machine/%s\n  value: 1\n", "- op: add\n  path: %s\n  value: 1\n",
			"- op: test\n  path: /machine/token\n  value: x%s\n", "- op: add\n  path: /machine/install\n  value: {%s: 1}\n", "- op: add\n  path: /machine/install/wipe\n  value: %s\n",
			"apiVersion: v1alpha1\nkind: %s\nx: 1\n", "apiVersion: v1alpha1\nkind: HostnameConfig\nauto: %s\n", "apiVersion: v1alpha1\nkind: LinkConfig\nname: eth0\naddresses: [{address: %s}]\n",
			"machine:\n  time: {bootTimeout: %s}\n", "machine: {type: %s}\n", "machine:\n  a: ${%s}\n", "machine: {token: %s\n", "machine: {token: '%s}\n", "machine:\n  token: a\n  %s\n",
			"machine:\n  network:\n    interfaces:\n      - interface: eth0\n        addresses: [%s]\n", "machine: {ca: {crt: %s}}\n", "machine: {ca: {key: %s}}\n", "cluster: {secret: %s, id: [%s]}\n",
			"apiVersion: v1alpha1\nkind: VolumeConfig\nname: EPHEMERAL\nprovisioning: {diskSelector: {match: %s}}\n", "machine:\n  sysctls:\n    %s: {a: b}\n", "machine:\n  files: [{path: %s, op: %s}]\n",
			"apiVersion: v1alpha1\nkind: ExtensionServiceConfig\nname: %s\n---\napiVersion: v1alpha1\nkind: ExtensionServiceConfig\nname: %s\n$patch: delete\n", "machine:\n  %s:\n    $patch: delete\n",
			"machine:\n  kubelet:\n    image: %s\n", "cluster:\n  controlPlane: {endpoint: '%s'}\n", "machine: {install: {disk: '', diskSelector: {size: %s}}}\n",
		}).Draw(rt, "text")
		in.Patches = []Patch{{"p", strings.ReplaceAll(text, "%s", secret)}}
		_, err := c.Render(in)
		if err == nil {
			return
		}
		errors++
		said := err.Error() + fleet.HintOf(err)
		for _, s := range secrets {
			if strings.Contains(said, s[:8]) && strings.Contains(secret, s[:8]) {
				rt.Fatalf("%q says %q of %q", text, s[:8], said)
			}
		}
	})
	if errors == 0 {
		t.Error("no patch was refused: nothing was tried")
	}
}
