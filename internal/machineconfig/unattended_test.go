package machineconfig

import (
	"strings"
	"testing"

	"github.com/siderolabs/talos/pkg/machinery/config/configloader"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// A Talos that was started in memory installs itself on the disk that its config names, in the form of its version.
func TestATalosThatInstallsItselfIsToldWhere(t *testing.T) {
	for _, try := range []struct{ version, disk, field, value string }{
		{"v1.14.1", "eui.002538b321c5527c", "disk.wwid", "eui.002538b321c5527c"},
		{"v1.14.1", `serial:A"B\`, "disk.serial", `A\"B\\`},
	} {
		in := input(t, "v1.14.1", "v1.36.3", fleet.Worker)
		in.TalosVersion, in.InstallDisk, in.InstallImage, in.InstallsItself = try.version, try.disk, "factory.talos.dev/metal-installer/x:v1.14.1", true
		text, err := Render(in)
		if err != nil {
			t.Fatal(err)
		}
		cfg, err := configloader.NewFromBytes(text)
		if err != nil {
			t.Fatal(err)
		}
		doc := cfg.UnattendedInstallConfig()
		if doc == nil {
			t.Fatalf("%s does not install itself", try.version)
		}
		match := doc.VolumeSelector()
		want := try.field + ` == "` + try.value + `"`
		if got, err := match.MarshalText(); err != nil || string(got) != want || doc.InstallerImage() != in.InstallImage || !doc.VolumeWipe() || doc.RebootAfterInstall() == nil || !*doc.RebootAfterInstall() {
			t.Errorf("it installs %s on %s, %v", doc.InstallerImage(), got, err)
		}
	}
	in := input(t, "v1.14.1", "v1.36.3", fleet.Worker)
	in.TalosVersion, in.InstallDisk = "v1.14.1", "eui.002538b321c5527c"
	text, err := Render(in)
	if err != nil || strings.Contains(string(text), "UnattendedInstall") {
		t.Errorf("a config for an image says where to install it, %v", err)
	}
	key := in.Key()
	if in.InstallsItself = true; in.Key() == key {
		t.Error("both configs have one key")
	}
}

// Before 1.14 the section machine.install says it, for every node.
func TestOlderVersionsSayItInTheirInstallSection(t *testing.T) {
	in := input(t, "v1.14.1", "v1.36.3", fleet.Worker)
	in.TalosVersion, in.KubernetesVersion, in.InstallDisk, in.InstallsItself = "v1.12.3", "v1.34.1", "eui.002538b321c5527c", true
	text, err := Render(in)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := configloader.NewFromBytes(text)
	if err != nil {
		t.Fatal(err)
	}
	//lint:ignore SA1019 of older versions
	install := cfg.RawV1Alpha1().MachineConfig.MachineInstall
	if cfg.UnattendedInstallConfig() != nil || install == nil || install.InstallDiskSelector == nil || install.InstallDiskSelector.WWID != in.InstallDisk {
		t.Errorf("its install section is %+v", install)
	}
}
