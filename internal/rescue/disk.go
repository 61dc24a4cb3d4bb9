package rescue

import "github.com/talos-manager/talos-manager/internal/fleet"

// CheckSectors refuses a disk with other sectors than an image was made for (its partition table would not be found where
// it is written); 0 is unknown.
func CheckSectors(server string, d fleet.Disk, image int) error {
	if image == 0 || d.SectorBytes == 0 || d.SectorBytes == image {
		return nil
	}
	return fleet.Errorf(fleet.Refused, "disk %s of server %s has sectors of %d bytes, and its image is for %d: it would not boot. Nothing was done", d.ID(), server, d.SectorBytes, image).
		WithHint("use a schematic for such disks (talos-manager schematic create NAME --sector-size %d), or have Talos install itself: --boot kexec", d.SectorBytes)
}

// Describe lists disks for people, smallest first.
func Describe(disks []fleet.Disk) string { return fleet.DescribeDisks(disks) }
