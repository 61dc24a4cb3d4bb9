package robot

import (
	"context"
	"slices"
	"strconv"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// SetVSwitch implements provider.Driver. Robot refuses a second change while one runs, so each call makes the
// next one that is missing, or finds that one still runs, and says to look again.
func (d *Driver) SetVSwitch(ctx context.Context, id, vswitch string) error {
	n, err := number(id)
	if err != nil {
		return err
	}
	want := int64(0)
	if vswitch != "" {
		if want, err = strconv.ParseInt(vswitch, 10, 64); err != nil {
			return fleet.Errorf(fleet.Invalid, "%q is not the number of a vSwitch", vswitch)
		}
	}
	return during(d.move(ctx, n, want), "move server %s", id)
}

func (d *Driver) move(ctx context.Context, server, want int64) error {
	all, err := d.api.VSwitches(ctx)
	if err != nil {
		return err
	}
	if want != 0 && !slices.ContainsFunc(all, func(v VSwitch) bool { return v.ID == want }) {
		return fleet.Errorf(fleet.NotFound, "the account has no vSwitch %d", want).
			WithHint("`talos-manager server sync` reads the vSwitches anew")
	}
	in := want == 0
	for _, v := range all {
		if v, err = d.api.VSwitch(ctx, v.ID); err != nil {
			return err
		}
		member, is := v.Member(server)
		switch {
		case !is:
		case member.Status == "ready" && v.ID == want:
			in = true
		case member.Status == "ready" || member.Status == "failed": // a failed join is undone, then tried again
			return accepted(d.api.LeaveVSwitch(ctx, v.ID, server), "it is being taken out of vSwitch %d", v.ID)
		default:
			return accepted(nil, "vSwitch %d is %q with it", v.ID, member.Status)
		}
	}
	if in {
		return nil
	}
	return accepted(d.api.JoinVSwitch(ctx, want, server), "it is being put into vSwitch %d", want)
}

// accepted is what a change returns that Robot has begun: it takes 10 to 120 s.
func accepted(err error, format string, args ...any) error {
	if err != nil {
		return err
	}
	return fleet.Errorf(fleet.Conflict, format, args...).WithHint("Robot works on it, up to two minutes: look again")
}
