package machineconfig

import (
	"fmt"
	"strings"
	"testing"

	"github.com/siderolabs/talos/pkg/machinery/config/configloader"
	"github.com/siderolabs/talos/pkg/machinery/config/configpatcher"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig/schema"
)

// everyVersion lists a release of each supported minor, with the Kubernetes it brings.
func everyVersion() (all []struct{ talos, kubernetes string }) {
	for minor := 6; minor <= 14; minor++ {
		talos := fmt.Sprintf("v1.%d.1", minor)
		all = append(all, struct{ talos, kubernetes string }{talos, KubernetesOf(talos)})
	}
	return all
}

func TestWhatEveryMinorBringsIsKnown(t *testing.T) {
	older := schema.Versions()
	older = older[:len(older)-1]
	for _, minor := range older {
		brings := KubernetesOf(minor + ".0")
		if brings == DefaultKubernetes() {
			t.Errorf("which Kubernetes %s brings is not in the list", minor)
		}
		if err := CheckVersions(minor+".0", brings); err != nil {
			t.Error(err)
		}
	}
}

func TestEveryTalosVersionRendersAndValidates(t *testing.T) {
	c := NewCache(0)
	for _, v := range everyVersion() {
		for _, role := range []fleet.Role{fleet.ControlPlane, fleet.Worker} {
			in := readme(t, v.talos, v.kubernetes, role)
			in.KubeSpan = true
			if v.talos != "v1.6.1" && v.talos != "v1.7.1" { // they have no VolumeConfig
				in.EphemeralDisk = "wwid:naa.5002"
			}
			out, err := c.Render(in)
			if err != nil {
				t.Errorf("%s %s: %v (%s)", v.talos, role, err, fleet.HintOf(err))
				continue
			}
			p, err := configloader.NewFromBytes(out)
			if err != nil {
				t.Fatalf("%s %s: %v", v.talos, role, err)
			}
			if p.NetworkKubeSpanConfig() == nil || !p.NetworkKubeSpanConfig().Enabled() {
				t.Errorf("%s %s: KubeSpan is off", v.talos, role)
			}
			if got := p.NetworkHostnameConfig().Hostname(); got != "worker-1" {
				t.Errorf("%s %s: hostname %q", v.talos, role, got)
			}
			if got := string(out); !strings.Contains(got, "10.0.1.1/21") || !strings.Contains(got, "vlanId: 4000") {
				t.Errorf("%s %s: the private network is missing", v.talos, role)
			}
		}
	}
}

func TestNoVersionGetsWhatItDoesNotKnow(t *testing.T) {
	for _, tc := range []struct{ why, talos, kubernetes, patch, text, hint string }{
		{"document of 1.12", "v1.11.6", "v1.34.1", "# why\n\napiVersion: v1alpha1\nkind: HostnameConfig\nauto: stable\n", "line 4, column 7: kind HostnameConfig is known since Talos v1.12", "machine.network.hostname"},
		{"document of 1.13", "v1.12.4", "v1.35.0", "apiVersion: v1alpha1\nkind: KubeSpanConfig\nenabled: true\n", "KubeSpanConfig is known since Talos v1.13", "machine.network.kubespan"},
		{"document of 1.14", "v1.13.9", "v1.36.3", "apiVersion: v1alpha1\nkind: KubeNodeConfig\nlabels: {a: b}\n", "KubeNodeConfig is known since Talos v1.14", "machine.nodeLabels"},
		{"field of 1.12", "v1.11.6", "v1.34.1", "machine:\n  install:\n    grubUseUKICmdline: false\n", "line 3, column 5: machine.install.grubUseUKICmdline is known since Talos v1.12", ""},
		{"field of 1.12 by a JSON patch", "v1.11.6", "v1.34.1", "- op: add\n  path: /machine/install/grubUseUKICmdline\n  value: false\n", "line 2", ""},
		{"field of no version", "v1.14.1", "v1.36.3", "machine:\n  netwrok: {}\n", "line 2, column 3: no Talos version has machine.netwrok", "network"},
		{"kind of no version", "v1.14.1", "v1.36.3", "apiVersion: v1alpha1\nkind: HostnameConf\nhostname: a\n", "line 2, column 7: no Talos version has a kind HostnameConf", "HostnameConfig"},
	} {
		_, err := Render(input(t, tc.talos, tc.kubernetes, fleet.Worker, Patch{`config prod, patch "x"`, tc.patch}))
		if err == nil || fleet.KindOf(err) != fleet.Invalid || !strings.HasPrefix(err.Error(), `server worker-1: config prod, patch "x": line `) ||
			!strings.Contains(err.Error(), tc.text) || !strings.Contains(fleet.HintOf(err), tc.hint) {
			t.Errorf("%s on %s: got %v (hint %q), want %q and hint %q", tc.why, tc.talos, err, fleet.HintOf(err), tc.text, tc.hint)
		}
	}
}

func TestKubernetesIsCheckedBySiderolabsTable(t *testing.T) {
	for _, tc := range []struct {
		talos, kubernetes string
		ok                bool
	}{
		{"v1.6.8", "v1.24.0", true},
		{"v1.6.8", "v1.29.9", true},
		{"v1.6.8", "v1.30.0", false},
		{"v1.6.8", "v1.23.0", false},
		{"v1.11.6", "v1.34.1", true},
		{"v1.11.6", "v1.35.0", false},
		{"v1.14.1", "v1.37.0", true},
		{"v1.14.1", "v1.38.0", false},
		{"v1.14.1", "1.36.3", true},
		{"v1.14.1", "latest", false},
		{"v1.5.5", "v1.28.0", false},
		{"v1.15.0", "v1.36.3", false},
	} {
		_, err := Render(input(t, tc.talos, tc.kubernetes, fleet.Worker))
		if (err == nil) != tc.ok {
			t.Errorf("Kubernetes %s with Talos %s: %v", tc.kubernetes, tc.talos, err)
		}
	}
}

// Our short cuts (copies on write, remembered texts, documents made from nodes) give what the library gives.
func TestResultIsTheLibrarysByteForByte(t *testing.T) {
	m := newMaker()
	for _, v := range everyVersion() {
		for _, role := range []fleet.Role{fleet.ControlPlane, fleet.Worker} {
			for i := range int64(3) { // remembered texts are used from the second on
				in := numbered(readme(t, v.talos, v.kubernetes, role), i)
				in.Patches = append(in.Patches, Patch{"x", "machine:\n  env: {a: b}\n---\napiVersion: v1alpha1\nkind: ExtensionServiceConfig\nname: ${hostname}\nenvironment: [A=${private_ip}, 'B=it''s']\n"})
				if v.talos == "v1.6.1" {
					in.Patches = in.Patches[:len(in.Patches)-1]
				}
				out, err := m.render(&in, Key{byte(v.talos[3]), byte(v.talos[4])})
				if err != nil {
					t.Fatalf("%s %s: %v", v.talos, role, err)
				}
				if want := slowly(t, m, &in); string(out) != want {
					t.Errorf("%s %s: got\n%s\nwant\n%s", v.talos, role, out, want)
				}
			}
		}
	}
}

// slowly has the library apply the user's patches to what Talos generates and our own patches.
func slowly(t *testing.T, m *maker, in *Input) string {
	t.Helper()
	k, err := m.begin(in, Key{byte(in.TalosVersion[3]), byte(in.TalosVersion[4])})
	if err != nil {
		t.Fatal(err)
	}
	d := k.start()
	for _, s := range k.steps[:k.own] {
		if err := s.apply(d); err != nil {
			t.Fatal(err)
		}
	}
	c, err := d.container()
	if err != nil {
		t.Fatal(err)
	}
	out := configpatcher.WithConfig(c)
	for _, p := range in.Patches {
		text, err := in.Variables.Expand(p.Text)
		if err != nil {
			t.Fatal(err)
		}
		patch, err := configpatcher.LoadPatch([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if out, err = configpatcher.Apply(out, []configpatcher.Patch{patch}); err != nil {
			t.Fatal(err)
		}
	}
	p, err := out.Config()
	if err != nil {
		t.Fatal(err)
	}
	text, err := encodeConfig(p)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
