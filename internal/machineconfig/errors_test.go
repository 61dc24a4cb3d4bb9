package machineconfig

import (
	"strings"
	"testing"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// What guides of older Talos versions say, on the versions that know better: each error names the server, the patch,
// the line and the field, and says what to write instead. "" is no error.
func TestPatchesOfOlderGuidesSayWhatToWriteInstead(t *testing.T) {
	type outcome struct{ text, hint string }
	fine := outcome{}
	for _, tc := range []struct {
		why, patch string
		role       fleet.Role
		on         [4]outcome // Talos 1.11, 1.12, 1.13, 1.14
	}{
		{"hostname by its field", "machine: {network: {hostname: x}}", fleet.Worker, [4]outcome{}},
		{"hostname by its document, without auto", "apiVersion: v1alpha1\nkind: HostnameConfig\nhostname: x\n", fleet.Worker, [4]outcome{{"line 2, column 7: kind HostnameConfig is known since Talos v1.12", "machine.network.hostname"}}},
		{"hostname by its document", "apiVersion: v1alpha1\nkind: HostnameConfig\nauto: off\nhostname: x\n", fleet.Worker, [4]outcome{{"HostnameConfig is known since Talos v1.12", "machine.network.hostname"}}},
		{"hostname made by Talos", "apiVersion: v1alpha1\nkind: HostnameConfig\nauto: stable\n", fleet.Worker, [4]outcome{{"HostnameConfig is known since Talos v1.12", "machine.network.hostname"}}},
		{"hostname deleted, then by its field", "apiVersion: v1alpha1\nkind: HostnameConfig\n$patch: delete\n---\nmachine: {network: {hostname: x}}\n", fleet.Worker, [4]outcome{}},
		{"kernel arguments", "machine:\n  install:\n    extraKernelArgs: [a=b]\n", fleet.Worker, [4]outcome{fine, fine, fine, {"line 2, column 3: machine.install: either install disk or diskSelector", "schematic"}}},
		{"kernel arguments of GRUB", "machine:\n  install:\n    extraKernelArgs: [a=b]\n    grubUseUKICmdline: false\n", fleet.Worker, [4]outcome{{"line 4, column 5: machine.install.grubUseUKICmdline is known since Talos v1.12", ""}, fine, fine, {"line 2, column 3: machine.install", "schematic"}}},
		{"install options", "machine: {install: {wipe: true}}", fleet.Worker, [4]outcome{fine, fine, fine, {"machine.install: ", "UnattendedInstallConfig"}}},
		{"install document", "apiVersion: v1alpha1\nkind: UnattendedInstallConfig\nprovisioning: {diskSelector: {match: 'disk.size > 1u'}}\n", fleet.Worker, [4]outcome{{"known since Talos v1.14", "machine.install"}, {"known since Talos v1.14", "machine.install"}, {"known since Talos v1.14", "machine.install"}}},
		{"node labels", "machine:\n  sysctls: {c: d}\n  nodeLabels: {a: b}\n", fleet.Worker, [4]outcome{fine, fine, fine, {"line 3, column 3: .machine.nodeLabels is already set", "KubeNodeConfig"}}},
		{"node document", "apiVersion: v1alpha1\nkind: KubeNodeConfig\nlabels: {a: b}\n", fleet.ControlPlane, [4]outcome{{"known since Talos v1.14", "machine.nodeLabels"}, {"known since Talos v1.14", "machine.nodeLabels"}, {"known since Talos v1.14", "machine.nodeLabels"}}},
		{"kubelet mounts", "machine: {kubelet: {extraMounts: [{destination: /var/local, source: /var/local, type: bind, options: [bind]}]}}", fleet.Worker, [4]outcome{fine, fine, fine, {"machine.kubelet: kubelet config is already set", "KubeletConfig"}}},
		{"no CNI", "cluster:\n  network:\n    cni: {name: none}\n", fleet.ControlPlane, [4]outcome{fine, fine, fine, {"line 2, column 3: cluster.network: ", "KubeNetworkConfig"}}},
		{"no kube-proxy", "cluster:\n  proxy:\n    disabled: true\n", fleet.ControlPlane, [4]outcome{fine, fine, fine, {"line 2, column 3: cluster.proxy: ", "enabled: false"}}},
		{"encryption by its field", "machine: {systemDiskEncryption: {state: {provider: luks2, keys: [{nodeID: {}, slot: 0}]}}}", fleet.Worker, [4]outcome{}},
		{
			"encryption twice", "apiVersion: v1alpha1\nkind: VolumeConfig\nname: STATE\nencryption: {provider: luks2, keys: [{nodeID: {}, slot: 0}]}\n---\nmachine:\n  systemDiskEncryption:\n    state: {provider: luks2, keys: [{nodeID: {}, slot: 0}]}\n", fleet.Worker,
			[4]outcome{{`is configured in both`, "keep one"}, {"is configured in both", "keep one"}, {"is configured in both", "keep one"}, {"is configured in both", "keep one"}},
		},
		{"virtual address on a worker", "machine:\n  network:\n    interfaces:\n      - interface: eth0\n        vip: {ip: 10.0.0.1}\n", fleet.Worker, [4]outcome{{"line 5, column 9: machine.network.interfaces[0].vip: virtual", "role controlplane"}, {"vip", "role controlplane"}, {"vip", "role controlplane"}, {"vip", "role controlplane"}}},
		{"files of containerd", "machine:\n  files: [{content: a, path: /etc/cri/conf.d/20-customization.part, op: create}]\n", fleet.Worker, [4]outcome{}},
		{"registries", "machine: {registries: {mirrors: {docker.io: {endpoints: ['https://mirror.example.org']}}}}", fleet.Worker, [4]outcome{}},
		{"JSON patch", "- op: add\n  path: /machine/sysctls\n  value: {a: b}\n", fleet.Worker, [4]outcome{}},
		{"JSON patch of the guide", "- op: add\n  path: /machine/network/hostname\n  value: x\n", fleet.Worker, [4]outcome{fine, fine, {"line 1, column 3: /machine/network/hostname: /machine/network does not exist", "machine: {network: {hostname: …}}"}, {"/machine/network does not exist", "{op: add, path: /machine/network, value: {}}"}}},
		{"KubeSpan by its field", "machine: {network: {kubespan: {enabled: true, mtu: 1320}}}", fleet.Worker, [4]outcome{}},
	} {
		for i, v := range []struct{ talos, kubernetes string }{{"v1.11.6", "v1.34.1"}, {"v1.12.4", "v1.35.0"}, {"v1.13.9", "v1.36.3"}, {"v1.14.1", "v1.36.3"}} {
			in := input(t, v.talos, v.kubernetes, tc.role, Patch{"before", "machine: {sysctls: {x: y}}"}, Patch{`config prod, patch "all"`, tc.patch}, Patch{"after", "machine: {sysctls: {x: z}}"})
			in.KubeSpan = strings.HasPrefix(tc.why, "KubeSpan")
			expectError(t, tc.why+" on "+v.talos, in, tc.on[i].text, tc.on[i].hint)
		}
	}
}

// expectError renders: text "" is for no error.
func expectError(t *testing.T, why string, in Input, text, hint string) {
	t.Helper()
	_, err := Render(in)
	switch {
	case text == "" && err != nil:
		t.Errorf("%s: %v (%s)", why, err, fleet.HintOf(err))
	case text == "":
	case err == nil:
		t.Errorf("%s: no error, want %q", why, text)
	case fleet.KindOf(err) != fleet.Invalid || !strings.HasPrefix(err.Error(), `server worker-1: config prod, patch "all": line `) || !strings.Contains(err.Error(), text):
		t.Errorf("%s: got %v (%s), want %q", why, err, fleet.KindOf(err), text)
	case !strings.Contains(fleet.HintOf(err), hint) || fleet.HintOf(err) == "":
		t.Errorf("%s: hint %q lacks %q", why, fleet.HintOf(err), hint)
	}
}

func TestErrorsNameLineAndField(t *testing.T) {
	for _, tc := range []struct{ why, patch, text string }{
		{"wrong type", "machine:\n  network:\n    interfaces:\n      - interface: eth0\n        mtu: zero\n", "line 5, column 14: machine.network.interfaces[0].mtu"},
		{"wrong type behind a variable", "machine:\n  network:\n    interfaces:\n      - interface: eth0\n        mtu: ${hostname}\n", "line 5, column 14: machine.network.interfaces[0].mtu: text where a whole number is wanted"},
		{"wrong type of several lines", "# one\n\nmachine:\n  sysctls: |\n    a\n    b\n  time: {bootTimeout: ${hostname}}\n", "line 4"},
		{"bad address, the second of three", "machine:\n  network:\n    interfaces:\n      - interface: eth0\n        dhcp: true\n      - interface: eth1\n        addresses: [10.0.0.1/24, foo, 10.0.0.2/24]\n", `line 7, column 34: machine.network.interfaces[1].addresses[1]: `},
		{"bad address by a JSON patch", "- op: add\n  path: /machine/sysctls\n  value: {a: b}\n- op: add\n  path: /machine/network\n  value: {interfaces: [{interface: eth0, addresses: [foo]}]}\n", "line 4, column 3: [1]"},
		{"list element", "machine:\n  network:\n    interfaces:\n      - null\n", "line 4"},
		{"nothing to delete", "machine:\n  sysctls: {a: b}\n  certSANs:\n    $patch: delete\n  network:\n    nameservers:\n      $patch: delete\n", "line 6, column 5: machine.network.nameservers: there is nothing of this name to delete"},
		{"delete without apiVersion", "kind: HostnameConfig\n$patch: delete\n", "HostnameConfig: the document has no apiVersion"},
		{"a document with nothing but its kind", "kind: HostnameConfig\n", "line 1"},
		{"neither kind nor machine", "hostname: a\n", "line 1"},
		{"key twice", "machine:\n  type: worker\n  type: worker\n", "line 3"},
		{"text", "hello", "line 1, column 1: a document must be a map"},
		{"list and map", "- op: remove\n  path: /machine/sysctls\n---\nmachine: {}\n", "line 1, column 1: a JSON patch (RFC 6902) is a list in one document"},
		{"operation without a path", "- op: add\n  value: 1\n", "line 1, column 3: operation add without a path"},
		{"operation without a value", "- op: add\n  path: /machine/a\n", "line 1, column 3: /machine/a: operation add without a value"},
		{"unknown operation", "- op: remove\n  path: /machine/install\n- op: append\n  path: /machine/a\n", `line 3, column 3: a JSON patch has no operation "append"`},
		{"other document", "- op: add\n  path: /HostnameConfig/hostname\n  value: a\n", "line 1, column 3: /HostnameConfig/hostname: a JSON patch reaches only /machine"},
		{"nothing to replace", "- op: replace\n  path: /machine/install/wipped\n  value: a\n", "line"},
		{"nothing to remove", "- op: remove\n  path: /machine/sysctls/a\n", "line 1, column 3: /machine/sysctls/a: /machine/sysctls does not exist"},
		{"failed test", "- op: test\n  path: /machine/type\n  value: controlplane\n", "line 1, column 3: /machine/type: the config does not have the value"},
		{"index off the end", "- op: add\n  path: /machine/certSANs/5\n  value: a\n", "line 1, column 3: /machine/certSANs/5"},
		{"operation in JSON", `[{"op": "add", "path": "/machine/nosuch/a", "value": 1}]`, "line 1"},
		{"what a node needs to boot", "machine:\n  $patch: delete\n", "line 2, column 3: machine"},
	} {
		expectError(t, tc.why, input(t, "v1.13.9", "v1.36.3", fleet.Worker, Patch{`config prod, patch "all"`, tc.patch}), tc.text, "")
	}
}

func TestEphemeralDiskNeedsAVersionThatHasIt(t *testing.T) {
	in := input(t, "v1.7.7", "v1.30.5", fleet.Worker)
	in.EphemeralDisk = "wwid:naa.5002"
	if _, err := Render(in); fleet.KindOf(err) != fleet.Invalid || !strings.Contains(err.Error(), "server worker-1: Talos v1.7.7") || !strings.Contains(fleet.HintOf(err), "v1.8") {
		t.Errorf("got %v (%s)", err, fleet.HintOf(err))
	}
}
