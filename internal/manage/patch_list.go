package manage

import (
	"cmp"
	"context"
	"slices"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig"
	"github.com/talos-manager/talos-manager/internal/machineconfig/modernise"
	"github.com/talos-manager/talos-manager/internal/store"
)

// ListedPatch is a patch that is in effect for a layer, without its text.
type ListedPatch struct {
	Layer  LayerRef // by name
	Patch  string
	Role   fleet.Role // that it is for; "" for all servers of the layer
	Off    bool
	Recipe string // that it was made with; "" for none
}

// OldPatch is a patch of which a Talos version has a newer form, for all or a part.
type OldPatch struct {
	ListedPatch
	TalosVersion string // that was asked for; else the oldest of the clusters that the layer is used in, or the newest of all
	Deprecated   bool   // the version takes it as it is, and calls it deprecated
	Problem      string // why it cannot be said; then it may have none
}

// Patches lists the patches that are in effect for clusters, roles and configs, in the order of their application.
// Those of single servers, of which there may be thousands, are left out.
func (m *Manager) Patches(ctx context.Context) ([]ListedPatch, error) {
	now, _, err := m.Renderer.now(ctx)
	if err != nil {
		return nil, err
	}
	var all []ListedPatch
	now.eachLayer(nil, func(of target, c fleet.Contents) {
		for _, p := range c.Patches {
			all = append(all, listed(&of, p))
		}
	})
	return all, nil
}

// OldPatches lists the patches that can be modernised for a Talos version, "" for that which each is used with; those
// of single servers only if they are asked for.
func (m *Manager) OldPatches(ctx context.Context, version string, alone bool) ([]OldPatch, error) {
	if version != "" {
		if err := CheckLintable(version); err != nil {
			return nil, err
		}
	}
	now, _, err := m.Renderer.now(ctx)
	if err != nil {
		return nil, err
	}
	servers, err := m.Store.Servers(ctx, store.ServerFilter{IncludeMissing: true, WithoutFacts: true})
	if err != nil {
		return nil, err
	}
	versions := now.oldestVersions(servers)
	if !alone {
		servers = nil
	}
	var all []OldPatch
	now.eachLayer(servers, func(of target, c fleet.Contents) {
		for _, p := range c.Patches {
			old := OldPatch{ListedPatch: listed(&of, p), TalosVersion: cmp.Or(version, versions[of.key()], machineconfig.NewestTalos())}
			needs, err := old.look(p.Text, patchRole(&of, p))
			if err != nil {
				old.Problem = now.layerRedactor(of, c).String(err.Error())
			}
			if needs || err != nil {
				all = append(all, old)
			}
		}
	})
	return all, nil
}

// look says whether there is a newer form of the text.
func (p *OldPatch) look(text string, role fleet.Role) (bool, error) {
	needs, err := modernise.NeedsWork(text, p.TalosVersion, modernise.Options{Role: role})
	if needs || err != nil {
		return needs, err
	}
	p.Deprecated, err = modernise.NeedsWork(text, p.TalosVersion, modernise.Options{Role: role, All: true})
	return p.Deprecated, err
}

func listed(of *target, p fleet.Patch) ListedPatch {
	return ListedPatch{Layer: of.ref(), Patch: p.Name, Role: p.Role, Off: p.Off, Recipe: recipeOf(p.Text)}
}

// eachLayer goes through the layers of clusters, roles, configs and these servers, in the order of application and by
// name.
func (n *snapshot) eachLayer(servers []fleet.Server, f func(target, fleet.Contents)) {
	var all []target
	for _, c := range n.Clusters {
		all = append(all, target{scope: fleet.ScopeCluster, owner: c.ID, name: c.Name, cluster: c})
		for _, role := range []fleet.Role{fleet.ControlPlane, fleet.Worker} {
			all = append(all, target{scope: fleet.ScopeRole, owner: fleet.RoleOwner(c.ID, role), name: c.Name, role: role, cluster: c})
		}
	}
	for _, c := range n.Configs {
		all = append(all, configTarget(c))
	}
	for _, s := range servers {
		all = append(all, target{scope: fleet.ScopeServer, owner: s.ID, name: s.Name, role: s.Assignment.Role, cluster: n.Clusters[s.Assignment.ClusterID]})
	}
	order := fleet.Scopes()
	slices.SortFunc(all, func(a, b target) int {
		return cmp.Or(slices.Index(order, a.scope)-slices.Index(order, b.scope), cmp.Compare(a.name, b.name), cmp.Compare(a.role, b.role))
	})
	for _, of := range all {
		f(of, n.contents(of.scope, of.owner))
	}
}

// oldestVersions says of the layers that are in use which is the oldest Talos version they are used with.
func (n *snapshot) oldestVersions(servers []fleet.Server) map[layerKey]string {
	oldest := map[layerKey]string{}
	add := func(scope fleet.Scope, owner, version string) {
		k := layerKey{scope, owner}
		if had := oldest[k]; owner != "" && (had == "" || machineconfig.Later(had, version)) {
			oldest[k] = version
		}
	}
	for _, c := range n.Clusters {
		add(fleet.ScopeCluster, c.ID, c.TalosVersion)
		add(fleet.ScopeRole, fleet.RoleOwner(c.ID, fleet.ControlPlane), c.TalosVersion)
		add(fleet.ScopeRole, fleet.RoleOwner(c.ID, fleet.Worker), c.TalosVersion)
		add(fleet.ScopeConfig, c.ConfigID, c.TalosVersion)
	}
	for _, s := range servers {
		if c, there := n.Clusters[s.Assignment.ClusterID]; there {
			add(fleet.ScopeConfig, s.Assignment.ConfigID, c.TalosVersion)
			add(fleet.ScopeServer, s.ID, c.TalosVersion)
		}
	}
	return oldest
}

// LayerVersion is the Talos version that a layer is written for: that of the clusters it is used in, or the newest.
func (m *Manager) LayerVersion(ctx context.Context, ref LayerRef) (string, error) {
	now, of, err := m.locate(ctx, ref)
	if err != nil {
		return "", err
	}
	return m.versionOf(ctx, now, of, "")
}
