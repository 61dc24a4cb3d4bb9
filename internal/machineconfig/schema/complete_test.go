package schema_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/talos-manager/talos-manager/internal/machineconfig/schema"
)

// cursor cuts the | out of a text and gives its position.
func cursor(t testing.TB, text string) ([]byte, int, int) {
	t.Helper()
	before, after, ok := strings.Cut(text, "|")
	if !ok {
		t.Fatalf("no cursor in %q", text)
	}
	line := strings.Count(before, "\n") + 1
	last := before[strings.LastIndexByte(before, '\n')+1:]
	return []byte(before + after), line, len([]rune(last)) + 1
}

func TestCompletion(t *testing.T) {
	tests := []struct {
		why, version, text string
		want, not          []string // labels
	}{
		{"an empty text", "v1.14", "|", []string{"machine", "cluster", "apiVersion"}, nil},
		{"a kind", "v1.14", "apiVersion: v1alpha1\nkind: |", []string{"HostnameConfig", "KubeSpanConfig"}, []string{"v1alpha1"}},
		{"only kinds of the version", "v1.12", "apiVersion: v1alpha1\nkind: |", []string{"HostnameConfig"}, []string{"KubeSpanConfig"}},
		{"a kind that begins", "v1.14", "apiVersion: v1alpha1\nkind: Kube|", []string{"KubeNodeConfig"}, []string{"HostnameConfig"}},
		{"the apiVersion", "v1.14", "apiVersion: |\nkind: HostnameConfig", []string{"v1alpha1"}, nil},
		{"fields of a document", "v1.14", "apiVersion: v1alpha1\nkind: HostnameConfig\n|", []string{"auto", "hostname"}, []string{"kind", "apiVersion"}},
		{"the document's kind may come later", "v1.14", "|\napiVersion: v1alpha1\nkind: HostnameConfig\n", []string{"auto"}, []string{"machine"}},
		{"values", "v1.14", "apiVersion: v1alpha1\nkind: HostnameConfig\nauto: |", []string{"off", "stable"}, nil},
		{"values that begin", "v1.14", "apiVersion: v1alpha1\nkind: HostnameConfig\nauto: st|", []string{"stable"}, []string{"off"}},
		{"truth", "v1.14", "apiVersion: v1alpha1\nkind: KubeSpanConfig\nenabled: |", []string{"true", "false"}, nil},
		{"nested fields", "v1.9", "machine:\n  network:\n    |", []string{"hostname", "interfaces"}, []string{"kubelet"}},
		{"what is there is not offered again", "v1.9", "machine:\n  network:\n    hostname: a\n    |\n    interfaces: []\n", []string{"nameservers"}, []string{"hostname", "interfaces"}},
		{"less deep again", "v1.9", "machine:\n  network:\n    hostname: a\n  |", []string{"kubelet"}, []string{"network", "nameservers"}},
		{"the first field of a list element", "v1.9", "machine:\n  network:\n    interfaces:\n      - |", []string{"interface", "mtu"}, nil},
		{"the next one", "v1.9", "machine:\n  network:\n    interfaces:\n      - interface: eth0\n        |", []string{"mtu"}, []string{"interface"}},
		{"of another element", "v1.9", "machine:\n  network:\n    interfaces:\n      - interface: eth0\n      - |", []string{"interface"}, nil},
		{"lists as far left as their key", "v1.9", "machine:\n  network:\n    interfaces:\n    - interface: eth0\n      vlans:\n      - |", []string{"vlanId"}, []string{"interface"}},
		{"at the left edge", "v1.14", "apiVersion: v1alpha1\nkind: ResolverConfig\nnameservers:\n- |", []string{"address"}, nil},
		{"below a map with free keys", "v1.9", "machine:\n  registries:\n    mirrors:\n      docker.io:\n        |", []string{"endpoints"}, nil},
		{"fields of a later version are not offered", "v1.8", "machine:\n  features:\n    |", []string{"kubePrism"}, []string{"imageCache"}},
		{"deprecated ones come last", "v1.14", "machine:\n  |", []string{"certSANs", "files"}, nil},
		{"in flow style", "v1.9", "machine: {network: {|", []string{"hostname"}, []string{"kubelet"}},
		{"values in flow style", "v1.9", "machine: {type: |}", []string{"controlplane", "worker"}, nil},
		{"in JSON", "v1.9", "{\n  \"machine\": {\n    \"network\": {\n      \"|", []string{"hostname"}, nil},
		{"the second document", "v1.14", "machine:\n  type: worker\n---\napiVersion: v1alpha1\nkind: KubeSpanConfig\n|", []string{"mtu"}, []string{"machine"}},
		{"a broken text", "v1.9", "machine:\n  network: [\n  kubelet:\n    |", []string{"extraArgs"}, nil},
		{"nothing in what nobody knows", "v1.9", "machine:\n  foo:\n    |", nil, []string{"hostname", "machine"}},
	}
	for _, test := range tests {
		t.Run(test.why, func(t *testing.T) {
			text, line, column := cursor(t, test.text)
			var got []string
			for _, item := range schema.Complete(text, line, column, test.version) {
				got = append(got, item.Label)
			}
			for _, want := range test.want {
				if !slices.Contains(got, want) {
					t.Errorf("no %s in %v", want, got)
				}
			}
			for _, not := range test.not {
				if slices.Contains(got, not) {
					t.Errorf("%s in %v", not, got)
				}
			}
			if test.want == nil && len(got) > 0 {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestCompletionOrdersAndExplains(t *testing.T) {
	items := schema.Complete([]byte("machine:\n  "), 2, 3, "v1.14")
	at := func(label string) int {
		return slices.IndexFunc(items, func(i schema.Item) bool { return i.Label == label })
	}
	if at("certSANs") > at("sysctls") {
		t.Error("a deprecated field is offered before others")
	}
	sysctls := items[at("sysctls")]
	if sysctls.Insert != "sysctls:" || sysctls.Info.Deprecated != "v1.14" || !strings.Contains(sysctls.Info.Instead, "SysctlConfig") {
		t.Errorf("%+v", sysctls)
	}
	if token := items[at("token")]; token.Insert != "token: " || token.Info.Type != "text" || token.Info.Description == "" {
		t.Errorf("%+v", token)
	}
	for _, i := range schema.Complete([]byte("apiVersion: v1alpha1\nkind: HostnameConfig\nauto: "), 3, 7, "v1.14") {
		if i.Label == "off" && i.Insert != "off" {
			t.Errorf("off is decoded as it is written: %q", i.Insert)
		}
	}
}

func TestHover(t *testing.T) {
	tests := []struct {
		why, text  string
		kind, path string // "" when there is nothing to say
	}{
		{"a field", "machine:\n  net|work: {}\n", schema.V1Alpha1, "machine.network"},
		{"its value", "machine:\n  type: wor|ker\n", schema.V1Alpha1, "machine.type"},
		{"in a list", "machine:\n  network:\n    interfaces:\n      - interface: eth0\n        mt|u: 1400\n", schema.V1Alpha1, "machine.network.interfaces[].mtu"},
		{"below a free key", "machine:\n  registries:\n    mirrors:\n      docker.io:\n        endp|oints: []\n", schema.V1Alpha1, "machine.registries.mirrors[].endpoints"},
		{"a kind", "apiVersion: v1alpha1\nkind: Kube|SpanConfig\n", "KubeSpanConfig", ""},
		{"the second document", "machine: {}\n---\napiVersion: v1alpha1\nkind: HostnameConfig\nau|to: off\n", "HostnameConfig", "auto"},
		{"in flow style", "machine: {network: {host|name: a}}\n", schema.V1Alpha1, "machine.network.hostname"},
		{"behind a variable", "machine: {network: {hostname: '${a}', interf|aces: []}}\n", schema.V1Alpha1, "machine.network.interfaces"},
		{"in JSON", "{\"machine\": {\n \"ty|pe\": \"worker\"}}", schema.V1Alpha1, "machine.type"},
		{"in a broken text", "machine:\n  ty|pe: worker\n  foo: [\n", schema.V1Alpha1, "machine.type"},
		{"nothing between", "machine:\n|  type: worker\n", "", ""},
		{"nothing nobody knows", "machine:\n  fo|o: worker\n", "", ""},
	}
	for _, test := range tests {
		t.Run(test.why, func(t *testing.T) {
			text, line, column := cursor(t, test.text)
			info, ok := schema.Hover(text, line, column, "v1.14")
			if ok != (test.kind != "") || info.Kind != test.kind || info.Path != test.path {
				t.Errorf("got %v %s %s", ok, info.Kind, info.Path)
			}
		})
	}
}

func TestWhatIsKnownOfFields(t *testing.T) {
	info, ok := schema.Field(schema.V1Alpha1, "machine.network.hostname", "v1.13.2")
	if !ok || info.Since != "v1.6" || info.Deprecated != "v1.12" || !strings.Contains(info.Instead, "HostnameConfig") || info.Until != "" {
		t.Errorf("%+v", info)
	}
	if info, ok := schema.Field(schema.V1Alpha1, "machine.network.hostname", "v1.11"); !ok || info.Deprecated != "" {
		t.Errorf("%+v", info)
	}
	if _, ok := schema.Field("KubeSpanConfig", "mtu", "v1.12"); ok {
		t.Error("KubeSpanConfig in v1.12")
	}
	for _, path := range []string{"machine.network.interfaces[].addresses[]", "machine.network.interfaces[0].addresses[1]", `machine.registries.mirrors["docker.io"].endpoints`, "machine.registries.mirrors[].endpoints", ""} {
		if _, ok := schema.Field(schema.V1Alpha1, path, "v1.9"); !ok {
			t.Errorf("no %q", path)
		}
	}
	if info, ok := schema.Field("HostnameConfig", "auto", "v1.14"); !ok || !slices.Equal(info.Values, []string{"off", "talos-addr", "stable"}) || info.Type != "text" {
		t.Errorf("%+v", info)
	}
	if info, _ := schema.Field("LinkConfig", "addresses[].address", "v1.14"); info.Type != "network like 10.0.0.0/8" || !info.Required || len(info.Examples) == 0 {
		t.Errorf("%+v", info)
	}
	if got := schema.Versions(); got[0] != "v1.6" || !slices.Contains(got, "v1.14") {
		t.Errorf("%v", got)
	}
	if kinds := schema.Kinds("v1.6.0"); len(kinds) != 6 || kinds[0].Kind != schema.V1Alpha1 {
		t.Errorf("%+v", kinds)
	}
	if kinds := schema.Kinds("v1.14.1"); len(kinds) != 90 {
		t.Errorf("%d kinds", len(kinds))
	}
}
