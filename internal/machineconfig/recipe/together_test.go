package recipe

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/siderolabs/talos/pkg/machinery/config/configloader"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig"
)

// Every recipe that is not in conflict with another of the set is used at once on one server, and each still keeps its
// promise. The sets are made so that every recipe is in one.
func TestRecipesWorkTogetherUnlessTheySayOtherwise(t *testing.T) {
	firsts := map[string]promise{}
	for _, p := range promises() {
		if _, there := firsts[p.recipe]; !there {
			firsts[p.recipe] = p
		}
	}
	// The network card gets its address from one recipe only.
	firsts["vswitch-vlan"] = promise{"vswitch-vlan", "static beside it", Params{"interface": "eth0", "dhcp": false}, func(k kept) {
		if k.minor >= 12 {
			k.want(k.link("eth0.4000").MTU().ValueOrZero() == 1400, "no VLAN")
			return
		}
		devices := k.Machine().Network().Devices()
		k.want(len(devices) == 1 && len(devices[0].Vlans()) == 1 && devices[0].Vlans()[0].ID() == 4000, "devices %v", devices)
	}}
	for _, release := range releases {
		for i, set := range sets(t, release.talos) {
			for _, role := range roles {
				t.Run(fmt.Sprint(release.talos, "/", i, "/", role), func(t *testing.T) { together(t, release.talos, role, set, firsts) })
			}
		}
	}
}

func together(t *testing.T, talos string, role fleet.Role, set []string, firsts map[string]promise) {
	var results []Result
	for _, name := range set {
		results = append(results, mustApply(t, name, talos, firsts[name].params))
	}
	c, err := render(t, talos, role, of(role, results...)...)
	if err != nil {
		t.Fatalf("%v: %v", set, err)
	}
	for i, name := range set {
		firsts[name].kept(kept{T: t, rendered: c, Result: results[i], minor: minor(t, talos), role: role})
		if t.Failed() {
			t.Fatalf("%s breaks among %v\n%s", name, set, indent(c.text))
		}
	}
}

// sets puts every recipe of a version into one of as few sets as possible without a clash.
func sets(t *testing.T, talos string) [][]string {
	t.Helper()
	var out [][]string
	for _, r := range List() {
		if !r.has(minor(t, talos)) {
			continue
		}
		at := slices.IndexFunc(out, func(set []string) bool {
			clashes, err := Clashes(talos, append(slices.Clone(set), r.Name)...)
			return err == nil && len(clashes) == 0
		})
		if at < 0 {
			out, at = append(out, nil), len(out)
		}
		out[at] = append(out[at], r.Name)
	}
	// What stands alone is tried with all the others that it can be with, too.
	for i := 1; i < len(out); i++ {
		for _, name := range out[0] {
			if clashes, err := Clashes(talos, append(slices.Clone(out[i]), name)...); err == nil && len(clashes) == 0 {
				out[i] = append(out[i], name)
			}
		}
	}
	return out
}

// A conflict that is declared is one: together, a render fails, a promise is broken, or the image has two drivers.
func TestDeclaredConflictsAreReal(t *testing.T) {
	for _, tc := range []struct {
		a, b, talos string
		sign        func(a, b Result, c rendered, err error) bool
	}{
		{"disk-encryption", "disk-encryption-rotation", "v1.10.9", refused},
		{"disk-encryption", "disk-encryption-rotation", "v1.14.1", refused},
		{"containerd-metrics", "pause-image", "v1.6.8", lastWins},
		{"containerd-metrics", "pause-image", "v1.13.9", lastWins},
		{"containerd", "nvidia-default-runtime", "v1.13.9", lastWins},
		{"containerd", "containerd-metrics", "v1.13.9", lastWins},
		{"containerd", "pause-image", "v1.13.9", lastWins},
		{"nvidia-default-runtime", "pause-image", "v1.13.9", lastWins},
		{"nvidia-default-runtime", "containerd-metrics", "v1.13.9", lastWins},
		{"registry-mirrors", "harbor-mirror", "v1.11.6", twoMirrors},
		{"registry-mirrors", "harbor-mirror", "v1.14.1", twoMirrors},
		{"nvidia-open", "nvidia-proprietary", "v1.14.1", twoDrivers},
		{"nvidia-open", "nvidia-fabric-manager", "v1.6.8", twoOfAll},
		{"nvidia-proprietary", "nvidia-fabric-manager", "v1.14.1", twoDrivers},
	} {
		clashes, err := Clashes(tc.talos, tc.a, tc.b)
		if err != nil || len(clashes) != 2 || clashes[0].Why != clashes[1].Why {
			t.Errorf("%s and %s on %s: both must declare it alike: %v, %v", tc.a, tc.b, tc.talos, clashes, err)
		}
		a, b := applied(t, tc.a, tc.talos), applied(t, tc.b, tc.talos)
		c, err := render(t, tc.talos, fleet.Worker, of(fleet.Worker, a, b)...)
		if !tc.sign(a, b, c, err) {
			t.Errorf("%s and %s on %s work together (%v)", tc.a, tc.b, tc.talos, err)
		}
	}
	if clashes, err := Clashes("v1.14.1", "containerd-metrics", "pause-image", "pause-image"); err != nil || len(clashes) != 0 {
		t.Errorf("on 1.14 they are documents of their own: %v, %v", clashes, err)
	}
	for _, r := range List() {
		for _, c := range r.Conflicts {
			if _, err := Get(c.With); err != nil {
				t.Errorf("%s: conflict with %v", r.Name, err)
			}
		}
	}
}

// The switch of a config says less than the recipe; with both, the recipe is in effect.
func TestKubeSpanRecipeWorksBesideTheSwitch(t *testing.T) {
	for _, release := range releases {
		in := input(t, release.talos, fleet.Worker, of(fleet.Worker, mustApply(t, "kubespan", release.talos, nil))...)
		in.KubeSpan = true
		out, err := machineconfig.Render(in)
		if err != nil {
			t.Errorf("%s: %v", release.talos, err)
			continue
		}
		c, err := configloader.NewFromBytes(out)
		if err != nil || c.NetworkKubeSpanConfig() == nil || c.NetworkKubeSpanConfig().MTU() != 1320 {
			t.Errorf("%s: %v, %v", release.talos, err, c.NetworkKubeSpanConfig())
		}
	}
}

func applied(t *testing.T, name, talos string) Result {
	t.Helper()
	r, err := Get(name)
	if err != nil {
		t.Fatal(err)
	}
	return mustApply(t, name, talos, example(t, r, talos))
}

func refused(_, _ Result, _ rendered, err error) bool { return err != nil }

func lastWins(_, _ Result, c rendered, err error) bool {
	files, _ := c.Machine().Files()
	return err == nil && len(files) == 2 && files[0].Path() == files[1].Path()
}

func twoMirrors(_, _ Result, c rendered, err error) bool {
	return err == nil && len(c.RegistryMirrorConfigs()["docker.io"].Endpoints()) == 2
}

func twoDrivers(a, b Result, _ rendered, _ error) bool {
	drivers := map[string]bool{}
	for _, e := range append(slices.Clone(a.Schematic.Extensions), b.Schematic.Extensions...) {
		if strings.Contains(e, "kernel-modules") || strings.Contains(e, "kmod") {
			drivers[e] = true
		}
	}
	return len(drivers) == 2
}

// twoOfAll: the fabric manager brings all that the other recipe has.
func twoOfAll(a, b Result, _ rendered, _ error) bool {
	return len(a.Schematic.Extensions) > 0 && !slices.ContainsFunc(a.Schematic.Extensions, func(e string) bool { return !slices.Contains(b.Schematic.Extensions, e) })
}
