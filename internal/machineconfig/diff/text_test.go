package diff_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/talos-manager/talos-manager/internal/machineconfig/diff"
)

var update = flag.Bool("update", false, "write the golden files")

const before = `version: v1alpha1
machine:
  type: controlplane
  token: abcdef.aaaaaaaaaaaaaaaa
  certSANs: [203.0.113.10, old.example]
  kubelet:
    image: ghcr.io/siderolabs/kubelet:v1.35.0
    extraMounts:
      - {destination: /var/mnt/a, type: bind, source: /var/mnt/a, options: [bind, rw]}
  network:
    nameservers: [1.1.1.1, 9.9.9.9]
    interfaces:
      - interface: eth0
        mtu: 1500
        addresses: [203.0.113.10/32]
  install: {image: factory.talos.dev/metal-installer/376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba:v1.13.8}
  features: {rbac: true, diskQuotaSupport: true}
  files:
    - path: /etc/app.conf
      op: create
      content: |
        # settings
        one = 1
        two = 2
        three = 3
        four = 4
        password = open-sesame
        last = 9
cluster:
  etcd: {advertisedSubnets: [10.0.0.0/8]}
  apiServer: {extraArgs: {v: "2"}}
---
apiVersion: v1alpha1
kind: HostnameConfig
hostname: cp-1
auto: "off"
---
apiVersion: v1alpha1
kind: RegistryMirrorConfig
name: docker.io
endpoints: [{url: https://a.example}, {url: https://b.example}]
`

const after = `---
apiVersion: v1alpha1
kind: RegistryMirrorConfig
name: docker.io
endpoints: [{url: https://b.example}, {url: https://a.example, overridePath: true}]
---
apiVersion: v1alpha1
kind: KmsgLogConfig
name: remote
url: tcp://user:pass@10.5.0.1:5140/
---
version: v1alpha1 # comments make no difference
machine:
  type: controlplane
  token: abcdef.bbbbbbbbbbbbbbbb
  certSANs: [new.example, 203.0.113.10]
  sysctls: {net.core.somaxconn: "2048", vm.nr_hugepages: "512"}
  kubelet:
    image: ghcr.io/siderolabs/kubelet:v1.36.3
    extraMounts:
      - {destination: /var/mnt/a, type: bind, source: /var/mnt/a, options: [bind, ro]}
      - {destination: /var/mnt/b, type: bind, source: /var/mnt/b}
  network:
    nameservers: [9.9.9.9, 1.1.1.1]
    interfaces:
      - interface: eth0
        mtu: 1400
        addresses: [203.0.113.10/32, "2001:db8::2/64"]
  install: {image: factory.talos.dev/metal-installer/376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba:v1.13.9}
  features: {rbac: true, diskQuotaSupport: false}
  files:
    - path: /etc/app.conf
      op: create
      content: |
        # settings
        one = 1
        two = 2
        three = 4
        four = 4
        password = open-barley
        last = 9
cluster:
  etcd: {advertisedSubnets: [10.0.0.0/16]}
  apiServer: {extraArgs: {v: "4"}}
  inlineManifests:
    - name: ns
      contents: |
        apiVersion: v1
        kind: Namespace
        metadata: {name: a}
`

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s (-update writes it):\n%s", name, got)
	}
}

func TestADiffForPeople(t *testing.T) {
	d, err := diff.Compare([]byte(before), []byte(after), []byte("a key"))
	if err != nil {
		t.Fatal(err)
	}
	v, err := diff.Apply(d, "v1.13.9")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "people.txt", diff.Text(d, v))
	back, err := diff.Compare([]byte(after), []byte(before), nil)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "back.txt", diff.Text(back, nil))
	asJSON, err := json.MarshalIndent(struct {
		Diff    *diff.Diff    `json:"diff"`
		Verdict *diff.Verdict `json:"verdict"`
	}{d, v}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "api.json", string(asJSON)+"\n")
	unified, err := diff.Unified([]byte(before), []byte(after))
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "unified.txt", unified)
}

func TestADiffThatCameThroughTheAPIIsTheSame(t *testing.T) {
	d := compare(t, before, after)
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	var again diff.Diff
	if err := json.Unmarshal(text, &again); err != nil {
		t.Fatal(err)
	}
	x, err := diff.Apply(d, "v1.13.9")
	if err != nil {
		t.Fatal(err)
	}
	y, err := diff.Apply(&again, "v1.13.9")
	if err != nil {
		t.Fatal(err)
	}
	if diff.Text(d, x) != diff.Text(&again, y) {
		t.Errorf("%s\n%s", diff.Text(d, x), diff.Text(&again, y))
	}
}

func TestNoChangesAreSaidInOneLine(t *testing.T) {
	d := compare(t, before, "# a comment\n"+before)
	v, err := diff.Apply(d, "v1.13.9")
	if err != nil {
		t.Fatal(err)
	}
	if got := diff.Text(d, v); got != "No changes.\n" {
		t.Error(got)
	}
}

func TestWhatIsWrittenCannotForgeALine(t *testing.T) {
	d := compare(t, head+"machine: {type: worker}", head+"machine: {nodeAnnotations: {\"a\\n- machine.forged\": \"b\\r\\n+ c\\e[31m\"}, files: [{path: \"/a\\u2028b\", content: \"x\\u001b[2J\\n\\ty\"}]}")
	for line := range strings.Lines(diff.Text(d, nil)) {
		if strings.HasPrefix(strings.TrimSpace(line), "- machine.forged") || strings.ContainsAny(line, "\r\x1b\u2028") {
			t.Errorf("%q", line)
		}
	}
}

func TestALongLineIsCut(t *testing.T) {
	d := compare(t, head+"machine: {nodeAnnotations: {a: "+strings.Repeat("x", 5000)+"}}", head+"machine: {nodeAnnotations: {a: "+strings.Repeat("x", 5000)+"y}}")
	got := diff.Text(d, nil)
	if len(got) > 200 || !strings.Contains(got, "xxxxxxxxxxxx -> xxx") || !strings.HasSuffix(got, "xxxy\n") {
		t.Error(got)
	}
	d = compare(t, head+"machine: {nodeAnnotations: {a: "+strings.Repeat("x", 5000)+"}}", head+"machine: {nodeAnnotations: {a: "+strings.Repeat("y", 5000)+"}}")
	if got := diff.Text(d, nil); len(got) > 250 || strings.Count(got, "(5000 bytes, sha256 ") != 2 {
		t.Error(got)
	}
}
