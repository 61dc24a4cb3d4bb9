package rescue

import (
	"path"
	"slices"
	"strings"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Tools are the programs that our scripts run and that a rescue system may lack; Facts names the missing ones.
// Everything of coreutils is taken for granted: without it the script that looks for them would not run.
var Tools = []string{
	"curl", "flock", "setsid", "lsblk", "wipefs", "blockdev", "sgdisk", "sfdisk", "mount", "umount", "cmp", "base64", "sha256sum",
	"zstd", "xz", "gzip", "swapoff", "mdadm", "dmsetup", "cryptsetup", "efibootmgr", "kexec", "perl",
}

// CheckTools refuses, before anything is done, an install that would stop half way for want of a program: to write that
// image to that disk. Facts of before it was asked for programs are not held against a machine.
func CheckTools(server string, f fleet.Facts, d fleet.Disk, image string) error {
	needs := []string{"curl", "flock", "setsid", "lsblk", "wipefs", "blockdev", "sfdisk", "mount", "umount", "cmp"}
	file, _, _ := strings.Cut(image, "?")
	if packer, ok := map[string]string{".zst": "zstd", ".xz": "xz", ".gz": "gzip"}[path.Ext(file)]; ok {
		needs = append(needs, packer)
	}
	for _, a := range f.ArraysOn(d) {
		if a.Active {
			needs = append(needs, map[string][]string{"md": {"mdadm"}, "lvm": {"dmsetup"}, "ceph": {"dmsetup"}, "luks": {"cryptsetup"}}[a.Kind]...)
		}
	}
	if slices.ContainsFunc(Rivals(f, d, ""), func(r Rival) bool { return r.Label != "" }) {
		needs = append(needs, "sgdisk")
	}
	var missing []string
	for _, name := range needs {
		if slices.Contains(f.MissingTools, name) && !slices.Contains(missing, name) {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return fleet.Errorf(fleet.Refused, "the rescue system of server %s lacks %s: nothing was done", server, strings.Join(missing, ", ")).
		WithHint("log in to it and install what is missing, as apt-get install %s; then retry the operation", strings.Join(packages(missing), " "))
}

// packages are those of Debian that have the programs.
func packages(programs []string) []string {
	var all []string
	for _, name := range programs {
		p := name
		switch name {
		case "flock", "setsid", "lsblk", "wipefs", "blockdev":
			p = "util-linux"
		case "sfdisk":
			p = "fdisk"
		case "umount":
			p = "mount"
		case "cmp":
			p = "diffutils"
		case "xz":
			p = "xz-utils"
		case "sgdisk":
			p = "gdisk"
		case "cryptsetup":
			p = "cryptsetup-bin"
		}
		if !slices.Contains(all, p) {
			all = append(all, p)
		}
	}
	return all
}
