package operation

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
	"github.com/talos-manager/talos-manager/internal/provider"
	"github.com/talos-manager/talos-manager/internal/rescue"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

// Talos can be started from the rescue system by kexec: the firmware is not gone through, so a machine that hangs there
// needs no restart out of the account's budget. Nothing is written to the disk but zeroes; Talos fetches its config
// while it runs in memory, and installs itself where that says.

// bootMethod is how Talos gets to run: what was ordered, or for BootAuto what was decided; BootAuto while it is not.
func bootMethod(options InstallOptions, p plan) fleet.BootMethod {
	switch {
	case options.Boot == fleet.BootAuto && p.Boot != "":
		return p.Boot
	case options.Boot == "":
		return fleet.BootImage
	}
	return options.Boot
}

// stepLoadKernel is in installs by kexec only.
const stepLoadKernel = "load Talos' kernel"

// kexecSteps take the place of those that write an image and boot it. The kernel is loaded before the disk is wiped.
func (o *Operations) kexecSteps() []workflow.Step {
	return []workflow.Step{
		{Name: "release the disk", Do: o.inRescueOnly(o.releaseDisk)},
		{Name: stepLoadKernel, Do: o.inRescueOnly(o.loadKernel)},
		{Name: "clear the way for the boot", Do: o.inRescueOnly(o.clearBoot)},
		{Name: "start Talos' kernel", Do: o.inRescueOnly(o.startKernel)},
	}
}

// mayKexec refuses machines and settings with which Talos cannot be started from the rescue system.
func (o *Operations) mayKexec(s fleet.Server) error {
	switch f := s.Facts; {
	case o.Images[s.Architecture] != "":
		return fleet.Errorf(fleet.Invalid, "server %s: TALOS_%s_IMAGE_URL names an image; kexec needs the image factory's kernel", s.Name, strings.ToUpper(string(s.Architecture))).
			WithHint("install by the image: --boot image")
	case f.SecureBoot:
		return fleet.Errorf(fleet.Refused, "server %s has Secure Boot on: its rescue system starts no other kernel", s.Name).
			WithHint("install by the image: --boot image")
	case f.MemoryBytes > 0 && f.MemoryBytes < minKexecMemory:
		return fleet.Errorf(fleet.Refused, "server %s has less than 2 GB of memory: Talos cannot install itself from there", s.Name).
			WithHint("install by the image: --boot image")
	}
	return nil
}

// minKexecMemory is what a rescue system says of a machine with 2 GB.
const minKexecMemory = 1900 << 20

// chooseBoot decides once how Talos is to get to run, before anything is done; decided says that it did so just now. An
// operation that is taken up again goes by the same decision.
func (o *Operations) chooseBoot(ctx context.Context, run *workflow.Run, s fleet.Server, options InstallOptions, p *plan) (decided bool, err error) {
	if options.Boot == fleet.BootKexec {
		p.Boot = fleet.BootKexec
		return false, o.mayKexec(s)
	}
	if options.Boot != fleet.BootAuto || p.Boot != "" && !p.NoKexec {
		return false, nil
	}
	why := "the machine cannot start another kernel"
	if p.NoKexec {
		p.Boot, p.NoKexec = fleet.BootImage, false
	} else if p.Boot, why, err = o.betterBoot(ctx, s); err != nil {
		return false, err
	}
	run.Log(ctx, "Talos is to boot by %s: %s", p.Boot, why)
	return true, run.Set(ctx, planKey, *p)
}

// spareRestarts is how many restarts an account should have left for machines that hang: with fewer, none is risked.
const spareRestarts = 5

// betterBoot is kexec when the account's restarts run short. The machine's own rescue boot takes one of them.
func (o *Operations) betterBoot(ctx context.Context, s fleet.Server) (boot fleet.BootMethod, why string, err error) {
	if err := o.mayKexec(s); err != nil {
		return fleet.BootImage, err.Error(), nil
	}
	if s.Architecture == fleet.ARM64 {
		return fleet.BootImage, "kexec is taken on amd64 only, unless it is asked for", nil
	}
	driver, err := o.Drivers.Driver(ctx, s.AccountID)
	if err != nil {
		return "", "", err
	}
	costly, ok := driver.(provider.Costly)
	if !ok {
		return fleet.BootImage, "its restarts are not counted", nil
	}
	for _, c := range costly.RescueCosts() {
		if !c.Scarce || c.Restart == 0 {
			continue
		}
		state, err := o.Store.Budget(ctx, s.AccountID, c.Group)
		if err != nil {
			return "", "", err
		}
		used, back := state.Used(c.Limit.Calls, c.Limit.Window, c.Limit.Refill, o.Now())
		if left := (c.Limit.Calls - used) / c.Restart; left <= spareRestarts {
			return fleet.BootKexec, fmt.Sprintf("%d restarts are left of the account's budget until %s", max(0, left), back.Format("15:04:05")), nil
		}
	}
	return fleet.BootImage, "the account has restarts enough", nil
}

// chooseKernel is chooseImage for a Talos that is started from the rescue system: of the schematic as it is, for the
// source of the config comes with the command line.
func (o *Operations) chooseKernel(ctx context.Context, run *workflow.Run, s fleet.Server, made manage.Made, p *plan) error {
	id, err := o.Factory.CreateSchematic(ctx, made.Schematic.YAML)
	if err != nil {
		return err
	}
	version, arch := made.Cluster.TalosVersion, string(s.Architecture)
	p.TalosVersion, p.Image, p.Plain, p.Sector = version, "", false, 0
	p.Kernel, p.Initramfs = o.Factory.KernelURL(id, version, arch), o.Factory.InitramfsURL(id, version, arch)
	run.Log(ctx, "Talos %s from %s and %s, by kexec", version, fleet.ShownURL(p.Kernel), fleet.ShownURL(p.Initramfs))
	var options InstallOptions
	if err := run.Input(&options); err != nil {
		return err
	}
	via, err := o.viaManager(options)
	if err != nil {
		return err
	}
	for _, file := range []*string{&p.Kernel, &p.Initramfs} {
		if *file, err = o.handOut(ctx, *file, "", via); err != nil {
			return err
		}
	}
	p.CommandLine, err = o.Factory.CommandLine(ctx, id, version, "metal", arch)
	return err
}

// loadKernel has the rescue system load the kernel and wipe the disk, and watches. That goes on while we are dead, and is
// not started twice for one operation.
func (o *Operations) loadKernel(ctx context.Context, run *workflow.Run) error {
	s, _, err := o.server(ctx, run)
	if err != nil {
		return err
	}
	p, options, err := o.writing(ctx, run)
	if err != nil {
		return err
	}
	session, err := o.session(ctx, run, s)
	if err != nil {
		return err
	}
	defer session.Close()
	k := kernelOf(run, p)
	status, err := session.WriteStatus(ctx)
	if err != nil {
		return err
	}
	if status.Token != k.Token {
		if err := o.startLoading(ctx, run, session, s, p, k); err != nil {
			return o.busy(err, "the write of an earlier attempt to end")
		}
		return workflow.Wait("Talos' kernel to be loaded", o.pace(writeLook))
	}
	if err := k.Err(status); err != nil {
		return o.loadFailed(ctx, run, options, p, k, status, err)
	}
	if status.Phase != "loaded" || status.Exit != 0 {
		return workflow.Wait("Talos' kernel to be loaded ("+status.Phase+")", o.pace(writeLook)).Within(o.pace(writeGiveUp)).
			WithHint("log in to the rescue system and look at /run/talos-manager/log")
	}
	run.Log(ctx, "Talos' kernel is loaded; disk %s is wiped, Talos will install itself there", p.Disk.ID())
	return o.noteInstalled(ctx, s, p.Disk, fleet.BootKexec)
}

func kernelOf(run *workflow.Run, p plan) rescue.Kernel {
	return rescue.Kernel{Token: p.token(run), Disk: p.Disk, URL: p.Kernel, Initramfs: p.Initramfs}
}

// startLoading looks once more whether the disk of that name is the chosen one. The kernel's command line carries the
// one-time code, for the machine has no META yet: we know its hash before the machine knows it.
func (o *Operations) startLoading(ctx context.Context, run *workflow.Run, session *rescue.Session, s fleet.Server, p plan, k rescue.Kernel) error {
	if p.Disk.ID() == "" {
		return fleet.Errorf(fleet.Refused, "the disk of server %s has neither a WWID nor a serial number: its config cannot say where Talos is to install itself", s.Name).
			WithHint("install by the image: --boot image")
	}
	facts, err := session.Facts(ctx)
	if err != nil {
		return err
	}
	disk, err := o.chosen(run, s, p, facts)
	if err != nil {
		return err
	}
	values, err := o.bootValues(ctx, run, s)
	if err != nil {
		return err
	}
	way, err := o.delivery(run)
	if err != nil {
		return err
	}
	source := ""
	if way == fleet.Pull {
		code := rand.Text()
		if err := o.armCode(ctx, run, s, code, false); err != nil {
			return err
		}
		source = strings.ReplaceAll(o.configURL(), "${code}", code)
	}
	if k.CommandLine, err = rescue.CommandLine(p.CommandLine, source, values); err != nil {
		return err
	}
	run.Log(ctx, "loading Talos' kernel; disk %s will be wiped. Its META is to hold %s", rescue.Describe([]fleet.Disk{disk}), values)
	return session.LoadKernel(ctx, k)
}

// loadFailed is writeFailed for a kernel. A machine that cannot start another one gets the image, if that was left to us,
// when the operation is taken up again; until then its steps are as they were.
func (o *Operations) loadFailed(ctx context.Context, run *workflow.Run, options InstallOptions, p plan, k rescue.Kernel, status rescue.WriteStatus, err error) error {
	never := k.Unable(status)
	if never && options.Boot == fleet.BootAuto {
		p.NoKexec = true
		err = fleet.Errorf(fleet.KindOf(err), "%w", err).WithHint("the next attempt writes the image: talos-manager operation retry %s", run.ID())
	}
	return o.writeFailed(ctx, run, p, k.Untouched(status), never, err)
}

// startKernel leaves the rescue system for the kernel that was loaded.
func (o *Operations) startKernel(ctx context.Context, run *workflow.Run) error {
	var p plan
	if _, err := run.Get(planKey, &p); err != nil {
		return err
	}
	return o.leaveRescue(ctx, run, "starting Talos from the rescue system", func(session *rescue.Session) error {
		return session.StartKernel(ctx, kernelOf(run, p).Token)
	})
}

// toldWhere is a server whose config says where Talos is to install itself, if that sits in maintenance mode. To a Talos
// that is installed already, it says nothing new.
func (o *Operations) toldWhere(ctx context.Context, run *workflow.Run, s fleet.Server) (fleet.Server, error) {
	var b boot
	var p plan
	if _, err := run.Get(bootKey, &b); err != nil || b.Maintenance == "" {
		return s, err
	}
	if _, err := run.Get(planKey, &p); err != nil || p.Disk.ID() == "" {
		return s, err
	}
	if err := o.noteInstalled(ctx, s, p.Disk, fleet.BootKexec); err != nil {
		return s, err
	}
	return o.Store.Server(ctx, s.ID)
}
