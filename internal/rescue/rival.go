package rescue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Rival is something on another disk than the one that is installed on, which would be booted, or used, in its place.
type Rival struct {
	Disk   string `json:"disk,omitempty"`   // fleet.Disk.ID
	Serial string `json:"serial,omitempty"` // what a person calls the disk
	Part   string `json:"part"`             // UUID of the partition
	// Label of a partition of an earlier Talos: the new one would take it for its own. "": an EFI system partition with
	// boot loaders.
	Label      string `json:"label,omitempty"`
	Unreadable bool   `json:"unreadable,omitempty"` // its file system could not be mounted
	Text       string `json:"text"`                 // for people
}

// on says whether a disk has the rival on it: not every disk has a name of its own.
func (r Rival) on(d fleet.Disk) bool {
	return d.ID() == r.Disk && slices.ContainsFunc(d.Partitions, func(p fleet.Partition) bool { return p.UUID == r.Part })
}

// rivalLabels are the partitions that Talos looks for by label on every disk of a machine. Source: talos
// internal/app/machined/pkg/controllers/block (system_disk.go, volumeconfig/system_volumes.go).
var rivalLabels = []string{"META", "STATE", "EPHEMERAL", "ETCD", "CRI", "KUBELET", "LOG"}

// hiddenLabel is what a partition of an earlier Talos is called when the new one is not to find it.
func hiddenLabel(label string) string { return label + ".old" }

// Rivals lists what on the other disks would win over a Talos on the chosen one. keep is a disk (its WWID, "" for none)
// whose volumes the new Talos is meant to find: only its META and STATE, which make a system disk, are rivals.
func Rivals(f fleet.Facts, chosen fleet.Disk, keep string) []Rival {
	var all []Rival
	for _, d := range f.Disks {
		if d.Name == chosen.Name {
			continue
		}
		for _, p := range d.Partitions {
			r := Rival{Disk: d.ID(), Serial: cmp.Or(d.Serial, d.ID(), d.Name), Part: p.UUID}
			where := fmt.Sprintf("partition %d of disk %s", p.Number, cmp.Or(d.ID(), d.Name))
			switch {
			case f.Firmware == "uefi" && p.EFI() && (len(p.Loaders) > 0 || p.Unreadable && p.FSType != ""):
				r.Unreadable = p.Unreadable
				r.Text = fmt.Sprintf("boot loaders on %s (%s)", where, cmp.Or(strings.Join(p.Loaders, ", "), "which cannot be read"))
			case d.Talos != nil && slices.Contains(rivalLabels, p.Label) && (keep == "" || d.WWID != keep || p.Label == "META" || p.Label == "STATE"):
				r.Label, r.Text = p.Label, fmt.Sprintf("%s on %s, of %s", p.Label, where, d.Talos)
			default:
				continue
			}
			all = append(all, r)
		}
	}
	return all
}

// BootOrder is the order in which the firmware is to try its entries: the network first where it is wanted, since
// Hetzner's machines reach the rescue system by it alone; then those that name a partition of the chosen disk; then those
// that name no partition. What names a partition of another disk, or one that is gone, is left out of the order; the
// entry itself stays. nil if nothing is to be changed.
func BootOrder(u fleet.UEFI, chosen fleet.Disk, networkFirst bool) []string {
	var network, ours, rest []string
	for _, number := range u.Order {
		e, ok := u.Entry(number)
		on := slices.ContainsFunc(chosen.Partitions, func(p fleet.Partition) bool { return p.UUID == e.PartUUID && e.PartUUID != "" })
		switch {
		case !ok:
		case e.Network && networkFirst:
			network = append(network, number)
		case on:
			ours = append(ours, number)
		case e.PartUUID == "":
			rest = append(rest, number)
		}
	}
	if len(network) == 0 && networkFirst { // somebody took it out
		for _, e := range u.Entries {
			if e.Network && e.Active {
				network = append(network, e.Number)
			}
		}
	}
	order := slices.Concat(network, ours, rest)
	if len(order) == 0 || slices.EqualFunc(order, u.Order, strings.EqualFold) && u.Next == "" {
		return nil
	}
	return order
}

// Release has everything that stands on a disk let go of it: arrays, volumes, swap, mounts. It can be undone until the
// disk is written to. It gives what was stopped; fleet.Refused if something does not let go.
func (s *Session) Release(ctx context.Context, d fleet.Disk) ([]string, error) {
	out, err := s.script(ctx, "release-disk.sh", "/dev/"+d.Name)
	exit := &ExitError{}
	if errors.As(err, &exit) && exit.Code == exitHeld {
		return nil, fleet.Errorf(fleet.Refused, "%w: nothing was written", err).
			WithHint("log in to the rescue system, stop what is on the disk (lsblk shows it), then retry the operation")
	}
	if errors.As(err, &exit) && exit.Code == exitNoDisk {
		return nil, fleet.Errorf(fleet.Refused, "%w", err).WithHint("disk names change between boots: retry the operation")
	}
	return slices.Collect(linesOf(out)), err
}

func linesOf(text string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); line != "" && !yield(line) {
				return
			}
		}
	}
}

// Disarm hides a rival where it is: it can be undone by hand. facts tell where its partition is now. It gives what was
// done, "" if nothing was left to do.
func (s *Session) Disarm(ctx context.Context, f fleet.Facts, r Rival) (string, error) {
	for _, d := range f.Disks {
		for _, p := range d.Partitions {
			switch {
			case p.UUID != r.Part || p.UUID == "" || d.ID() != r.Disk:
				continue
			case r.Label == "":
				out, err := s.script(ctx, "disarm-loaders.sh", "/dev/"+p.Name)
				if err != nil {
					return "", fmt.Errorf("%s: %w", r.Text, err)
				}
				return strings.TrimSpace(out), nil
			case p.Label != r.Label:
				return "", nil // it is hidden already
			}
			if _, err := s.script(ctx, "disarm-talos.sh", "/dev/"+d.Name, fmt.Sprint(p.Number), hiddenLabel(p.Label)); err != nil {
				return "", fmt.Errorf("%s: %w", r.Text, err)
			}
			return "renamed to " + hiddenLabel(p.Label), nil
		}
	}
	return "", nil // the disk is gone
}

// SetBootOrder sets the order of the firmware's boot entries.
func (s *Session) SetBootOrder(ctx context.Context, order []string) error {
	if _, err := s.script(ctx, "boot-order.sh", strings.Join(order, ",")); err != nil {
		return fmt.Errorf("set the boot order %s: %w", strings.Join(order, ","), err)
	}
	return nil
}
