package operation

import (
	"context"
	"fmt"
	"strings"

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
	if err := o.checkIdentity(ctx, s); err != nil {
		return err
	}
	disk, err := rescue.ChooseDisk(s.Name, s.Assignment.InstallDisk, s.Facts.Disks)
	if err != nil {
		return err
	}
	var p plan
	if _, err := run.Get(planKey, &p); err != nil {
		return err
	}
	if err := mayOverwrite(run, s, p, disk); err != nil {
		return err
	}
	p.Disk, p.Firmware = disk, s.Facts.Firmware
	run.Log(ctx, "disk %s", rescue.Describe([]fleet.Disk{disk}))
	if err := run.Set(ctx, planKey, p); err != nil {
		return err
	}
	// The config names the disk and the node; neither is to change when the disk's or the server's name does.
	a := s.Assignment
	a.Hostname = s.Hostname()
	if a.InstallDisk == "" {
		a.InstallDisk = disk.ID()
	}
	if a == s.Assignment {
		return nil
	}
	_, err = o.Store.Assign(ctx, s.ID, a)
	return err
}

// checkIdentity refuses an unusable UUID and one that another server has too.
func (o *Operations) checkIdentity(ctx context.Context, s fleet.Server) error {
	if err := fleet.CheckUUID(s.Name, s.Facts.UUID); err != nil {
		return err
	}
	same, err := o.Store.ServersByUUID(ctx, s.Facts.UUID)
	if err != nil {
		return err
	}
	for _, other := range same {
		if other.ID != s.ID && other.MissingAt.IsZero() {
			return fleet.Errorf(fleet.Refused, "servers %s and %s have the same SMBIOS UUID %s: the config of one could go to the other", s.Name, other.Name, s.Facts.UUID).
				WithHint("if %s had its mainboard exchanged: talos-manager server rescue %s reads its UUID anew; else ask Hetzner support to give %s a UUID of its own", other.Name, other.Name, s.Name)
		}
	}
	return nil
}

// mayOverwrite asks before data is lost that this program did not write. The answer must name the disk by its
// serial number, or its WWID where it has none.
func mayOverwrite(run *workflow.Run, s fleet.Server, p plan, disk fleet.Disk) error {
	var options InstallOptions
	if err := run.Input(&options); err != nil {
		return err
	}
	if len(disk.Contents) == 0 || options.Wipe || p.Writing && p.Disk.ID() == disk.ID() {
		return nil
	}
	name := disk.Serial
	if name == "" {
		name = disk.ID()
	}
	if name == "" {
		name = s.Name
	}
	if answer, ok := run.Answer(); ok && strings.TrimSpace(answer) == name {
		return nil
	}
	return workflow.Ask(fmt.Sprintf("The disk %s of server %s is not blank: %s. Everything on it will be lost. To go on, answer with %s",
		rescue.Describe([]fleet.Disk{disk}), s.Name, strings.Join(disk.Contents, ", "), name))
}
