package schema_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/talos-manager/talos-manager/internal/machineconfig/schema"
)

func TestFindings(t *testing.T) {
	tests := []struct {
		why, version, text string
		want               []string // prefixes of the findings
	}{
		{"a patch with nothing in it", "v1.14", "# nothing\n---\n", nil},
		{"a document that is too new says what was written before", "v1.12.3", "apiVersion: v1alpha1\nkind: KubeSpanConfig\nenabled: true\n", []string{
			"2:7: error: kind KubeSpanConfig is known since Talos v1.13; write machine.network.kubespan instead",
		}},
		{"a field that came with a patch release", "v1.12.3", "apiVersion: v1alpha1\nkind: OOMConfig\nstrictCgroupClassOrdering: true\n", []string{
			"3:1: error: strictCgroupClassOrdering is known since Talos v1.12.9",
		}},
		{"and is there in it, and again in a later minor", "v1.12.9", "apiVersion: v1alpha1\nkind: OOMConfig\nstrictCgroupClassOrdering: true\n", nil},
		{"but not in the first releases of the next minor", "v1.13.0", "apiVersion: v1alpha1\nkind: OOMConfig\nstrictCgroupClassOrdering: true\n", []string{
			"3:1: error: strictCgroupClassOrdering is known since Talos v1.13.4",
		}},
		{"a type that became wider", "v1.12", "cluster:\n  apiServer:\n    extraArgs:\n      oidc-groups: [a, b]\n", []string{
			`4:20: error: cluster.apiServer.extraArgs["oidc-groups"]: wants text, not a list`,
		}},
		{"is fine where it is", "v1.13", "cluster:\n  apiServer:\n    extraArgs:\n      oidc-groups: [a, b]\n", nil},
		{"a misspelt kind", "v1.14", "apiVersion: v1alpha1\nkind: HostnamConfig\n", []string{"2:7: error: no Talos version has a kind HostnamConfig; did you mean HostnameConfig?"}},
		{"a misspelt kind that would be too new", "v1.9", "apiVersion: v1alpha1\nkind: hostnameconfig\n", []string{
			"2:7: error: no Talos version has a kind hostnameconfig; did you mean HostnameConfig, known since Talos v1.12?",
		}},
		{"a misspelt field", "v1.14", "machine:\n  sysctl: {}\n", []string{"2:3: error: no Talos version has machine.sysctl; did you mean sysctls?"}},
		{"a field in the wrong place", "v1.8", "machine:\n  hostname: a\n", []string{"2:3: error: no Talos version has machine.hostname; did you mean machine.network.hostname?"}},
		{"a document without apiVersion", "v1.14", "kind: HostnameConfig\nauto: stable\n", []string{"1:7: error: the document has no apiVersion; write `apiVersion: v1alpha1` above"}},
		{"a document without kind", "v1.14", "apiVersion: v1alpha1\nauto: stable\n", []string{"1:1: error: the document has no kind; write `apiVersion: v1alpha1` and `kind: HostnameConfig` first"}},
		{"a field without machine:", "v1.14", "sysctls:\n  a: b\n", []string{"1:1: error: the document has no kind; put it below `machine:`"}},
		{"another apiVersion", "v1.14", "apiVersion: v1beta1\nkind: HostnameConfig\nauto: stable\n", []string{"1:13: error: there is no v1beta1 of HostnameConfig"}},
		{"apiVersion in the old document", "v1.14", "apiVersion: v1alpha1\nmachine: {}\n", []string{"1:1: error: no Talos version has apiVersion"}},
		{"keys that are there twice", "v1.14", "machine:\n  udev: null\n  udev: null\n", []string{"3:3: error: machine.udev is there twice, first in line 2"}},
		{"also inside of free text", "v1.9", "machine:\n  kubelet:\n    extraConfig:\n      a: 1\n      a: 2\n", []string{"5:7: error: machine.kubelet.extraConfig.a is there twice"}},
		{"a value that Talos reads as a key", "v1.14", "apiVersion: v1alpha1\nkind: ExtensionServiceConfig\nname: kind\nenvironment: [A=b]\n", []string{
			`3:7: error: Talos takes the value "kind" for the key of that name`,
		}},
		{"text where a number belongs", "v1.14", "apiVersion: v1alpha1\nkind: LinkConfig\nname: eth0\nmtu: big\n", []string{`4:6: error: mtu: wants a whole number, not "big"`}},
		{"a number that is too big", "v1.14", "apiVersion: v1alpha1\nkind: VLANConfig\nname: a\nvlanID: 70000\n", []string{`4:9: error: vlanID: wants a whole number up to 65535, not "70000"`}},
		{"a value that is not on the list", "v1.14", "apiVersion: v1alpha1\nkind: HostnameConfig\nauto: stabel\n", []string{`3:7: error: auto: "stabel" is not one of off, talos-addr, stable; did you mean stable?`}},
		{"a date, which YAML does not take for text", "v1.9", "machine:\n  nodeLabels:\n    since: 2024-01-01\n", []string{`3:12: error: machine.nodeLabels["since"]: wants text: put quotes around 2024-01-01`}},
		{"an address without its length", "v1.14", "apiVersion: v1alpha1\nkind: LinkConfig\nname: a\naddresses:\n  - address: 10.0.0.1\n", []string{`5:14: error: addresses[0].address: wants a network like 10.0.0.0/8, not "10.0.0.1"`}},
		{"variables have no type yet", "v1.14", "apiVersion: v1alpha1\nkind: LinkConfig\nname: ${link}\nmtu: ${mtu}\naddresses: [{address: ${private_ip}/24}]\n", nil},
		{"columns behind variables in flow style are right", "v1.9", "machine: {network: {hostname: ${hostname}, foo: $${x}, bar: 1}}\n", []string{
			"1:44: error: no Talos version has machine.network.foo", "1:56: error: no Talos version has machine.network.bar",
		}},
		{"JSON", "v1.9", "{\n  \"machine\": {\"network\": {\"hostnam\": \"a\"}}\n}", []string{"2:27: error: no Talos version has machine.network.hostnam; did you mean hostname?"}},
		{"aliases are followed", "v1.9", "machine:\n  network:\n    interfaces:\n      - &a {interface: eth0, mtu: x}\n      - *a\n", []string{`4:35: error: machine.network.interfaces[0].mtu`, `4:35: error: machine.network.interfaces[1].mtu`}},
		{"nor in a map of names", "v1.9", "machine:\n  sysctls: &a {b: c}\n  sysfs:\n    <<: *a\n", []string{"4:5: error: Talos does not know merge keys"}},
		{"merge keys are not", "v1.9", "machine:\n  network:\n    interfaces:\n      - &a {interface: eth0}\n      - <<: *a\n", []string{"5:9: error: Talos does not know merge keys"}},
		{"text that is no YAML", "v1.14", "machine:\n  a: b: c\n", []string{"2:7: error: mapping values are not allowed"}},
		{"tabs", "v1.14", "machine:\n\tnetwork: {}\n", []string{"2:1: error: found character that cannot start any token; indent with spaces"}},
		{"what can be read before a mistake is judged too", "v1.14", "apiVersion: v1alpha1\nkind: Foo\n---\na: b: c\n", []string{"2:7: error: no Talos version has a kind Foo", "4:5: error"}},
		{"an old field and its document", "v1.13", "machine:\n  network:\n    kubespan: {enabled: true}\n---\napiVersion: v1alpha1\nkind: KubeSpanConfig\nenabled: true\n", []string{
			"3:5: error: machine.network.kubespan and the KubeSpanConfig in line 5 cannot both be",
		}},
		{"auto and hostname", "v1.12", "apiVersion: v1alpha1\nkind: HostnameConfig\nauto: stable\nhostname: a\n", []string{"3:7: error: hostname and auto: stable cannot be set at the same time; write `auto: off`"}},
		{"kernel arguments beside those of the image", "v1.12", "machine:\n  install:\n    grubUseUKICmdline: true\n    extraKernelArgs: [a]\n", []string{
			"4:5: error: machine.install.extraKernelArgs and grubUseUKICmdline cannot be used together",
		}},
		{"a version that is older than the table is the oldest", "v1.2.0", "machine:\n  features:\n    hostDNS: {enabled: true}\n", []string{"3:5: error: machine.features.hostDNS is known since Talos v1.7"}},
		{"a version that is newer than the table is the newest", "v1.99.0", "apiVersion: v1alpha1\nkind: KubeNodeConfig\nlabels: {a: b}\n", nil},
	}
	for _, test := range tests {
		t.Run(test.why, func(t *testing.T) { expect(t, schema.Lint([]byte(test.text), test.version), test.want) })
	}
}

func TestFindingsOfDeletions(t *testing.T) {
	tests := []struct {
		why, text string
		want      []string
	}{
		{"a document goes, even one that this version does not know", "apiVersion: v1alpha1\nkind: KubeSpanConfig\n$patch: delete\n", nil},
		{"a named document", "apiVersion: v1alpha1\nkind: LinkConfig\nname: eth0\n$patch: delete\n", nil},
		{"it needs its header", "kind: LinkConfig\n$patch: delete\n", []string{"1:7: error: the document has no apiVersion"}},
		{"the old document stays", "machine: {}\n$patch: delete\n", []string{"2:9: error: the document with machine: and cluster: cannot be deleted"}},
		{"a field", "machine:\n  network:\n    hostname:\n      $patch: delete\n", nil},
		{"an element of a list, by its first field", "machine:\n  network:\n    interfaces:\n      - interface: eth0\n        $patch: delete\n", nil},
		{"by a field that exists", "machine:\n  network:\n    interfaces:\n      - iface: eth0\n        $patch: delete\n", []string{"4:9: error: no Talos version has machine.network.interfaces[0].iface"}},
		{"by any field at all", "machine:\n  network:\n    interfaces:\n      - $patch: delete\n", []string{"4:17: error: nothing says which element is meant"}},
		{"not inside an element", "machine:\n  network:\n    interfaces:\n      - interface: eth0\n        vip:\n          $patch: delete\n", []string{"6:19: error: machine.network.interfaces[0].vip cannot be deleted, because it is inside a list"}},
		{"not in a list in a list", "machine:\n  network:\n    interfaces:\n      - interface: eth0\n        routes:\n          - network: 10.0.0.0/8\n            $patch: delete\n", []string{"7:21: error: machine.network.interfaces[0].routes[0] cannot be deleted"}},
		{"a map value", "machine:\n  sysctls:\n    a:\n      $patch: delete\n", nil},
		{"a misspelt field", "machine:\n  netwrk:\n    $patch: delete\n", []string{"2:3: error: no Talos version has machine.netwrk; did you mean network?"}},
		{"other patches are unknown", "machine:\n  network:\n    $patch: replace\n", []string{"3:13: error: Talos knows no `$patch: replace`"}},
		{"a document without apiVersion vanishes", "kind: HostnameConfig\nname: a\n---\nmachine:\n  udev: {}\n", []string{"1:1: warning: the document has no apiVersion and nothing but a name, and is left out"}},
	}
	for _, test := range tests {
		t.Run(test.why, func(t *testing.T) { expect(t, schema.Lint([]byte(test.text), "v1.9"), test.want) })
	}
}

func TestFindingsOfOperations(t *testing.T) {
	tests := []struct {
		why, version, text string
		want               []string
	}{
		{"YAML", "v1.9", "- op: add\n  path: /machine/network/hostname\n  value: a\n", nil},
		{"JSON with tabs", "v1.9", "[\n\t{\"op\": \"add\", \"path\": \"/machine/sysctls/net.core~1x\", \"value\": \"1\"}\n]", nil},
		{"a value of the wrong type", "v1.9", "- op: add\n  path: /machine/network/hostname\n  value: [a]\n", []string{"3:10: error: machine.network.hostname: wants text, not a list"}},
		{"an element is judged as one", "v1.9", "- op: add\n  path: /machine/network/interfaces/-\n  value: {interfac: a}\n", []string{"3:11: error: no Talos version has machine.network.interfaces[0].interfac"}},
		{"a path that no version has", "v1.9", "- op: remove\n  path: /machine/netwrk/hostname\n", []string{"2:9: error: no Talos version has machine.netwrk; did you mean network?"}},
		{"a path that is too new", "v1.7", "- op: add\n  path: /machine/features/imageCache\n  value: {}\n", []string{"2:9: error: machine.features.imageCache is known since Talos v1.9"}},
		{"a name where an index belongs", "v1.9", "- op: add\n  path: /machine/certSANs/foo\n  value: a\n", []string{`2:9: error: machine.certSANs is a list, and "foo" is no place in it`}},
		{"a path that is none", "v1.9", "- op: add\n  path: machine.network\n  value: {}\n", []string{`2:9: error: "machine.network" is no path of RFC 6902`}},
		{"an operation that is none", "v1.9", "- op: set\n  path: /debug\n  value: true\n", []string{`1:7: error: RFC 6902 has no operation "set"`}},
		{"no value", "v1.9", "- op: add\n  path: /debug\n", []string{"1:3: error: the operation has no value"}},
		{"not with several documents", "v1.13", "- op: add\n  path: /debug\n  value: true\n", []string{"1:1: warning: patches by RFC 6902 cannot be used with configs of several documents"}},
	}
	for _, test := range tests {
		t.Run(test.why, func(t *testing.T) { expect(t, schema.Lint([]byte(test.text), test.version), test.want) })
	}
}

func TestAWholeConfigIsJudgedByItself(t *testing.T) {
	whole := "machine:\n  type: worker\n  token: a\n  network:\n    hostname: b\n"
	expect(t, schema.Lint([]byte(whole), "v1.13"), []string{"5:5: warning: machine.network.hostname is deprecated since Talos v1.12"})
	expect(t, schema.Lint([]byte(whole+"---\napiVersion: v1alpha1\nkind: HostnameConfig\nauto: stable\n"), "v1.13"),
		[]string{"5:5: error: machine.network.hostname and the HostnameConfig in line 7 cannot both be"})
	expect(t, schema.Lint([]byte(whole+"  udev:\n    $patch: delete\n"), "v1.11"), []string{"7:5: error: $patch belongs into a patch"})
	document := "---\napiVersion: v1alpha1\nkind: KmsgLogConfig\nname: a\nurl: tcp://b:1\n"
	expect(t, schema.Lint([]byte(whole+document+document), "v1.11"), []string{"13:7: error: the document KmsgLogConfig a is there already"})
}

func TestAnUpgradeIsToldWhatItBreaks(t *testing.T) {
	text := []byte("machine:\n  network:\n    hostname: a\n  sysctls: {a: b}\n  foo: bar\n")
	expect(t, schema.LintUpgrade(text, "v1.11.6", "v1.12.0"), []string{"3:5: warning: the configs that Talos generates since v1.12 have a HostnameConfig"})
	expect(t, schema.LintUpgrade(text, "v1.12.0", "v1.14.1"), []string{"4:3: warning: machine.sysctls is deprecated since Talos v1.14"})
	expect(t, schema.LintUpgrade(text, "v1.14.1", "v1.14.1"), nil)
}

func expect(t *testing.T, got []schema.Finding, want []string) {
	t.Helper()
	ok := slices.EqualFunc(got, want, func(f schema.Finding, prefix string) bool { return strings.HasPrefix(f.String(), prefix) })
	if ok {
		return
	}
	var lines []string
	for _, f := range got {
		lines = append(lines, f.String())
	}
	t.Errorf("differs:\n%s", cmp.Diff(want, lines))
}

// patch of some 200 lines, as people have them.
func longPatch() []byte {
	var b strings.Builder
	b.WriteString("machine:\n  network:\n    interfaces:\n")
	for range 25 {
		b.WriteString("      - interface: eth0\n        mtu: 1400\n        addresses:\n          - 10.0.0.1/24\n        routes:\n          - network: 0.0.0.0/0\n            gateway: 10.0.0.254\n")
	}
	b.WriteString("  sysctls:\n")
	for i := range 26 {
		b.WriteString("    net.core.value" + string(rune('a'+i)) + ": \"65535\"\n")
	}
	return []byte(b.String())
}

func TestAPatchOf200LinesTakesLessThanAMillisecond(t *testing.T) {
	text := longPatch()
	if lines := strings.Count(string(text), "\n"); lines < 200 {
		t.Fatalf("%d lines", lines)
	}
	best := time.Hour
	for range 200 {
		start := time.Now()
		schema.Lint(text, "v1.11")
		best = min(best, time.Since(start))
	}
	limit := time.Millisecond
	if raceEnabled {
		limit *= 20
	}
	if best > limit {
		t.Errorf("took %v at best", best)
	}
}

func TestHostileTextsEndSoon(t *testing.T) {
	laughs := "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
	for c := 'b'; c < 'k'; c++ {
		laughs += string(c) + ": &" + string(c) + " [" + strings.Repeat("*"+string(c-1)+", ", 10) + "]\n"
	}
	var unknown strings.Builder
	unknown.WriteString("machine:\n")
	for i := range 20_000 {
		unknown.WriteString("  field" + strings.Repeat("x", i%50) + strconv.Itoa(i) + ": 1\n")
	}
	for name, text := range sorted(map[string]string{
		"aliases that multiply":        laughs + "machine:\n  network:\n    interfaces: *j\n  kubelet:\n    extraConfig: {x: *j}\n",
		"an alias of itself":           "machine: &m\n  network: *m\n",
		"deep lists":                   "machine: " + strings.Repeat("[", 100_000),
		"deep lists that end":          "machine: {kubelet: {extraConfig: {a: " + strings.Repeat("[", 5_000) + strings.Repeat("]", 5_000) + "}}}",
		"deep maps":                    strings.Repeat("{a: ", 50_000),
		"many unknown fields":          unknown.String(),
		"a long name":                  "machine:\n  " + strings.Repeat("a", 100_000) + ": 1\n",
		"a variable that does not end": strings.Repeat("${", 100_000),
	}) {
		start := time.Now()
		schema.Lint([]byte(text), "v1.14")
		schema.Complete([]byte(text), 2, 3, "v1.14")
		schema.Hover([]byte(text), 2, 3, "v1.14")
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%s: %v", name, took)
		}
	}
}

func BenchmarkLint(b *testing.B) {
	text := longPatch()
	for b.Loop() {
		schema.Lint(text, "v1.14")
	}
}
