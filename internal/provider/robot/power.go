package robot

import (
	"context"
	"fmt"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/provider"
	"github.com/talos-manager/talos-manager/internal/wait"
)

// Power implements provider.Driver. Servers without a power button do not tell.
func (d *Driver) Power(ctx context.Context, id string) (fleet.Power, error) {
	n, err := number(id)
	if err != nil {
		return fleet.PowerUnknown, err
	}
	r, err := d.api.ResetOptions(ctx, n)
	if hasCode(err, "RESET_NOT_AVAILABLE") {
		return fleet.PowerUnknown, nil
	}
	if err != nil {
		return fleet.PowerUnknown, fmt.Errorf("read the power of server %s: %w", id, err)
	}
	return r.power(), nil
}

func (r Reset) power() fleet.Power {
	switch r.Status {
	case "running":
		return fleet.PowerOn
	case "shut off":
		return fleet.PowerOff
	}
	return fleet.PowerUnknown
}

// resets are what a program may order now, mildest first. It never calls a technician. The power button is no soft
// reset: it shuts the server down, and nobody starts it again.
func (r Reset) resets() []provider.Reset {
	var all []provider.Reset
	if r.power() == fleet.PowerOff && r.Offers(ResetPower) {
		return []provider.Reset{provider.PowerOn}
	}
	if r.Offers(ResetSoftware) {
		all = append(all, provider.SoftReset)
	}
	if r.Offers(ResetHardware) {
		all = append(all, provider.HardReset)
	}
	if r.Offers(ResetPowerLong) && r.Offers(ResetPower) {
		all = append(all, provider.PowerCycle)
	}
	return all
}

// Resets implements provider.Driver.
func (d *Driver) Resets(ctx context.Context, id string) ([]provider.Reset, error) {
	n, err := number(id)
	if err != nil {
		return nil, err
	}
	r, err := d.api.ResetOptions(ctx, n)
	if hasCode(err, "RESET_NOT_AVAILABLE") {
		return nil, nil
	}
	return r.resets(), during(err, "read what resets server %s has", id)
}

// Reset implements provider.Driver.
func (d *Driver) Reset(ctx context.Context, id string, kind provider.Reset) error {
	n, err := number(id)
	if err != nil {
		return err
	}
	return during(d.press(ctx, n, kind), "%s of server %s", kind, id)
}

// press orders a reset. Of a hard one, a server that does not tell whether it is on may know nothing, because it is
// off: a wake-up follows, which does nothing when it is on. That not every board wakes is no error.
func (d *Driver) press(ctx context.Context, n int64, kind provider.Reset) error {
	switch kind {
	case provider.PowerOn:
		return d.api.Reset(ctx, n, ResetPower)
	case provider.SoftReset:
		return d.api.Reset(ctx, n, ResetSoftware)
	case provider.HardReset:
		return d.resetOrWake(ctx, n)
	case provider.PowerCycle:
		return d.powerCycle(ctx, n)
	}
	return fleet.Errorf(fleet.Invalid, "robot has no %q", kind)
}

func (d *Driver) resetOrWake(ctx context.Context, n int64) error {
	r, err := d.api.ResetOptions(ctx, n)
	if err != nil {
		return err
	}
	if err := d.api.Reset(ctx, n, ResetHardware); err != nil || r.power() != fleet.PowerUnknown {
		return err
	}
	err = d.api.Wake(ctx, n)
	if fleet.KindOf(err) == fleet.Unauthorized || ctx.Err() != nil {
		return err
	}
	return nil
}

// powerCycle goes on where an earlier call stopped: a server that is off is started.
func (d *Driver) powerCycle(ctx context.Context, n int64) error {
	r, err := d.api.ResetOptions(ctx, n)
	if err != nil {
		return err
	}
	if r.power() == fleet.PowerOff {
		return d.api.Reset(ctx, n, ResetPower)
	}
	if err := d.api.Reset(ctx, n, ResetPowerLong); err != nil {
		return err
	}
	looks := 0
	err = wait.Until(ctx, "the server to be off", d.every, func(ctx context.Context) (bool, error) {
		if looks++; looks > 4 {
			return false, fleet.Errorf(fleet.Conflict, "it is being switched off").WithHint("try again in some seconds")
		}
		r, err := d.api.ResetOptions(ctx, n)
		return r.power() == fleet.PowerOff, err
	})
	if err != nil {
		return err
	}
	return d.api.Reset(ctx, n, ResetPower)
}
