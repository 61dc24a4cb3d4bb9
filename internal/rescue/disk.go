package rescue

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// minDisk is the smallest disk Talos installs on. Source: Talos' system requirements.
const minDisk = 10 << 30

// ChooseDisk finds the disk to install on: the wanted one (a WWID in Talos' notation or "serial:…"), or, if none
// is wanted, the only one that is large enough; with several it refuses, and lists them. fleet.Refused if there
// is no such disk, or more than one that calls itself so.
func ChooseDisk(server, wanted string, disks []fleet.Disk) (fleet.Disk, error) {
	if wanted == "" {
		return onlyDisk(server, disks)
	}
	var found []fleet.Disk
	for _, d := range disks {
		if d.WWID == wanted || "serial:"+d.Serial == wanted && d.Serial != "" {
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
	case found[0].SizeBytes < minDisk:
		return fleet.Disk{}, fleet.Errorf(fleet.Refused, "disk %s of server %s has less than 10 GB", wanted, server).
			WithHint("its disks are %s", Describe(disks))
	}
	return found[0], nil
}

func onlyDisk(server string, disks []fleet.Disk) (fleet.Disk, error) {
	var fit []fleet.Disk
	for _, d := range disks {
		if d.SizeBytes >= minDisk {
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

// Describe lists disks for people, smallest first.
func Describe(disks []fleet.Disk) string {
	if len(disks) == 0 {
		return "none"
	}
	sorted := slices.SortedFunc(slices.Values(disks), func(a, b fleet.Disk) int {
		return cmp.Or(cmp.Compare(a.SizeBytes, b.SizeBytes), cmp.Compare(a.Name, b.Name))
	})
	var out []string
	for _, d := range sorted {
		id := cmp.Or(d.ID(), "without WWID or serial")
		out = append(out, fmt.Sprintf("%s (%s, %d GB, %s)", id, d.Name, d.SizeBytes/1e9, cmp.Or(d.Model, "unknown model")))
	}
	return strings.Join(out, "; ")
}
