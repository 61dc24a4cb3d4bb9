package manage

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
)

// LayerSummary is a layer in a list: how much it holds, and how many servers it is a part of.
type LayerSummary struct {
	LayerRef               // the owner by id
	Name          string   // of the cluster, config or server
	What          string   // "role worker of prod"
	Patches       []string // names, in the order they are applied
	Off           int      // of them
	Variables     int
	Servers       int
	SavedAt       time.Time // zero: never
	Draft         string    // its revision, "" for none
	DraftIsBehind bool      // what the draft was made on was changed since
}

// LayerList lists the layers of all configs and clusters, those of roles after their cluster's, and those of servers that
// hold something or have a draft: by scope, then by name.
func (m *Manager) LayerList(ctx context.Context) ([]LayerSummary, error) {
	now, _, err := m.Renderer.now(ctx)
	if err != nil {
		return nil, err
	}
	servers, err := m.Store.Servers(ctx, store.ServerFilter{IncludeMissing: true, WithoutFacts: true})
	if err != nil {
		return nil, err
	}
	use := now.useOf(servers)
	var all []LayerSummary
	for _, of := range now.targets(servers) {
		l := now.Layer(of.scope, of.owner)
		if of.scope == fleet.ScopeServer && l.Empty() && l.Draft == "" {
			continue
		}
		s := LayerSummary{
			LayerRef: LayerRef{Scope: of.scope, Owner: of.id, Role: of.role}, Name: of.name, What: of.what,
			Variables: len(l.Variables), Servers: use[of.key()], SavedAt: l.SavedAt, Draft: l.Draft, DraftIsBehind: l.DraftBase != l.Revision,
		}
		for _, p := range l.Patches {
			s.Patches = append(s.Patches, p.Name)
			if p.Off {
				s.Off++
			}
		}
		all = append(all, s)
	}
	order := []fleet.Scope{fleet.ScopeConfig, fleet.ScopeCluster, fleet.ScopeServer}
	place := func(s LayerSummary) int {
		if s.Scope == fleet.ScopeRole {
			return slices.Index(order, fleet.ScopeCluster)
		}
		return slices.Index(order, s.Scope)
	}
	slices.SortStableFunc(all, func(a, b LayerSummary) int {
		return cmp.Or(cmp.Compare(place(a), place(b)), strings.Compare(a.Name, b.Name), strings.Compare(a.Owner, b.Owner), strings.Compare(string(a.Role), string(b.Role)))
	})
	return all, nil
}

// useOf counts the servers that each layer is a part of.
func (n *snapshot) useOf(servers []fleet.Server) map[layerKey]int {
	use := map[layerKey]int{}
	for _, s := range servers {
		c, assigned := n.Clusters[s.Assignment.ClusterID]
		if !assigned {
			continue
		}
		use[layerKey{fleet.ScopeCluster, c.ID}]++
		use[layerKey{fleet.ScopeRole, fleet.RoleOwner(c.ID, s.Assignment.Role)}]++
		use[layerKey{fleet.ScopeServer, s.ID}]++
		if id := cmp.Or(s.Assignment.ConfigID, c.ConfigID); id != "" {
			use[layerKey{fleet.ScopeConfig, id}]++
		}
	}
	return use
}

// targets are all layers that can be.
func (n *snapshot) targets(servers []fleet.Server) []target {
	var all []target
	for _, c := range n.Configs {
		all = append(all, configTarget(c))
	}
	for _, c := range n.Clusters {
		of := target{scope: fleet.ScopeCluster, owner: c.ID, id: c.ID, name: c.Name, what: "cluster " + c.Name, cluster: c}
		all = append(all, of)
		for _, role := range []fleet.Role{fleet.ControlPlane, fleet.Worker} {
			of.scope, of.owner, of.role, of.what = fleet.ScopeRole, fleet.RoleOwner(c.ID, role), role, roleLayer(role, c.Name)
			all = append(all, of)
		}
	}
	for _, s := range servers {
		all = append(all, target{scope: fleet.ScopeServer, owner: s.ID, id: s.ID, name: s.Name, what: "server " + s.Name})
	}
	return all
}
