package machineconfig

import (
	"slices"
	"strings"
	"testing"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// What is wrong with a plain file is said at its place, without the values that the library shows.
func TestWhatIsWrongWithAFileIsSaidAtItsPlaceWithoutItsValues(t *testing.T) {
	const fine = "machine:\n  sysctls: {a: b}\n"
	many := "version: v1alpha1\nmachine: {type: worker}\n---\napiVersion: v1alpha1\nkind: HostnameConfig\nhostname: x\n"
	for _, tc := range []struct{ why, config, patch, text, hint string }{
		{"a secrets bundle for a config", "cluster: {id: hunter2}\ncerts: {os: hunter2}\nsecrets: {token: hunter2}\n", fine, "it is a secrets bundle", "config generate"},
		{"a talosconfig for a config", "context: a\ncontexts: {a: {key: hunter2}}\n", fine, "it is a talosconfig", "worker.yaml"},
		{"an empty config", "# nothing\n", fine, "it is empty", "version: v1alpha1"},
		{"an unknown field in the config", "machine:\n  token: a\n  pass: hunter2\n", fine, "line 3, column 3: no Talos version has machine.pass", "reference"},
		{"a kubeconfig for a patch", many, "clusters: []\ncontexts: []\nusers: [{token: hunter2}]\n", "p.yaml: it is a kubeconfig", "a patch"},
		{"an unknown field", many, "machine:\n  pass: hunter2\n", "p.yaml: line 2, column 3: no Talos version has machine.pass", "reference"},
		{"a wrong type", many, "machine:\n  sysctls: hunter2\n", "p.yaml: line 2, column 12: machine.sysctls wants a map", "reference"},
		{"a key twice", many, "machine:\n  sysctls: {a: b}\n  sysctls: {a: hunter2}\n", "p.yaml: line 3, column 3: machine.sysctls is there twice", "keep one"},
		{"tabs", many, "machine:\n\tsysctls: {}\n", "p.yaml: line 2, column 1: no YAML", "no tabs"},
		{"no text", many, "machine: {sysctls: {a: \"\xff\"}}\n", "p.yaml: no YAML: invalid leading UTF-8", "UTF-8"},
		{"a variable", many, "machine:\n  network:\n    interfaces: [{vlans: [{vlanId: \"${vlan}\"}]}]\n", "p.yaml: line 3, column 36: ", "config render"},
		{"JSON operations on documents", many, "- {op: add, path: /machine/sysctls, value: {a: hunter2}}\n", "p.yaml: JSON6902 patches are not supported", "config modernise"},
		{"nothing", many, "# nothing\n", "p.yaml: it is empty", "leave it out"},
		{"an operation that is none", fine, "- {op: put, path: /machine}\n", "p.yaml: ", "compare the path"},
		{"nothing to delete", many, "machine:\n  sysctls:\n    b: {$patch: delete}\n", "p.yaml: ", "nothing there to delete"},
	} {
		t.Run(tc.why, func(t *testing.T) {
			_, err := PatchFile([]byte(tc.config), []Patch{{Name: "p0.yaml", Text: fine}, {Name: "p.yaml", Text: tc.patch}})
			if err == nil || fleet.KindOf(err) != fleet.Invalid {
				t.Fatal(err)
			}
			if !strings.HasPrefix(err.Error(), tc.text) || !strings.Contains(fleet.HintOf(err), tc.hint) {
				t.Errorf("%v\nhint: %s", err, fleet.HintOf(err))
			}
			if strings.Contains(err.Error()+fleet.HintOf(err), "hunter2") {
				t.Errorf("%v\nhint: %s", err, fleet.HintOf(err))
			}
		})
	}
}

// talosctl applies JSON patches that follow one another in one go: what the first breaks the second may mend.
func TestJSONPatchesThatFollowOneAnotherAreOne(t *testing.T) {
	out, err := PatchFile([]byte("machine: {type: worker}\n"), []Patch{
		{Name: "a", Text: `[{"op": "add", "path": "/machine/unknown", "value": 1}]`}, {Name: "b", Text: "- {op: remove, path: /machine/unknown}\n"},
	})
	if err != nil || strings.Contains(string(out), "unknown") {
		t.Errorf("%s, %v", out, err)
	}
}

// What stands before and after a patch in its file is no part of it.
func TestPatchFilesKeepTheirEnds(t *testing.T) {
	const ends = "version: \"\"\nmachine:\n    type: worker\n    token: \"\"\n    certSANs: []\n    files:\n        - content: |\n            a\n          permissions: 0o0\n          path: /a\n          op: \"\"\ncluster: null\n"
	for _, text := range []string{"\ufeffmachine: {files: [{path: /a, content: \"a\\n\"}]}\n", "machine:\r\n  files:\r\n  - path: /a\r\n    content: |+\r\n      a\r\n", `{"machine":{"files":[{"path":"/a","content":"a\n"}]}}`} {
		out, err := PatchFile([]byte("machine: {type: worker}\n"), []Patch{{Name: "p", Text: text}, {Name: "short", Text: "machine:"}})
		if err != nil || string(out) != ends {
			t.Errorf("%q: %q, %v", text, out, err)
		}
	}
}

// A file that turned out empty must not give a cluster other secrets than it has.
func TestGenerateTakesNothingForSecretsOrVersions(t *testing.T) {
	for _, tc := range []struct {
		why, text, hint string
		o               GenerateOptions
	}{
		{"an empty secrets bundle", "secrets bundle: it is empty", "talosctl gen secrets", GenerateOptions{Secrets: []byte{}}},
		{"no secrets bundle", "secrets bundle: ", "talosctl gen secrets", GenerateOptions{Secrets: []byte("hunter2")}},
		{"no Kubernetes version", `Kubernetes version "hello"`, "v1.", GenerateOptions{KubernetesVersion: "hello"}},
		{"a Talos too old", "Talos v1.5.0 is too old", "upgrade", GenerateOptions{TalosVersion: "v1.5.0"}},
		{"a patch only for workers", "w: JSON6902", "modernise", GenerateOptions{
			Patches: []Patch{{"all", "machine: {sysctls: {a: b}}"}}, WorkerPatches: []Patch{{"w", `[{"op": "test", "path": "/machine/type", "value": "worker"}]`}},
		}},
	} {
		t.Run(tc.why, func(t *testing.T) {
			tc.o.ClusterName, tc.o.Endpoint = "demo", "https://10.0.0.1:6443"
			_, err := Generate(tc.o)
			if err == nil || !strings.HasPrefix(err.Error(), tc.text) || !strings.Contains(fleet.HintOf(err), tc.hint) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%v\nhint: %s", err, fleet.HintOf(err))
			}
		})
	}
}

func TestConfigsAndPatchesArePlacedWell(t *testing.T) {
	texts := []string{"", "# nothing\n", "machine: {}\n", "cluster: {id: a, secret: b}\n", "- {op: add, path: /machine, value: {}}\n", "apiVersion: v1alpha1\nkind: HostnameConfig\n", "version: v1alpha1\n", "debug: true\n"}
	if i := slices.IndexFunc(texts, func(s string) bool { return CheckText([]byte(s)) != nil }); i >= 0 {
		t.Errorf("%q: %v", texts[i], CheckText([]byte(texts[i])))
	}
	if err := CheckText([]byte("machine: {}\n---\na: b\n")); err == nil || !strings.HasPrefix(err.Error(), "line 3, column 1: a document with neither") {
		t.Error(err)
	}
}
