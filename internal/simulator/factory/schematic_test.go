package factory

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/siderolabs/image-factory/pkg/client"
	"github.com/siderolabs/image-factory/pkg/schematic"
)

func TestIdsAreThoseOfTheRealComputation(t *testing.T) {
	for _, c := range []struct{ why, yaml string }{
		{"nothing", "customization: {}\n"},
		{"extensions", "customization: {systemExtensions: {officialExtensions: [siderolabs/gvisor, siderolabs/zfs]}}\n"},
		{"arguments and META", "customization: {extraKernelArgs: [a=b, -c], meta: [{key: 10, value: \"x: y\\n\"}]}\n"},
		{"an overlay", "overlay: {name: rpi_generic, image: siderolabs/sbc-raspberrypi, options: {configTxt: a, n: {b: 1}}}\ncustomization: {}\n"},
		{"a boot loader and keys", "customization: {bootloader: grub, secureboot: {includeWellKnownCertificates: true}}\n"},
	} {
		theirs, err := schematic.Unmarshal([]byte(c.yaml))
		if err != nil {
			t.Fatal(err)
		}
		want, err := theirs.ID()
		if err != nil {
			t.Fatal(err)
		}
		s, err := readSchematic([]byte(c.yaml))
		if err != nil {
			t.Fatal(err)
		}
		if id, _, err := s.id(); err != nil || id != want {
			t.Errorf("%s: %s, want %s, %v", c.why, id, want, err)
		}
	}
}

func TestNewFieldsAreTakenAndGivenBack(t *testing.T) {
	_, url := start(t, Options{})
	const text = "customization:\n    embeddedMachineConfiguration: |\n        kind: HostnameConfig\n    secureboot:\n        enrollKeys: force\n    diskImage:\n        sectorSize: 4096\n"
	res, err := http.Post(url+"/schematics", "application/yaml", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var answer struct{ ID, Schematic string }
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || res.StatusCode != http.StatusCreated || answer.Schematic != text {
		t.Fatalf("%d %q, %v", res.StatusCode, answer.Schematic, err)
	}
	if _, body, err := get(t, url+"/schematics/"+answer.ID); err != nil || string(body) != text {
		t.Errorf("read back as %q, %v", body, err)
	}
	res, err = http.Post(url+"/schematics", "application/yaml", strings.NewReader("owner: me\ncustomization: {}\n"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusBadRequest || !strings.Contains(string(body), "Enterprise") {
		t.Errorf("an owner: %d %s", res.StatusCode, body)
	}
}

func TestVersionsDifferInWhatTheyHave(t *testing.T) {
	f, url := start(t, Options{})
	c, err := client.New(url)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		version, extension string
		has                bool
	}{
		{"v1.14.1", "siderolabs/drbd", true},
		{"v1.15.0-alpha.0", "siderolabs/drbd", false},
		{"v1.14.1", "siderolabs/hyperv-guest-agent", true},
		{"v1.13.9", "siderolabs/hyperv-guest-agent", false},
		{"v1.8.4", "siderolabs/i915-ucode", true},
		{"v1.9.6", "siderolabs/i915-ucode", false},
		{"v1.6.8", "siderolabs/gvisor", true},
	} {
		all, err := c.ExtensionsVersions(t.Context(), x.version)
		if has := slices.ContainsFunc(all, func(e client.ExtensionInfo) bool { return e.Name == x.extension }); err != nil || has != x.has {
			t.Errorf("%s has %s: %v, %v", x.version, x.extension, has, err)
		}
	}
	for version, want := range map[string]int{"v1.6.8": 0, "v1.8.4": 14, "v1.14.1": 29} {
		if all, err := c.OverlaysVersions(t.Context(), version); err != nil || len(all) != want {
			t.Errorf("%s has %d overlays, want %d, %v", version, len(all), want, err)
		}
	}
	for _, x := range []struct {
		why, version string
		schematic    Schematic
		want         string // "" for an image
	}{
		{"an extension by its old name", "v1.14.1", Schematic{Customization: Customization{SystemExtensions: SystemExtensions{OfficialExtensions: []string{"siderolabs/i915-ucode"}}}}, ""},
		{"an extension by its new name", "v1.8.4", Schematic{Customization: Customization{SystemExtensions: SystemExtensions{OfficialExtensions: []string{"siderolabs/i915"}}}}, `official extension "siderolabs/i915" is not available`},
		{"an overlay, by its name alone", "v1.14.1", Schematic{Overlay: Overlay{Name: "rpi_5", Image: "x"}}, ""},
		{"an overlay that came later", "v1.12.8", Schematic{Overlay: Overlay{Name: "rpi_5", Image: "x"}}, "is not available for Talos version v1.12.8"},
		{"overlays came later", "v1.6.8", Schematic{Overlay: Overlay{Name: "rpi_generic", Image: "x"}}, "overlay is not supported for Talos version v1.6.8"},
		{"embedded configs came later", "v1.11.6", Schematic{Customization: Customization{EmbeddedMachineConfiguration: "x"}}, "embedding configuration is not supported"},
	} {
		id, err := f.Put(x.schematic)
		if err != nil {
			t.Fatal(err)
		}
		res, body, _ := get(t, url+"/image/"+id+"/"+x.version+"/metal-arm64.raw.xz")
		if x.want == "" && res.StatusCode != http.StatusOK || x.want != "" && (res.StatusCode != http.StatusBadRequest || !strings.Contains(string(body), x.want)) {
			t.Errorf("%s: %d %.200s", x.why, res.StatusCode, body)
		}
	}
}
