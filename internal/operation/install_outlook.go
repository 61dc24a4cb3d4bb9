package operation

import (
	"context"
	"fmt"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/rescue"
)

// DiskOutlook says what installing on a disk would mean under every disk policy, by what the machine said of itself last.
type DiskOutlook struct {
	Disk     fleet.Disk
	Problem  string        // why Talos cannot be installed on it; "" if it can
	Outcomes []DiskOutcome // for clean-only, wipe-ours and wipe-all, in this order; none with a Problem
}

// DiskOutcome is what would become of the disks of a machine.
type DiskOutcome struct {
	Policy fleet.DiskPolicy
	Losses []DiskLoss // without a question where the policy covers it; none: nothing is lost
	Asks   []string   // disks that a person is asked about first, by serial number
	Notes  []string   // why a disk is not taken for one that an install of ours wrote
}

// DiskLoss is what happens to one disk.
type DiskLoss struct {
	Disk  string   // its serial number, else its WWID, else its name
	Lines []string // what is on it, and what becomes of that
}

// Outcome is the one under a policy.
func (l DiskOutlook) Outcome(policy fleet.DiskPolicy) DiskOutcome {
	for _, c := range l.Outcomes {
		if c.Policy == policy {
			return c
		}
	}
	return DiskOutcome{Policy: policy}
}

// DiskPolicies are all of them, the most careful first.
func DiskPolicies() []fleet.DiskPolicy {
	return []fleet.DiskPolicy{fleet.CleanOnly, fleet.WipeOurs, fleet.WipeAll}
}

// DiskOutlooks looks at every disk of an assigned server. None are known before its facts are. Nobody is asked.
func (o *Operations) DiskOutlooks(ctx context.Context, s fleet.Server) ([]DiskOutlook, error) {
	var all []DiskOutlook
	for _, d := range s.Facts.Disks {
		l := DiskOutlook{Disk: d}
		on := s
		on.Assignment.InstallDisk = d.ID()
		if _, err := installDisk(on); err != nil {
			l.Problem = err.Error()
		}
		all = append(all, l)
	}
	for _, policy := range DiskPolicies() {
		var notes []string
		allowed, _, err := o.allows(ctx, s, plan{}, InstallOptions{DiskPolicy: policy}, func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) })
		if err != nil {
			return nil, err
		}
		for i := range all {
			if all[i].Problem != "" {
				continue
			}
			notes = nil
			c := outcome(s, all[i].Disk, policy, allowed)
			c.Notes = notes
			all[i].Outcomes = append(all[i].Outcomes, c)
		}
	}
	return all, nil
}

// outcome goes by the same rules as the install itself.
func outcome(s fleet.Server, disk fleet.Disk, policy fleet.DiskPolicy, allowed func(fleet.Disk) bool) DiskOutcome {
	rivals := rescue.Rivals(s.Facts, disk, s.Assignment.EphemeralWWID())
	c := DiskOutcome{Policy: policy}
	for _, l := range rescue.Losses(s.Facts, disk, rivals, func(fleet.Disk) bool { return false }) {
		c.Losses = append(c.Losses, DiskLoss{Disk: l.Name, Lines: l.Lines})
	}
	for _, l := range rescue.Losses(s.Facts, disk, rivals, allowed) {
		c.Asks = append(c.Asks, l.Name)
	}
	return c
}
