package operation

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/rescue"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

// What an earlier owner left on a machine is cleared away in two steps. Arrays, volumes and mounts let go of the disk
// before it is written to: until then they can be started again. What would win the boot from another disk is hidden
// after the new disk was written and proved: an install that ends before leaves every other disk as it was.

// releaseDisk has what stands on the chosen disk let go of it.
func (o *Operations) releaseDisk(ctx context.Context, run *workflow.Run) error {
	var p plan
	if _, err := run.Get(planKey, &p); err != nil {
		return err
	}
	s, _, err := o.server(ctx, run)
	if err != nil {
		return err
	}
	_, session, disk, err := o.inRescue(ctx, run, s, p)
	if err != nil {
		return err
	}
	defer session.Close()
	// A question may have stood for days. The writer of an earlier attempt may still be at work.
	if what := rescue.Differs(p.Disk, disk); what != "" && !p.Writing {
		return fleet.Errorf(fleet.Refused, "disk %s of server %s is not as it was when it was chosen: %s; nothing was written", disk.ID(), s.Name, what).
			WithHint("somebody works on it. If it is to be installed on all the same: talos-manager operation retry %s", run.ID())
	}
	stopped, err := session.Release(ctx, disk)
	if err != nil {
		return err
	}
	if len(stopped) > 0 {
		run.Log(ctx, "disk %s released: %s", disk.ID(), strings.Join(stopped, "; "))
	}
	return nil
}

// inRescue connects to the rescue system and finds the chosen disk by what it is: the name may be another one now.
func (o *Operations) inRescue(ctx context.Context, run *workflow.Run, s fleet.Server, p plan) (facts fleet.Facts, session *rescue.Session, disk fleet.Disk, err error) {
	session, err = o.session(ctx, run, s)
	if err != nil {
		return facts, nil, disk, err
	}
	facts, err = session.Facts(ctx)
	if err == nil {
		disk, err = o.chosen(run, s, p, facts)
	}
	if err != nil {
		session.Close()
		return facts, nil, disk, err
	}
	return facts, session, disk, nil
}

// chosen finds the disk that an install chose among those that are there now.
func (o *Operations) chosen(run *workflow.Run, s fleet.Server, p plan, facts fleet.Facts) (fleet.Disk, error) {
	if s.Facts.UUID != facts.UUID {
		return fleet.Disk{}, fleet.Errorf(fleet.Refused, "the machine that answers at %s has UUID %s, server %s has %s", s.Address(), facts.UUID, s.Name, s.Facts.UUID).
			WithHint("look at Hetzner whose address it is; then boot the rescue system anew: talos-manager operation retry %s", run.ID())
	}
	for _, d := range facts.Disks {
		if d.Name == p.Disk.Name && d.ID() == p.Disk.ID() && d.SizeBytes == p.Disk.SizeBytes {
			return d, nil
		}
	}
	return fleet.Disk{}, fleet.Errorf(fleet.Refused, "the disk that was chosen, %s, is not at /dev/%s any more", p.Disk.ID(), p.Disk.Name).
		WithHint("choose it anew: talos-manager operation retry %s", run.ID())
}

// clearBoot hides what would win the boot, and puts the firmware's boot order right.
func (o *Operations) clearBoot(ctx context.Context, run *workflow.Run) error {
	var p plan
	if _, err := run.Get(planKey, &p); err != nil {
		return err
	}
	if len(p.Rivals) == 0 && p.Firmware != "uefi" {
		return nil
	}
	s, _, err := o.server(ctx, run)
	if err != nil {
		return err
	}
	facts, session, disk, err := o.inRescue(ctx, run, s, p)
	if err != nil {
		return err
	}
	defer session.Close()
	if err := disarm(ctx, run, session, facts, disk, p.Rivals); err != nil {
		return err
	}
	order := rescue.BootOrder(facts.UEFI, disk, s.Provider != fleet.Manual)
	if order == nil {
		return nil
	}
	// A firmware that does not let its order be changed boots by an order of its own: that is no reason to stop.
	if err := session.SetBootOrder(ctx, order); err != nil {
		run.Warn(ctx, "%v", err)
		return nil
	}
	run.Warn(ctx, "boot order of the firmware: was %s, is %s; efibootmgr -o in the rescue system sets it back", strings.Join(facts.UEFI.Order, ","), strings.Join(order, ","))
	return nil
}

// disarm hides the rivals. Never on the chosen disk, even where two disks have one name: partitions of one image have the
// same UUIDs wherever it is written.
func disarm(ctx context.Context, run *workflow.Run, session *rescue.Session, facts fleet.Facts, chosen fleet.Disk, rivals []rescue.Rival) error {
	facts.Disks = slices.DeleteFunc(slices.Clone(facts.Disks), func(d fleet.Disk) bool { return d.Name == chosen.Name })
	for _, r := range rivals {
		done, err := session.Disarm(ctx, facts, r)
		switch {
		case err != nil && r.Unreadable: // the firmware will hardly do better
			run.Warn(ctx, "%v", err)
		case err != nil:
			return err
		case done != "":
			run.Warn(ctx, "%s: %s", r.Text, done)
		}
	}
	return nil
}

// noteInstalled remembers what was written where: the policy wipe-ours goes by it. Of a Talos that installs itself
// (BootKexec), the config says where to from now on: the node keeps it.
func (o *Operations) noteInstalled(ctx context.Context, s fleet.Server, disk fleet.Disk, boot fleet.BootMethod) error {
	c, err := o.Store.Cluster(ctx, s.Assignment.ClusterID)
	if err != nil {
		return err
	}
	return o.Store.SetInstalled(ctx, s.ID, fleet.Installed{Disk: disk.ID(), Serial: disk.Serial, ClusterID: c.ID, Cluster: c.Name, At: o.Now(), Boot: boot})
}

// tellChanges says what of a machine is not as it was when it was last asked.
func (o *Operations) tellChanges(ctx context.Context, run *workflow.Run, s fleet.Server, facts fleet.Facts) error {
	changes, err := o.noteChanges(ctx, run.Operation().Actor, s, facts)
	for _, c := range changes {
		run.Warn(ctx, "%s", c.Text)
	}
	if err != nil {
		return err
	}
	if off := facts.ClockOffset; off.Abs() > clockTolerated {
		run.Warn(ctx, "its clock is off by %s: certificates may count as not valid yet, or not any more", off.Round(time.Second))
	}
	return nil
}

// noteChanges keeps for good what of a machine is not as it was when it was last asked.
func (o *Operations) noteChanges(ctx context.Context, actor string, s fleet.Server, facts fleet.Facts) ([]fleet.Change, error) {
	changes := fleet.CompareFacts(s.Facts, facts)
	for _, c := range changes {
		if err := o.audit(ctx, actor, "server.changed", "server", s.ID, c.What+": "+c.Text); err != nil {
			return changes, err
		}
	}
	return changes, nil
}

// clockTolerated is how far a machine's clock may be off without a word.
const clockTolerated = 30 * time.Second
