package diff_test

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/siderolabs/talos/pkg/machinery/config/types/v1alpha1"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig/diff"
)

func verdict(t testing.TB, a, b []byte, talos string) *diff.Verdict {
	t.Helper()
	d, err := diff.Compare(a, b, nil)
	if err != nil {
		t.Fatal(err)
	}
	v, err := diff.Apply(d, talos)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// recordedChanges are the changes of the recording, by its names of them.
var recordedChanges = map[string]string{
	"no change":                                              "machine: {type: controlplane}",
	"no-reboot-able change (node label)":                     "machine: {nodeLabels: {rec: '1'}}",
	"no-reboot-able change (sysctl)":                         "machine: {sysctls: {net.core.somaxconn: '2048'}}",
	"new document (KmsgLogConfig)":                           "apiVersion: v1alpha1\nkind: KmsgLogConfig\nname: remote\nurl: tcp://10.5.0.1:5140/",
	"reboot-only change (machine.features.diskQuotaSupport)": "machine: {features: {diskQuotaSupport: false}}",
	"worker config on a control plane":                       "machine: {type: worker}",
}

func TestTheVerdictIsWhatARealNodeAnswered(t *testing.T) {
	running := controlPlane(t, "v1.13.9")
	file, err := os.Open(filepath.Join("testdata", "apply-dry-run.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	checked := 0
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var call struct {
			Case, Mode, Code, Message string
			Response                  struct {
				Messages []struct {
					Mode    string
					Details string `json:"mode_details"`
				}
			}
		}
		if err := json.Unmarshal(lines.Bytes(), &call); err != nil {
			t.Fatal(err)
		}
		if call.Case == "" {
			continue
		}
		checked++
		desired := []byte("apiVersion: v1alpha1\nkind: HostnameConfig\nhostname: a\nauto: 'off'\n")
		if patch, ok := recordedChanges[call.Case]; ok {
			desired = patched(t, running, patch)
		}
		v := verdict(t, running, desired, "v1.13.9")
		refused := strings.Contains(call.Message, "doesn't contain v1alpha1 config")
		reboots := strings.Contains(call.Message, "can't be applied in immediate mode")
		if call.Code == "OK" {
			reboots = call.Response.Messages[0].Mode != "NO_REBOOT"
			sameLines(t, call.Case, call.Response.Messages[0].Details, running, desired)
		}
		if v.Reboots != reboots && !refused || (v.Refused != "") != refused {
			t.Errorf("%s in mode %s: the node reboots %v, refuses %v; the verdict is %v, %q", call.Case, call.Mode, reboots, refused, v.Reboots, v.Refused)
		}
	}
	if checked != 14 {
		t.Errorf("%d calls in the recording", checked)
	}
}

var changedLine = regexp.MustCompile(`(?m)^[+-] *([^+\- ].*)$`)

// sameLines checks that our unified diff has the lines which the node's has.
func sameLines(t *testing.T, what, details string, a, b []byte) {
	t.Helper()
	unified, err := diff.Unified(a, b)
	if err != nil {
		t.Fatal(err)
	}
	ours := changedLine.FindAllString(unified, -1)
	for i := range ours {
		ours[i] = strings.Join(strings.Fields(ours[i]), " ")
	}
	for _, line := range changedLine.FindAllString(details, -1) {
		if line = strings.Join(strings.Fields(line), " "); !slices.Contains(ours, line) && !strings.Contains(line, "BASE64PEM") {
			t.Errorf("%s: the node shows %q, ours are %q", what, line, ours)
		}
	}
	if strings.Contains(details, "No changes.") != (unified == "") {
		t.Errorf("%s: %s", what, unified)
	}
}

func TestTheVerdictIsWhatTalosctlPatchWasAnswered(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "patch-cli.txt"))
	if err != nil {
		t.Fatal(err)
	}
	running := controlPlane(t, "v1.13.9")
	checked := 0
	for _, call := range strings.Split(string(text), "$ talosctl -n CP patch mc ")[1:] {
		m := regexp.MustCompile(`--patch (\{.*\}\})`).FindStringSubmatch(call)
		immediate, refused := strings.Contains(call, "Applied configuration without a reboot"), strings.Contains(call, "can't be applied in immediate mode")
		if m == nil || !immediate && !refused {
			continue
		}
		checked++
		from := running
		if strings.Contains(m[1], "$patch") {
			from = patched(t, running, "machine: {nodeLabels: {rec: '4'}}")
		}
		if v := verdict(t, from, patched(t, from, m[1]), "v1.13.9"); v.Reboots != refused {
			t.Errorf("%s: reboots %v", m[1], v.Reboots)
		}
	}
	if checked != 4 {
		t.Errorf("%d calls in the recording", checked)
	}
}

// TestTheTableIsTheSourceOfEachRelease holds the table to the fields that CanApplyImmediate of each release names: each
// field of the v1alpha1 document is changed, and the verdict compared.
func TestTheTableIsTheSourceOfEachRelease(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "immediate.txt"))
	if err != nil {
		t.Fatal(err)
	}
	allowed := map[string][]string{}
	for line := range strings.Lines(string(text)) {
		if version, field, ok := strings.Cut(strings.TrimSpace(line), " "); ok && version != "#" {
			allowed[version] = append(allowed[version], yamlPath(t, field))
		}
	}
	if len(allowed) != 8 {
		t.Fatalf("%d releases", len(allowed))
	}
	allowed["v1.14.1"] = nil
	for _, field := range unitsOfTheLibrary() {
		for version, fields := range allowed {
			d := &diff.Diff{
				Documents: []diff.Document{{Kind: "v1alpha1", Op: diff.Changed, Changes: []diff.Change{{Op: diff.Changed, Path: field, Field: field}}}},
				V1Alpha1:  []string{field},
			}
			v, err := diff.Apply(d, version)
			if err != nil {
				t.Fatal(err)
			}
			if want := version != "v1.14.1" && !slices.Contains(fields, field); v.Reboots != want {
				t.Errorf("%s on %s: reboots %v, the source says %v", field, version, v.Reboots, want)
			}
		}
	}
}

// yamlPath is the path of a Go field of v1alpha1.Config.
func yamlPath(t *testing.T, goPath string) string {
	t.Helper()
	typ, path := reflect.TypeFor[v1alpha1.Config](), ""
	for _, step := range strings.Split(goPath, ".") {
		f, ok := typ.FieldByName(step)
		if !ok {
			t.Fatalf("the library has no %s", goPath)
		}
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		path = strings.TrimPrefix(path+"."+name, ".")
		if typ = f.Type; typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
	}
	return path
}

// unitsOfTheLibrary are all fields that are compared on their own.
func unitsOfTheLibrary() []string {
	var out []string
	var walk func(typ reflect.Type, path string)
	walk = func(typ reflect.Type, path string) {
		for i := range typ.NumField() {
			name, _, _ := strings.Cut(typ.Field(i).Tag.Get("yaml"), ",")
			at := strings.TrimPrefix(path+"."+name, ".")
			if at == "machine" || at == "machine.features" {
				walk(typ.Field(i).Type.Elem(), at)
				continue
			}
			out = append(out, at)
		}
	}
	walk(reflect.TypeFor[v1alpha1.Config](), "")
	return out
}

func TestWhatANodeDoesWithAChange(t *testing.T) {
	for _, tc := range []struct {
		why, talos, a, b string
		effect           diff.Effect
		reboots, pending bool
		services         string
	}{
		{"nothing", "v1.13.9", "machine: {type: worker}", "machine: {type: worker}", diff.Immediate, false, false, ""},
		{"a name server", "v1.6.8", "machine: {type: worker}", "machine: {type: worker, network: {nameservers: [1.1.1.1]}}", diff.Immediate, false, false, ""},
		{"host DNS before it may", "v1.6.8", "machine: {features: {rbac: true}}", "machine: {features: {rbac: true, hostDNS: {enabled: true}}}", diff.Reboot, true, false, ""},
		{"host DNS once it may", "v1.7.0", "machine: {features: {rbac: true}}", "machine: {features: {rbac: true, hostDNS: {enabled: true}}}", diff.Immediate, false, false, ""},
		{"host DNS where there were no features at all", "v1.13.9", "machine: {type: worker}", "machine: {type: worker, features: {hostDNS: {enabled: true}}}", diff.Reboot, true, false, ""},
		{"annotations before they may", "v1.7.7", "machine: {type: worker}", "machine: {type: worker, nodeAnnotations: {a: b}}", diff.Reboot, true, false, ""},
		{"annotations once they may", "1.8.0", "machine: {type: worker}", "machine: {type: worker, nodeAnnotations: {a: b}}", diff.Immediate, false, false, ""},
		{"the CA before it may", "v1.6", "machine: {type: worker, ca: {crt: YQ==}}", "machine: {type: worker, ca: {crt: Yg==}}", diff.Reboot, true, false, ""},
		{"the CA once it may", "v1.7", "machine: {type: worker, ca: {crt: YQ==}}", "machine: {type: worker, ca: {crt: Yg==}}", diff.Immediate, false, false, ""},
		{"a file", "v1.13.9", "machine: {type: worker}", "machine: {type: worker, files: [{path: /a, content: x, op: create}]}", diff.Reboot, true, false, ""},
		{"a file without the check", "v1.14.1", "machine: {type: worker}", "machine: {type: worker, files: [{path: /a, content: x, op: create}]}", diff.AfterReboot, false, true, ""},
		{"files in another order mean the same and reboot nonetheless", "v1.13.9", "machine: {files: [{path: /a}, {path: /b}]}", "machine: {files: [{path: /b}, {path: /a}]}", diff.Reboot, true, false, ""},
		{"files in another order, without the check", "v1.14.1", "machine: {files: [{path: /a}, {path: /b}]}", "machine: {files: [{path: /b}, {path: /a}]}", diff.Immediate, false, false, ""},
		{"an empty list of files reboots", "v1.12.0", "machine: {type: worker}", "machine: {type: worker, files: []}", diff.Reboot, true, false, ""},
		{"a false where nothing was reboots", "v1.12.0", "machine: {type: worker, features: {rbac: true}}", "machine: {type: worker, features: {rbac: true, diskQuotaSupport: false}}", diff.Reboot, true, false, ""},
		{"SANs in another order", "v1.12.0", "machine: {certSANs: [a, b]}", "machine: {certSANs: [b, a]}", diff.Immediate, false, false, ""},
		{"the kubelet", "v1.13.9", "machine: {kubelet: {image: a}}", "machine: {kubelet: {image: b}}", diff.Restart, false, false, "kubelet"},
		{"the installer", "v1.13.9", "machine: {install: {image: a}}", "machine: {install: {image: b}}", diff.AtInstall, false, false, ""},
		{"etcd", "v1.13.9", "machine: {type: controlplane}\ncluster: {etcd: {image: a}}", "machine: {type: controlplane}\ncluster: {etcd: {image: b}}", diff.AfterReboot, false, true, ""},
		{"etcd on a worker", "v1.13.9", "machine: {type: worker}\ncluster: {etcd: {image: a}}", "machine: {type: worker}\ncluster: {etcd: {image: b}}", diff.Immediate, false, false, ""},
		{"the API server", "v1.13.9", "machine: {type: controlplane}\ncluster: {apiServer: {image: a}}", "machine: {type: controlplane}\ncluster: {apiServer: {image: b}}", diff.Restart, false, false, "kube-apiserver"},
		{"an inline manifest", "v1.13.9", "machine: {type: controlplane}\ncluster: {inlineManifests: [{name: a, contents: x}]}", "machine: {type: controlplane}\ncluster: {inlineManifests: [{name: a, contents: y}]}", diff.NewObjects, false, false, ""},
		{"registry credentials", "v1.13.9", "machine: {type: worker}", "machine: {type: worker, registries: {config: {r: {auth: {password: x}}}}}", diff.AfterReboot, false, true, ""},
		{"registry credentials since containerd restarts", "v1.14.1", "machine: {type: worker}", "machine: {type: worker, registries: {config: {r: {auth: {password: x}}}}}", diff.Restart, false, false, "cri"},
		{"a registry's CA", "v1.13.9", "machine: {registries: {config: {r: {tls: {insecureSkipVerify: false}}}}}", "machine: {registries: {config: {r: {tls: {insecureSkipVerify: true}}}}}", diff.Immediate, false, false, ""},
		{"a mirror", "v1.13.9", "machine: {type: worker}", "machine: {type: worker, registries: {mirrors: {r: {endpoints: [https://a]}}}}", diff.Immediate, false, false, ""},
		{"one more kernel module", "v1.13.9", "machine: {kernel: {modules: [{name: a}]}}", "machine: {kernel: {modules: [{name: a}, {name: b}]}}", diff.Immediate, false, false, ""},
		{"one kernel module less", "v1.13.9", "machine: {kernel: {modules: [{name: a}, {name: b}]}}", "machine: {kernel: {modules: [{name: a}]}}", diff.AfterReboot, false, true, ""},
		{"a kernel module's parameters", "v1.13.9", "machine: {kernel: {modules: [{name: a}]}}", "machine: {kernel: {modules: [{name: a, parameters: [x=1]}]}}", diff.AfterReboot, false, true, ""},
		{"an extension's service", "v1.13.9", "machine: {type: worker}", "machine: {type: worker}\n---\napiVersion: v1alpha1\nkind: ExtensionServiceConfig\nname: nut\nenvironment: [A=b]", diff.Restart, false, false, "ext-nut"},
		{"another document", "v1.13.9", "machine: {type: worker}", "machine: {type: worker}\n---\napiVersion: v1alpha1\nkind: KubeSpanConfig\nenabled: true", diff.Immediate, false, false, ""},
		{"a key of a volume", "v1.13.9", "machine: {type: worker}", "machine: {type: worker}\n---\napiVersion: v1alpha1\nkind: VolumeConfig\nname: STATE\nencryption: {provider: luks2, keys: [{slot: 0, nodeID: {}}]}", diff.AfterReboot, false, true, ""},
		{"a field of a later Talos", "v1.13.9", "machine: {type: worker}", "machine: {type: worker, future: 1}", diff.Reboot, true, false, ""},
		{"the first config", "v1.13.9", "", "machine: {type: worker, files: [{path: /a}]}", diff.Immediate, false, false, ""},
	} {
		a := tc.a
		if a != "" {
			a = head + a
		}
		v := verdict(t, []byte(a), []byte(head+tc.b), tc.talos)
		if v.Effect != tc.effect || v.Reboots != tc.reboots || v.Pending != tc.pending || strings.Join(v.Services, ",") != tc.services || v.Refused != "" {
			t.Errorf("%s: %+v", tc.why, v)
		}
	}
}

func TestANodeRefusesAConfigWithoutItsMainDocument(t *testing.T) {
	v := verdict(t, []byte(head+"machine: {type: worker}"), []byte("apiVersion: v1alpha1\nkind: HostnameConfig\nhostname: a"), "v1.13.9")
	if v.Refused == "" || !strings.HasPrefix(v.Summary(), "A node refuses it") {
		t.Errorf("%+v", v)
	}
}

func TestAnUnknownTalosVersionIsInvalid(t *testing.T) {
	for _, version := range []string{"", "latest", "v2.0.0", "v1.5.5", "v0.14.0"} {
		if _, err := diff.Apply(&diff.Diff{}, version); err == nil || fleet.KindOf(err) != fleet.Invalid {
			t.Errorf("%q: %v", version, err)
		}
	}
	for _, version := range []string{"v1.6", "1.14.1", "v1.15.0-alpha.0"} {
		if _, err := diff.Apply(&diff.Diff{}, version); err != nil {
			t.Errorf("%q: %v", version, err)
		}
	}
}
