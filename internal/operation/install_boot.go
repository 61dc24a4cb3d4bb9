package operation

import (
	"context"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/provider"
	"github.com/talos-manager/talos-manager/internal/store"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

// window is how long after the last sign of its install a machine may fetch its config: while an install waits for
// that, its window stays open.
const window = 45 * time.Minute

const rebootKey = "reboot"

func (o *Operations) bootTalos(ctx context.Context, run *workflow.Run) error {
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
			return nil // it was told to reboot before we died, and is on its way
		}
		return err
	}
	defer session.Close()
	if err := run.Set(ctx, rebootKey, o.Now()); err != nil {
		return err
	}
	run.Log(ctx, "rebooting into Talos")
	return session.Reboot(ctx)
}

const (
	configLook   = 2 * time.Second
	configSecond = 8 * time.Minute
	configGiveUp = 25 * time.Minute
)

// handOverConfig waits until /config has given the machine its config.
func (o *Operations) handOverConfig(ctx context.Context, run *workflow.Run) error {
	s, driver, err := o.server(ctx, run)
	if err != nil {
		return err
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
		return nil
	}
	if arm.ExpiresAt.Sub(o.Now()) < window/2 {
		if err := o.Store.ExtendArm(ctx, arm, o.Now().Add(window)); err != nil {
			return err
		}
	}
	if err := o.bootAgain(ctx, run, s, driver, arm); err != nil {
		return err
	}
	what := "the machine to fetch its config"
	if arm.Refusal != "" {
		what += " (last refused: " + arm.Refusal + ")"
	}
	return workflow.Wait(what, o.pace(configLook)).Within(o.pace(configGiveUp)).
		WithHint("can the machine reach %s? Look at its screen, and at the events of server %s for refused requests. Then: talos-manager operation retry %s", o.URL, s.Name, run.ID())
}

const secondBootKey = "second boot"

// bootAgain orders one restart when there was no sign of a machine. One that asks for its config runs. Without budget
// it is not waited for: the machine may come by itself.
func (o *Operations) bootAgain(ctx context.Context, run *workflow.Run, s fleet.Server, driver provider.Driver, arm store.Arm) error {
	var first, second time.Time
	if _, err := run.Get(rebootKey, &first); err != nil {
		return err
	}
	again, err := run.Get(secondBootKey, &second)
	if again || err != nil || arm.Attempts > 0 || o.Now().Sub(first) < o.pace(configSecond) {
		return err
	}
	if err := run.Set(ctx, secondBootKey, o.Now()); err != nil {
		return err
	}
	err = driver.Restart(ctx, s.ProviderID)
	if err == nil {
		run.Warn(ctx, "no sign of the machine for %s: it was restarted once more", configSecond)
		return nil
	}
	if err := run.Set(ctx, secondBootKey, nil); err != nil {
		return err
	}
	if until := provider.ExhaustedUntil(err); !until.IsZero() {
		return workflow.Wait("the machine to fetch its config; it can be restarted once more at "+until.Format("15:04:05"), o.pace(10*configLook)).
			Within(o.pace(configGiveUp) + until.Sub(first))
	}
	return o.busy(err, "server "+s.Name+" to be free")
}
