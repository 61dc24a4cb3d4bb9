package factory

import (
	"crypto/sha256"
	"fmt"
	"strings"
)

// Versions lists the Talos versions on offer, oldest first, pre-releases included, as the real factory does.
func Versions() []string {
	var all []string
	for _, minor := range []struct {
		name    string
		patches int
	}{{"v1.8", 4}, {"v1.9", 6}, {"v1.10", 9}, {"v1.11", 6}, {"v1.12", 8}, {"v1.13", 9}} {
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

// overlay is an entry of /version/{v}/overlays/official.
type overlay struct {
	Name   string `json:"name"`
	Image  string `json:"image"`
	Ref    string `json:"ref"`
	Digest string `json:"digest"`
}

// Extensions lists the official system extensions of a version. A tag without a number is the Talos version's own.
func Extensions(version string) []Extension {
	var all []Extension
	for _, e := range []struct{ name, tag, about string }{
		{"amd-ucode", "20260410", "This system extension provides AMD microcode binaries."},
		{"amdgpu", "20260410", "This system extension provides AMDGPU firmware and driver."},
		{"binfmt-misc", "", "This system extension provides the binfmt_misc kernel module."},
		{"bnx2-bnx2x", "20260410", "This system extension provides Broadcom NetXtreme firmware."},
		{"btrfs", "", "This system extension provides the btrfs kernel module."},
		{"cloudflared", "2026.3.0", "This system extension provides cloudflared."},
		{"crun", "1.24", "This system extension provides crun."},
		{"drbd", "9.2.16", "This system extension provides the DRBD kernel modules."},
		{"ecr-credential-provider", "v1.35.0", "This system extension provides the ECR credential provider."},
		{"fuse3", "3.17.4", "This system extension provides fuse3."},
		{"glibc", "2.42", "This system extension provides glibc."},
		{"gvisor", "20260302.0", "This system extension provides gVisor."},
		{"hello-world-service", "", "This system extension provides an example Talos extension service."},
		{"i915", "20260410", "This system extension provides Intel GPU firmware and driver."},
		{"intel-ice-firmware", "20260410", "This system extension provides Intel ICE firmware."},
		{"intel-ucode", "20260227", "This system extension provides Intel microcode binaries."},
		{"iscsi-tools", "v0.2.0", "This system extension provides iscsi-tools."},
		{"kata-containers", "3.24.0", "This system extension provides Kata Containers."},
		{"lldpd", "1.0.20", "This system extension provides lldpd."},
		{"mdadm", "4.4", "This system extension provides mdadm."},
		{"mellanox-mstflint", "4.34.1", "This system extension provides mstflint."},
		{"nfsd", "", "This system extension provides the NFS server kernel module."},
		{"nut-client", "2.8.4", "This system extension provides the NUT client."},
		{"qemu-guest-agent", "10.2.0", "This system extension provides the QEMU guest agent."},
		{"realtek-firmware", "20260410", "This system extension provides Realtek firmware."},
		{"spin", "v0.22.0", "This system extension provides Spin."},
		{"stargz-snapshotter", "v0.17.0", "This system extension provides the stargz snapshotter."},
		{"tailscale", "1.94.1", "This system extension provides Tailscale."},
		{"thunderbolt", "", "This system extension provides the Thunderbolt kernel modules."},
		{"usb-modem-drivers", "", "This system extension provides USB modem drivers."},
		{"util-linux-tools", "2.41.3", "This system extension provides tools of util-linux."},
		{"vmtoolsd-guest-agent", "v1.4.0", "This system extension provides the VMware guest agent."},
		{"xen-guest-agent", "0.4.0", "This system extension provides the Xen guest agent."},
		{"zfs", "2.4.0", "This system extension provides ZFS."},
	} {
		tag := e.tag
		if tag == "" {
			tag = version
		}
		all = append(all, Extension{
			Name: "siderolabs/" + e.name, Ref: "ghcr.io/siderolabs/" + e.name + ":" + tag,
			Digest: digest(e.name + version), Author: "Sidero Labs", Description: e.about,
		})
	}
	return all
}

func overlays(version string) []overlay {
	var all []overlay
	for _, name := range []string{
		"rpi_generic sbc-raspberrypi", "rpi_5 sbc-raspberrypi", "rock4cplus sbc-rockchip",
		"rock5b sbc-rockchip", "jetson_nano sbc-jetson", "pine64 sbc-allwinner",
	} {
		name, image, _ := strings.Cut(name, " ")
		all = append(all, overlay{Name: name, Image: "siderolabs/" + image, Ref: "ghcr.io/siderolabs/" + image + ":v0.1.9", Digest: digest(image + version)})
	}
	return all
}

func digest(s string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(s))) }
