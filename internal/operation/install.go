package operation

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/rescue"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

// InstallOptions are how to install.
type InstallOptions struct {
	// Wipe says that the disk may hold data: without it an install stops and asks before it overwrites something
	// it did not write.
	Wipe bool `json:"wipe,omitempty"`
	// DiskPolicy is what may be overwritten without asking; "" as the server or its cluster has it. Wipe is WipeAll.
	DiskPolicy fleet.DiskPolicy `json:"diskPolicy,omitempty"`
	Delivery   fleet.Delivery   `json:"delivery,omitempty"`
	Boot       fleet.BootMethod `json:"boot,omitempty"`
	// OverrideUUID gives the machine a UUID in META if its board's is none or another server's.
	OverrideUUID bool `json:"overrideUUID,omitempty"`
	// StaticNetwork has META carry the addresses the rescue system had, for machines that no DHCP serves.
	StaticNetwork bool `json:"staticNetwork,omitempty"`
	// ViaManager has the machine fetch its image from us: one download from the factory serves all.
	ViaManager bool `json:"viaManager,omitempty"`
	// ImageSHA256 is the checksum of the image file, hex; "" if unknown.
	ImageSHA256 string `json:"imageSHA256,omitempty"`
}

// Check refuses options that contradict each other or mean nothing, before anything changes.
func (o InstallOptions) Check() error {
	if o.Wipe && o.DiskPolicy != "" && o.DiskPolicy != fleet.WipeAll {
		return fleet.Errorf(fleet.Invalid, "wipe and the disk policy %s contradict each other", o.DiskPolicy).WithHint("leave out one of them")
	}
	return cmp.Or(o.DiskPolicy.Check(), o.Delivery.Check(), o.Boot.Check(), fleet.CheckImageSHA256(o.ImageSHA256))
}

// policy is what may be overwritten on the server's disk without asking.
func (o InstallOptions) policy(s fleet.Server, c fleet.Cluster) fleet.DiskPolicy {
	if o.Wipe {
		return fleet.WipeAll
	}
	return cmp.Or(o.DiskPolicy, s.Assignment.DiskPolicy, c.DiskPolicy, fleet.CleanOnly)
}

// Install puts Talos on a server and makes it a node of its cluster. Everything that can be wrong with the
// records is refused here, before anything changes.
func (o *Operations) Install(ctx context.Context, actor, ref string, options InstallOptions) (fleet.Operation, error) {
	if err := options.Check(); err != nil {
		return fleet.Operation{}, err
	}
	s, err := o.Store.Server(ctx, ref)
	if err != nil {
		return fleet.Operation{}, err
	}
	if err := cmp.Or(o.mayInstall(ctx, s), o.reachableBy(s, options.Delivery)); err != nil {
		return fleet.Operation{}, err
	}
	if options.Boot == fleet.BootKexec {
		if err := o.mayKexec(s); err != nil {
			return fleet.Operation{}, err
		}
	}
	op, err := o.engine.Enqueue(ctx, workflow.New{Kind: KindInstall, ServerID: s.ID, ClusterID: s.Assignment.ClusterID, Actor: actor, Input: options})
	if err != nil {
		return op, err
	}
	if err := o.ensureBootstrap(ctx, actor, s); err != nil { // the first step sees to it again
		o.Log.Warn("bootstrap not ordered yet", "server", s.ID, "error", err)
	}
	return op, o.audit(ctx, actor, KindInstall, "server", s.ID, "install Talos on "+s.Name)
}

func (o *Operations) mayInstall(ctx context.Context, s fleet.Server) error {
	if err := o.installable(s); err != nil {
		return err
	}
	_, err := o.Renderer.MachineConfig(ctx, s)
	return err
}

func (o *Operations) installable(s fleet.Server) error {
	switch {
	case !s.Assignment.Assigned():
		return fleet.Errorf(fleet.Invalid, "server %s belongs to no cluster", s.Name).
			WithHint("talos-manager server assign %s --cluster NAME", s.Name)
	case s.Assignment.Draft:
		return fleet.Errorf(fleet.Refused, "what server %s is to be is a draft", s.Name).
			WithHint("make it effective first: talos-manager server assign %s --cluster NAME", s.Name)
	case !s.MissingAt.IsZero():
		return fleet.Errorf(fleet.Refused, "server %s is not listed by its account any more", s.Name).
			WithHint("talos-manager server sync, and look at the account's state")
	case isNode(s):
		return fleet.Errorf(fleet.Refused, "server %s is a node of its cluster already; an install would wipe it", s.Name).
			WithHint("take it out of its cluster first: talos-manager server assign %s --cluster ''", s.Name)
	case s.Address() == "":
		return fleet.Errorf(fleet.Refused, "server %s has no address", s.Name).
			WithHint("order one for it at Hetzner, then talos-manager server sync")
	}
	return nil
}

// isNode says that a server runs as a node of its cluster, as far as we know.
func isNode(s fleet.Server) bool {
	return s.State == fleet.Ready || s.State == fleet.Configured || s.State == fleet.Unhealthy
}

func (o *Operations) installKind() workflow.Kind {
	return workflow.Kind{
		Name:     KindInstall,
		Steps:    o.stepsOf,
		OnFail:   o.installStopped,
		OnCancel: o.installStopped,
		Skips:    o.nodeSkips(),
	}
}

func (o *Operations) stepsOf(run *workflow.Run) ([]workflow.Step, error) {
	var options InstallOptions
	if err := run.Input(&options); err != nil {
		return nil, err
	}
	var p plan
	if _, err := run.Get(planKey, &p); err != nil {
		return nil, err
	}
	return o.installSteps(bootMethod(options, p)), nil
}

// installSteps lists what an install does, in order. Nothing is lost before "write the image", or "load Talos' kernel";
// after it, the old system is gone. The first step decides what follows where that was left open (BootAuto).
func (o *Operations) installSteps(boot fleet.BootMethod) []workflow.Step {
	steps := []workflow.Step{{Name: "check the records", Do: o.checkRecords}}
	steps = append(steps, o.rescueSteps()...)
	steps = append(steps, workflow.Step{Name: "choose the disk", Do: o.chooseDisk})
	switch boot {
	case fleet.BootAuto:
		return steps
	case fleet.BootKexec:
		steps = append(steps, o.kexecSteps()...)
	default:
		steps = append(steps, o.imageSteps()...)
	}
	return append(steps,
		workflow.Step{Name: "hand over the config", Do: o.handOverConfig},
		workflow.Step{Name: "wait for the control plane", Do: o.waitControlPlane},
		workflow.Step{Name: "check the node", Do: o.checkNode},
		workflow.Step{Name: stepWaitKubernetes, Do: o.waitKubernetes},
		workflow.Step{Name: stepLabel, Do: o.labelNode},
	)
}

// imageSteps put Talos' image on the disk and boot it.
func (o *Operations) imageSteps() []workflow.Step {
	return []workflow.Step{
		{Name: "release the disk", Do: o.inRescueOnly(o.releaseDisk)},
		{Name: "write the image", Do: o.inRescueOnly(o.writeImage)},
		{Name: "write the boot data", Do: o.inRescueOnly(o.writeBootData)},
		{Name: "clear the way for the boot", Do: o.inRescueOnly(o.clearBoot)},
		{Name: "boot Talos", Do: o.inRescueOnly(o.bootTalos)},
	}
}

// plan is what an install decided; kept so that every step goes by the same.
type plan struct {
	TalosVersion string     `json:"talosVersion"`
	Image        string     `json:"image"`
	Plain        bool       `json:"plain,omitempty"`  // an image of our settings, not the factory's
	Sector       int        `json:"sector,omitempty"` // bytes, of the disks that the image is for; 0: unknown
	Disk         fleet.Disk `json:"disk,omitzero"`
	Writing      bool       `json:"writing,omitempty"` // from here on the disk holds what we wrote
	Failed       int        `json:"failed,omitempty"`  // writes that failed
	Attempt      string     `json:"attempt,omitempty"` // names this attempt of the operation: see token
	Firmware     string     `json:"firmware,omitempty"`
	// Boot is how Talos gets to run, once that is decided; Kernel, Initramfs and CommandLine (the schematic's) are for
	// BootKexec, in place of Image.
	Boot        fleet.BootMethod `json:"boot,omitempty"`
	Kernel      string           `json:"kernel,omitempty"`
	Initramfs   string           `json:"initramfs,omitempty"`
	CommandLine string           `json:"commandLine,omitempty"`
	NoKexec     bool             `json:"noKexec,omitempty"` // the machine cannot start another kernel: the next attempt decides anew
	// Rivals are what on other disks would win over Talos, Agreed is the question that was answered with yes.
	Rivals []rescue.Rival `json:"rivals,omitempty"`
	Agreed string         `json:"agreed,omitempty"`
}

const planKey = "plan"

func (o *Operations) checkRecords(ctx context.Context, run *workflow.Run) error {
	s, _, err := o.server(ctx, run)
	if err != nil {
		return err
	}
	var options InstallOptions
	if err := run.Input(&options); err != nil {
		return err
	}
	if err := cmp.Or(o.installable(s), o.reachableBy(s, options.Delivery)); err != nil { // what was true when it was ordered may not be any more
		return err
	}
	if err := o.noMember(ctx, s); err != nil {
		return err
	}
	if err := o.ensureBootstrap(ctx, run.Operation().Actor, s); err != nil {
		return err
	}
	made, err := o.Renderer.MachineConfig(ctx, s)
	if err != nil {
		return err
	}
	var p plan
	if _, err := run.Get(planKey, &p); err != nil { // of an earlier attempt: what it wrote may be overwritten
		return err
	}
	if decided, err := o.chooseBoot(ctx, run, s, options, &p); err != nil {
		return err
	} else if decided { // the list of steps is another one now
		return workflow.Wait("the steps that follow", time.Millisecond)
	}
	choose := o.chooseImage
	if bootMethod(options, p) == fleet.BootKexec {
		choose = o.chooseKernel
	}
	if err := choose(ctx, run, s, made, &p); err != nil {
		return err
	}
	p.Attempt = fleet.NewID()
	if err := run.Set(ctx, planKey, p); err != nil {
		return err
	}
	return o.becomes(ctx, s, fleet.Installing)
}

// token names a write in the rescue system: what an earlier attempt wrote there, perhaps something else to another disk,
// is not taken for this one's.
func (p plan) token(run *workflow.Run) string {
	return strings.TrimSuffix(fmt.Sprintf("%s-%d-%s", run.ID(), p.Failed, p.Attempt), "-") // one begun by an older version has no Attempt
}

// becomes moves a server to a state, if it is not in it yet.
func (o *Operations) becomes(ctx context.Context, s fleet.Server, state fleet.State) error {
	if s.State == state {
		return nil
	}
	return o.Store.SetState(ctx, s.ID, s.State, state)
}

// configURL is what a machine fetches its config from: Talos fills in the variables. Source: talos
// internal/app/machined/pkg/runtime/v1alpha1/platform/metal.
func (o *Operations) configURL() string { return o.URL + "/config?uuid=${uuid}&code=${code}" }

// installStopped lets go of what an install holds: nobody gets the config any more.
func (o *Operations) installStopped(ctx context.Context, run *workflow.Run) error {
	s, err := o.Store.Server(ctx, run.Operation().ServerID)
	if err != nil {
		return err
	}
	if err := o.Store.Disarm(ctx, s.ID); err != nil {
		return err
	}
	var p plan
	if _, err := run.Get(planKey, &p); err != nil {
		return err
	}
	to := fleet.Broken
	if !p.Writing {
		to = fleet.Known // the machine has what it had
	}
	if s.State == fleet.Installing || s.State == fleet.Configured {
		return o.Store.SetState(ctx, s.ID, s.State, to)
	}
	return nil
}
