package imagefactory

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/siderolabs/image-factory/pkg/schematic"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/simulator/factory"
)

func everything() fleet.Customization {
	return fleet.Customization{
		Extensions: []string{"siderolabs/gvisor", "siderolabs/zfs"}, KernelArgs: []string{"a=b", "-console"},
		Meta:       []fleet.MetaValue{{Key: 10, Value: "addresses: []\n"}, {Key: 12, Value: "x"}},
		Overlay:    fleet.Overlay{Name: "rpi_generic", Image: "siderolabs/sbc-raspberrypi", Options: map[string]any{"configTxt": "a"}},
		Bootloader: "sd-boot", SecureBoot: fleet.SecureBoot{WellKnownCertificates: true, EnrollKeys: "force"}, SectorSize: 4096, MachineConfig: "kind: HostnameConfig\n",
	}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	for _, want := range []fleet.Customization{{}, everything()} {
		text, err := Write(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Read(text)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	if id, err := official(t).SchematicID(must(t, fleet.Customization{Bootloader: "auto"})); err != nil || id != Vanilla {
		t.Errorf("the boot loader that is chosen anyway: %s, %v", id, err)
	}
	if _, err := Write(fleet.Customization{Bootloader: "lilo"}); fleet.KindOf(err) != fleet.Invalid {
		t.Error(err)
	}
}

func must(t *testing.T, c fleet.Customization) string {
	t.Helper()
	text, err := Write(c)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// As far as the factory's own module knows the fields, it has to come to the same id.
func TestTheIDIsTheFactorys(t *testing.T) {
	old := everything()
	old.SecureBoot.EnrollKeys, old.SectorSize, old.MachineConfig = "", 0, ""
	text := must(t, old)
	theirs, err := schematic.Unmarshal([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want, err := theirs.ID()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := official(t).SchematicID("# written by hand\n" + text); err != nil || got != want {
		t.Errorf("got %s, want %s, %v", got, want, err)
	}
	c, _ := start(t, factory.Options{})
	all := everything()
	id, err := c.CreateSchematic(t.Context(), must(t, all))
	if err != nil {
		t.Fatal(err)
	}
	back, err := c.Schematic(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Read(back); err != nil || cmp.Diff(all, got) != "" {
		t.Errorf("read back as %s, %v", back, err)
	}
}

func TestWhatNoMachineCouldUseIsRefused(t *testing.T) {
	for _, c := range []struct{ why, yaml, want, hint string }{
		{"a misspelt field", "customization:\n  kernelArgs: [a]\n", "line 2: there is no field kernelArgs here", "extraKernelArgs"},
		{"another misspelt field", "customization:\n  systemExtentions: {}\n", "line 2: there is no field systemExtentions here", "systemExtensions"},
		{"a field of nowhere", "customization:\n  zzz: 1\n", "there is no field zzz", "docs.siderolabs.com"},
		{"an owner", "owner: me\n", "owner", "remove it"},
		{"two arguments in one", "customization: {extraKernelArgs: ['quiet splash']}", `"quiet splash" is several arguments`, "item of its own"},
		{"an open quote", `customization: {extraKernelArgs: ['a="b c']}`, "opens a quote", "close it"},
		{"no argument", "customization: {extraKernelArgs: ['-']}", "extraKernelArgs[0]: there is nothing in it", "remove it"},
		{"a line break", `customization: {extraKernelArgs: ["a\nb"]}`, "several arguments", "item of its own"},
		{"an extension without its folder", "customization: {systemExtensions: {officialExtensions: [gvisor]}}", `"gvisor" is not the name of an extension`, "siderolabs/gvisor"},
		{"an extension with a version", "customization: {systemExtensions: {officialExtensions: ['siderolabs/gvisor:v1']}}", "is not the name of an extension", "without a version"},
		{"an extension twice", "customization: {systemExtensions: {officialExtensions: [siderolabs/zfs, siderolabs/zfs]}}", "siderolabs/zfs is there twice", "remove one"},
		{"META without a key", "customization: {meta: [{value: x}]}", "META has no key 0", "0xc to 0xe"},
		{"META twice", "customization: {meta: [{key: 12, value: x}, {key: 12, value: y}]}", "key 0xc is there twice", "remove one"},
		{"keys that enrol how", "customization: {secureboot: {enrollKeys: always}}", `enrollKeys "always"`, "force"},
		{"odd sectors", "customization: {diskImage: {sectorSize: 1000}}", "sectorSize 1000", "4096"},
		{"an overlay without a name", "overlay: {image: x}\ncustomization: {}", "an overlay without a name", "rpi_generic"},
	} {
		err := official(t).Check(c.yaml)
		if fleet.KindOf(err) != fleet.Invalid || !strings.Contains(err.Error(), c.want) || !strings.Contains(fleet.HintOf(err), c.hint) {
			t.Errorf("%s: %v (%s)", c.why, err, fleet.HintOf(err))
		}
	}
}
