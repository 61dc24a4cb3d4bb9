package recipe

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/talos-manager/talos-manager/internal/machineconfig"
)

// use is a recipe with parameters.
type use struct {
	recipe string
	params Params
}

// The examples of the reference README and guides, in testdata/reference, and the recipes that say the same.
func TestTheReferencesExamplesAreReproduced(t *testing.T) {
	used := map[string]bool{}
	for _, tc := range []struct {
		files string // one after the other
		talos string // the newest of the old syntax
		uses  []use
	}{
		{"basic", "v1.11.6", []use{{"cpu-governor", Params{"method": "install"}}, {"hostname", nil}, {"sysctls", Params{"sysctls": Params{"vm.max_map_count": 262144}}}}},
		{"kubespan", "v1.12.4", []use{{"kubespan", nil}}},
		{"disk-encryption", "v1.10.9", []use{{"disk-encryption", nil}}},
		{"openebs", "v1.13.9", []use{{"openebs-localpv", nil}}},
		{"registry", "v1.11.6", []use{{"registry-auth", Params{"registry": "registry.example.com", "username": "robot", "password": "secret"}}}},
		{"vswitch", "v1.11.6", []use{{"hostname", nil}, {"vswitch-vlan", Params{"interface": "eth0"}}}},
		{"containerd-metrics", "v1.13.9", []use{{"containerd-metrics", nil}}},
		{"containerd-metrics", "v1.13.9", []use{{"containerd", Params{"metrics": "0.0.0.0:11234"}}}},
		{"pause-image", "v1.7.7", []use{{"pause-image", Params{"image": "registry.k8s.io/pause:3.8"}}}},
		{"custom-ca", "v1.7.7", []use{{"custom-ca", Params{"certificates": certificate()}}}},
		{"rotation-add", "v1.10.9", []use{{"disk-encryption-rotation", rotation("add")}}},
		{"rotation-remove", "v1.10.9", []use{{"disk-encryption-rotation", rotation("remove")}}},
		{"key-kinds", "v1.10.9", []use{{"disk-encryption", Params{"state": "nodeID", "state_slot": 1, "ephemeral": "static", "passphrase": "supersecret"}}}},
		{"service-logs", "v1.14.1", []use{{"service-logs", Params{"destinations": "udp://127.0.0.1:12345/,tcp://host:5044/"}}}},
		{"service-logs-fluentbit", "v1.14.1", []use{{"service-logs", Params{"destinations": "tcp://10.200.0.138:5170"}}}},
		{"kernel-logs", "v1.14.1", []use{{"kernel-logs", Params{"destination": "tcp://host:5044/"}}}},
		{"nvidia", "v1.13.9", []use{{"nvidia-open", nil}}},
		{"nvidia", "v1.13.9", []use{{"nvidia-proprietary", nil}}},
		{"nvidia", "v1.13.9", []use{{"nvidia-fabric-manager", nil}}},
		{"nvidia-default-runtime", "v1.7.7", []use{{"nvidia-default-runtime", nil}}},
		{"mirrors", "v1.11.6", []use{{"registry-mirrors", Params{"mirrors": map[string]string{
			"docker.io": "http://10.5.0.1:5000", "gcr.io": "http://10.5.0.1:5003", "ghcr.io": "http://10.5.0.1:5004", "registry.k8s.io": "http://10.5.0.1:5001",
		}}}}},
		{"harbor", "v1.11.6", []use{{"harbor-mirror", Params{"url": "http://harbor"}}}},
		{"harbor harbor-auth", "v1.11.6", []use{{"harbor-mirror", Params{"url": "http://harbor", "username": "admin", "password": "password"}}}},
		{"rbac", "v1.11.6", []use{{"rbac", nil}}},
		{"cni-none", "v1.13.9", []use{{"cni-none", nil}}},
	} {
		var theirs []machineconfig.Patch
		for file := range strings.FieldsSeq(tc.files) {
			used[file] = true
			theirs = append(theirs, machineconfig.Patch{Name: file, Text: reference(t, file)})
		}
		// The oldest takes the same syntax as the newest of the old ones.
		for _, talos := range []string{"v1.6.8", tc.talos} {
			var ours []Result
			for _, u := range tc.uses {
				ours = append(ours, mustApply(t, u.recipe, talos, u.params))
			}
			for _, role := range roles {
				want, err := render(t, talos, role, theirs...)
				if err != nil {
					t.Fatalf("%s on %s: the reference itself: %v", tc.files, talos, err)
				}
				got, err := render(t, talos, role, of(role, ours...)...)
				if err != nil || got.text != want.text {
					t.Errorf("%s on %s for a %s: %v\n%s\nwant\n%s", tc.files, talos, role, err, got.text, want.text)
				}
			}
		}
	}
	apart := []string{"kernel-logs-argument"} // below
	all, _ := filepath.Glob("testdata/reference/*.yaml")
	for _, path := range all {
		if name := strings.TrimSuffix(filepath.Base(path), ".yaml"); !used[name] && !slices.Contains(apart, name) {
			t.Errorf("nothing reproduces %s", name)
		}
	}
}

func reference(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("testdata/reference/" + name + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(text), `"CERTIFICATES"`, quote(certificate()))
}

func rotation(step string) Params {
	return Params{
		"volume": "EPHEMERAL", "step": step, "old_key": "static", "old_passphrase": "oldkey",
		"new_key": "static", "new_slot": 1, "new_passphrase": "newkey",
	}
}

// A kernel argument is in the config there, and in the schematic here: both reach the kernel at the next upgrade.
func TestTheReferencesKernelArgumentIsInTheSchematic(t *testing.T) {
	c, err := render(t, "v1.11.6", roles[0], machineconfig.Patch{Name: "reference", Text: reference(t, "kernel-logs-argument")})
	if err != nil {
		t.Fatal(err)
	}
	got := mustApply(t, "kernel-logs", "v1.11.6", Params{"destination": "tcp://host:5044/", "early": true}).Schematic.KernelArgs
	if !slices.Equal(got, c.Machine().Install().ExtraKernelArgs()) {
		t.Errorf("got %q, want %q", got, c.Machine().Install().ExtraKernelArgs())
	}
}
