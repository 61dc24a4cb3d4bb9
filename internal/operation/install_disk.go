package operation

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/rescue"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

// chooseDisk decides what is overwritten, and refuses to go on with a machine that cannot be told from others.
func (o *Operations) chooseDisk(ctx context.Context, run *workflow.Run) error {
	s, _, err := o.server(ctx, run)
	if err != nil {
		return err
	}
	if err := o.identify(ctx, run, s); err != nil {
		return err
	}
	if _, err := o.bootValues(ctx, run, s); err != nil { // while nothing is lost yet
		return err
	}
	disk, err := installDisk(s)
	if err != nil {
		return err
	}
	var p plan
	if _, err := run.Get(planKey, &p); err != nil {
		return err
	}
	if err := o.canWrite(run, s, disk, p); err != nil {
		return err
	}
	p.Rivals = rescue.Rivals(s.Facts, disk, s.Assignment.EphemeralWWID())
	if err := o.mayOverwrite(ctx, run, s, &p, disk); err != nil {
		return err
	}
	if p.Disk.ID() != disk.ID() || p.Disk.SizeBytes != disk.SizeBytes { // an earlier attempt wrote to another one
		p.Writing = false
	}
	p.Disk, p.Firmware = disk, s.Facts.Firmware
	run.Log(ctx, "disk %s", rescue.Describe([]fleet.Disk{disk}))
	warnOfBootCode(ctx, run, s.Facts, disk)
	if err := run.Set(ctx, planKey, p); err != nil {
		return err
	}
	return o.pinDisk(ctx, run, s, disk)
}

// canWrite refuses what would stop half way, or boot nothing. A Talos in maintenance mode sees to all of it itself.
func (o *Operations) canWrite(run *workflow.Run, s fleet.Server, disk fleet.Disk, p plan) error {
	var b boot
	if _, err := run.Get(bootKey, &b); err != nil || b.Maintenance != "" {
		return err
	}
	return cmp.Or(rescue.CheckTools(s.Name, s.Facts, disk, p.Image), rescue.CheckSectors(s.Name, disk, p.Sector))
}

// warnOfBootCode tells of disks that a BIOS may boot instead: its order of disks can be neither read nor set from here.
func warnOfBootCode(ctx context.Context, run *workflow.Run, f fleet.Facts, chosen fleet.Disk) {
	for _, d := range f.Disks {
		if f.Firmware == "bios" && d.Name != chosen.Name && d.BootCode {
			run.Warn(ctx, "disk %s has a boot sector, too: which disk is booted first is set in the machine's BIOS", rescue.AnswerName(d))
		}
	}
}

// pinDisk makes the assignment name the disk and the node: neither is to change in the config when the disk's or the
// server's name does, or when a rule would choose another disk tomorrow.
func (o *Operations) pinDisk(ctx context.Context, run *workflow.Run, s fleet.Server, disk fleet.Disk) error {
	a := s.Assignment
	a.Hostname = s.Hostname()
	if rule := a.InstallDisk; rule == "" || strings.HasPrefix(rule, fleet.RulePrefix) {
		a.InstallDisk = disk.ID()
		if rule != "" {
			run.Log(ctx, "%s chose it; from now on the server's install disk is %s", rule, cmp.Or(disk.ID(), "its only disk"))
		}
	}
	if a == s.Assignment {
		return nil
	}
	_, err := o.Store.Assign(ctx, s.ID, a)
	return err
}

// installDisk is the disk that an install of the server takes, by the last facts. It may be called otherwise than the one
// that is meant for EPHEMERAL, and be the same.
func installDisk(s fleet.Server) (fleet.Disk, error) {
	d, err := fleet.ChooseDisk(s.Name, s.Assignment.InstallDisk, s.Facts.Disks)
	if keep := s.Assignment.EphemeralWWID(); err == nil && keep != "" && d.WWID == keep {
		return fleet.Disk{}, fleet.Errorf(fleet.Refused, "disk %s of server %s is the one to install on, and is meant for EPHEMERAL, too (wwid:%s)", rescue.AnswerName(d), s.Name, keep).
			WithHint("install on another disk, or leave EPHEMERAL on the install disk: talos-manager server assign %s --ephemeral-disk ''", s.Name)
	}
	return d, err
}

// mayOverwrite asks before data is lost that this program did not write, and before something is hidden on another disk.
// The answer names every disk that is touched by its serial number.
func (o *Operations) mayOverwrite(ctx context.Context, run *workflow.Run, s fleet.Server, p *plan, disk fleet.Disk) error {
	allowed, policy, err := o.allowance(ctx, run, s, *p)
	if err != nil {
		return err
	}
	losses := rescue.Losses(s.Facts, disk, p.Rivals, allowed)
	if len(losses) == 0 {
		for _, l := range rescue.Losses(s.Facts, disk, p.Rivals, func(fleet.Disk) bool { return false }) {
			run.Warn(ctx, "not asked for (policy %s): disk %s: %s", policy, l.Name, strings.Join(l.Lines, "; "))
		}
		return nil
	}
	question := overwriteQuestion(s, disk, losses)
	if p.Agreed == question { // in an earlier attempt
		return nil
	}
	if answer, ok := run.Answer(); ok && namesAll(answer, losses) {
		run.Log(ctx, "agreed: %s", question)
		p.Agreed = question
		return nil
	}
	return workflow.Ask(question)
}

// allowance is what may be overwritten without a question: what the policy says, and what this operation wrote itself.
func (o *Operations) allowance(ctx context.Context, run *workflow.Run, s fleet.Server, p plan) (func(fleet.Disk) bool, fleet.DiskPolicy, error) {
	var options InstallOptions
	if err := run.Input(&options); err != nil {
		return nil, "", err
	}
	return o.allows(ctx, s, p, options, func(format string, args ...any) { run.Log(ctx, format, args...) })
}

// allows is allowance for these options; tell is told why a disk is not taken for ours.
func (o *Operations) allows(ctx context.Context, s fleet.Server, p plan, options InstallOptions, tell func(format string, args ...any)) (func(fleet.Disk) bool, fleet.DiskPolicy, error) {
	c, err := o.Store.Cluster(ctx, s.Assignment.ClusterID)
	if err != nil {
		return nil, "", err
	}
	policy := options.policy(s, c)
	clusterID, ownID := "", ""
	if policy == fleet.WipeOurs {
		clusterID = o.talosID(ctx, s.Installed.ClusterID)
	}
	if p.Writing {
		ownID = o.talosID(ctx, c.ID)
	}
	return func(d fleet.Disk) bool {
		switch {
		case policy == fleet.WipeAll:
			return true
		case p.Writing && d.ID() == p.Disk.ID() && d.SizeBytes == p.Disk.SizeBytes:
			only, why := rescue.OnlyTalos(s.Facts, d, c.Name, ownID) // somebody may have used it since
			if !only && !d.Blank() {
				tell("disk %s was written by an earlier attempt, but %s", rescue.AnswerName(d), why)
			}
			return only
		case policy != fleet.WipeOurs:
			return false
		}
		ours, why := rescue.Recognise(s.Facts, d, s.Installed, clusterID)
		if !ours && !d.Blank() {
			tell("disk %s is not taken for ours: %s", rescue.AnswerName(d), why)
		}
		return ours
	}, policy, nil
}

// talosID is what Talos itself calls a cluster of ours; "" if the cluster is gone, or its secrets cannot be read.
func (o *Operations) talosID(ctx context.Context, id string) string {
	c, err := o.Store.Cluster(ctx, id)
	if err != nil {
		return ""
	}
	var bundle struct {
		Cluster struct {
			ID string `yaml:"id"`
		} `yaml:"cluster"`
	}
	if err := yaml.Unmarshal(c.Secrets, &bundle); err != nil {
		return ""
	}
	return bundle.Cluster.ID
}

func overwriteQuestion(s fleet.Server, disk fleet.Disk, losses []rescue.Loss) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Installing server %s on disk %s changes what this program did not write:\n", s.Name, rescue.Describe([]fleet.Disk{disk}))
	var names []string
	for _, l := range losses {
		names = append(names, l.Name)
		what := "disk " + l.Name
		if l.Name == rescue.AnswerName(disk) {
			what += allLost
		}
		fmt.Fprintf(&b, "%s: %s.\n", what, strings.Join(l.Lines, "; "))
	}
	b.WriteString(toGoOn + strings.Join(names, " "))
	return b.String()
}

// Words of the question by which it is taken apart again.
const (
	allLost = " is not blank, everything on it will be lost"
	toGoOn  = "To go on, answer with "
)

// namesAll says whether an answer names every disk and nothing else.
func namesAll(answer string, losses []rescue.Loss) bool {
	var names []string
	for _, l := range losses {
		names = append(names, l.Name)
	}
	return namesExactly(answer, names)
}

// namesExactly says whether an answer holds these names and nothing else. Serial numbers may contain spaces.
func namesExactly(answer string, names []string) bool {
	words := func(text string) string {
		return " " + strings.Join(strings.Fields(strings.ReplaceAll(text, ",", " ")), "  ") + " "
	}
	rest := words(answer)
	for _, one := range slices.SortedFunc(slices.Values(names), func(a, b string) int { return cmp.Compare(len(b), len(a)) }) {
		name := words(one)
		if !strings.Contains(rest, name) {
			return false
		}
		rest = strings.Replace(rest, name, " ", 1)
	}
	return strings.TrimSpace(rest) == ""
}
