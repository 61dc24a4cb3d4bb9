package robot

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/provider"
	"github.com/talos-manager/talos-manager/internal/wait"
)

// Driver is a Robot account as a provider.Driver.
type Driver struct {
	api     *Client
	members bool
	every   time.Duration
}

var _ provider.Driver = (*Driver)(nil)

// New makes a driver; it does not connect.
func New(o Options) *Driver {
	if o.RetryEvery <= 0 {
		o.RetryEvery = 2 * time.Second
	}
	return &Driver{api: NewClient(o), members: o.Members, every: o.RetryEvery}
}

// Check implements provider.Driver.
func (d *Driver) Check(ctx context.Context) error { return d.api.Check(ctx) }

// List implements provider.Driver. A login without the right to vSwitches lists none and says so.
func (d *Driver) List(ctx context.Context) (provider.Listing, error) {
	servers, err := d.api.Servers(ctx)
	if err != nil {
		return provider.Listing{}, err
	}
	l := provider.Listing{Servers: make([]provider.Server, len(servers))}
	for i, s := range servers {
		l.Servers[i] = s.server()
	}
	vswitches, err := d.vswitches(ctx)
	if fleet.KindOf(err) == fleet.Forbidden {
		l.NoVSwitches = true
		return l, nil
	}
	if err != nil {
		return provider.Listing{}, err
	}
	for _, v := range vswitches {
		id := strconv.FormatInt(v.ID, 10)
		l.VSwitches = append(l.VSwitches, fleet.VSwitch{ProviderID: id, Name: v.Name, VLAN: v.VLAN})
		for _, m := range v.Members {
			if i := slices.IndexFunc(servers, func(s Server) bool { return s.Number == m.Number }); i >= 0 {
				l.Servers[i].VSwitch = id
			}
		}
	}
	return l, nil
}

// vswitches lists those that are not cancelled, with their members if the driver was asked to.
func (d *Driver) vswitches(ctx context.Context) ([]VSwitch, error) {
	all, err := d.api.VSwitches(ctx)
	all = slices.DeleteFunc(all, func(v VSwitch) bool { return v.Cancelled })
	if err != nil || !d.members {
		return all, err
	}
	for i := range all {
		if all[i], err = d.api.VSwitch(ctx, all[i].ID); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// server translates what a listing says.
func (s Server) server() provider.Server {
	p := provider.Server{
		ProviderID: strconv.FormatInt(s.Number, 10), Name: s.Name, Product: s.Product, Location: s.DC,
		Architecture: fleet.AMD64, Status: s.Status, Power: fleet.PowerUnknown,
		Locked: s.Status != "ready", Cancelled: s.Cancelled,
	}
	if strings.HasPrefix(s.Product, "RX") { // Ampere Altra
		p.Architecture = fleet.ARM64
	}
	if s.IPv4 != nil {
		p.IPv4 = *s.IPv4
	}
	if s.IPv6Net != nil && *s.IPv6Net != "" {
		p.IPv6Net = fmt.Sprintf("%s/%d", *s.IPv6Net, s.mask(*s.IPv6Net))
	}
	return p
}

// mask is the prefix length of one of the server's networks; Robot hands out /64.
func (s Server) mask(network string) int {
	for _, n := range s.Subnets {
		if n.IP == network {
			return int(n.Mask)
		}
	}
	return 64
}

// Server implements provider.Driver. Power and rescue are calls of their own, with larger budgets.
func (d *Driver) Server(ctx context.Context, id string) (provider.Server, error) {
	n, err := number(id)
	if err != nil {
		return provider.Server{}, err
	}
	s, err := d.api.Server(ctx, n)
	if err != nil {
		return provider.Server{}, fmt.Errorf("read server %s: %w", id, err)
	}
	p := s.server()
	if s.Reset {
		if p.Power, err = d.Power(ctx, id); err != nil {
			return provider.Server{}, err
		}
	}
	if s.Rescue {
		r, err := d.api.Rescue(ctx, n)
		if err != nil && !hasCode(err, "BOOT_NOT_AVAILABLE") {
			return provider.Server{}, fmt.Errorf("read boot settings of server %s: %w", id, err)
		}
		p.Rescue = r.Active
	}
	return p, nil
}

// Rename implements provider.Driver.
func (d *Driver) Rename(ctx context.Context, id, name string) error {
	n, err := number(id)
	if err != nil {
		return err
	}
	return during(d.api.Rename(ctx, n, name), "rename server %s to %q", id, name)
}

// EnsureKey implements provider.Driver.
func (d *Driver) EnsureKey(ctx context.Context, name string, key ssh.PublicKey) error {
	have, err := d.api.HasKey(ctx, ssh.FingerprintLegacyMD5(key))
	if err != nil || have {
		return during(err, "look for our SSH key")
	}
	data := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
	err = d.api.CreateKey(ctx, name, data)
	if !hasCode(err, "KEY_ALREADY_EXISTS") {
		return during(err, "upload our SSH key")
	}
	// Either somebody uploaded the same key in between, or the name is another key's.
	if have, err := d.api.HasKey(ctx, ssh.FingerprintLegacyMD5(key)); err != nil || have {
		return during(err, "look for our SSH key")
	}
	return during(d.api.CreateKey(ctx, provider.SpareKeyName(name, key), data), "upload our SSH key")
}

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

// Restart implements provider.Driver.
func (d *Driver) Restart(ctx context.Context, id string) error {
	n, err := number(id)
	if err != nil {
		return err
	}
	r, err := d.api.ResetOptions(ctx, n)
	if err != nil {
		return fmt.Errorf("restart server %s: %w", id, err)
	}
	return during(d.restart(ctx, n, r), "restart server %s", id)
}

// restart chooses the button. It never calls a technician.
func (d *Driver) restart(ctx context.Context, n int64, r Reset) error {
	switch {
	case r.power() == fleet.PowerOff && r.Offers(ResetPower):
		return d.api.Reset(ctx, n, ResetPower)
	case r.power() == fleet.PowerUnknown && r.Offers(ResetHardware):
		return d.resetOrWake(ctx, n)
	case r.Offers(ResetHardware):
		return d.api.Reset(ctx, n, ResetHardware)
	case r.Offers(ResetPowerLong) && r.Offers(ResetPower):
		return d.powerCycle(ctx, n)
	}
	return fleet.Errorf(fleet.Invalid, "robot offers no reset that a program may use, only: %s", strings.Join(r.Types, ", ")).
		WithHint("reboot it into the rescue system by hand, or ask Hetzner support for a remote reset")
}

// resetOrWake is for boards that do not tell whether they are on: the reset button does nothing when they are
// off, so a wake-up follows, which does nothing when they are on. That not every board wakes is no error.
func (d *Driver) resetOrWake(ctx context.Context, n int64) error {
	if err := d.api.Reset(ctx, n, ResetHardware); err != nil {
		return err
	}
	err := d.api.Wake(ctx, n)
	if fleet.KindOf(err) == fleet.Unauthorized || ctx.Err() != nil {
		return err
	}
	return nil
}

// powerCycle is for boards without a reset button.
func (d *Driver) powerCycle(ctx context.Context, n int64) error {
	if err := d.api.Reset(ctx, n, ResetPowerLong); err != nil {
		return err
	}
	looks := 0
	err := wait.Until(ctx, "the server to be off", d.every, func(ctx context.Context) (bool, error) {
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

// number reads a server number. Anything else is no server of Robot's.
func number(id string) (int64, error) {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil || n <= 0 {
		return 0, fleet.Errorf(fleet.Invalid, "%q is not a Robot server number", id)
	}
	return n, nil
}

// during says what was being done, to whom; nil stays nil.
func during(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), err)
}
