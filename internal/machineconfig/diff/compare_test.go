package diff_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/config/encoder"
	"github.com/siderolabs/talos/pkg/machinery/config/machine"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig/diff"
	"github.com/talos-manager/talos-manager/internal/machineconfig/schema"
)

func TestTheSameConfigWrittenInAnotherWayIsNoDifference(t *testing.T) {
	for _, v := range versions {
		for _, of := range []machine.Type{machine.TypeControlPlane, machine.TypeWorker} {
			p := generated(t, v.talos, v.kubernetes, of)
			text := encode(t, p, encoder.CommentsDisabled)
			for how, other := range map[string][]byte{
				"with comments and examples": encode(t, p, encoder.CommentsAll),
				"written anew":               reload(t, text),
				"keys and documents turned":  turnedButOrdered(t, text),
				"with Windows line ends":     []byte(strings.ReplaceAll(string(text), "\n", "\r\n")),
			} {
				d, err := diff.Compare(text, other, nil)
				if err != nil {
					t.Fatal(err)
				}
				if !d.Empty() || len(d.V1Alpha1) > 0 {
					t.Errorf("%s %s %s:\n%s%v", v.talos, of, how, diff.Text(d, nil), d.V1Alpha1)
				}
				if u, err := diff.Unified(text, other); u != "" || err != nil {
					t.Errorf("%s %s %s: %v\n%s", v.talos, of, how, err, u)
				}
			}
		}
	}
}

// turnedButOrdered keeps the authorizers in their order, which counts.
func turnedButOrdered(t *testing.T, text []byte) []byte {
	var rest, authorizers []string
	for _, doc := range strings.Split(string(text), "\n---\n") {
		if strings.Contains(doc, "kind: KubeAuthorizerConfig") {
			authorizers = append(authorizers, doc)
			continue
		}
		rest = append(rest, doc)
	}
	out := string(shuffled(t, []byte(strings.Join(rest, "\n---\n"))))
	return []byte(strings.Join(append([]string{out}, authorizers...), "\n---\n"))
}

const head = "version: v1alpha1\n"

func TestWhatMeansTheSameIsNoDifference(t *testing.T) {
	for _, tc := range []struct{ why, a, b string }{
		{"a duration", "machine: {time: {bootTimeout: 60s}}", "machine: {time: {bootTimeout: 1m0s}}"},
		{"quotes of a text", `machine: {sysctls: {a: "1"}}`, "machine: {sysctls: {a: '1'}}"},
		{"a number for a text", `machine: {sysctls: {a: "1"}}`, "machine: {sysctls: {a: 1}}"},
		{"flow and block", "machine: {certSANs: [a, b]}", "machine:\n  certSANs:\n    - a\n    - b"},
		{"an octal mode", "machine: {files: [{path: /a, permissions: 0o644, content: x, op: create}]}", "machine: {files: [{op: create, content: x, permissions: 420, path: /a}]}"},
		{"no value and a zero", "machine: {type: worker}", "machine: {type: worker, token: ''}"},
		{"no list and an empty one", "machine: {type: worker}", "machine: {type: worker, certSANs: []}"},
		{"no map and an empty one", "machine: {type: worker}", "machine: {type: worker, sysctls: {}}"},
		{"null", "machine: {type: worker}", "machine: {type: worker, kubelet: null}"},
		{"an omitted bool of which the default is false", "machine: {kubelet: {image: x}}", "machine: {kubelet: {image: x, registerWithFQDN: false}}"},
		{"an omitted bool of which the default is true", "machine: {network: {interfaces: [{interface: a, dhcpOptions: {routeMetric: 1}}]}}", "machine: {network: {interfaces: [{interface: a, dhcpOptions: {routeMetric: 1, ipv4: true}}]}}"},
		{"an empty struct behind a pointer that Talos fills in", "machine: {type: worker}", "machine: {type: worker, udev: {}}"},
		{"the order of SANs", "machine: {certSANs: [a, b, c]}", "machine: {certSANs: [c, a, b]}"},
		{"the order of interfaces", "machine: {network: {interfaces: [{interface: a, mtu: 1}, {interface: b, mtu: 2}]}}", "machine: {network: {interfaces: [{mtu: 2, interface: b}, {mtu: 1, interface: a}]}}"},
		{"the order of interfaces by selector", "machine: {network: {interfaces: [{deviceSelector: {driver: x}, mtu: 1}, {deviceSelector: {busPath: y}, mtu: 2}]}}", "machine: {network: {interfaces: [{deviceSelector: {busPath: y}, mtu: 2}, {deviceSelector: {driver: x}, mtu: 1}]}}"},
		{"the order of routes to one network", "machine: {network: {interfaces: [{interface: a, routes: [{network: 0.0.0.0/0, gateway: 10.0.0.1, metric: 1}, {network: 0.0.0.0/0, gateway: 10.0.0.2, metric: 2}]}]}}", "machine: {network: {interfaces: [{interface: a, routes: [{network: 0.0.0.0/0, gateway: 10.0.0.2, metric: 2}, {network: 0.0.0.0/0, gateway: 10.0.0.1, metric: 1}]}]}}"},
		{"the order of vlans and addresses", "machine: {network: {interfaces: [{interface: a, vlans: [{vlanId: 1, addresses: [10.0.0.1/24, 10.0.1.1/24]}, {vlanId: 2}]}]}}", "machine: {network: {interfaces: [{interface: a, vlans: [{vlanId: 2}, {vlanId: 1, addresses: [10.0.1.1/24, 10.0.0.1/24]}]}]}}"},
		{"the order of kernel modules", "machine: {kernel: {modules: [{name: a}, {name: b}]}}", "machine: {kernel: {modules: [{name: b}, {name: a}]}}"},
		{"the order of files", "machine: {files: [{path: /a, content: x}, {path: /b, content: y}]}", "machine: {files: [{path: /b, content: y}, {path: /a, content: x}]}"},
		{"the order of admission plugins", "cluster: {apiServer: {admissionControl: [{name: a}, {name: b}]}}", "cluster: {apiServer: {admissionControl: [{name: b}, {name: a}]}}"},
		{"the order of key slots", "machine: {systemDiskEncryption: {state: {provider: luks2, keys: [{slot: 0, nodeID: {}}, {slot: 1, tpm: {}}]}}}", "machine: {systemDiskEncryption: {state: {provider: luks2, keys: [{slot: 1, tpm: {}}, {slot: 0, nodeID: {}}]}}}"},
		{"an argument as text and as a list of one", "machine: {kubelet: {extraArgs: {v: '2'}}}", "machine: {kubelet: {extraArgs: {v: ['2']}}}"},
		{"a size", "---\napiVersion: v1alpha1\nkind: VolumeConfig\nname: EPHEMERAL\nprovisioning: {minSize: 1GiB}", "---\napiVersion: v1alpha1\nkind: VolumeConfig\nname: EPHEMERAL\nprovisioning: {minSize: 1024MiB}"},
		{"an anchor", "machine: {certSANs: &s [a], network: {searchDomains: *s}}", "machine: {certSANs: [a], network: {searchDomains: [a]}}"},
		{"a merge", "machine: {sysctls: &s {a: '1'}, sysfs: {<<: *s, b: '2'}}", "machine: {sysctls: {a: '1'}, sysfs: {a: '1', b: '2'}}"},
		{"JSON", "machine: {type: worker, certSANs: [a]}", `machine: {"type":"worker","certSANs":["a"]}`},
		{"leading blank lines of an inline manifest, which Talos cuts", "cluster: {inlineManifests: [{name: a, contents: \"\\n\\nx: 1\"}]}", "cluster: {inlineManifests: [{name: a, contents: 'x: 1'}]}"},
		{"an unknown document, its keys turned", "---\napiVersion: v9\nkind: FutureConfig\na: 1\nb: {c: 2, d: 3}", "---\nb: {d: 3, c: 2}\na: 1\nkind: FutureConfig\napiVersion: v9"},
		{"the order of environment variables", "---\napiVersion: v1alpha1\nkind: ExtensionServiceConfig\nname: x\nenvironment: [A=1, B=2]", "---\napiVersion: v1alpha1\nkind: ExtensionServiceConfig\nname: x\nenvironment: [B=2, A=1]"},
	} {
		if d := compare(t, head+tc.a, head+tc.b); !d.Empty() {
			t.Errorf("%s:\n%s", tc.why, diff.Text(d, nil))
		}
		if u, err := diff.Unified([]byte(head+tc.a), []byte(head+tc.b)); err != nil {
			t.Errorf("%s: %v\n%s", tc.why, err, u)
		}
	}
}

func TestEachDifferenceIsItsField(t *testing.T) {
	for _, tc := range []struct{ why, a, b, want string }{
		{"a field of an interface", "machine: {network: {interfaces: [{interface: a}, {interface: eth0, mtu: 1500}]}}", "machine: {network: {interfaces: [{interface: eth0, mtu: 1400}, {interface: a}]}}", "~ machine.network.interfaces[eth0].mtu machine.network.interfaces[].mtu 1500 1400"},
		{"a key with dots", "machine: {sysctls: {net.core.somaxconn: '1'}}", "machine: {sysctls: {net.core.somaxconn: '2'}}", `~ machine.sysctls["net.core.somaxconn"] machine.sysctls.* "1" "2"`},
		{"one SAN", "machine: {certSANs: [a, b]}", "machine: {certSANs: [b, c]}", "+ machine.certSANs[] machine.certSANs[] null \"c\"; - machine.certSANs[] machine.certSANs[] \"a\" null"},
		{"the first SANs", "machine: {type: worker}", "machine: {type: worker, certSANs: [a, b]}", "+ machine.certSANs[] machine.certSANs[] null \"a\"; + machine.certSANs[] machine.certSANs[] null \"b\""},
		{"the order of name servers", "machine: {network: {nameservers: [1.1.1.1, 9.9.9.9]}}", "machine: {network: {nameservers: [9.9.9.9, 1.1.1.1]}}", `~ machine.network.nameservers machine.network.nameservers ["1.1.1.1","9.9.9.9"] ["9.9.9.9","1.1.1.1"]`},
		{"the order of endpoints of a mirror", "machine: {registries: {mirrors: {docker.io: {endpoints: [https://a, https://b]}}}}", "machine: {registries: {mirrors: {docker.io: {endpoints: [https://b, https://a]}}}}", `~ machine.registries.mirrors["docker.io"].endpoints machine.registries.mirrors.*.endpoints ["https://a","https://b"] ["https://b","https://a"]`},
		{"the order of named endpoints", "---\napiVersion: v1alpha1\nkind: RegistryMirrorConfig\nname: docker.io\nendpoints: [{url: https://a}, {url: https://b}]", "---\napiVersion: v1alpha1\nkind: RegistryMirrorConfig\nname: docker.io\nendpoints: [{url: https://b}, {url: https://a}]", `moved endpoints endpoints ["https://a","https://b"] ["https://b","https://a"]`},
		{"false where true is the default", "machine: {network: {interfaces: [{interface: a, dhcpOptions: {routeMetric: 1}}]}}", "machine: {network: {interfaces: [{interface: a, dhcpOptions: {routeMetric: 1, ipv4: false}}]}}", "+ machine.network.interfaces[a].dhcpOptions.ipv4 machine.network.interfaces[].dhcpOptions.ipv4 null false"},
		{"an empty list that is something", "machine: {type: worker}", "machine: {type: worker, network: {searchDomains: []}}", "+ machine.network.searchDomains machine.network.searchDomains null []"},
		{"a struct of which the presence is all", "machine: {systemDiskEncryption: {state: {provider: luks2, keys: [{slot: 0}]}}}", "machine: {systemDiskEncryption: {state: {provider: luks2, keys: [{slot: 0, nodeID: {}}]}}}", "+ machine.systemDiskEncryption.state.keys[0].nodeID machine.systemDiskEncryption.state.keys[].nodeID null {}"},
		{"a label without a value", "machine: {nodeLabels: {a: x}}", "machine: {nodeLabels: {a: x, b: ''}}", `+ machine.nodeLabels.b machine.nodeLabels.* null ""`},
		{"a label without a value goes", "machine: {nodeLabels: {a: x, b: ''}}", "machine: {nodeLabels: {a: x}}", `- machine.nodeLabels.b machine.nodeLabels.* "" null`},
		{"a mirror without endpoints", "machine: {type: worker}", "machine: {type: worker, registries: {mirrors: {docker.io: {}}}}", `+ machine.registries.mirrors["docker.io"] machine.registries.mirrors.* null {}`},
		{"a field in an element of a list in order", "machine: {disks: [{device: /dev/sda, partitions: [{mountpoint: /a, size: 1}, {mountpoint: /b, size: 2}]}]}", "machine: {disks: [{device: /dev/sda, partitions: [{mountpoint: /a, size: 1}, {mountpoint: /b, size: 3}]}]}", "~ machine.disks[/dev/sda].partitions[1].size machine.disks[].partitions[].size 2 3"},
		{"files of one path in an order that counts", "machine: {files: [{path: /a, content: x}, {path: /a, content: y}]}", "machine: {files: [{path: /a, content: y}, {path: /a, content: x}]}", `- machine.files[0] machine.files[] {"content":"x","path":"/a"} null; + machine.files[1] machine.files[] null {"content":"x","path":"/a"}`},
		{"text for a number", "machine: {kubelet: {extraConfig: {maxPods: 110}}}", "machine: {kubelet: {extraConfig: {maxPods: '110'}}}", `~ machine.kubelet.extraConfig.maxPods machine.kubelet.extraConfig 110 "110"`},
		{"a field that the library does not know", "machine: {type: worker}", "machine: {type: worker, future: {a: 1}}", `+ machine.future machine.future null {"a":1}`},
		{"a map where a list was", "machine: {certSANs: [a]}", "machine: {certSANs: {a: b}}", `~ machine.certSANs machine.certSANs ["a"] {"a":"b"}`},
		{"a named container of a static pod", "machine: {pods: [{metadata: {name: p}, spec: {containers: [{name: a, image: x}, {name: b, image: y}]}}]}", "machine: {pods: [{metadata: {name: p}, spec: {containers: [{name: a, image: x}, {name: b, image: z}]}}]}", `~ machine.pods[p].spec.containers[b].image machine.pods[] "y" "z"`},
		{"a document comes", "machine: {type: worker}", "machine: {type: worker}\n---\napiVersion: v1alpha1\nkind: KmsgLogConfig\nname: r\nurl: tcp://10.5.0.1:5140/", `+ KmsgLogConfig r: + url url null "tcp://10.5.0.1:5140/"`},
		{"a document goes", "machine: {type: worker}\n---\napiVersion: v1alpha1\nkind: HostnameConfig\nhostname: a", "machine: {type: worker}", `- HostnameConfig: - hostname hostname "a" null`},
		{"a document that says nothing comes", "machine: {type: worker}", "machine: {type: worker}\n---\napiVersion: v1alpha1\nkind: DHCPv4Config\nname: eth0", "+ DHCPv4Config eth0: "},
		{"a document is renamed", "machine: {type: worker}\n---\napiVersion: v1alpha1\nkind: DHCPv4Config\nname: eth0", "machine: {type: worker}\n---\napiVersion: v1alpha1\nkind: DHCPv4Config\nname: eth1", "+ DHCPv4Config eth1:  | - DHCPv4Config eth0: "},
		{"the order of authorizers", "---\napiVersion: v1alpha1\nkind: KubeAuthorizerConfig\nname: a\n---\napiVersion: v1alpha1\nkind: KubeAuthorizerConfig\nname: b", "---\napiVersion: v1alpha1\nkind: KubeAuthorizerConfig\nname: b\n---\napiVersion: v1alpha1\nkind: KubeAuthorizerConfig\nname: a", `moved KubeAuthorizerConfig: moved   ["a","b"] ["b","a"]`},
	} {
		if got := summary(compare(t, head+tc.a, head+tc.b)); !strings.HasSuffix(got, tc.want) || strings.Count(got, ";") != strings.Count(tc.want, ";") {
			t.Errorf("%s:\n got %s\nwant %s", tc.why, got, tc.want)
		}
	}
}

// summary writes a diff on one line.
func summary(d *diff.Diff) string {
	sign := map[diff.Op]string{diff.Added: "+", diff.Removed: "-", diff.Changed: "~", diff.Moved: "moved"}
	var docs []string
	for _, doc := range d.Documents {
		var changes []string
		for _, c := range doc.Changes {
			before, _ := json.Marshal(c.Old)
			after, _ := json.Marshal(c.New)
			changes = append(changes, fmt.Sprintf("%s %s %s %s %s", sign[c.Op], c.Path, c.Field, before, after))
		}
		docs = append(docs, fmt.Sprintf("%s %s: %s", sign[doc.Op], doc.Title(), strings.Join(changes, "; ")))
	}
	return strings.Join(docs, " | ")
}

func TestNothingComparesAsNoDocuments(t *testing.T) {
	all := controlPlane(t, "v1.14.1")
	d, err := diff.Compare(nil, all, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Documents) < 20 || d.Documents[0].Kind != schema.V1Alpha1 || d.Incomplete {
		t.Errorf("%d documents, incomplete %v", len(d.Documents), d.Incomplete)
	}
	for _, doc := range d.Documents {
		if doc.Op != diff.Added {
			t.Errorf("%s is %s", doc.Title(), doc.Op)
		}
	}
	if d, err = diff.Compare(all, []byte("# nothing\n---\n"), nil); err != nil || len(d.Documents) < 20 || d.Documents[0].Op != diff.Removed {
		t.Errorf("%v", err)
	}
}

func TestWhatIsNoConfigIsInvalid(t *testing.T) {
	for why, text := range map[string]string{
		"no YAML":            "a: [",
		"a text":             "hello",
		"a list":             "- a",
		"a map as a key":     "{{a: b}: c}",
		"too deep":           strings.Repeat("a: {", 250) + strings.Repeat("}", 250),
		"a billion laughs":   laughs(),
		"an alias of itself": "a: &a [*a]",
	} {
		_, err := diff.Compare([]byte("a: b"), []byte(text), nil)
		if fleet.KindOf(err) != fleet.Invalid || err == nil {
			t.Errorf("%s: %v", why, err)
		}
	}
}

func laughs() string {
	var b strings.Builder
	b.WriteString("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n")
	for i := 1; i < 12; i++ {
		fmt.Fprintf(&b, "a%d: &a%d [", i, i)
		b.WriteString(strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i-1), 10), ",") + "]\n")
	}
	return b.String()
}

func TestNoConfigTakesForever(t *testing.T) {
	many := func(n int, item string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, item, i)
		}
		return b.String()
	}
	nest := func(n int, in string) string { return strings.Repeat("[x, ", n) + in + strings.Repeat("]", n) }
	for why, sides := range map[string][2]string{
		"lists in lists":    {"a: " + nest(190, "1"), "a: " + nest(190, "2")},
		"other lists":       {"a: " + nest(190, "{b: 1}"), "a: " + nest(190, "{b: 2}")},
		"many SANs":         {head + "machine: {certSANs: [" + many(20_000, "a%d, ") + "]}", head + "machine: {certSANs: [" + many(20_000, "b%d, ") + "]}"},
		"many SANs, turned": {head + "machine: {certSANs: [" + many(20_000, "a%d, ") + "z]}", head + "machine: {certSANs: [z, " + many(20_000, "a%d, ") + "]}"},
		"many files":        {head + "machine: {files: [" + many(5000, "{path: /a, content: x%d}, ") + "]}", head + "machine: {files: [" + many(5000, "{path: /a, content: y%d}, ") + "]}"},
		"many maps":         {"a: [" + many(5000, "{b: x%d}, ") + "]", "a: [" + many(5000, "{b: y%d}, ") + "]"},
		"many lines":        {head + "machine: {nodeAnnotations: {a: \"" + many(20_000, "%d\\n") + "\"}}", head + "machine: {nodeAnnotations: {a: \"" + many(20_000, "%d.\\n") + "\"}}"},
	} {
		start := time.Now()
		d := compare(t, sides[0], sides[1])
		if diff.Text(d, nil) == "" || time.Since(start) > 20*time.Second {
			t.Errorf("%s: %v", why, time.Since(start))
		}
	}
}
