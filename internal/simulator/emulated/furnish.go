package emulated

import (
	"context"
	"embed"
	"fmt"
)

// Layout is what may be on disks before a test begins. Its script says exactly what.
type Layout string

// The layouts. GPT, Ext4, XFS, LUKS, ZFS, Ceph, Talos and ESP are for one disk, RAID1 and LVM for several.
const (
	GPT   Layout = "gpt"   // an empty partition "data"
	Ext4  Layout = "ext4"  // a partition with a file system "family"
	XFS   Layout = "xfs"   // a file system "backup", no partition table
	RAID1 Layout = "raid1" // arrays md0 (swap) and md1 (ext4 "root"), running
	LVM   Layout = "lvm"   // volume group vg0, its volume root active
	LUKS  Layout = "luks"  // an encrypted partition "vault", open as "secret"
	ZFS   Layout = "zfs"   // a member of the pool "tank"
	Ceph  Layout = "ceph"  // an OSD
	Talos Layout = "talos" // node "old-1" of cluster "old"
	ESP   Layout = "esp"   // a boot loader that boots nothing, and with UEFI the entry "debian" for it, first in the order
)

//go:embed furnish/*.sh
var layouts embed.FS

// Furnish puts a layout on disks, which are numbered as in the options. It needs the rescue system, and takes a second or
// two.
func (m *Machine) Furnish(ctx context.Context, layout Layout, disks ...int) error {
	script, err := layouts.ReadFile("furnish/" + string(layout) + ".sh")
	if err != nil {
		return err
	}
	// What stands on disks is found by their serial numbers: their names are the kernel's choice.
	head := "set -e\ndevices=()\nfor serial; do device=$(lsblk -ndpro NAME,SERIAL | sed -n \"s/ $serial\\$//p\"); [ -b \"$device\" ]; devices+=(\"$device\"); done\nset -- \"${devices[@]}\"\n"
	var serials []string
	for _, i := range disks {
		serials = append(serials, m.options.Disks[i].Serial)
	}
	if out, err := m.Run(ctx, head+string(script), serials...); err != nil {
		return fmt.Errorf("furnish disks %v as %s: %w: %s", disks, layout, err, out)
	}
	return nil
}
