package operation

import (
	"context"
	"errors"
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
	if s.State == fleet.Ready || s.State == fleet.Configured {
		return fleet.Operation{}, fleet.Errorf(fleet.Refused, "server %s is a node of its cluster; the rescue system would take it out of it without warning", s.Name).
			WithHint("take it out of its cluster first: talos-manager server assign %s --cluster ''", s.Name)
	}
	op, err := o.engine.Enqueue(ctx, workflow.New{Kind: KindRescue, ServerID: s.ID, ClusterID: s.Assignment.ClusterID, Actor: actor})
	if err != nil {
		return op, err
	}
	return op, o.audit(ctx, actor, KindRescue, "server", s.ID, "boot "+s.Name+" into the rescue system")
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
	Ordered time.Time `json:"ordered"`        // just before the restart
	Resets  int       `json:"resets"`         // how often
	Pins    []string  `json:"pins,omitempty"` // host keys of this boot
}

const bootKey = "rescue"

func (o *Operations) askRescue(ctx context.Context, run *workflow.Run) error {
	s, driver, err := o.server(ctx, run)
	if err != nil {
		return err
	}
	return o.arm(ctx, run, s, driver)
}

func (o *Operations) arm(ctx context.Context, run *workflow.Run, s fleet.Server, driver provider.Driver) error {
	if err := driver.EnsureKey(ctx, provider.KeyName, o.Key.PublicKey()); err != nil {
		return err
	}
	if err := driver.ArmRescue(ctx, s.ProviderID, o.Key.PublicKey()); err != nil {
		return o.busy(err, "server "+s.Name+" to be free")
	}
	run.Log(ctx, "rescue system armed for the next boot")
	return nil
}

// busy turns a conflict into a wait: the provider is doing something else with the thing.
func (o *Operations) busy(err error, what string) error {
	if fleet.KindOf(err) == fleet.Conflict {
		return workflow.Wait(what+" ("+err.Error()+")", o.pace(5*time.Second)).Within(o.pace(15*time.Minute)).WithHint("%s", fleet.HintOf(err))
	}
	return err
}

func (o *Operations) bootRescue(ctx context.Context, run *workflow.Run) error {
	s, driver, err := o.server(ctx, run)
	if err != nil {
		return err
	}
	var b boot
	if again, err := run.Get(bootKey, &b); err != nil {
		return err
	} else if again && run.StepStarted().Before(b.Ordered) {
		return nil // the restart was ordered before we died: ordering another would throw away this boot's host keys
	}
	return o.restart(ctx, run, s, driver, b)
}

// restart writes down that it is about to order a restart, then does. A crash between the two costs a wait and
// the second try of reachRescue, never an unnoticed second boot.
func (o *Operations) restart(ctx context.Context, run *workflow.Run, s fleet.Server, driver provider.Driver, b boot) error {
	b = boot{Ordered: o.Now(), Resets: b.Resets + 1}
	if err := run.Set(ctx, bootKey, b); err != nil {
		return err
	}
	if err := driver.Restart(ctx, s.ProviderID); err != nil {
		if err := run.Set(ctx, bootKey, boot{Resets: b.Resets - 1}); err != nil {
			return err
		}
		return o.busy(err, "server "+s.Name+" to be free")
	}
	run.Log(ctx, "restart ordered at %s", s.Provider)
	return nil
}

// Times of a rescue boot. 86 s are typical for a dedicated server, 5 min 30 s normal on some boards, 17 s and more
// at the Cloud (measured by others: clients of the webservice and the Cluster API provider). One more reset after
// 10 min, then report.
const (
	rescueSecond = 10 * time.Minute
	rescueGiveUp = 20 * time.Minute
)

// firstLook is when the first look at a rescue boot is worth its call, and nextLook how long after one the next: a
// Robot account has 500 looks an hour for all its servers, and sshd penalises hammering.
var (
	firstLook = map[fleet.Provider]time.Duration{fleet.HetznerRobot: 75 * time.Second, fleet.HetznerCloud: 12 * time.Second}
	nextLook  = map[fleet.Provider]time.Duration{fleet.HetznerRobot: 7 * time.Second, fleet.HetznerCloud: 3 * time.Second}
)

// reachRescue waits until the rescue system of our boot answers SSH with a host key that is pinned from then on.
func (o *Operations) reachRescue(ctx context.Context, run *workflow.Run) error {
	s, driver, err := o.server(ctx, run)
	if err != nil {
		return err
	}
	var b boot
	if _, err := run.Get(bootKey, &b); err != nil {
		return err
	}
	if worth := b.Ordered.Add(o.pace(firstLook[s.Provider])); o.Now().Before(worth) {
		return workflow.WaitUntil("the rescue system to boot", worth)
	}
	pins, err := driver.RescueHostKeys(ctx, s.ProviderID, b.Ordered)
	trustFirst := errors.Is(err, provider.ErrNoHostKeys)
	switch {
	case err != nil && !trustFirst:
		return err
	case trustFirst:
		pins = b.Pins
	case len(pins) == 0:
		return o.rescueNotYet(ctx, run, s, driver, b, "the provider to publish the host keys of the rescue system")
	}
	session, err := o.open(ctx, s, pins)
	if err != nil {
		if kind := fleet.KindOf(err); kind == fleet.Unavailable || kind == fleet.Unauthorized && trustFirst {
			return o.rescueNotYet(ctx, run, s, driver, b, "the rescue system to answer SSH")
		}
		return err
	}
	defer session.Close()
	if trustFirst {
		pins = []string{session.HostKey}
	}
	b.Pins = pins
	run.Log(ctx, "rescue system answers at %s with host key %s", s.Address(), session.HostKey)
	return run.Set(ctx, bootKey, b)
}

// rescueNotYet waits, and orders one more restart when the first led nowhere.
func (o *Operations) rescueNotYet(ctx context.Context, run *workflow.Run, s fleet.Server, driver provider.Driver, b boot, what string) error {
	if b.Resets < 2 && o.Now().Sub(b.Ordered) > o.pace(rescueSecond) {
		run.Warn(ctx, "the rescue system did not come within %s: arming it again and restarting once more", rescueSecond)
		if err := o.arm(ctx, run, s, driver); err != nil {
			return err
		}
		if err := o.restart(ctx, run, s, driver, b); err != nil {
			return err
		}
	}
	again := max(o.pace(nextLook[s.Provider]), o.Now().Sub(b.Ordered)/20)
	return workflow.Wait(what, again).Within(o.pace(rescueGiveUp)).
		WithHint("look at the server's screen (KVM or vKVM at Robot, console at the Cloud): the network must be first in its boot order. Then: talos-manager operation retry %s", run.ID())
}

// open connects to a server's rescue system.
func (o *Operations) open(ctx context.Context, s fleet.Server, pins []string) (*rescue.Session, error) {
	return rescue.Open(ctx, rescue.Options{Server: s.Name, Address: s.Address(), Port: o.SSHPort, Key: o.Key, Pins: pins, Dial: o.Dial})
}

// session connects to the rescue system this operation booted, and to no other.
func (o *Operations) session(ctx context.Context, run *workflow.Run, s fleet.Server) (*rescue.Session, error) {
	var b boot
	if _, err := run.Get(bootKey, &b); err != nil {
		return nil, err
	}
	if len(b.Pins) == 0 {
		return nil, fleet.Errorf(fleet.Refused, "server %s: no host key is pinned for its rescue system", s.Name)
	}
	return o.open(ctx, s, b.Pins)
}

func (o *Operations) readFacts(ctx context.Context, run *workflow.Run) error {
	s, _, err := o.server(ctx, run)
	if err != nil {
		return err
	}
	session, err := o.session(ctx, run, s)
	if err != nil {
		return err
	}
	defer session.Close()
	facts, err := session.Facts(ctx)
	if err != nil {
		return err
	}
	facts.At = o.Now()
	if old := s.Facts; old.UUID != "" && old.UUID != facts.UUID {
		run.Warn(ctx, "its UUID was %s and is %s now: the mainboard was exchanged", old.UUID, facts.UUID)
	}
	run.Log(ctx, "%s %s, %s, %d cores, %d GB memory, UUID %s", facts.Manufacturer, facts.Product, facts.Firmware, facts.Cores, facts.MemoryBytes>>30, facts.UUID)
	run.Log(ctx, "disks: %s", rescue.Describe(facts.Disks))
	return o.Store.SetFacts(ctx, s.ID, facts)
}
