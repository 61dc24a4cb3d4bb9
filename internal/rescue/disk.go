package rescue

import (
	"strings"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// ChooseDisk finds the disk to install on: the wanted one (a WWID in Talos' notation, "serial:…" or "rule:…"), or, if
// none is wanted, the only one that is large enough; with several it refuses, and lists them. fleet.Refused if there
// is no such disk, or more than one that calls itself so.
func ChooseDisk(server, wanted string, disks []fleet.Disk) (fleet.Disk, error) {
	if wanted == "" {
		return onlyDisk(server, disks)
	}
	if strings.HasPrefix(wanted, fleet.RulePrefix) {
		return byRule(server, wanted, disks)
	}
	var found []fleet.Disk
	for _, d := range disks {
		if d.Called(wanted) {
			found = append(found, d)
		}
	}
	switch {
	case len(found) == 0:
		return fleet.Disk{}, fleet.Errorf(fleet.Refused, "server %s has no disk %s", server, wanted).
			WithHint("its disks are %s; assign one of them: talos-manager server assign %s --disk WWID", Describe(disks), server)
	case len(found) > 1:
		return fleet.Disk{}, fleet.Errorf(fleet.Refused, "server %s has %d disks that call themselves %s: which is meant cannot be told", server, len(found), wanted).
			WithHint("its disks are %s; choose one that has a name of its own, or ask Hetzner to exchange one of these", Describe(disks))
	case found[0].SizeBytes < fleet.MinDisk:
		return fleet.Disk{}, fleet.Errorf(fleet.Refused, "disk %s of server %s has less than 10 GB", wanted, server).
			WithHint("its disks are %s", Describe(disks))
	}
	return found[0], nil
}

// byRule finds the disk that a rule chooses, and makes sure that its name is its own: it is what counts from then on.
func byRule(server, rule string, disks []fleet.Disk) (fleet.Disk, error) {
	r, err := fleet.ParseDiskRule(rule)
	if err != nil {
		return fleet.Disk{}, err
	}
	d, err := r.Choose(server, disks)
	if err != nil || d.ID() == "" {
		return d, err
	}
	return ChooseDisk(server, d.ID(), disks)
}

func onlyDisk(server string, disks []fleet.Disk) (fleet.Disk, error) {
	var fit []fleet.Disk
	for _, d := range disks {
		if d.SizeBytes >= fleet.MinDisk {
			fit = append(fit, d)
		}
	}
	switch {
	case len(fit) == 1:
		return fit[0], nil
	case len(fit) == 0:
		return fleet.Disk{}, fleet.Errorf(fleet.Refused, "server %s has no disk of 10 GB or more", server).WithHint("its disks are %s", Describe(disks))
	}
	return fleet.Disk{}, fleet.Errorf(fleet.Refused, "server %s has %d disks and none was chosen", server, len(fit)).
		WithHint("assign one by its WWID: talos-manager server assign %s --disk WWID; its disks are %s", server, Describe(disks))
}

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
