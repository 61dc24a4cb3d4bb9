package machineconfig

import (
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

func TestVariablesFillInValuesNeverStructure(t *testing.T) {
	for _, tc := range []struct{ why, text, value, want string }{
		{"plain scalar", "a: ${x}", "b", `{"a": "b"}`},
		{"two in one", "a: ${x}-${x}", "b", `{"a": "b-b"}`},
		{"a number where plain", "a: ${x}", "4000", `{"a": 4000}`},
		{"text where quoted", "a: '${x}'", "4000", `{"a": "4000"}`},
		{"a truth value where plain", "a: ${x}", "true", `{"a": true}`},
		{"a number with zeroes keeps them for text", "a: ${x}", "007", `{"a": 007}`},
		{"nothing is null", "a: ${x}", "null", `{"a": "null"}`},
		{"nor is a tilde", "a: ${x}", "~", `{"a": "~"}`},
		{"no date", "a: ${x}", "2026-01-01", `{"a": "2026-01-01"}`},
		{"part of a number is text", "a: ${x}/21", "10", `{"a": "10/21"}`},
		{"a colon", "a: ${x}", "b: c", `{"a": "b: c"}`},
		{"a comment sign", "a: ${x}", "b #c", `{"a": "b #c"}`},
		{"a list", "a: ${x}", "[b, c]", `{"a": "[b, c]"}`},
		{"a map", "a: ${x}", "{b: c}", `{"a": "{b: c}"}`},
		{"an anchor", "a: ${x}", "&b", `{"a": "&b"}`},
		{"an alias", "a: ${x}", "*b", `{"a": "*b"}`},
		{"a tag", "a: ${x}", "!!int 1", `{"a": "!!int 1"}`},
		{"a dash", "- ${x}", "- b", `["- b"]`},
		{"a dash alone", "- ${x}", "-", `["-"]`},
		{"lines", "a: ${x}\nc: d", "b\ne: f\n---\n", `{"a": "b\ne: f\n---\n", "c": "d"}`},
		{"double quotes", `a: "${x}"`, `b"c`, `{"a": "b\"c"}`},
		{"single quotes", `a: '${x}'`, `b'c`, `{"a": "b'c"}`},
		{"a backslash", `a: "${x}\n"`, `b\nc`, `{"a": "b\\nc\n"}`},
		{"block scalar", "a: |\n  one ${x}\n  two\n", "b\nc", `{"a": "one b\nc\ntwo\n"}`},
		{"folded scalar", "a: >\n  one ${x}\n  two\n", " b", `{"a": "one  b two\n"}`},
		{"plain scalar on two lines", "a: one\n  ${x}\n  two\n", "b  c", `{"a": "one b  c two"}`},
		{"flow map", "{a: ${x}, b: [${x}]}", "1", `{"a": 1, "b": [1]}`},
		{"JSON", `{"a": "${x}", "b": ${x}}`, "1", `{"a": "1", "b": 1}`},
		{"key", "${x}: 1", "b: c", `{"b: c": 1}`},
		{"a key is text", "${x}: 1", "1", `{"1": 1}`},
		{"comments are left alone", "# ${nope}\na: ${x} # ${nope\n", "b", `{"a": "b"}`},
		{"anchor and alias", "a: &n ${x}\nb: *n", "c", `{"a": "c", "b": "c"}`},
		{"escaped", "a: $${x} ${x}", "b", `{"a": "${x} b"}`},
		{"escaped in a flow map", "{a: $${x}}", "b", `{"a": "${x}"}`},
		{"escaped and odd", `a: "$${FOO:-\"b\"}"`, "b", `{"a": "${FOO:-\"b\"}"}`},
		{"what a shell calls a command stays", "a: $(hostname) $HOME ${x}", "b", `{"a": "$(hostname) $HOME b"}`},
		{"a value is not looked at twice", "a: ${x}", "${x}", `{"a": "${x}"}`},
		{"tagged", "a: !!str ${x}", "1", `{"a": "1"}`},
		{"several documents", "a: ${x}\n---\nb: ${x}\n", "1", `{"a": 1}`},
		{"CRLF", "a: ${x}\r\nb: c\r\n", "1", `{"a": 1, "b": "c"}`},
		{"unicode around", "a: ä${x}→", "ü", `{"a": "äü→"}`},
	} {
		out, err := Variables{"x": tc.value}.Expand(tc.text)
		if err != nil {
			t.Errorf("%s: %v", tc.why, err)
			continue
		}
		var got, want yaml.Node
		if err := yaml.Unmarshal([]byte(out), &got); err != nil {
			t.Errorf("%s: %v\n%s", tc.why, err, out)
			continue
		}
		if err := yaml.Unmarshal([]byte(tc.want), &want); err != nil {
			t.Fatal(err)
		}
		if !equal(resolved(got.Content[0]), want.Content[0]) {
			t.Errorf("%s: got %s want %s", tc.why, out, tc.want)
		}
	}
}

// resolved puts what aliases stand for in their place.
func resolved(n *yaml.Node) *yaml.Node {
	for i, child := range n.Content {
		if child.Kind == yaml.AliasNode {
			n.Content[i] = child.Alias
		}
	}
	return n
}

func TestVariablesThatAreWrongAreErrorsWithTheirPlace(t *testing.T) {
	v := Variables{"hostname": "a", "vlan": ""}
	for _, tc := range []struct{ why, text, want, hint string }{
		{"unknown", "a: b\nc:\n  - ${nope}\n", "line 3, column 5: unknown variable ${nope}", "the variables are ${hostname}, ${vlan}; write $${"},
		{"misspelt", "a: ${hostnme}", "line 1, column 4: unknown variable ${hostnme}", "did you mean ${hostname}?"},
		{"empty", "a: 'x ${vlan}'", "line 1, column 7: variable ${vlan} has no value for this server", "limit the patch"},
		{"of a shell", "a: |\n  #!/bin/sh\n  echo ${FOO:-bar}\n", "line 3, column 8: unknown variable ${FOO:-bar}", "write $${ for a plain ${, as in scripts"},
		{"open", "a: x${hostname\n", "line 1, column 5: ${ without }", "$${"},
		{"no name", "a: ${}", "line 1, column 4: unknown variable ${}", "$${"},
		{"behind letters of several bytes", "a: äö${nope}", "line 1, column 6: unknown", ""},
		{"first of two", "a: ${one}\nb: ${two}", "line 1, column 4: unknown variable ${one}", ""},
		{"no YAML", "a: ${hostname}\n\tb: c", "line 2, column 1: no YAML", "tabs"},
	} {
		_, err := v.Expand(tc.text)
		if err == nil || fleet.KindOf(err) != fleet.Invalid || !strings.HasPrefix(err.Error(), tc.want) || !strings.Contains(fleet.HintOf(err), tc.hint) {
			t.Errorf("%s: got %v (%s), want %s (%s)", tc.why, err, fleet.HintOf(err), tc.want, tc.hint)
		}
	}
}

// The same patch for every server: what is a number for Talos becomes one, what is text stays text.
func TestVariablesHaveTheTypeOfTheirField(t *testing.T) {
	for _, tc := range []struct{ hostname, want string }{
		{"007", `hostname: "007"`}, {"true", `hostname: "true"`}, {"1e3", `hostname: "1e3"`}, {"null", `hostname: "null"`}, {"db-1", "hostname: db-1"},
	} {
		in := input(t, "v1.11.6", "v1.34.1", fleet.Worker, Patch{"p", `machine:
  network:
    hostname: ${hostname}
    interfaces:
      - interface: eth0
        vlans: [{vlanId: ${vlan}, mtu: ${private_mtu}, addresses: ["${private_ip}/${private_prefix}"]}]
  sysctls:
    kernel.hostname: ${hostname}
`})
		in.Variables["hostname"], in.Variables["private_mtu"], in.Variables["private_prefix"] = tc.hostname, "1400", "21"
		for range 2 { // the second time without the library's reader
			out, err := Render(in)
			if err != nil {
				t.Errorf("%s: %v", tc.hostname, err)
			} else if s := string(out); !strings.Contains(s, tc.want) || !strings.Contains(s, "vlanId: 4000") || !strings.Contains(s, "- 10.0.1.1/21") {
				t.Errorf("%s: want %s in\n%s", tc.hostname, tc.want, s)
			}
		}
	}
}

func TestVariablesOfAServer(t *testing.T) {
	s := &fleet.Server{
		Name: "db-1", Provider: fleet.HetznerRobot, ProviderID: "321", Product: "AX41-NVMe", Location: "FSN1-DC8", Architecture: fleet.AMD64,
		IPv4: "203.0.113.11", IPv6: "2001:db8::2",
		Facts: fleet.Facts{UUID: "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9", Gateway: "203.0.113.1", NICs: []fleet.NIC{
			{Name: "eth1", MAC: "00:00:5E:00:53:02", Up: true},
			{Name: "eth0", MAC: "00:00:5E:00:53:01", Up: true, Addresses: []string{"203.0.113.11/26", "fe80::1/64"}},
		}},
		Assignment: fleet.Assignment{Hostname: "database-1", PrivateIP: "10.0.2.1", InstallDisk: "eui.0025", Role: fleet.Worker},
	}
	c := &fleet.Cluster{Name: "prod", Endpoint: "https://203.0.113.10:6443", TalosVersion: "v1.14.1", KubernetesVersion: "v1.36.3"}
	v, err := VariablesFor(About{Server: s, Cluster: c, VLAN: 4000, PrivatePrefix: 21, Own: []map[string]string{{"zone": "a", "ntp": "b"}, {"zone": "c"}}})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"hostname": "database-1", "private_ip": "10.0.2.1", "public_ip": "203.0.113.11", "vlan": "4000", "bootstrap_disk_wwid": "eui.0025",
		"public_ipv6": "2001:db8::2", "gateway": "203.0.113.1", "mac": "00:00:5e:00:53:01", "private_prefix": "21", "private_mtu": "1400",
		"server_name": "db-1", "server_id": "321", "product": "AX41-NVMe", "location": "FSN1-DC8", "uuid": s.Facts.UUID, "architecture": "amd64",
		"provider": "hetzner_robot", "role": "worker", "cluster_name": "prod", "endpoint": "https://203.0.113.10:6443", "talos_version": "v1.14.1",
		"kubernetes_version": "v1.36.3", "zone": "c", "ntp": "b",
	} {
		if v[name] != want {
			t.Errorf("%s is %q, want %q", name, v[name], want)
		}
	}
	for _, b := range BuiltInVariables() {
		if _, ok := v[b.Name]; !ok || b.Means == "" {
			t.Errorf("%s: no value, or not explained", b.Name)
		}
	}
	cloud, _ := VariablesFor(About{Server: &fleet.Server{Provider: fleet.HetznerCloud, IPv4: "203.0.113.12"}})
	if cloud["gateway"] != "172.31.1.1" || cloud["private_mtu"] != "1450" || cloud["mac"] != "" || cloud["vlan"] != "" {
		t.Errorf("Cloud: %v", cloud)
	}
	for _, own := range []string{"hostname", "Zone", "1a", "", "a b", "a}"} {
		if _, err := VariablesFor(About{Server: s, Own: []map[string]string{{own: "x"}}}); fleet.KindOf(err) != fleet.Invalid {
			t.Errorf("own variable %q: %v", own, err)
		}
	}
}

func TestTheVersionsOfARenderingWinOverThoseOfTheRecords(t *testing.T) {
	in := input(t, "v1.13.9", "v1.36.3", fleet.Worker, Patch{"p", "machine: {sysctls: {a: '${talos_version} ${kubernetes_version} ${cluster_name} ${role}'}}"})
	in.Variables["talos_version"], in.Variables["cluster_name"] = "v1.6.0", "old"
	out, err := Render(in)
	if err != nil || !strings.Contains(string(out), "a: v1.13.9 v1.36.3 prod worker") {
		t.Errorf("%v\n%s", err, out)
	}
}
