package manage

import (
	"context"
	"net/netip"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
)

// RenameServer names a server at its provider. It is refused where that would rename a node, or give a cluster two
// nodes of one name.
func (m *Manager) RenameServer(ctx context.Context, actor, ref, name string) (fleet.Server, error) {
	if err := fleet.CheckName("server", name); err != nil {
		return fleet.Server{}, err
	}
	s, driver, err := m.driverOf(ctx, ref)
	if err != nil {
		return s, err
	}
	if err := m.mayRename(ctx, s, name); err != nil {
		return s, err
	}
	if at, err := netip.ParseAddrPort(s.ProviderID); err == nil && s.Provider == fleet.Manual { // no provider keeps names apart
		renamed := s
		renamed.Name = name
		if err := m.mayAdd(ctx, renamed, at); err != nil {
			return s, err
		}
	}
	if err := m.tryName(ctx, s, name); err != nil {
		return s, err
	}
	if err := driver.Rename(ctx, s.ProviderID, name); err != nil {
		return s, err
	}
	old := s.Name
	if err := m.Store.SetObserved(ctx, s.ID, name, s.Status, s.Power, s.Locked, m.Now()); err != nil {
		return s, err
	}
	s.Name = name
	return s, m.audit(ctx, actor, "server.rename", "server", s.ID, "renamed "+old+" to "+name)
}

// tryName makes the machine config of an assigned server under another name, which patches may use.
func (m *Manager) tryName(ctx context.Context, s fleet.Server, name string) error {
	is := s
	is.Name = name
	return m.tryServer(ctx, s, is, "renaming server "+s.Name)
}

// tryServer makes the machine config of an assigned server as it would be.
func (m *Manager) tryServer(ctx context.Context, was, is fleet.Server, what string) error {
	if !was.Assignment.Assigned() || was.Assignment.Draft {
		return nil
	}
	now, _, err := m.Renderer.now(ctx)
	if err != nil {
		return err
	}
	t := now.try(what)
	t.alone = true
	t.setServer(was, is)
	return m.check(ctx, t)
}

// mayRename refuses to rename a node, and to give a cluster two nodes of one name.
func (m *Manager) mayRename(ctx context.Context, s fleet.Server, name string) error {
	if !s.Assignment.Assigned() {
		return nil
	}
	if s.Hostname() == s.Name && s.State != fleet.Known && s.State != fleet.Broken {
		return fleet.Errorf(fleet.Refused, "server %s is a node of that name", s.Name).
			WithHint("a node keeps its name until it is installed anew")
	}
	renamed := s
	renamed.Name = name
	others, err := m.Store.Servers(ctx, store.ServerFilter{ClusterID: s.Assignment.ClusterID, IncludeMissing: true, WithoutFacts: true})
	if err != nil {
		return err
	}
	for _, other := range others {
		if other.ID != s.ID && other.Hostname() == renamed.Hostname() {
			return fleet.Errorf(fleet.Conflict, "server %s: the node name %q is that of server %s (%s) in the same cluster", s.Name, renamed.Hostname(), other.Name, other.ID).
				WithHint("choose another name")
		}
	}
	return nil
}
