package factory

import (
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/blang/semver/v4"
)

// Versions lists the Talos versions on offer, oldest first, pre-releases included, as the real factory does.
func Versions() []string {
	var all []string
	for _, minor := range []struct {
		name    string
		patches int
	}{{"v1.6", 8}, {"v1.7", 7}, {"v1.8", 4}, {"v1.9", 6}, {"v1.10", 9}, {"v1.11", 6}, {"v1.12", 8}, {"v1.13", 9}} {
		for patch := range minor.patches + 1 {
			all = append(all, fmt.Sprintf("%s.%d", minor.name, patch))
		}
	}
	return append(all, "v1.14.0-beta.0", "v1.14.0-rc.1", "v1.14.0", "v1.14.1", "v1.15.0-alpha.0")
}

// Extension is an entry of /version/{v}/extensions/official.
type Extension struct {
	Name        string `json:"name"`
	Ref         string `json:"ref"`
	Digest      string `json:"digest"`
	Author      string `json:"author"`
	Description string `json:"description"`
}

// Overlaid is an entry of /version/{v}/overlays/official.
type Overlaid struct {
	Name   string `json:"name"`
	Image  string `json:"image"`
	Ref    string `json:"ref"`
	Digest string `json:"digest"`
}

// Extensions lists the official system extensions of a version.
func Extensions(version string) []Extension {
	var all []Extension
	for _, e := range entries() {
		if !e.on(version) {
			continue
		}
		tag := e.tag
		if tag == "" {
			tag = version
		}
		all = append(all, Extension{
			Name: "siderolabs/" + e.name, Ref: "ghcr.io/siderolabs/" + e.name + ":" + tag,
			Digest: digest(e.name + version), Author: "Sidero Labs", Description: "This system extension provides " + e.about + ".",
		})
	}
	return all
}

// on says whether a version has an extension. The modules of a file system or driver from elsewhere are often not yet
// built for an alpha with a new kernel; here it is those of DRBD.
func (e entry) on(version string) bool {
	if e.name == "drbd" && strings.HasPrefix(version, "v1.15.0-alpha") {
		return false
	}
	minor := minorOf(version)
	return minor >= e.first && (e.last == 0 || minor <= e.last)
}

func minorOf(version string) int {
	v, err := semver.ParseTolerant(version)
	if err != nil {
		return 0
	}
	return int(v.Minor)
}

// alias is what an extension of an old schematic is called now; "" if it has no other name (image-factory v1.5.0
// internal/profile ExtensionNameAlias).
func alias(name string) string {
	return map[string]string{
		"siderolabs/v4l-uvc":                        "siderolabs/v4l-uvc-drivers",
		"siderolabs/usb-modem":                      "siderolabs/usb-modem-drivers",
		"siderolabs/gasket":                         "siderolabs/gasket-driver",
		"siderolabs/talos-vmtoolsd":                 "siderolabs/vmtoolsd-guest-agent",
		"siderolabs/xe-guest-utilities":             "siderolabs/xen-guest-agent",
		"siderolabs/nvidia-container-toolkit":       "siderolabs/nvidia-container-toolkit-lts",
		"siderolabs/nvidia-open-gpu-kernel-modules": "siderolabs/nvidia-open-gpu-kernel-modules-lts",
		"siderolabs/nonfree-kmod-nvidia":            "siderolabs/nonfree-kmod-nvidia-lts",
		"siderolabs/nvidia-fabricmanager":           "siderolabs/nvidia-fabric-manager-lts",
		"siderolabs/i915-ucode":                     "siderolabs/i915",
		"siderolabs/amdgpu-firmware":                "siderolabs/amdgpu",
	}[name]
}

// Overlays lists the official overlays of a version: boards and the image with what they need (siderolabs/overlays
// internal/overlays/overlays.yaml at v1.8.0, v1.10.0 and v1.13.5).
func Overlays(version string) []Overlaid {
	var all []Overlaid
	for _, o := range []struct {
		image, tag string
		first      int // minor of Talos 1 that has it; 0 is every one
		names      string
	}{
		{"sbc-allwinner", "v0.1.5", 0, "bananapi_m64 libretech_all_h3_cc_h5 pine64"},
		{"sbc-jetson", "v0.1.5", 0, "jetson_nano"},
		{"sbc-raspberrypi", "v0.2.0", 0, "rpi_generic"},
		{"sbc-raspberrypi", "v0.2.0", 10, "revpi_generic"},
		{"sbc-raspberrypi", "v0.2.0", 13, "rpi_5"},
		{"sbc-rockchip", "v0.2.0", 0, "helios64 nanopi-r4s nanopi-r5s orangepi-r1-plus-lts rock4cplus rock4se rock64 rockpi4 rockpi4c"},
		{"sbc-rockchip", "v0.2.0", 10, "orangepi-5 orangepi-5-plus rock5a rock5b rockpro64 turingrk1"},
		{"sbc-rockchip", "v0.2.0", 13, "friendlyelec-cm3588-nas odroid-m1 orangepi-5-max radxa-zero-3e rock3b rock5b-plus rock5t"},
	} {
		if minorOf(version) < o.first {
			continue
		}
		for name := range strings.FieldsSeq(o.names) {
			all = append(all, Overlaid{Name: name, Image: "siderolabs/" + o.image, Ref: "ghcr.io/siderolabs/" + o.image + ":" + o.tag, Digest: digest(o.image + version)})
		}
	}
	return all
}

func digest(s string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(s))) }
