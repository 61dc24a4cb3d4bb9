package fleet

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// What of a machine has changed.
const (
	ChangedBoard    = "board"
	ChangedFirmware = "firmware"
	ChangedMemory   = "memory"
	ChangedNIC      = "nic"
	ChangedDisk     = "disk"
)

// Change is something of a machine that is not as it was.
type Change struct {
	What string // board, firmware, memory, nic or disk
	Text string // for people: "its UUID was … and is …"
}

// CompareFacts lists what changed in a machine since it was last asked, for people. What it was never asked, or did
// not know then, is no change.
func CompareFacts(old, new Facts) []Change {
	if old.At.IsZero() {
		return nil
	}
	var all []Change
	say := func(what, format string, args ...any) { all = append(all, Change{what, fmt.Sprintf(format, args...)}) }
	compareBoard(old, new, say)
	if old.Firmware != "" && old.Firmware != new.Firmware {
		say(ChangedFirmware, "it booted by %s and boots by %s now: the boot mode was changed in its firmware", old.Firmware, new.Firmware)
	}
	if !old.SecureBoot && new.SecureBoot {
		say(ChangedFirmware, "secure boot was switched on")
	}
	// The kernel's share differs by some megabytes between kernels; a module that is gone is a gigabyte at least.
	if old.MemoryBytes-new.MemoryBytes > max(512<<20, old.MemoryBytes/32) {
		say(ChangedMemory, "its memory was %d GB and is %d GB now", GiB(old.MemoryBytes), GiB(new.MemoryBytes))
	}
	compareDisks(old.Disks, new.Disks, say)
	return all
}

// GiB is a size of memory as people know it: a little of it is the firmware's, so it is rounded.
func GiB(n int64) int64 { return (n + 1<<29) >> 30 }

// compareBoard looks at what an exchange of the mainboard changes.
func compareBoard(old, new Facts, say func(string, string, ...any)) {
	board := false
	for _, v := range []struct{ name, was, is string }{
		{"UUID", old.UUID, new.UUID},
		{"serial number", old.Serial, new.Serial},
		{"board", old.Board.Product, new.Board.Product},
		{"board's serial number", old.Board.Serial, new.Board.Serial},
	} {
		if v.was != "" && v.was != v.is {
			say(ChangedBoard, "its %s was %s and is %s now: the mainboard was exchanged", v.name, v.was, cmp.Or(v.is, "missing"))
			board = true
		}
	}
	was, is := macs(old.NICs), macs(new.NICs)
	gone := slices.DeleteFunc(slices.Clone(was), func(mac string) bool { return slices.Contains(is, mac) })
	added := slices.DeleteFunc(slices.Clone(is), func(mac string) bool { return slices.Contains(was, mac) })
	switch {
	case len(gone) == 0 && len(added) == 0 || len(was) == 0:
	case board || len(gone) > 0 && len(added) > 0:
		say(ChangedNIC, "its network cards were %s and are %s now", strings.Join(was, ", "), cmp.Or(strings.Join(is, ", "), "none"))
	case len(gone) > 0:
		say(ChangedNIC, "its network card %s is gone", strings.Join(gone, ", "))
	default:
		say(ChangedNIC, "it has a new network card %s", strings.Join(added, ", "))
	}
}

func macs(nics []NIC) []string {
	var all []string
	for _, n := range nics {
		if n.MAC != "" {
			all = append(all, n.MAC)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// compareDisks tells disks that went from those that came. One that went while one came of its size was exchanged.
func compareDisks(old, new []Disk, say func(string, string, ...any)) {
	gone, came := without(old, new), without(new, old)
	for _, g := range gone {
		i := slices.IndexFunc(came, func(c Disk) bool { return c.SizeBytes == g.SizeBytes && c.Rotational == g.Rotational })
		if i < 0 {
			say(ChangedDisk, "disk %s is gone", g.describe())
			continue
		}
		say(ChangedDisk, "disk %s was exchanged for %s", g.describe(), came[i].describe())
		came = slices.Delete(came, i, i+1)
	}
	for _, c := range came {
		say(ChangedDisk, "disk %s is new", c.describe())
	}
}

// without lists the disks that are not among others. Disks without a name of their own are counted by their size.
func without(disks, others []Disk) []Disk {
	rest := slices.Clone(others)
	var left []Disk
	for _, d := range disks {
		i := slices.IndexFunc(rest, d.same)
		if i < 0 {
			left = append(left, d)
			continue
		}
		rest = slices.Delete(rest, i, i+1)
	}
	return left
}

// same says whether two looks, perhaps before and after an update of ours, saw one disk.
func (d Disk) same(e Disk) bool {
	switch {
	case d.Serial != "" && e.Serial != "":
		return d.Serial == e.Serial && d.SizeBytes == e.SizeBytes
	case d.WWID != "" && e.WWID != "":
		return d.WWID == e.WWID
	}
	return d.ID() == "" && e.ID() == "" && d.SizeBytes == e.SizeBytes && d.Model == e.Model
}

func (d Disk) describe() string {
	return fmt.Sprintf("%s (%s, %d GB, serial number %s)", cmp.Or(d.ID(), d.Name), cmp.Or(d.Model, "unknown model"), d.SizeBytes/1e9, cmp.Or(d.Serial, "unknown"))
}
