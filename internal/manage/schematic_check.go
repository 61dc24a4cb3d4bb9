package manage

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/imagefactory"
	"github.com/talos-manager/talos-manager/internal/store"
)

// CheckSchematic says what Talos versions lack of a schematic: of the one that is asked for, or of those of the
// clusters that use it, or of the newest.
func (m *Manager) CheckSchematic(ctx context.Context, ref, version string) ([]fleet.SchematicReport, error) {
	s, err := m.Store.Schematic(ctx, ref)
	if err != nil {
		return nil, err
	}
	what, err := imagefactory.Read(s.YAML)
	if err != nil {
		return nil, err
	}
	versions := []string{version}
	if version == "" {
		if versions, err = m.versionsFor(ctx, s.ID); err != nil {
			return nil, err
		}
	}
	users, err := m.schematicUsers(ctx, s.ID)
	if err != nil {
		return nil, err
	}
	var reports []fleet.SchematicReport
	for _, v := range versions {
		r, err := m.Factory.Report(ctx, what, v)
		if err != nil {
			return nil, err
		}
		for _, u := range users {
			if strings.TrimPrefix(u.version, "v") == strings.TrimPrefix(v, "v") {
				r.UsedBy = append(r.UsedBy, u.name)
			}
		}
		reports = append(reports, r)
	}
	return reports, nil
}

// schematicUser is a cluster that uses a schematic, or of which servers do.
type schematicUser struct {
	name    string // "cluster prod", "server db-1"
	version string // of Talos
	servers []string
}

// schematicUsers lists who uses a schematic: clusters for all servers that have none of their own, and servers.
func (m *Manager) schematicUsers(ctx context.Context, id string) ([]schematicUser, error) {
	if id == "" {
		return nil, nil
	}
	clusters, err := m.Store.Clusters(ctx)
	if err != nil {
		return nil, err
	}
	servers, err := m.Store.Servers(ctx, store.ServerFilter{IncludeMissing: true, WithoutFacts: true})
	if err != nil {
		return nil, err
	}
	var users []schematicUser
	for _, c := range clusters {
		u := schematicUser{name: "cluster " + c.Name, version: c.TalosVersion}
		for _, s := range servers {
			switch {
			case s.Assignment.ClusterID != c.ID:
			case s.Assignment.SchematicID == id:
				users = append(users, schematicUser{"server " + s.Name, c.TalosVersion, []string{s.ID}})
			case s.Assignment.SchematicID == "":
				u.servers = append(u.servers, s.ID)
			}
		}
		if c.SchematicID == id {
			users = append(users, u)
		}
	}
	return users, nil
}

// versionsFor lists the Talos versions a schematic is used with; the newest if it is not used.
func (m *Manager) versionsFor(ctx context.Context, id string) ([]string, error) {
	users, err := m.schematicUsers(ctx, id)
	if err != nil {
		return nil, err
	}
	versions := map[string]bool{}
	for _, u := range users {
		versions[u.version] = true
	}
	if len(versions) == 0 {
		return []string{m.newestOffered(ctx)}, nil
	}
	return slices.Sorted(maps.Keys(versions)), nil
}

// offered refuses a Talos version that lacks something of a schematic, and an overlay, which is for boards of arm64,
// on another architecture; "" is any. What is said is only as good as the factory's word: while it does not answer, or
// does not know the version, nothing is refused, and an install that cannot get its image says so before it begins.
func (m *Manager) offered(ctx context.Context, doing, schematicID, version string, on fleet.Architecture) error {
	if schematicID == "" {
		return nil
	}
	s, err := m.Store.Schematic(ctx, schematicID)
	if err != nil {
		return err
	}
	what, err := imagefactory.Read(s.YAML)
	if err != nil {
		return err
	}
	doing += " with schematic " + s.Name
	if what.Overlay.Name != "" && on == fleet.AMD64 {
		return fleet.Errorf(fleet.Invalid, "%s: its overlay %s is for boards with arm64, and this is %s", doing, what.Overlay.Name, on).
			WithHint("use a schematic without an overlay")
	}
	r, err := m.Factory.Report(ctx, what, version)
	switch fleet.KindOf(err) {
	case fleet.Unavailable, fleet.NotFound:
		m.Log.WarnContext(ctx, "extensions are not checked", "schematic", s.Name, "talos", version, "error", err)
		return nil
	}
	return cmp.Or(err, imagefactory.Refusal(doing, r))
}

// offeredTo is offered for what an assignment is to change.
func (m *Manager) offeredTo(ctx context.Context, ref string, change AssignmentChange) error {
	leaves := change.Cluster != nil && *change.Cluster == ""
	if change.Draft || leaves || change.Cluster == nil && change.Schematic == nil {
		return nil
	}
	s, err := m.Store.Server(ctx, ref)
	if err != nil {
		return err
	}
	to := s.Assignment
	if change.Cluster != nil {
		to.ClusterID = *change.Cluster
	}
	if change.Schematic != nil {
		to.SchematicID = *change.Schematic
	}
	if to.ClusterID == "" {
		return nil // which the assignment refuses
	}
	c, err := m.Store.Cluster(ctx, to.ClusterID)
	if err != nil {
		return err
	}
	return m.offered(ctx, "server "+s.Name, cmp.Or(to.SchematicID, c.SchematicID), c.TalosVersion, s.Architecture)
}

// offeredToCluster is offered for what a change of a cluster's record is to change.
func (m *Manager) offeredToCluster(ctx context.Context, ref string, change ClusterChange) error {
	if change.TalosVersion == nil && change.Schematic == nil {
		return nil
	}
	c, err := m.Store.Cluster(ctx, ref)
	if err != nil {
		return err
	}
	schematics := map[string]string{c.SchematicID: "cluster " + c.Name}
	if change.Schematic != nil {
		schematics = map[string]string{*change.Schematic: "cluster " + c.Name}
	}
	if change.TalosVersion != nil {
		c.TalosVersion = strings.TrimSpace(*change.TalosVersion)
		servers, err := m.Store.Servers(ctx, store.ServerFilter{ClusterID: c.ID, WithoutFacts: true})
		if err != nil {
			return err
		}
		for _, s := range servers { // with schematics of their own
			if id := s.Assignment.SchematicID; id != "" && schematics[id] == "" {
				schematics[id] = "server " + s.Name
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(schematics)) {
		if err := m.offered(ctx, schematics[id], id, c.TalosVersion, ""); err != nil {
			return err
		}
	}
	return nil
}
