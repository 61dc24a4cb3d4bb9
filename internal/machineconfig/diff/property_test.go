package diff_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/talos-manager/talos-manager/internal/machineconfig/diff"
)

// edit is a patch and the paths it changes, each of them in no other edit.
type edit struct {
	patch string
	paths []string
}

// edits of a config of any version. %d is a number that differs in each use.
var edits = []edit{
	{"machine: {sysctls: {net.core.somaxconn: '%d'}}", []string{`machine.sysctls["net.core.somaxconn"]`}},
	{"machine: {sysctls: {vm.swappiness: '%d'}}", []string{`machine.sysctls["vm.swappiness"]`}},
	{"machine: {nodeLabels: {rack: r%d}}", []string{"machine.nodeLabels.rack"}},
	{"machine: {nodeTaints: {a/b: 'v%d:NoSchedule'}}", []string{`machine.nodeTaints["a/b"]`}},
	{"machine: {certSANs: [san-%d]}", []string{"machine.certSANs[]"}},
	{"machine: {kubelet: {image: 'kubelet:v%d'}}", []string{"machine.kubelet.image"}},
	{"machine: {kubelet: {extraArgs: {v: '%d'}}}", []string{"machine.kubelet.extraArgs.v"}},
	{"machine: {kubelet: {extraMounts: [{destination: /m%d, type: bind, source: /m}]}}", []string{"machine.kubelet.extraMounts[/m%d]"}},
	{"machine: {install: {image: 'installer:v%d'}}", []string{"machine.install.image"}},
	{"machine: {network: {interfaces: [{interface: eth%d, mtu: 1400}]}}", []string{"machine.network.interfaces[eth%d]"}},
	{"machine: {network: {nameservers: [10.0.0.%d]}}", []string{"machine.network.nameservers"}},
	{"machine: {network: {extraHostEntries: [{ip: 10.1.0.%d, aliases: [a]}]}}", []string{"machine.network.extraHostEntries[10.1.0.%d]"}},
	{"machine: {files: [{path: /etc/f%d, op: create, content: x, permissions: 0o644}]}", []string{"machine.files[/etc/f%d]"}},
	{"machine: {env: {A%d: b}}", []string{"machine.env.A%d"}},
	{"machine: {time: {servers: [ntp%d]}}", []string{"machine.time.servers"}},
	{"machine: {registries: {mirrors: {'r%d.example': {endpoints: [https://a]}}}}", []string{`machine.registries.mirrors["r%d.example"]`}},
	{"machine: {registries: {config: {'s.example': {auth: {username: u, password: pass-word-%d}}}}}", []string{`machine.registries.config["s.example"]`}},
	{"machine: {kernel: {modules: [{name: mod%d}]}}", []string{"machine.kernel.modules[mod%d]"}},
	{"machine: {logging: {destinations: [{endpoint: 'udp://127.0.0.1:%d/', format: json_lines}]}}", []string{"machine.logging.destinations[udp://127.0.0.1:%d/]"}},
	{"machine: {seccompProfiles: [{name: p%d.json, value: {a: b}}]}", []string{"machine.seccompProfiles[p%d.json]"}},
	{"machine: {udev: {rules: ['ATTR{x}==\"%d\"']}}", []string{"machine.udev.rules"}},
	{"cluster: {apiServer: {certSANs: [api-%d]}}", []string{"cluster.apiServer.certSANs[]"}},
	{"cluster: {apiServer: {extraArgs: {audit-log-maxage: '%d'}}}", []string{`cluster.apiServer.extraArgs.audit-log-maxage`}},
	{"cluster: {etcd: {extraArgs: {quota-backend-bytes: '%d'}}}", []string{"cluster.etcd.extraArgs.quota-backend-bytes"}},
	{"cluster: {inlineManifests: [{name: m%d, contents: 'kind: X'}]}", []string{"cluster.inlineManifests[m%d]"}},
	{"cluster: {allowSchedulingOnControlPlanes: true}", []string{"cluster.allowSchedulingOnControlPlanes"}},
	{"cluster: {token: abcdef.token-number-%d}", []string{"cluster.token"}},
	{"apiVersion: v1alpha1\nkind: KmsgLogConfig\nname: log%d\nurl: tcp://10.0.0.1:99/", []string{"KmsgLogConfig log%d"}},
	{"apiVersion: v1alpha1\nkind: WatchdogTimerConfig\ndevice: /dev/watchdog%d\ntimeout: 2m0s", []string{"WatchdogTimerConfig"}},
	{"apiVersion: v1alpha1\nkind: ExtensionServiceConfig\nname: ext%d\nenvironment: [TOKEN=secret-of-ext-%d]", []string{"ExtensionServiceConfig ext%d"}},
	{"apiVersion: v1alpha1\nkind: TrustedRootsConfig\nname: ca%d\ncertificates: x", []string{"TrustedRootsConfig ca%d"}},
	{"apiVersion: v1alpha1\nkind: UserVolumeConfig\nname: data%d\nprovisioning: {minSize: 10GiB}\nencryption: {provider: luks2, keys: [{slot: 0, static: {passphrase: phrase-%d}}]}", []string{"UserVolumeConfig data%d"}},
	{"apiVersion: v1alpha1\nkind: KubeSpanConfig\nenabled: true\nmtu: %d", []string{"KubeSpanConfig"}},
}

// some picks edits and numbers them.
func some(r *rand.Rand) (patch string, paths []string) {
	var patches []string
	for _, i := range r.Perm(len(edits))[:1+r.IntN(6)] {
		n := fmt.Sprint(100 + r.IntN(100))
		patches = append(patches, strings.ReplaceAll(edits[i].patch, "%d", n))
		for _, p := range edits[i].paths {
			paths = append(paths, strings.ReplaceAll(p, "%d", n))
		}
	}
	return strings.Join(patches, "\n---\n"), paths
}

// apply applies the documents of a patch one by one: several for one document are not one patch.
func apply(t *testing.T, text []byte, patch string) []byte {
	for _, p := range strings.Split(patch, "\n---\n") {
		text = patched(t, text, p)
	}
	return text
}

// paths lists what a diff changes: for a document that came or went, its title.
func paths(d *diff.Diff) []string {
	set := map[string]bool{}
	for _, doc := range d.Documents {
		if doc.Op != diff.Changed {
			set[doc.Title()] = true
			continue
		}
		for _, c := range doc.Changes {
			set[c.Path] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

func TestADiffListsExactlyWhatAPatchChanged(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, version := range []string{"v1.6.8", "v1.11.6", "v1.13.9"} {
		a := controlPlane(t, version)
		for range 25 {
			patch, want := some(r)
			b := apply(t, a, patch)
			slices.Sort(want)
			d := compare(t, string(a), string(shuffled(t, b)))
			if got := paths(d); !covers(got, want) {
				t.Fatalf("%s:\n%s\n got %q\nwant %q", version, patch, got, want)
			}
			back := compare(t, string(b), string(a))
			if !slices.Equal(paths(back), paths(d)) {
				t.Fatalf("back: %q, there: %q", paths(back), paths(d))
			}
			if again := compare(t, string(b), string(reload(t, b))); !again.Empty() {
				t.Fatalf("written anew:\n%s", diff.Text(again, nil))
			}
		}
	}
}

// covers says whether each path is of an expected one, and each expected one has a path.
func covers(got, want []string) bool {
	of := func(path, field string) bool {
		return path == field || strings.HasPrefix(path, field+".") || strings.HasPrefix(path, field+"[")
	}
	for _, g := range got {
		if !slices.ContainsFunc(want, func(w string) bool { return of(g, w) }) {
			return false
		}
	}
	for _, w := range want {
		if !slices.ContainsFunc(got, func(g string) bool { return of(g, w) }) {
			return false
		}
	}
	return true
}

// hiding are patches that put a secret where none is expected.
var hiding = []string{
	"machine: {nodeAnnotations: {note: 'it is %s'}}",
	"machine: {nodeLabels: {'%s': x}}",
	"machine: {files: [{path: '/etc/%s', op: create, content: 'a: %s', permissions: 0o600}]}",
	"machine: {env: {HTTP_PROXY: 'http://u:%s@proxy'}}",
	"machine: {kubelet: {extraArgs: {node-labels: 'a=%s'}}}",
	"cluster: {inlineManifests: [{name: m, contents: \"kind: ConfigMap\\ndata: {a: '%s'}\\n\"}]}",
	"apiVersion: v1alpha1\nkind: ExtensionServiceConfig\nname: e\nconfigFiles: [{mountPath: /c, content: 'x %s y'}]",
	"apiVersion: v1alpha1\nkind: TrustedRootsConfig\nname: '%s'\ncertificates: x",
}

func TestNoSecretOfTheBundleIsInAnyDiff(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	secrets := secretsIn(t)
	configs := map[string][]byte{"v1.6.8": controlPlane(t, "v1.6.8"), "v1.13.9": controlPlane(t, "v1.13.9"), "v1.14.1": controlPlane(t, "v1.14.1")}
	names := slices.Sorted(maps.Keys(configs))
	own := []string{"pass-word-1", "token-number-1", "secret-of-ext-1", "phrase-1"} // all numbers begin with 1
	for i := range 30 {
		from, to := names[r.IntN(3)], names[r.IntN(3)]
		a, b := configs[from], configs[to]
		if to != "v1.14.1" { // there the edits of the old document conflict with new ones
			patch, _ := some(r)
			b = apply(t, b, patch)
		}
		hidden := strings.ReplaceAll(hiding[r.IntN(len(hiding))], "%s", secrets[r.IntN(5)])
		if to != "v1.14.1" || strings.HasPrefix(hidden, "apiVersion") {
			b = apply(t, b, hidden)
		}
		if i%7 == 0 {
			a = nil
		}
		var key []byte
		if i%2 == 0 {
			key = []byte("key")
		}
		for _, sides := range [][2][]byte{{a, b}, {b, a}} {
			mustNotLeak(t, fmt.Sprintf("%d: %s to %s", i, from, to), all(t, sides[0], sides[1], key), append(own, secrets...))
		}
	}
}

// all is everything that the package says of a change.
func all(t *testing.T, a, b, key []byte) string {
	t.Helper()
	d, err := diff.Compare(a, b, key)
	if err != nil {
		t.Fatal(err)
	}
	v, err := diff.Apply(d, "v1.13.9")
	if err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal([]any{d, v})
	if err != nil {
		t.Fatal(err)
	}
	unified, err := diff.Unified(a, b)
	if err != nil {
		t.Fatal(err)
	}
	redacted, err := diff.Redact(b)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join([]string{diff.Text(d, v), string(asJSON), unified, redacted}, "\n")
}
