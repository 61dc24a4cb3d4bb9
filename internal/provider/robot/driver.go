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
