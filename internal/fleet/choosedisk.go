package fleet

import "strings"

// ChooseDisk finds the disk to install on: the wanted one (a WWID in Talos' notation, "serial:…" or "rule:…"), or, if
// none is wanted, the only one that is large enough; with several it refuses, and lists them. Refused if there
// is no such disk, or more than one that calls itself so.
func ChooseDisk(server, wanted string, disks []Disk) (Disk, error) {
	if wanted == "" {
		return onlyDisk(server, disks)
	}
	if strings.HasPrefix(wanted, RulePrefix) {
		return byRule(server, wanted, disks)
	}
	var found []Disk
	for _, d := range disks {
		if d.Called(wanted) {
			found = append(found, d)
		}
	}
	switch {
	case len(found) == 0:
		return Disk{}, Errorf(Refused, "server %s has no disk %s", server, wanted).
			WithHint("its disks are %s; assign one of them: talos-manager server assign %s --disk WWID", DescribeDisks(disks), server)
	case len(found) > 1:
		return Disk{}, Errorf(Refused, "server %s has %d disks that call themselves %s: which is meant cannot be told", server, len(found), wanted).
			WithHint("its disks are %s; choose one that has a name of its own, or ask Hetzner to exchange one of these", DescribeDisks(disks))
	case found[0].SizeBytes < MinDisk:
		return Disk{}, Errorf(Refused, "disk %s of server %s has less than 10 GB", wanted, server).
			WithHint("its disks are %s", DescribeDisks(disks))
	}
	return found[0], nil
}

// byRule finds the disk that a rule chooses, and makes sure that its name is its own: it is what counts from then on.
func byRule(server, rule string, disks []Disk) (Disk, error) {
	r, err := ParseDiskRule(rule)
	if err != nil {
		return Disk{}, err
	}
	d, err := r.Choose(server, disks)
	if err != nil || d.ID() == "" {
		return d, err
	}
	return ChooseDisk(server, d.ID(), disks)
}

func onlyDisk(server string, disks []Disk) (Disk, error) {
	var fit []Disk
	for _, d := range disks {
		if d.SizeBytes >= MinDisk {
			fit = append(fit, d)
		}
	}
	switch {
	case len(fit) == 1:
		return fit[0], nil
	case len(fit) == 0:
		return Disk{}, Errorf(Refused, "server %s has no disk of 10 GB or more", server).WithHint("its disks are %s", DescribeDisks(disks))
	}
	return Disk{}, Errorf(Refused, "server %s has %d disks and none was chosen", server, len(fit)).
		WithHint("assign one by its WWID: talos-manager server assign %s --disk WWID; its disks are %s", server, DescribeDisks(disks))
}
