package operation

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/rescue"
	"github.com/talos-manager/talos-manager/internal/store"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

// window is how long after the last sign of its install a machine may fetch its config: while an install waits for
// that, its window stays open.
const window = 45 * time.Minute

// writeBootData gives the machine a one-time code, and us its hash. A second run makes a new code, so that no
// half-written one is ever valid.
func (o *Operations) writeBootData(ctx context.Context, run *workflow.Run) error {
	s, _, err := o.server(ctx, run)
	if err != nil {
		return err
	}
	var p plan
	if _, err := run.Get(planKey, &p); err != nil {
		return err
	}
	session, err := o.session(ctx, run, s)
	if err != nil {
		return err
	}
	defer session.Close()
	code := rand.Text()
	arm := store.Arm{
		ID: fleet.NewID(), ServerID: s.ID, OperationID: run.ID(), CodeHash: hash(code), UUID: s.Facts.UUID,
		ArmedAt: o.Now(), ExpiresAt: o.Now().Add(window),
	}
	if arm.NoCode, err = o.bootData(ctx, run, session, p, code); err != nil {
		return err
	}
	_, err = o.Store.Arm(ctx, arm)
	return err
}

// bootData writes the code where the machine will find it. A plain image on UEFI has its kernel arguments sealed:
// if they name our /config it is without code, and the UUID and the server's own address must do.
func (o *Operations) bootData(ctx context.Context, run *workflow.Run, session *rescue.Session, p plan, code string) (noCode bool, err error) {
	if err := session.WriteMeta(ctx, p.Disk, map[uint8]string{rescue.MetaDownloadURLCode: code}); err != nil {
		return false, err
	}
	switch {
	case !p.Plain:
		run.Log(ctx, "one-time code written to META; the schematic names %s", o.URL)
		return false, nil
	case p.Firmware == "uefi":
		run.Warn(ctx, "a plain image that boots by UEFI keeps its own kernel arguments: they must contain talos.config=%s/config?uuid=${uuid}", o.URL)
		return true, nil
	}
	argument := strings.ReplaceAll("talos.config="+o.configURL(), "${code}", code)
	run.Log(ctx, "kernel argument talos.config added to grub.cfg")
	return false, session.AddKernelArgument(ctx, p.Disk, argument)
}

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
		within += max(0, last.Sub(run.StepStarted()))
	}
	return workflow.Wait(what, o.pace(configLook)).Within(within).WithHint("%s", hint)
}
