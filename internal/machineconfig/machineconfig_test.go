package machineconfig

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/config/configloader"

	clientconfig "github.com/siderolabs/talos/pkg/machinery/client/config"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// secretsOnce makes the secrets of all tests: RSA keys take their time.
var secretsOnce = sync.OnceValues(func() ([]byte, error) { return NewSecrets(NewestTalos(), time.Now()) })

func input(tb testing.TB, talos, kubernetes string, role fleet.Role, patches ...Patch) Input {
	tb.Helper()
	secrets, err := secretsOnce()
	if err != nil {
		tb.Fatal(err)
	}
	return Input{
		Server: "worker-1", ClusterName: "prod", Endpoint: "https://203.0.113.10:6443", Secrets: secrets,
		TalosVersion: talos, KubernetesVersion: kubernetes, Role: role,
		InstallImage: "factory.talos.dev/metal-installer/abc:" + talos, InstallDisk: "eui.002538b321c5527c",
		Patches: patches,
		Variables: Variables{
			"hostname": "worker-1", "private_ip": "10.0.1.1", "public_ip": "203.0.113.11",
			"vlan": "4000", "bootstrap_disk_wwid": "eui.002538b321c5527c",
		},
	}
}

// readme is a server with the patches of the reference README, in the form its Talos version wants.
func readme(tb testing.TB, talos, kubernetes string, role fleet.Role) Input {
	tb.Helper()
	patches := []Patch{
		{`config prod, patch "all"`, "machine:\n  sysctls:\n    vm.max_map_count: 262144\n    net.core.somaxconn: 65535\n  kernel:\n    modules:\n      - name: br_netfilter\n"},
		{`config prod, patch "network"`, `machine:
  network:
    interfaces:
      - interface: eth0
        addresses:
          - ${public_ip}/32
        routes:
          - network: 0.0.0.0/0
            gateway: 203.0.113.1
        vlans:
          - addresses:
              - ${private_ip}/21
            mtu: 1400
            vlanId: ${vlan}
`},
		{`config prod, patch "encryption"`, "machine:\n  systemDiskEncryption:\n    ephemeral: {provider: luks2, keys: [{nodeID: {}, slot: 0}]}\n    state: {provider: luks2, keys: [{nodeID: {}, slot: 0}]}\n"},
	}
	if role == fleet.ControlPlane {
		patches = append(patches, Patch{`config prod, patch "control-plane"`, "machine:\n  files:\n    - content: |\n        [metrics]\n          address = \"0.0.0.0:11234\"\n      path: /etc/cri/conf.d/20-customization.part\n      op: create\n"})
	}
	return input(tb, talos, kubernetes, role, patches...)
}

func numbered(in Input, i int64) Input {
	v := Variables{}
	for name, value := range in.Variables {
		v[name] = value
	}
	v["hostname"] = fmt.Sprintf("worker-%d", i)
	v["private_ip"] = fmt.Sprintf("10.%d.%d.%d", i>>16&255, i>>8&255, i&255)
	in.Variables, in.Server = v, v["hostname"]
	in.InstallDisk = fmt.Sprintf("eui.%016x", i)
	return in
}

var versions = []struct{ talos, kubernetes string }{
	{"v1.6.8", "v1.29.0"}, {"v1.9.5", "v1.32.0"}, {"v1.11.6", "v1.34.1"}, {"v1.12.4", "v1.35.0"}, {"v1.13.9", "v1.36.3"}, {"v1.14.1", "v1.36.3"},
}

func TestRenderIsDeterministicAndStrictlyValidForEveryVersion(t *testing.T) {
	for _, v := range versions {
		for _, role := range []fleet.Role{fleet.ControlPlane, fleet.Worker} {
			in := input(t, v.talos, v.kubernetes, role)
			first, err := Render(in)
			if err != nil {
				t.Fatalf("%s %s: %v", v.talos, role, err)
			}
			again, err := Render(in)
			if err != nil || !bytes.Equal(first, again) {
				t.Errorf("%s %s: two renderings of the same input differ (%v)", v.talos, role, err)
			}
			p, err := configloader.NewFromBytes(first)
			if err != nil {
				t.Fatalf("%s %s: Talos cannot load it: %v", v.talos, role, err)
			}
			if got := p.Machine().Type().String(); got != string(role) {
				t.Errorf("%s: machine type %s, want %s", v.talos, got, role)
			}
			if !bytes.Contains(first, []byte("worker-1")) {
				t.Errorf("%s %s: the hostname is missing", v.talos, role)
			}
		}
	}
}

// The patches of the reference README, on each version where Talos itself still takes them.
func TestPatchesOfTheReferenceReadme(t *testing.T) {
	basic := `machine:
  network:
    hostname: ${hostname}
  sysctls:
    vm.max_map_count: 262144
`
	kernel := `machine:
  install:
    extraKernelArgs:
      - cpufreq.default_governor=performance
`
	encryption := `machine:
  systemDiskEncryption:
    ephemeral: {provider: luks2, keys: [{nodeID: {}, slot: 0}]}
    state: {provider: luks2, keys: [{nodeID: {}, slot: 0}]}
`
	vswitch := `machine:
  network:
    hostname: ${hostname}
    interfaces:
      - dhcp: true
        interface: eth0
        vlans:
          - addresses:
              - ${private_ip}/21
            mtu: 1400
            vlanId: ${vlan}
`
	kubespan := "machine: {network: {kubespan: {enabled: true, advertiseKubernetesNetworks: true, mtu: 1320}}}"
	for _, tc := range []struct {
		why, patch string
		want       string
		from, to   int // indexes of versions
	}{
		{"hostname by the old field works on every version", basic, "hostname: worker-1", 0, 5},
		{"kernel arguments by the old field, until 1.14 has a document", kernel, "cpufreq.default_governor=performance", 0, 4},
		{"disk encryption by the old field", encryption, "nodeID", 0, 5},
		{"private network on a vSwitch", vswitch, "vlanId: 4000", 0, 5},
		{"KubeSpan", kubespan, "1320", 0, 5},
	} {
		for _, v := range versions[tc.from : tc.to+1] {
			out, err := Render(input(t, v.talos, v.kubernetes, fleet.Worker, Patch{"readme", tc.patch}))
			if err != nil {
				t.Errorf("%s, Talos %s: %v", tc.why, v.talos, err)
			} else if !strings.Contains(string(out), tc.want) {
				t.Errorf("%s, Talos %s: %q is missing", tc.why, v.talos, tc.want)
			}
		}
	}
}

func TestRenderRefusesAndSaysWhatToDo(t *testing.T) {
	for _, tc := range []struct {
		why, patch, text, hint string
		change                 func(*Input)
	}{
		{why: "unknown variable", patch: "machine:\n  sysctls:\n    a: ${nope}\n", text: "line 3, column 8: unknown variable ${nope}", hint: "${hostname}"},
		{why: "variable without a value", patch: "machine: {sysctls: {a: '${vlan}'}}", text: "${vlan} has no value", change: func(in *Input) { in.Variables["vlan"] = "" }},
		{why: "no YAML", patch: "machine: [", text: "p: line 2, column 1: no YAML"},
		{why: "unknown field", patch: "machine: {nosuchfield: 1}", text: "nosuchfield"},
		{why: "old install section on 1.14", patch: "machine: {install: {wipe: true}}", text: "machine.install", hint: "schematic", change: func(in *Input) {
			in.Patches = append(in.Patches, Patch{"u", "apiVersion: v1alpha1\nkind: UnattendedInstallConfig\nprovisioning: {diskSelector: {match: 'disk.size > 1u'}}\n"})
		}},
		{why: "Kubernetes too old for Talos", text: "1.20", change: func(in *Input) { in.KubernetesVersion = "v1.20.0" }},
		{why: "no version", text: "Talos version", hint: "v1.14.1", change: func(in *Input) { in.TalosVersion = "latest" }},
		{why: "secrets of something else", text: "secrets bundle", hint: "talosctl gen secrets", change: func(in *Input) { in.Secrets = []byte("a: 1") }},
	} {
		in := input(t, "v1.14.1", "v1.36.3", fleet.Worker, Patch{"p", tc.patch})
		if tc.change != nil {
			tc.change(&in)
		}
		_, err := Render(in)
		if err == nil || fleet.KindOf(err) != fleet.Invalid || !strings.Contains(err.Error(), tc.text) {
			t.Errorf("%s: got %v (%s), want invalid with %q", tc.why, err, fleet.KindOf(err), tc.text)
		} else if !strings.Contains(fleet.HintOf(err), tc.hint) {
			t.Errorf("%s: hint %q lacks %q", tc.why, fleet.HintOf(err), tc.hint)
		}
	}
}

func TestEphemeralDisk(t *testing.T) {
	for _, tc := range []struct{ why, disk, want string }{
		{"by WWID", "wwid:naa.5002", "disk.wwid == 'naa.5002'"},
		{"md array, UUID regrouped as udev writes it", "uuid:0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9", "/dev/disk/by-id/md-uuid-0a1b2c3d:4e5f6071:8293a4b5:c6d7e8f9"},
	} {
		in := input(t, "v1.13.9", "v1.36.3", fleet.Worker)
		in.EphemeralDisk = tc.disk
		out, err := Render(in)
		if err != nil || !strings.Contains(string(out), tc.want) || !strings.Contains(string(out), "minSize: 10GB") {
			t.Errorf("%s: %v\n%s", tc.why, err, out)
		}
	}
}

func TestRedactHidesEverySecret(t *testing.T) {
	in := input(t, "v1.14.1", "v1.36.3", fleet.ControlPlane)
	out, err := Render(in)
	if err != nil {
		t.Fatal(err)
	}
	hidden, err := Redact(out)
	if err != nil {
		t.Fatal(err)
	}
	bundle, _ := parseBundle(in.Secrets)
	for what, secret := range map[string]string{"token": bundle.TrustdInfo.Token, "bootstrap token": bundle.Secrets.BootstrapToken, "cluster secret": bundle.Cluster.Secret} {
		if bytes.Contains(hidden, []byte(secret)) || !bytes.Contains(out, []byte(secret)) {
			t.Errorf("the %s is shown, or was never there", what)
		}
	}
	if bytes.Contains(hidden, []byte("PRIVATE KEY")) {
		t.Error("a private key is shown")
	}
}

func TestTalosconfigIsReadByTheOfficialClient(t *testing.T) {
	in := input(t, "v1.14.1", "v1.36.3", fleet.ControlPlane)
	text, err := Talosconfig(&fleet.Cluster{Name: "prod", Endpoint: in.Endpoint, TalosVersion: "v1.14.1", Secrets: in.Secrets}, []string{"203.0.113.10", "203.0.113.11"})
	if err != nil {
		t.Fatal(err)
	}
	c, err := clientconfig.FromBytes(text)
	if err != nil || c.Context != "prod" || len(c.Contexts["prod"].Endpoints) != 2 {
		t.Errorf("got %v, %v", c, err)
	}
}
