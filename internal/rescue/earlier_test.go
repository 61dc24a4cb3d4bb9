package rescue

import (
	"maps"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// earlierConfigs are configs in STATE, of each form that Talos has written, with what must not leave the machine.
func earlierConfigs() map[string]string {
	return map[string]string{
		"v1alpha1": "version: v1alpha1\nmachine:\n    type: controlplane\n    token: SECRET\n    network:\n        hostname: old-1\ncluster:\n    id: b2xkIGNsdXN0ZXI=\n    secret: SECRET\n" +
			"    controlPlane:\n        endpoint: https://198.51.100.7:6443\n    clusterName: old\n",
		"v1alpha1, by a person": "machine:\n  token: SECRET\n  network:\n    hostname: old-1\n    interfaces: []\ncluster:\n  controlPlane:\n    endpoint: https://198.51.100.7:6443\n  clusterName: old\n  id: b2xkIGNsdXN0ZXI=\n",
		"1.12, a document for the name": "version: v1alpha1\nmachine:\n    token: SECRET\ncluster:\n    id: b2xkIGNsdXN0ZXI=\n    secret: SECRET\n    controlPlane:\n        endpoint: https://198.51.100.7:6443\n    clusterName: old\n" +
			"    discovery:\n        registries:\n            service:\n                endpoint: https://discovery.talos.dev/\n---\napiVersion: v1alpha1\nkind: HostnameConfig\nauto: off\nhostname: old-1\n",
		"1.14, documents": "version: v1alpha1\nmachine:\n    token: SECRET\n    ca:\n        key: SECRET\ncluster:\n    etcd:\n        ca:\n            key: SECRET\n---\napiVersion: v1alpha1\nkind: DiscoveryServiceConfig\n" +
			"name: default\nendpoint: https://discovery.talos.dev/\n---\napiVersion: v1alpha1\nkind: DiscoveryIdentityConfig\nclusterID: b2xkIGNsdXN0ZXI=\nclusterSecret: SECRET\n---\napiVersion: v1alpha1\n" +
			"kind: HostnameConfig\nauto: off\nhostname: old-1\n---\napiVersion: v1alpha1\nkind: KubeClusterConfig\nclusterName: old\nendpoint: https://198.51.100.7:6443\n---\napiVersion: v1alpha1\nkind: KubeNodeConfig\n",
	}
}

// earlier is what facts.sh says of a STATE with such a config, "" for none.
func earlier(t *testing.T, config string) string {
	t.Helper()
	script, err := Scripts.ReadFile("scripts/facts.sh")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if config != "" {
		write(t, dir+"/config.yaml", config)
	}
	c := exec.CommandContext(t.Context(), "bash", "-u", "-c", regexp.MustCompile(`(?ms)^talos\(\) \{$.*?^\}$`).FindString(string(script))+"\ntalos")
	c.Dir = dir
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

// A Talos of which we cannot read whose it is may be anybody's; one that has no config yet is nobody's.
func TestAConfigThatNamesNoClusterIsNotNone(t *testing.T) {
	for _, tc := range []struct {
		why, config string
		nameless    bool
	}{
		{"no config", "", false},
		{"a config of a form that is not known", "machine:\n    token: SECRET\ncluster: {clusterName: old}\n", true},
		{"a config of a worker", "cluster:\n    id: b2xkIGNsdXN0ZXI=\n", false},
		{"a config with the name alone", "cluster:\n    clusterName: old\n", false},
	} {
		st := storage{talos: single(blocksOf("device=sda5\n"+earlier(t, tc.config), "device"))}
		d := fleet.Disk{Name: "sda", Partitions: []fleet.Partition{{Number: 5, Name: "sda5", Label: "STATE"}}}
		d.Talos = st.earlierTalos(d)
		if only, why := OnlyTalos(fleet.Facts{}, d, "old", "b2xkIGNsdXN0ZXI="); d.Talos.Nameless != tc.nameless || only == tc.nameless {
			t.Errorf("%s: %+v; only Talos: %v, %s", tc.why, d.Talos, only, why)
		}
	}
}

// Whether a disk may be overwritten without a question hangs on whose Talos is on it. The bash and sed are this machine's.
func TestWhoseTalosItWasIsReadFromEveryFormOfConfig(t *testing.T) {
	want := map[string]string{"config": "yes", "cluster": "old", "id": "b2xkIGNsdXN0ZXI=", "endpoint": "https://198.51.100.7:6443", "hostname": "old-1"}
	for why, config := range earlierConfigs() {
		t.Run(why, func(t *testing.T) {
			out := earlier(t, config)
			found := single(blocksOf("device=x\n"+out, "device"))["x"]
			if !maps.Equal(found, want) {
				t.Errorf("it prints %v, not %v", found, want)
			}
			if strings.Contains(out, "SECRET") {
				t.Errorf("a secret leaves the machine:\n%s", out)
			}
		})
	}
}
