package operation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/provider"
	"github.com/talos-manager/talos-manager/internal/rescue"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

// Rescue boots a server into the rescue system and asks it what it is.
func (o *Operations) Rescue(ctx context.Context, actor, ref string) (fleet.Operation, error) {
	s, err := o.Store.Server(ctx, ref)
	if err != nil {
		return fleet.Operation{}, err
	}
	if err := mayRescue(s); err != nil {
		return fleet.Operation{}, err
	}
	op, err := o.engine.Enqueue(ctx, workflow.New{Kind: KindRescue, ServerID: s.ID, ClusterID: s.Assignment.ClusterID, Actor: actor})
	if err != nil {
		return op, err
	}
	return op, o.audit(ctx, actor, KindRescue, "server", s.ID, "boot "+s.Name+" into the rescue system")
}

func mayRescue(s fleet.Server) error {
	if s.State == fleet.Ready || s.State == fleet.Configured {
		return fleet.Errorf(fleet.Refused, "server %s is a node of its cluster; the rescue system would take it out of it without warning", s.Name).
			WithHint("take it out of its cluster first: talos-manager server assign %s --cluster ''", s.Name)
	}
	return nil
}

func (o *Operations) rescueKind() workflow.Kind {
	return workflow.Kind{Name: KindRescue, Steps: func(*workflow.Run) ([]workflow.Step, error) {
		return o.rescueSteps(), nil
	}}
}

// rescueSteps bring a server into the rescue system and read its facts. Nothing on its disks is touched; the
// system that ran is stopped by force.
func (o *Operations) rescueSteps() []workflow.Step {
	return []workflow.Step{
		{Name: "ask for the rescue system", Do: o.askRescue},
		{Name: "boot the rescue system", Do: o.bootRescue},
		{Name: "reach the rescue system", Do: o.reachRescue},
		{Name: "read the facts", Do: o.readFacts},
	}
}

// boot is what is remembered of the rescue boot an operation ordered.
type boot struct {
	Armed   time.Time `json:"armed,omitzero"`    // when the next boot was last made to enter rescue; zero: perhaps used up
	Ordered time.Time `json:"ordered,omitzero"`  // just before the last order
	Orders  orders    `json:"orders,omitzero"`   // of restarts
	Ours    []string  `json:"ours,omitempty"`    // host keys of a rescue system that runs and knows our key: it can be told to reboot
	Pins    []string  `json:"pins,omitempty"`    // host keys of this boot
	Strange int       `json:"strange,omitempty"` // looks that met another host key than the published ones
	// Maintenance is the fingerprint of the certificate of a Talos in maintenance mode that does instead of a rescue system.
	Maintenance string `json:"maintenance,omitempty"`
}

const bootKey = "rescue"

// armedFor is how long an armed rescue system is relied on: it lapses after 60 minutes, and a restart may have to
// wait for its budget as long.
const armedFor = 45 * time.Minute

func (o *Operations) askRescue(ctx context.Context, run *workflow.Run) error {
	s, driver, err := o.server(ctx, run)
	if err != nil {
		return err
	}
	if s.Provider == fleet.Manual {
		return o.askManual(ctx, run, s)
	}
	var b boot
	if _, err := run.Get(bootKey, &b); err != nil {
		return err
	}
	if b.Armed.IsZero() { // arming makes Robot forget the keys of what runs
		if b.Ours, err = o.runningRescue(ctx, s, driver); err != nil {
			return err
		}
	}
	_, err = o.arm(ctx, run, s, driver, b)
	return err
}

// runningRescue gives the host keys of a dedicated server's rescue system if it runs since its last boot and knows our
// key: telling it to reboot saves one of 50 resets an hour. The Cloud publishes no keys, and counts no resets.
func (o *Operations) runningRescue(ctx context.Context, s fleet.Server, driver provider.Driver) ([]string, error) {
	if s.Provider != fleet.HetznerRobot || !o.answers(ctx, s) {
		return nil, nil
	}
	pins, err := driver.RescueHostKeys(ctx, s.ProviderID, time.Time{})
	if err != nil || len(pins) == 0 {
		return nil, err
	}
	session, err := o.open(ctx, s, pins)
	if err != nil {
		return nil, nil //nolint:nilerr // something else runs
	}
	return pins, session.Close()
}

func (o *Operations) arm(ctx context.Context, run *workflow.Run, s fleet.Server, driver provider.Driver, b boot) (boot, error) {
	replaced, err := driver.ArmRescue(ctx, s.ProviderID, o.Key.PublicKey())
	if err != nil {
		return b, o.busy(err, "server "+s.Name+" to be free")
	}
	if replaced != "" {
		run.Warn(ctx, "armed before was %s: it was taken away", replaced)
	}
	b.Armed = o.Now()
	run.Log(ctx, "rescue system armed for the next boot")
	return b, run.Set(ctx, bootKey, b)
}

// busyPatience is how long a provider may be busy with a thing.
const busyPatience = 15 * time.Minute

// busy turns a conflict into a wait: the provider is doing something else with the thing.
func (o *Operations) busy(err error, what string) error {
	if fleet.KindOf(err) == fleet.Conflict {
		return workflow.Wait(what+" ("+err.Error()+")", o.pace(5*time.Second)).Within(o.pace(busyPatience)).WithHint("%s", fleet.HintOf(err))
	}
	return err
}

func (o *Operations) bootRescue(ctx context.Context, run *workflow.Run) error {
	s, driver, err := o.server(ctx, run)
	if err != nil {
		return err
	}
	if s.Provider == fleet.Manual {
		return o.bootManual(ctx, run, s)
	}
	var b boot
	if again, err := run.Get(bootKey, &b); err != nil {
		return err
	} else if again && run.StepStarted().Before(b.Ordered) {
		return nil // the restart was ordered before we died: ordering another would throw away this boot's host keys
	}
	offered, err := driver.Resets(ctx, s.ProviderID)
	if err != nil {
		return o.busy(err, "server "+s.Name+" to be free")
	}
	if len(b.Ours) > 0 {
		err := o.restart(ctx, run, s, driver, b, orders{}.with(sshReboot, o.Now(), offered))
		if err == nil {
			run.Log(ctx, toldToReboot)
			return nil
		}
		run.Warn(ctx, "the rescue system that ran cannot be told to reboot: %v", err)
		b.Ours = nil
	}
	kind := force(offered)
	if kind == "" {
		run.Warn(ctx, "nothing that a program may order restarts %s: boot its rescue system by hand, it is reached at %s", s.Name, s.Address())
		b.Ordered, b.Orders.ByHand = o.Now(), true
		return run.Set(ctx, bootKey, b)
	}
	if err := o.restart(ctx, run, s, driver, b, orders{}.with(kind, o.Now(), offered)); err != nil {
		return err
	}
	run.Log(ctx, "%s ordered at %s%s", kind, s.Provider, cost(s.Provider, kind))
	return nil
}

// restart writes down that it is about to order a restart, then does. A crash between the two costs a wait and the
// next order of reachRescue, never an unnoticed second boot. Where the provider's answer leaves open whether the
// machine boots now, the next try arms it anew: that boot would use up what is armed.
func (o *Operations) restart(ctx context.Context, run *workflow.Run, s fleet.Server, driver provider.Driver, b boot, l orders) error {
	if b.Armed.IsZero() || o.Now().Sub(b.Armed) > o.pace(armedFor) {
		var err error
		if b, err = o.arm(ctx, run, s, driver, b); err != nil {
			return err
		}
	}
	l.Done[len(l.Done)-1].At = o.Now()
	if err := run.Set(ctx, bootKey, boot{Ordered: o.Now(), Orders: l}); err != nil {
		return err
	}
	kind := l.last().Kind
	err := o.press(ctx, s, driver, kind, b.Ours)
	if err == nil {
		return nil
	}
	switch fleet.KindOf(err) {
	case fleet.Exhausted, fleet.Conflict, fleet.Invalid, fleet.Refused, fleet.NotFound, fleet.Unauthorized, fleet.Forbidden: // not taken
	default:
		b.Armed = time.Time{}
	}
	if err := run.Set(ctx, bootKey, b); err != nil {
		return err
	}
	return o.busy(err, "server "+s.Name+" to be free")
}

// press orders a restart of a provider, or of the rescue system that runs with these host keys.
func (o *Operations) press(ctx context.Context, s fleet.Server, driver provider.Driver, kind provider.Reset, pins []string) error {
	if kind != sshReboot {
		return driver.Reset(ctx, s.ProviderID, kind)
	}
	session, err := o.open(ctx, s, pins)
	if err != nil {
		return err
	}
	defer session.Close()
	return session.Reboot(ctx)
}

// firstLook is when the first look at a rescue boot is worth it, and nextLook how long after one the next: sshd
// penalises hammering.
var (
	firstLook = map[fleet.Provider]time.Duration{fleet.HetznerRobot: 75 * time.Second, fleet.HetznerCloud: 12 * time.Second}
	nextLook  = map[fleet.Provider]time.Duration{fleet.HetznerRobot: 7 * time.Second, fleet.HetznerCloud: 3 * time.Second}
)

// knock is how long a machine has to answer before it counts as not there.
const knock = 3 * time.Second

// maxStrange is how often another host key than the published ones is met before it is believed: the keys change when
// somebody boots the machine once more, and are published some time later.
const maxStrange = 3

// reachRescue waits until the rescue system of our boot answers SSH with a host key that is pinned from then on. The
// provider is asked for its keys only when something answers: Robot allows 500 such calls an hour for all servers of
// an account.
func (o *Operations) reachRescue(ctx context.Context, run *workflow.Run) error {
	s, driver, err := o.server(ctx, run)
	if err != nil {
		return err
	}
	if s.Provider == fleet.Manual {
		return o.reachManual(ctx, run, s)
	}
	var b boot
	if _, err := run.Get(bootKey, &b); err != nil {
		return err
	}
	if worth := b.Ordered.Add(o.pace(firstLook[s.Provider])); o.Now().Before(worth) && !b.Orders.ByHand {
		return workflow.WaitUntil("the rescue system to boot", worth)
	}
	if !o.answers(ctx, s) {
		return o.rescueNotYet(ctx, run, s, driver, b, "the rescue system to answer SSH")
	}
	pins, err := driver.RescueHostKeys(ctx, s.ProviderID, b.Ordered)
	switch {
	case errors.Is(err, provider.ErrNoHostKeys):
		return o.trustFirst(ctx, run, s, driver, b)
	case err != nil:
		return err
	case len(pins) == 0:
		return o.rescueNotYet(ctx, run, s, driver, b, "the provider to publish the host keys of the rescue system")
	}
	session, err := o.open(ctx, s, pins)
	switch {
	case errors.Is(err, rescue.ErrHostKey) && b.Strange+1 < maxStrange:
		b.Strange++
		run.Warn(ctx, "%v", err)
		if err := run.Set(ctx, bootKey, b); err != nil {
			return err
		}
		return o.rescueNotYet(ctx, run, s, driver, b, "the rescue system to present the host key that the provider publishes")
	case fleet.KindOf(err) == fleet.Unavailable:
		return o.rescueNotYet(ctx, run, s, driver, b, "the rescue system to answer SSH")
	case err != nil:
		return err
	}
	defer session.Close()
	return o.pin(ctx, run, s, b, session, pins)
}

// answers says whether something listens on the machine's SSH port.
func (o *Operations) answers(ctx context.Context, s fleet.Server) bool {
	ctx, cancel := context.WithTimeout(ctx, max(o.pace(knock), 100*time.Millisecond))
	defer cancel()
	return rescue.Answers(ctx, o.rescueOptions(s, nil))
}

// trustFirst takes the first host key of a rescue system whose provider publishes none. The system that was installed
// before may answer, and even know our key: it is not to be pinned.
func (o *Operations) trustFirst(ctx context.Context, run *workflow.Run, s fleet.Server, driver provider.Driver, b boot) error {
	session, err := o.open(ctx, s, b.Pins)
	if err == nil {
		defer session.Close()
		_, err = session.Facts(ctx)
	}
	switch kind := fleet.KindOf(err); {
	case err == nil:
		return o.pin(ctx, run, s, b, session, []string{session.HostKey})
	case kind == fleet.Unavailable, kind == fleet.Unauthorized, kind == fleet.Refused && !errors.Is(err, rescue.ErrHostKey):
		return o.rescueNotYet(ctx, run, s, driver, b, "the rescue system to answer SSH ("+err.Error()+")")
	}
	return err
}

func (o *Operations) pin(ctx context.Context, run *workflow.Run, s fleet.Server, b boot, session *rescue.Session, pins []string) error {
	b.Pins = pins
	run.Log(ctx, "rescue system answers at %s with host key %s", s.Address(), session.HostKey)
	return run.Set(ctx, bootKey, b)
}

// rescueNotYet waits, and orders rougher restarts when the earlier ones led nowhere.
func (o *Operations) rescueNotYet(ctx context.Context, run *workflow.Run, s fleet.Server, driver provider.Driver, b boot, what string) error {
	if len(b.Orders.Done) == 0 && !b.Orders.ByHand { // begun by a version that did not write orders down
		b.Orders.Done = []order{{provider.HardReset, b.Ordered}}
	}
	next, err := o.rouse(ctx, run, s, driver, rouse{
		what: "the rescue system", l: b.Orders,
		hint:  fmt.Sprintf("look at the server's screen (KVM or vKVM at Robot, console at the Cloud): the network must be first in its boot order. Then: talos-manager operation retry %s", run.ID()),
		press: func(ctx context.Context, l orders) error { return o.restart(ctx, run, s, driver, b, l) },
		keep:  func(ctx context.Context, l orders) error { b.Orders = l; return run.Set(ctx, bootKey, b) },
	})
	if err != nil {
		return err
	}
	pause := workflow.Wait(what+next, max(o.pace(nextLook[s.Provider]), o.Now().Sub(b.Ordered)/20))
	if b.Orders.ByHand {
		pause = workflow.Wait(what+next, o.pace(handLook)).Within(o.pace(handPatience)).
			WithHint("start its rescue system by hand with our public key as an authorized key of root; it is reached at %s. Then: talos-manager operation retry %s", s.Address(), run.ID())
	}
	return pause
}

// handLook is how often it is looked for what somebody does by hand.
const handLook = 5 * time.Second

func (o *Operations) rescueOptions(s fleet.Server, pins []string) rescue.Options {
	return rescue.Options{Server: s.Name, Address: s.Address(), Port: cmp.Or(s.SSHPort(), o.SSHPort), Key: o.Key, Pins: pins, AnyMake: s.Provider == fleet.Manual, Dial: o.Dial}
}

// open connects to a server's rescue system.
func (o *Operations) open(ctx context.Context, s fleet.Server, pins []string) (*rescue.Session, error) {
	return rescue.Open(ctx, o.rescueOptions(s, pins))
}

// session connects to the rescue system this operation booted, and to no other.
func (o *Operations) session(ctx context.Context, run *workflow.Run, s fleet.Server) (*rescue.Session, error) {
	var b boot
	if _, err := run.Get(bootKey, &b); err != nil {
		return nil, err
	}
	if len(b.Pins) == 0 {
		return nil, fleet.Errorf(fleet.Refused, "server %s: no host key is pinned for its rescue system", s.Name).
			WithHint("boot it anew: talos-manager operation retry %s", run.ID())
	}
	return o.open(ctx, s, b.Pins)
}

func (o *Operations) readFacts(ctx context.Context, run *workflow.Run) error {
	s, _, err := o.server(ctx, run)
	if err != nil {
		return err
	}
	var b boot
	if _, err := run.Get(bootKey, &b); err != nil {
		return err
	}
	if b.Maintenance != "" {
		return o.readMaintenance(ctx, run, s, b.Maintenance)
	}
	session, err := o.session(ctx, run, s)
	if err != nil {
		return err
	}
	defer session.Close()
	if err := o.undisturbed(ctx, session); err != nil {
		return err
	}
	facts, err := session.Facts(ctx)
	if err != nil {
		return err
	}
	if err := o.knowDisks(run, s, facts); err != nil {
		return err
	}
	facts.At = o.Now()
	if err := o.tellChanges(ctx, run, s, facts); err != nil {
		return err
	}
	o.tellBoard(ctx, run, s, facts)
	run.Log(ctx, "%s %s, %s, %d cores, %d GB memory, UUID %s", facts.Manufacturer, facts.Product, facts.Firmware, facts.Cores, fleet.GiB(facts.MemoryBytes), facts.UUID)
	run.Log(ctx, "disks: %s", rescue.Describe(facts.Disks))
	return o.Store.SetFacts(ctx, s.ID, facts)
}

// undisturbed waits for the end of what an earlier attempt started in the same rescue system: what a disk holds while it is
// written is not what it will hold.
func (o *Operations) undisturbed(ctx context.Context, session *rescue.Session) error {
	status, err := session.WriteStatus(ctx)
	if err != nil || !status.Running {
		return err
	}
	return workflow.Wait("the write of an earlier attempt to end ("+status.String()+")", o.pace(writeLook)).Within(o.pace(writeGiveUp)).
		WithHint("log in to the rescue system and look at /run/talos-manager/log")
}

// lateNames is how long disks have to say what they are: some show their WWN only a while after the boot (seen by the
// Cluster API provider, which waits for 30 s).
const lateNames = time.Minute

// knowDisks waits for a disk that has no name yet, or for the one that is to be installed on.
func (o *Operations) knowDisks(run *workflow.Run, s fleet.Server, facts fleet.Facts) error {
	if o.Now().Sub(run.StepStarted()) > o.pace(lateNames) {
		return nil
	}
	_, err := fleet.ChooseDisk(s.Name, s.Assignment.InstallDisk, facts.Disks)
	missing := s.Assignment.InstallDisk != "" && err != nil
	for _, d := range facts.Disks {
		missing = missing || d.ID() == ""
	}
	if missing {
		return workflow.Wait("the disks to say what they are", o.pace(3*time.Second))
	}
	return nil
}
