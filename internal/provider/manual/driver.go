// Package manual is the provider.Driver of servers that nobody rents out to us by an API: an operator added them by
// address. They are reached, that is all: nobody can be asked for them, and only a person starts their rescue system
// or presses their buttons. It connects to nothing and remembers nothing.
package manual

import (
	"context"
	"net/netip"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/provider"
)

// Driver is an account of such servers. The zero value is ready.
type Driver struct{}

var _ provider.Driver = Driver{}

// Check implements provider.Driver: there are no credentials that could be wrong.
func (Driver) Check(ctx context.Context) error { return ctx.Err() }

// List implements provider.Driver. No listing of these servers exists; who syncs must not take it for one.
func (Driver) List(ctx context.Context) (provider.Listing, error) {
	return provider.Listing{}, ctx.Err()
}

// Server implements provider.Driver: it says what the address alone tells.
func (d Driver) Server(ctx context.Context, id string) (provider.Server, error) {
	at, err := parse(ctx, id)
	if err != nil {
		return provider.Server{}, err
	}
	s := provider.Server{ProviderID: id, Name: id, Power: fleet.PowerUnknown}
	if at.Addr().Is4() {
		s.IPv4 = at.Addr().String()
	} else {
		s.IPv6Net = netip.PrefixFrom(at.Addr(), 128).String()
	}
	return s, nil
}

// Rename implements provider.Driver: the name is in our records only.
func (Driver) Rename(ctx context.Context, id, _ string) error { return known(ctx, id) }

// SetVSwitch implements provider.Driver.
func (Driver) SetVSwitch(ctx context.Context, id, _ string) error {
	if err := known(ctx, id); err != nil {
		return err
	}
	return fleet.Errorf(fleet.Invalid, "server %s was added by hand: it can be in no vSwitch", id).
		WithHint("vSwitches connect dedicated servers of one Robot account")
}

// EnsureKey implements provider.Driver: there is no place to keep keys.
func (Driver) EnsureKey(ctx context.Context, _ string, _ ssh.PublicKey) error { return ctx.Err() }

// ArmRescue implements provider.Driver.
func (Driver) ArmRescue(ctx context.Context, id string, _ ssh.PublicKey) (string, error) {
	return "", noPower(ctx, id)
}

// RescueHostKeys implements provider.Driver. What the operator gave is in the server's record.
func (Driver) RescueHostKeys(ctx context.Context, id string, _ time.Time) ([]string, error) {
	if err := known(ctx, id); err != nil {
		return nil, err
	}
	return nil, provider.ErrNoHostKeys
}

// Power implements provider.Driver: nobody says.
func (Driver) Power(ctx context.Context, id string) (fleet.Power, error) {
	return fleet.PowerUnknown, known(ctx, id)
}

// Resets implements provider.Driver: none.
func (Driver) Resets(ctx context.Context, id string) ([]provider.Reset, error) {
	return nil, known(ctx, id)
}

// Reset implements provider.Driver.
func (Driver) Reset(ctx context.Context, id string, _ provider.Reset) error { return noPower(ctx, id) }

func noPower(ctx context.Context, id string) error {
	if err := known(ctx, id); err != nil {
		return err
	}
	return provider.ErrNoPower
}

func known(ctx context.Context, id string) error {
	_, err := parse(ctx, id)
	return err
}

// parse reads an id: the address and port of SSH.
func parse(ctx context.Context, id string) (netip.AddrPort, error) {
	if err := ctx.Err(); err != nil {
		return netip.AddrPort{}, err
	}
	at, err := netip.ParseAddrPort(id)
	if err != nil {
		return at, fleet.Errorf(fleet.Invalid, "%q is not the address and port of a server that was added by hand", id)
	}
	return at, nil
}
