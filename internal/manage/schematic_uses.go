package manage

import (
	"context"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
)

// SchematicUse says who uses a schematic.
type SchematicUse struct {
	Clusters []fleet.Cluster // that give it to their servers
	Servers  []fleet.Server  // that get it, from their cluster or by themselves; without facts
}

// SchematicUses says who uses each schematic, by its id. What nobody uses is missing.
func (m *Manager) SchematicUses(ctx context.Context) (map[string]SchematicUse, error) {
	clusters, err := m.Store.Clusters(ctx)
	if err != nil {
		return nil, err
	}
	uses, given := map[string]SchematicUse{}, map[string]string{} // by schematic; schematic by cluster
	for _, c := range clusters {
		if given[c.ID] = c.SchematicID; c.SchematicID != "" {
			u := uses[c.SchematicID]
			u.Clusters = append(u.Clusters, c)
			uses[c.SchematicID] = u
		}
	}
	servers, err := m.Store.Servers(ctx, store.ServerFilter{IncludeMissing: true, WithoutFacts: true})
	if err != nil {
		return nil, err
	}
	for _, s := range servers {
		if id := firstOf(s.Assignment.SchematicID, given[s.Assignment.ClusterID]); id != "" {
			u := uses[id]
			u.Servers = append(u.Servers, s)
			uses[id] = u
		}
	}
	return uses, nil
}
