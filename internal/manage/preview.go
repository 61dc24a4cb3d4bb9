package manage

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig"
)

// Preview is the machine config that a server would get, and where each line of it comes from. It holds no secrets.
type Preview struct {
	Server       fleet.Server
	Cluster      fleet.Cluster
	TalosVersion string
	YAML         string
	Lines        []string // who set line i+1: the name of a patch, of one of our own, or "" for what Talos generates
	Idle         []string // patches that change nothing
	Removed      []machineconfig.Origin
	Warnings     []string // what Talos says of it though it takes it
}

// Preview makes the machine config that a server would get after a change, which is written nowhere.
func (m *Manager) Preview(ctx context.Context, c Change, server string) (p Preview, err error) {
	now, _, err := m.Renderer.now(ctx)
	if err != nil {
		return p, err
	}
	t, err := m.tryChange(ctx, now, c)
	if err != nil {
		return p, err
	}
	if p.Server, err = m.Store.Server(ctx, server); err != nil {
		return p, err
	}
	t.setServer(p.Server, p.Server)
	made, err := t.after.compose(p.Server)
	if err != nil {
		return p, t.hideAll(err)
	}
	e, err := machineconfig.Explain(made.Input)
	if err != nil {
		return p, t.hideAll(err)
	}
	text, lines, err := e.Redacted()
	if err != nil {
		return p, err
	}
	hidden := t.redactor(made.Cluster)
	p.Cluster, p.TalosVersion, p.Lines, p.Idle, p.Removed = made.Cluster, made.Input.TalosVersion, lines, e.Idle, e.Removed
	p.YAML = hideText(hidden, string(HideConfig(e.YAML, text)))
	for _, w := range e.Warnings {
		p.Warnings = append(p.Warnings, hidden.String(w))
	}
	return p, nil
}

// VariableValue is a variable as a server has it.
type VariableValue struct {
	Name, Value string // the value of a secret is diff.Secret; "" is none
	Means       string // of a built-in one
	By          string // the layer that sets it, as "config base"; "" for a built-in one
}

// Variables lists the variables of an assigned server: the built-in ones, then the own ones of its layers by name.
func (m *Manager) Variables(ctx context.Context, server string) ([]VariableValue, error) {
	now, _, err := m.Renderer.now(ctx)
	if err != nil {
		return nil, err
	}
	s, err := m.Store.Server(ctx, server)
	if err != nil {
		return nil, err
	}
	made, err := now.compose(s)
	if err != nil {
		return nil, now.try("").hideAll(err)
	}
	shown := fleet.Contents{Variables: maps.Clone(map[string]string(made.Input.Variables))}
	now.hide(&shown)
	var all []VariableValue
	for _, v := range machineconfig.BuiltInVariables() {
		all = append(all, VariableValue{Name: v.Name, Value: shown.Variables[v.Name], Means: v.Means})
	}
	by := map[string]string{}
	for _, l := range now.layersOf(&made, s) {
		for name := range l.contents.Variables {
			by[name] = l.what
		}
	}
	for _, name := range slices.Sorted(maps.Keys(by)) {
		all = append(all, VariableValue{Name: name, Value: shown.Variables[name], By: by[name]})
	}
	return all, nil
}

// Users lists the servers that a layer is a part of, by name; those that are only meant to be, too. With them come the
// versions of TalosVersions.
func (m *Manager) Users(ctx context.Context, ref LayerRef) (users []fleet.Server, versions []string, err error) {
	now, of, err := m.locate(ctx, ref)
	if err != nil {
		return nil, nil, err
	}
	users, err = m.usersOf(ctx, now, of)
	return users, now.versionsOf(of, users), err
}

// TalosVersions are those of the clusters that a layer is used in, the oldest first; the newest that this program knows
// where it is used in none.
func (m *Manager) TalosVersions(ctx context.Context, ref LayerRef) ([]string, error) {
	now, of, err := m.locate(ctx, ref)
	if err != nil {
		return nil, err
	}
	users, err := m.usersOf(ctx, now, of)
	return now.versionsOf(of, users), err
}

// versionsOf are the Talos versions of the clusters that a layer is used in.
func (n *snapshot) versionsOf(of target, users []fleet.Server) []string {
	used := map[string]bool{}
	if of.cluster.ID != "" {
		used[of.cluster.TalosVersion] = true
	}
	for _, s := range users {
		used[n.Clusters[s.Assignment.ClusterID].TalosVersion] = true
	}
	for _, c := range n.Clusters {
		if of.scope == fleet.ScopeConfig && c.ConfigID == of.id {
			used[c.TalosVersion] = true
		}
	}
	if len(used) == 0 {
		return []string{machineconfig.NewestTalos()}
	}
	return slices.SortedFunc(maps.Keys(used), func(a, b string) int {
		switch {
		case machineconfig.Later(a, b):
			return 1
		case machineconfig.Later(b, a):
			return -1
		}
		return cmp.Compare(a, b)
	})
}
