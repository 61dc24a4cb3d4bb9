package operation

import (
	"context"
	"fmt"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/rescue"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

// window is how long after the last sign of its install a machine may fetch its config: while an install waits for
// that, its window stays open.
const window = 45 * time.Minute

const rebootKey = "reboot"

func (o *Operations) bootTalos(ctx context.Context, run *workflow.Run) error {
	return o.leaveRescue(ctx, run, intoTalos, func(session *rescue.Session) error { return session.Reboot(ctx) })
}

// leaveRescue has the rescue system make way for Talos.
func (o *Operations) leaveRescue(ctx context.Context, run *workflow.Run, how string, leave func(*rescue.Session) error) error {
	s, _, err := o.server(ctx, run)
	if err != nil {
		return err
	}
	var before time.Time
	if _, err := run.Get(rebootKey, &before); err != nil {
		return err
	}
	session, err := o.session(ctx, run, s)
	if err != nil {
		if !before.IsZero() {
			return nil // it was told to before we died, and is on its way
		}
		return err
	}
	defer session.Close()
	if err := run.Set(ctx, rebootKey, o.Now()); err != nil {
		return err
	}
	run.Log(ctx, "%s", how)
	return leave(session)
}

const (
	configLook   = 2 * time.Second
	configGiveUp = 25 * time.Minute
)

// handOverConfig waits until /config has given the machine its config, or gives it to the machine.
func (o *Operations) handOverConfig(ctx context.Context, run *workflow.Run) error {
	s, driver, err := o.server(ctx, run)
	if err != nil {
		return err
	}
	if way, err := o.delivery(run); err != nil {
		return err
	} else if way == fleet.Push {
		return o.pushConfig(ctx, run, s, driver)
	}
	arm, err := o.Store.ArmOf(ctx, s.ID)
	if fleet.KindOf(err) == fleet.NotFound {
		return fleet.Errorf(fleet.Refused, "server %s may not fetch its config any more", s.Name).
			WithHint("give it a new one-time code: talos-manager operation retry %s", run.ID())
	}
	if err != nil {
		return err
	}
	if !arm.ServedAt.IsZero() {
		run.Log(ctx, "config handed over to UUID %s", arm.UUID)
		return o.ranAs(ctx, s, arm.UUID)
	}
	if arm.ExpiresAt.Sub(o.Now()) < window/2 {
		if err := o.Store.ExtendArm(ctx, arm, o.Now().Add(window)); err != nil {
			return err
		}
	}
	hint := fmt.Sprintf("can the machine reach %s? Look at its screen, and at the events of server %s for refused requests. Then: talos-manager operation retry %s", o.URL, s.Name, run.ID())
	what, within := "the machine to fetch its config", o.pace(configGiveUp)
	if arm.Refusal != "" {
		what += " (last refused: " + arm.Refusal + ")"
	}
	if arm.Attempts == 0 { // one that asks for its config runs
		follows, last, err := o.talosNotYet(ctx, run, s, driver, hint)
		if err != nil {
			return err
		}
		what += follows
		within = o.since(run, last, configGiveUp)
	}
	return workflow.Wait(what, o.pace(configLook)).Within(within).WithHint("%s", hint)
}
