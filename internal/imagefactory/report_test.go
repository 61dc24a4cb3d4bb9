package imagefactory

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/simulator/factory"
)

func TestAReportSaysWhatAVersionLacks(t *testing.T) {
	c, _ := start(t, factory.Options{})
	with := func(names ...string) fleet.Customization { return fleet.Customization{Extensions: names} }
	board := func(name string) fleet.Customization { return fleet.Customization{Overlay: fleet.Overlay{Name: name}} }
	extension := func(name, text string, nearest ...string) []fleet.Missing {
		return []fleet.Missing{{Kind: "extension", Name: name, Text: text, Nearest: nearest}}
	}
	for _, x := range []struct {
		why, version string
		what         fleet.Customization
		missing      []fleet.Missing
		renamed      []fleet.Renamed
	}{
		{"nothing is needed", "v1.14.1", fleet.Customization{KernelArgs: []string{"a"}}, nil, nil},
		{"all is there", "v1.14.1", with("siderolabs/drbd", "siderolabs/zfs"), nil, nil},
		{"not built for an alpha", "v1.15.0-alpha.0", with("siderolabs/drbd", "siderolabs/zfs"), extension("siderolabs/drbd", ""), nil},
		{"misspelt", "v1.14.1", with("siderolabs/gvisr"), extension("siderolabs/gvisr", "", "siderolabs/gvisor"), nil},
		{"of another folder", "v1.14.1", with("me/zfs"), extension("me/zfs", "", "siderolabs/zfs"), nil},
		{"not yet", "v1.13.9", with("siderolabs/hyperv-guest-agent"), extension("siderolabs/hyperv-guest-agent", "", "siderolabs/qemu-guest-agent", "siderolabs/xen-guest-agent"), nil},
		{"by its old name", "v1.14.1", with("siderolabs/i915-ucode"), nil, []fleet.Renamed{{From: "siderolabs/i915-ucode", To: "siderolabs/i915"}}},
		{"by its new name", "v1.8.4", with("siderolabs/i915"), extension("siderolabs/i915", "this version has it by its old name", "siderolabs/i915-ucode"), nil},
		{"a board", "v1.14.1", board("rpi_generic"), nil, nil},
		{"a board misspelt", "v1.14.1", board("rpi-generic"), []fleet.Missing{{Kind: "overlay", Name: "rpi-generic", Nearest: []string{"rpi_generic"}}}, nil},
		{"a board before overlays", "v1.6.8", board("rpi_generic"), []fleet.Missing{{Kind: "overlay", Name: "rpi_generic", Text: "Talos takes overlays since v1.7"}}, nil},
		{"a config before it could be embedded", "v1.11.6", fleet.Customization{MachineConfig: "x"}, []fleet.Missing{{Kind: "feature", Name: "embeddedMachineConfiguration", Text: "Talos takes embedded machine configs since v1.12"}}, nil},
	} {
		got, err := c.Report(t.Context(), x.what, x.version)
		if err != nil {
			t.Fatalf("%s: %v", x.why, err)
		}
		if diff := cmp.Diff(fleet.SchematicReport{TalosVersion: x.version, Missing: x.missing, Renamed: x.renamed}, got); diff != "" {
			t.Errorf("%s: %s", x.why, diff)
		}
		err = Refusal("schematic x", got)
		if (err != nil) != (x.missing != nil) || err != nil && (fleet.KindOf(err) != fleet.Invalid || fleet.HintOf(err) == "" || !strings.Contains(err.Error(), x.missing[0].Name)) {
			t.Errorf("%s: %v (%s)", x.why, err, fleet.HintOf(err))
		}
	}
	for version, kind := range map[string]fleet.Kind{"latest": fleet.Invalid, "v1.14.77": fleet.NotFound} {
		if _, err := c.Report(t.Context(), with("siderolabs/zfs"), version); fleet.KindOf(err) != kind {
			t.Errorf("%s: %v", version, err)
		}
	}
}

func TestListsAreRememberedWhileTheFactoryIsDown(t *testing.T) {
	c, f := start(t, factory.Options{})
	first, err := c.Extensions(t.Context(), "v1.14.1")
	if err != nil {
		t.Fatal(err)
	}
	first[0].Name = "changed by its reader"
	f.Fault(func(x *factory.Faults) { x.Outage = -1 })
	again, err := c.Extensions(t.Context(), "1.14.1")
	if err != nil || len(again) != len(first) || again[0].Name == first[0].Name {
		t.Errorf("%d extensions, %v", len(again), err)
	}
	c.lists.all["extensions v1.14.1"] = list{items: c.lists.all["extensions v1.14.1"].items} // long ago
	if again, err = c.Extensions(t.Context(), "v1.14.1"); err != nil || len(again) != len(first) {
		t.Errorf("an old list: %d extensions, %v", len(again), err)
	}
	if _, err := c.Overlays(t.Context(), "v1.14.1"); fleet.KindOf(err) != fleet.Unavailable {
		t.Errorf("a list that was never read: %v", err)
	}
}

func TestTheNewestReleaseIsNoPreRelease(t *testing.T) {
	c, _ := start(t, factory.Options{})
	for limit, want := range map[string]string{"v1.14.1": "v1.14.1", "v1.99.0": "v1.14.1", "v1.13.99": "v1.13.9"} {
		if got, err := c.Newest(t.Context(), limit); err != nil || got != want {
			t.Errorf("up to %s: %s, %v", limit, got, err)
		}
	}
	if _, err := c.Newest(t.Context(), "v1.2.0"); fleet.KindOf(err) != fleet.NotFound {
		t.Error(err)
	}
	if _, err := c.Newest(t.Context(), "newest"); fleet.KindOf(err) != fleet.Invalid {
		t.Error(err)
	}
}
