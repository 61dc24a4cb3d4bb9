package operation

import (
	"context"
	"slices"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/rescue"
)

// DiskForecast is what an install would do to the disks of a server, by the last facts and the policies as they stand.
// Zero: nothing is known of its disks.
type DiskForecast struct {
	Disk      fleet.Disk // that Talos goes to; zero where that cannot be told
	Why, Hint string     // why it cannot, and what to do
	Policy    fleet.DiskPolicy
	Verdict   string     // what the policy says of the disk; "" of a server of no cluster, as the policy
	Question  string     // that would be asked; "" if none would
	Fates     []DiskFate // of the disks on which something changes, the chosen one first
}

// DiskFate is what is on a disk, and what becomes of it.
type DiskFate struct {
	Disk  string // its name
	Lines []string
}

// ForecastDisks says what an install of the server would do to its disks. Nobody is asked, and nothing is changed.
func (o *Operations) ForecastDisks(ctx context.Context, s fleet.Server) (f DiskForecast, err error) {
	if s.Facts.At.IsZero() {
		return f, nil
	}
	disk, why := installDisk(s)
	if why != nil {
		f.Why, f.Hint = why.Error(), fleet.HintOf(why)
		return f, nil
	}
	f.Disk, f.Fates = disk, fates(s.Facts, disk, rescue.Rivals(s.Facts, disk, s.Assignment.EphemeralWWID()))
	if !s.Assignment.Assigned() {
		return f, nil
	}
	c, err := o.diskChoice(ctx, s, InstallOptions{})
	f.Policy, f.Verdict, f.Question = c.policy, c.verdict, c.asks
	return f, err
}

// fates tells of every disk that an install on chosen changes, whatever a policy allows.
func fates(facts fleet.Facts, chosen fleet.Disk, rivals []rescue.Rival) []DiskFate {
	var all []DiskFate
	for _, l := range rescue.Losses(facts, chosen, rivals, func(fleet.Disk) bool { return false }) {
		i := slices.IndexFunc(facts.Disks, func(d fleet.Disk) bool { return rescue.AnswerName(d) == l.Name })
		all = append(all, DiskFate{Disk: facts.Disks[i].Name, Lines: l.Lines})
	}
	return all
}
