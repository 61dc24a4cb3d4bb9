package resources

import (
	"slices"
	"strconv"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/resources/block"

	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// Discover reads what is on a machine's disks, as Talos' block discovery does: every disk, then its partitions.
func Discover(m *world.Machine) []DiscoveredVolume {
	var all []DiscoveredVolume
	for _, d := range m.Disks {
		whole := DiscoveredVolume{Name: d.Name, Bytes: uint64(d.SizeBytes)}
		table, err := world.ReadGPT(d, d.SizeBytes)
		if err != nil { // no table; perhaps a file system on the bare disk
			whole.Found, whole.Label, whole.UUID = world.Signature(d, 0)
			all = append(all, whole)
			continue
		}
		whole.Found, whole.UUID = "gpt", table.DiskGUID
		all = append(all, whole)
		for _, p := range table.Sorted() {
			v := DiscoveredVolume{
				Name: partition(d.Name, p.Index), Disk: d.Name, Bytes: uint64(p.Size), Offset: uint64(p.Start),
				PartitionLabel: p.Label, PartitionIndex: uint(p.Index), UUID: p.GUID,
			}
			v.Found, v.Label, _ = world.Signature(d, p.Start)
			if v.Found == "" && p.Label == constants.MetaPartitionLabel {
				v.Found = "talosmeta"
			}
			all = append(all, v)
		}
	}
	return all
}

// discover also knows what is not to be seen yet: a node formats what it mounts.
func (v View) discover() []DiscoveredVolume {
	all := Discover(v.Machine)
	for i, d := range all {
		formats := d.PartitionLabel == constants.StatePartitionLabel || d.PartitionLabel == constants.EphemeralPartitionLabel
		if v.configured() && formats && d.Found == "" {
			all[i].Found, all[i].Label = "xfs", d.PartitionLabel
		}
	}
	return all
}

// partition is the name of a disk's partition: sda1, nvme0n1p1.
func partition(disk string, n int) string {
	if last := disk[len(disk)-1]; last >= '0' && last <= '9' {
		disk += "p"
	}
	return disk + strconv.Itoa(n)
}

// systemVolumes are META, STATE and EPHEMERAL as the disks show them. META and STATE are looked for on the system
// disk; EPHEMERAL, which only a node with a configuration has, may be on another one.
func (v View) systemVolumes() []Volume {
	all := []Volume{
		v.systemVolume(constants.MetaPartitionLabel, "", v.SystemDisk),
		v.systemVolume(constants.StatePartitionLabel, constants.StateMountPoint, v.SystemDisk),
	}
	if v.configured() {
		all = append(all, v.systemVolume(constants.EphemeralPartitionLabel, constants.EphemeralMountPoint, ""))
	}
	return all
}

func (v View) systemVolume(label, mount, disk string) Volume {
	one := Volume{ID: label, Type: block.VolumeTypePartition, Phase: block.VolumePhaseMissing}
	if v.SystemDisk == "" {
		one.Phase = block.VolumePhaseWaiting // for a disk
	}
	i := slices.IndexFunc(v.Discovered, func(d DiscoveredVolume) bool {
		return d.PartitionLabel == label && d.Found != "" && (disk == "" || d.Disk == disk)
	})
	if i < 0 {
		return one
	}
	d := v.Discovered[i]
	one.Phase, one.Location, one.Disk, one.Bytes = block.VolumePhaseReady, "/dev/"+d.Name, "/dev/"+d.Disk, d.Bytes
	if strings.EqualFold(d.Found, "xfs") {
		one.Filesystem = block.FilesystemTypeXFS
	}
	if v.configured() {
		one.Mount = mount
	}
	return one
}
