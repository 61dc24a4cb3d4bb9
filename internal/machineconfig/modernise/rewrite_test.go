package modernise

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

func patch(t *testing.T, text, version string, o Options) *Result {
	t.Helper()
	res, err := Patch(text, version, o)
	if err != nil {
		t.Fatalf("%s: %v\n%s", version, err, text)
	}
	return res
}

func TestOperationsBecomeAMerge(t *testing.T) {
	for _, c := range []struct{ why, in, want, note string }{
		{
			"a removed field is deleted", `[{"op":"remove","path":"/machine/network"}]`,
			"machine:\n  network:\n    $patch: delete\n", "",
		},
		{
			"slashes and tildes in keys are escaped", `[{"op":"add","path":"/machine/sysfs/a~1b~0c","value":"1"}]`,
			"machine:\n  sysfs:\n    a/b~c: \"1\"\n", "",
		},
		{
			"several elements are appended to one list", `[{"op":"add","path":"/machine/certSANs/-","value":"a"},{"op":"add","path":"/machine/certSANs/-","value":"b"}]`,
			"machine:\n  certSANs:\n    - a\n    - b\n", "",
		},
		{
			"the later operation wins", `[{"op":"add","path":"/machine/time","value":{"servers":["a"]}},{"op":"replace","path":"/machine/time","value":{"servers":["b"]}}]`,
			"machine:\n  time:\n    servers:\n      - b\n", "",
		},
		{
			"an index of a generated list is known by its name", `[{"op":"replace","path":"/cluster/apiServer/admissionControl/0/configuration/defaults/enforce","value":"restricted"}]`,
			"cluster:\n  apiServer:\n    admissionControl:\n      - name: PodSecurity\n        configuration:\n          defaults:\n            enforce: restricted\n", "",
		},
		{
			"a removed element is deleted by its name", `[{"op":"remove","path":"/cluster/apiServer/admissionControl/0"}]`,
			"cluster:\n  apiServer:\n    admissionControl:\n      - name: PodSecurity\n        $patch: delete\n", "",
		},
		{"a test is left out", `[{"op":"test","path":"/machine/type","value":"worker"}]`, "", "a test has no counterpart"},
		{"a move cannot be said", `[{"op":"move","path":"/machine/a","from":"/machine/b"}]`, "", `"move" has no counterpart`},
		{"the whole config cannot be replaced", `[{"op":"replace","path":"","value":{}}]`, "", "cannot be replaced"},
		{"an unknown index cannot be said", `[{"op":"add","path":"/machine/network/interfaces/3/mtu","value":1}]`, "", "cannot name element 3"},
		{"an index beyond the end is no number of steps", `[{"op":"add","path":"/machine/certSANs/-/x","value":1}]`, "", "- is only for the end"},
	} {
		t.Run(c.why, func(t *testing.T) {
			res := patch(t, c.in, "v1.12.0", Options{})
			if c.want != "" && res.Text != c.want {
				t.Errorf("got\n%s\nwant\n%s", res.Text, c.want)
			}
			if c.note != "" && !slices.ContainsFunc(res.Notes, func(n Note) bool { return strings.Contains(n.Text, c.note) }) {
				t.Errorf("no note %q in %v", c.note, res.Notes)
			}
			if c.note == "" && len(res.Notes) > 0 {
				t.Errorf("notes: %v", res.Notes)
			}
		})
	}
}

func TestARoleGetsOnePatch(t *testing.T) {
	const text = "cluster:\n  proxy:\n    disabled: true\nmachine:\n  nodeLabels:\n    a: b\n"
	all := patch(t, text, "v1.14.1", Options{})
	if !strings.Contains(all.ControlPlane, "KubeProxyConfig") || strings.Contains(all.Text, "KubeProxyConfig") {
		t.Errorf("for all:\n%s\n%s", all.Text, all.ControlPlane)
	}
	cp := patch(t, text, "v1.14.1", Options{Role: fleet.ControlPlane})
	if !strings.Contains(cp.Text, "KubeProxyConfig") || cp.ControlPlane != "" || cp.Proof.Verdict != EqualOlder {
		t.Errorf("for control planes:\n%s\n%s\n%s", cp.Text, cp.ControlPlane, cp.Proof)
	}
	worker := patch(t, text, "v1.14.1", Options{Role: fleet.Worker})
	if strings.Contains(worker.Text, "KubeProxyConfig") || worker.ControlPlane != "" || worker.Proof.Verdict != EqualOlder {
		t.Errorf("for workers:\n%s\n%s\n%v", worker.Text, worker.ControlPlane, worker.Proof)
	}
}

// Deleting the generated KubeProxyConfig does not switch kube-proxy off: without it the library reads the old section,
// whose default is on.
func TestKubeProxyIsSwitchedOffNotDeleted(t *testing.T) {
	res := patch(t, "cluster: {proxy: {disabled: true}}", "v1.14.1", Options{})
	if !strings.Contains(res.ControlPlane, "enabled: false") || strings.Contains(res.ControlPlane, "$patch") {
		t.Error(res.ControlPlane)
	}
	base, err := baseOf(kubernetesDocs, fleet.ControlPlane, kubernetesVersion)
	if err != nil {
		t.Fatal(err)
	}
	deleted, err := base.patched(true, "apiVersion: v1alpha1\nkind: KubeProxyConfig\n$patch: delete\n")
	if err != nil || !deleted.K8sProxyConfig().Enabled() {
		t.Errorf("the library has changed its mind: %v", err)
	}
	off, err := base.patched(true, res.ControlPlane)
	if err != nil || off.K8sProxyConfig().Enabled() {
		t.Errorf("still on: %v", err)
	}
}

func TestTheSchematicTakesWhatTheBootImageBrings(t *testing.T) {
	res := patch(t, `machine:
  install:
    extraKernelArgs:
      - cpufreq.default_governor=performance
      - talos.logging.kernel=udp://10.0.0.1:514/
      - console=${tty}
    extensions:
      - image: ghcr.io/siderolabs/gvisor:20220117.0-v1.0.0
      - image: ghcr.io/siderolabs/intel-ucode@sha256:abc
`, "v1.13.0", Options{})
	want := Schematic{[]string{"cpufreq.default_governor=performance", "console=${tty}"}, []string{"siderolabs/gvisor", "siderolabs/intel-ucode"}}
	if fmt.Sprint(res.Schematic) != fmt.Sprint(want) {
		t.Errorf("got %v", res.Schematic)
	}
	if !strings.Contains(res.Text, "kind: KmsgLogConfig") || strings.Contains(res.Text, "install") {
		t.Error(res.Text)
	}
	notes := 0
	for _, n := range res.Notes {
		if n.Kind == ToSchematic && n.Line > 0 {
			notes++
		}
	}
	if notes != 4 {
		t.Errorf("notes: %v", res.Notes)
	}
}

func TestInstallSettingsAreLeftOutWhereTheImageIsOnTheDisk(t *testing.T) {
	const text = "machine: {install: {wipe: true, disk: /dev/sda, extraKernelArgs: [a=b]}, nodeLabels: {a: b}}"
	res := patch(t, text, "v1.14.1", Options{Installed: true})
	if strings.Contains(res.Text, "UnattendedInstallConfig") || res.Proof.Verdict != EqualOlder || len(res.Schematic.KernelArguments) != 1 {
		t.Errorf("%s\n%+v", res.Text, res.Proof)
	}
	res = patch(t, text, "v1.13.0", Options{Installed: true})
	if !strings.Contains(res.Text, "wipe: true") || res.Proof.Verdict != EqualOlder {
		t.Errorf("%s\n%+v", res.Text, res.Proof)
	}
}

func TestVariablesMayStandAnywhere(t *testing.T) {
	for _, c := range []struct{ why, in, want string }{
		{"in a flow list", "machine: {network: {interfaces: [{interface: eth0, addresses: [${private_ip}/${bits}], mtu: ${mtu}}]}}", "address: ${private_ip}/${bits}"},
		{"in place of a number", "machine: {features: {kubePrism: {enabled: true, port: ${prism_port}}}}", "port: ${prism_port}"},
		{"in a key", "machine: {nodeLabels: {example.com/${kind}: x}}", "example.com/${kind}: x"},
		{"beside an escaped one", "machine: {files: [{path: /etc/cri/conf.d/20-customization.part, op: create, content: 'a = \"$${x} ${y}\"'}]}", "$${x} ${y}"},
		{"in a comment", "machine:\n  network:\n    hostname: a # not ${hostname}\n", "# not ${hostname}"},
		{"in quotes", "machine:\n  network:\n    hostname: \"${hostname}\"\n", "hostname: \"${hostname}\""},
		{"alone, as an address without its length", "machine: {network: {interfaces: [{interface: eth0, addresses: [\"${private_ip}\"]}]}}", "address: ${private_ip}/32"},
		{"alone, as an address that has its length", "machine: {network: {interfaces: [{interface: eth0, addresses: [\"${lan_cidr}\"]}]}}", "address: \"${lan_cidr}\""},
	} {
		t.Run(c.why, func(t *testing.T) {
			res := patch(t, c.in, "v1.14.1", Options{All: true})
			if !strings.Contains(res.Text, c.want) {
				t.Errorf("no %q in\n%s", c.want, res.Text)
			}
			if res.Proof.Verdict == Refused || res.Proof.Verdict == Unproven {
				t.Errorf("%s: %s\n%s", res.Proof, res.Proof.Problem, res.Text)
			}
		})
	}
}

func TestRealValuesAreUsedInTheProof(t *testing.T) {
	res := patch(t, "machine: {network: {hostname: \"${name}\"}}", "v1.14.1", Options{Variables: map[string]string{"name": "not a name!"}})
	if res.Proof.Verdict != EqualOlder {
		t.Logf("%s: %s", res.Proof, res.Proof.Problem) // the library takes any name
	}
	res = patch(t, "machine: {network: {nameservers: [\"${dns}\"]}}", "v1.14.1", Options{Variables: map[string]string{"dns": "nowhere"}})
	if res.Proof.Verdict != Refused {
		t.Errorf("%s: a nameserver that is no address passed", res.Proof)
	}
	if !strings.Contains(res.Text, "${dns}") {
		t.Error(res.Text)
	}
}

func TestTheKubernetesVersionIsWrittenWhereASectionStaysWhole(t *testing.T) {
	const text = "machine:\n  kubelet:\n    extraMounts:\n      - destination: /x\n        source: /x\n        type: bind\n        options: [bind]\n"
	res := patch(t, text, "v1.14.1", Options{KubernetesVersion: "v1.35.2"})
	if !strings.Contains(res.Text, "ghcr.io/siderolabs/kubelet:v1.35.2") || res.Proof.Verdict != EqualOlder {
		t.Errorf("%s\n%s %v", res.Text, res.Proof, res.Proof.Differences)
	}
}

func TestWhatIsNoPatchIsSaid(t *testing.T) {
	for _, c := range []struct{ why, in, version, want string }{
		{"no YAML", "machine: [", "v1.14.1", "patch:"},
		{"a word", "hello", "v1.14.1", `want a map or a list of operations, have "hello"`},
		{"both forms at once", "- op: add\n  path: /machine/type\n  value: worker\n---\nmachine: {}\n", "v1.14.1", "in one text"},
		{"an unknown version", "machine: {}", "1.x", "Talos version"},
		{"a version that is too old", "machine: {}", "v1.5.0", "not supported"},
		{"a version that is too new", "machine: {}", "v1.99.0", "not supported"},
		{"aliases that grow", "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n", "v1.14.1", "too large"},
	} {
		t.Run(c.why, func(t *testing.T) {
			_, err := Patch(c.in, c.version, Options{})
			if err == nil || !strings.Contains(err.Error(), c.want) || fleet.KindOf(err) != fleet.Invalid {
				t.Errorf("got %v", err)
			}
		})
	}
	for _, empty := range []string{"", "# nothing\n", "---\n# nothing\n---\n"} {
		if res := patch(t, empty, "v1.14.1", Options{}); res.Changed || res.Text != empty || res.Proof.Verdict != Equal {
			t.Errorf("%q: %+v", empty, res)
		}
	}
}

// Sections of the patches, put together at random, mean the same afterwards or it is known why not.
func TestAnyPatchMeansTheSameAfterwards(t *testing.T) {
	sections := sectionsOf(t)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 40 {
		root := mapping()
		for range 1 + random.IntN(5) {
			s := sections[random.IntN(len(sections))]
			insertSection(root, clone(s))
		}
		text, err := (&document{root: root, touched: true}).write()
		if err != nil {
			t.Fatal(err)
		}
		minor := 11 + random.IntN(4)
		o := Options{All: random.IntN(2) == 0, Role: []fleet.Role{"", fleet.ControlPlane, fleet.Worker}[random.IntN(3)]}
		t.Run(fmt.Sprintf("%d on 1.%d", i, minor), func(t *testing.T) {
			t.Parallel()
			res := patch(t, text, version(minor)+".0", o)
			if res.Proof.Verdict == Refused && res.Changed {
				t.Errorf("%+v: refused: %s\n%s\nbecame\n%s---\n%s", o, res.Proof.Problem, text, res.Text, res.ControlPlane)
			}
			for _, d := range res.Proof.Differences {
				if d.Why == "" {
					t.Errorf("%+v: %s %s: %q -> %q\n%s\nbecame\n%s---\n%s", o, d.Role, d.Path, d.Old, d.New, text, res.Text, res.ControlPlane)
				}
			}
			if again, err := NeedsWork(res.Text, version(minor)+".0", o); err != nil || again {
				t.Errorf("it would be rewritten again (%v):\n%s", err, res.Text)
			}
		})
	}
}

// sectionsOf lists the sections of the test patches: machine.kubelet, cluster.proxy and so on.
func sectionsOf(t *testing.T) []*yaml.Node {
	t.Helper()
	files, err := filepath.Glob("testdata/patches/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var out []*yaml.Node
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		src, err := read(string(text))
		if err != nil || src.isOps || strings.Contains(file, "anchors") {
			continue
		}
		for _, d := range src.docs {
			if d.root == nil || d.kind != "" {
				continue
			}
			for _, top := range pairs(d.root) {
				for _, section := range pairs(top[1]) {
					if !holdsDelete(section[1]) {
						out = append(out, shownNode(src, mapping(top[0], mapping(section[0], section[1]))))
					}
				}
			}
		}
	}
	return out
}

func shownNode(src *source, n *yaml.Node) *yaml.Node {
	n.Value = src.vars.show(n.Value)
	for _, c := range n.Content {
		shownNode(src, c)
	}
	return n
}

// insertSection puts a section into a patch that lacks it; two of one would be appended to each other's lists.
func insertSection(root, section *yaml.Node) {
	top, inner := section.Content[0], section.Content[1]
	if at(root, top.Value, inner.Content[0].Value) == nil {
		put(root, top, inner)
	}
}

func FuzzPatch(f *testing.F) {
	files, err := filepath.Glob("testdata/patches/*")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text), uint8(kubernetesDocs-oldestSupported), true)
	}
	f.Fuzz(func(t *testing.T, text string, number uint8, all bool) {
		minor := oldestSupported + int(number)%(newestMinor()-oldestSupported+1)
		src, err := read(text)
		if err != nil || src.blank() {
			return
		}
		w, err := newRewriter(src, minor, Options{All: all})
		if err != nil {
			return
		}
		w.run()
		res := w.result()
		for _, part := range []string{res.Text, res.ControlPlane} {
			if _, err := read(part); err != nil {
				t.Errorf("the result is no patch: %v\n%s\nof\n%s", err, part, text)
			}
		}
	})
}
