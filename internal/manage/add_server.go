package manage

import (
	"cmp"
	"context"
	"net/netip"
	"strings"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
)

// NewServer is a server of any make, added by hand.
type NewServer struct {
	Name    string // a DNS label that no other server has
	Address string // of its rescue system's SSH, or of a Talos in maintenance mode: see fleet.ParseAddress
	// HostKey has the SHA-256 fingerprints of its rescue system's host keys; "": the first that answers is trusted, and
	// pinned for the operation. See fleet.ParseHostKeys.
	HostKey      string
	Architecture fleet.Architecture // "" is amd64
	Account      string             // name or id of an account of fleet.Manual; "" is fleet.ManualAccount, made when it is missing
}

// AddServer notes a server of any make. Nothing is asked of the machine: see operation.Probe. fleet.Conflict, naming
// who has it, if the name or the address is some server's already.
func (m *Manager) AddServer(ctx context.Context, actor string, n NewServer) (fleet.Server, error) {
	s, at, err := n.server()
	if err != nil {
		return s, err
	}
	if err := m.mayAdd(ctx, s, at); err != nil {
		return s, err
	}
	account, err := m.manualAccount(ctx, actor, n.Account)
	if err != nil {
		return s, err
	}
	s.AccountID, s.CreatedAt = account.ID, m.Now()
	if s, err = m.Store.AddServer(ctx, s); err != nil {
		return s, err
	}
	return s, m.audit(ctx, actor, "server.add", "server", s.ID, "added "+s.Name+" at "+s.ProviderID)
}

// server checks what can be checked without the records.
func (n NewServer) server() (s fleet.Server, at netip.AddrPort, err error) {
	if err := fleet.CheckName("server", n.Name); err != nil {
		return s, at, err
	}
	if at, err = fleet.ParseAddress(n.Address); err != nil {
		return s, at, err
	}
	s = fleet.Server{
		Provider: fleet.Manual, Name: n.Name, Architecture: cmp.Or(n.Architecture, fleet.AMD64), Power: fleet.PowerUnknown, State: fleet.Known,
	}
	if s.Architecture != fleet.AMD64 && s.Architecture != fleet.ARM64 {
		return s, at, fleet.Errorf(fleet.Invalid, "server %s: unknown architecture %q", n.Name, n.Architecture).WithHint("use %s or %s", fleet.AMD64, fleet.ARM64)
	}
	s.SetAddress(at)
	s.HostKey, err = fleet.ParseHostKeys(n.HostKey)
	return s, at, err
}

// mayAdd refuses a name or an address that some server has. Behind a loopback address there are forwarded ports, of
// virtual machines: only there are two ports two machines.
func (m *Manager) mayAdd(ctx context.Context, s fleet.Server, at netip.AddrPort) error {
	all, err := m.Store.Servers(ctx, store.ServerFilter{WithoutFacts: true})
	if err != nil {
		return err
	}
	for _, other := range all {
		switch {
		case other.ID == s.ID:
		case other.Name == s.Name:
			return fleet.Errorf(fleet.Conflict, "there is a server %s already, at %s", other.Name, cmp.Or(other.Address(), "no address")).WithHint("choose another name")
		case has(other, at):
			return fleet.Errorf(fleet.Conflict, "server %s has the address %s already", other.Name, at.Addr()).
				WithHint("talos-manager server show %s says more of it", other.Name)
		}
	}
	return nil
}

// has says whether a server is what answers at an address.
func has(s fleet.Server, at netip.AddrPort) bool {
	if s.Provider == fleet.Manual && at.Addr().IsLoopback() {
		return s.ProviderID == at.String()
	}
	if net, err := netip.ParsePrefix(s.IPv6Net); err == nil && net.Contains(at.Addr()) {
		return true
	}
	text := at.Addr().String()
	return s.IPv4 == text || s.IPv6 == text
}

// manualAccount gives the account that holds servers added by hand.
func (m *Manager) manualAccount(ctx context.Context, actor, ref string) (fleet.Account, error) {
	name := cmp.Or(strings.TrimSpace(ref), fleet.ManualAccount)
	a, err := m.Store.Account(ctx, name)
	switch {
	case err == nil && a.Provider != fleet.Manual:
		return a, fleet.Errorf(fleet.Invalid, "account %s is one of %s: its servers come from there", a.Name, a.Provider).
			WithHint("name an account of provider %s, or a new one", fleet.Manual)
	case err == nil:
		return a, nil
	case fleet.KindOf(err) != fleet.NotFound:
		return a, err
	}
	a = fleet.Account{Name: name, Provider: fleet.Manual}
	if err := a.Validate(); err != nil {
		return a, err
	}
	a, err = m.Store.CreateAccount(ctx, a)
	if fleet.KindOf(err) == fleet.Conflict { // somebody was faster
		return m.Store.Account(ctx, name)
	}
	if err != nil {
		return a, err
	}
	return a, m.audit(ctx, actor, "account.add", "account", a.ID, "added "+a.Name+" ("+string(a.Provider)+")")
}

// AddressChange is what to change of where a server is; nil leaves it as it is.
type AddressChange struct {
	Address *string // see NewServer
	HostKey *string // "": none is known
}

// ChangeServerAddress tells where a server that was added by hand is now. It is refused while an operation works on it,
// and where the new address breaks its machine config.
func (m *Manager) ChangeServerAddress(ctx context.Context, actor, ref string, change AddressChange) (fleet.Server, error) {
	s, err := m.Store.Server(ctx, ref)
	if err != nil {
		return s, err
	}
	if s.Provider != fleet.Manual {
		return s, fleet.Errorf(fleet.Invalid, "server %s is one of %s, which says where it is", s.Name, s.Provider).
			WithHint("talos-manager server sync asks it")
	}
	is := s
	if change.Address != nil {
		at, err := fleet.ParseAddress(*change.Address)
		if err != nil {
			return s, err
		}
		is.SetAddress(at)
		if err := m.mayAdd(ctx, is, at); err != nil {
			return s, err
		}
	}
	if change.HostKey != nil {
		if is.HostKey, err = fleet.ParseHostKeys(*change.HostKey); err != nil {
			return s, err
		}
	}
	if err := m.tryServer(ctx, s, is, "moving server "+s.Name); err != nil {
		return s, err
	}
	if err := m.Store.SetAddress(ctx, is); err != nil {
		return s, err
	}
	return is, m.audit(ctx, actor, "server.move", "server", s.ID, "moved "+s.Name+" from "+s.ProviderID+" to "+is.ProviderID)
}

// RemoveServer forgets a server that was added by hand, or that its account does not list any more. Nothing happens to
// the machine. It is refused while the server belongs to a cluster or has an operation that is not finished.
func (m *Manager) RemoveServer(ctx context.Context, actor, ref string) error {
	s, err := m.Store.Server(ctx, ref)
	if err != nil {
		return err
	}
	if s.Assignment.Assigned() {
		return fleet.Errorf(fleet.Conflict, "server %s belongs to a cluster", s.Name).
			WithHint("take it out of its cluster first: talos-manager server assign %s --cluster ''", s.Name)
	}
	if err := m.Store.RemoveServer(ctx, s.ID); err != nil {
		return err
	}
	return m.audit(ctx, actor, "server.remove", "server", s.ID, "removed "+s.Name+" ("+s.ProviderID+")")
}
