package manage

import (
	"context"
	"slices"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig"
	"github.com/talos-manager/talos-manager/internal/machineconfig/diff"
	"github.com/talos-manager/talos-manager/internal/machineconfig/modernise"
	"github.com/talos-manager/talos-manager/internal/machineconfig/schema"
)

// UpgradeLint is what another Talos version would make of the patches that are in effect for the servers of a cluster.
// It holds no secrets.
type UpgradeLint struct {
	Cluster  fleet.Cluster
	From, To string // Talos versions
	Patches  []PatchLint
	// Broken are the servers whose configs could not be made for that version as the patches are now.
	Broken []BrokenGroup
}

// PatchLint is a patch that the version would refuse something of, or ignore.
type PatchLint struct {
	Layer    LayerRef // by name
	Patch    string
	Servers  []string // that it is in effect for, by name
	Findings []PatchFinding
	// Modernise says what a rewriting would come to. "" says that there is nothing to rewrite; Problem, why it cannot.
	Modernise modernise.Verdict
	Problem   string
}

// PatchFinding is one thing wrong with a patch.
type PatchFinding struct {
	schema.Finding
	Before bool // so it is for the present version too
}

// effective is a patch that servers of a cluster get.
type effective struct {
	layer   target
	patch   fleet.Patch
	servers []string
	sample  machineconfig.Variables // of one of them
}

// LintUpgrade says what a Talos version would refuse or ignore of the patches that are in effect for the servers of a
// cluster: before an upgrade, what has to be done first. A version that is not later is looked at by itself.
func (m *Manager) LintUpgrade(ctx context.Context, cluster, talosVersion string) (l UpgradeLint, err error) {
	if err := CheckLintable(talosVersion); err != nil {
		return l, err
	}
	now, _, err := m.Renderer.now(ctx)
	if err != nil {
		return l, err
	}
	if l.Cluster, err = now.clusterOf(cluster); err != nil {
		return l, err
	}
	l.From, l.To = l.Cluster.TalosVersion, talosVersion
	t := now.try("Talos " + talosVersion)
	upgraded := l.Cluster
	upgraded.TalosVersion = talosVersion
	t.setCluster(upgraded)
	if err := m.touch(ctx, t); err != nil {
		return l, err
	}
	hidden := t.redactor(upgraded)
	for _, e := range t.effective() {
		if p := e.lint(l.From, l.To, hidden); len(p.Findings) > 0 || p.Modernise != "" {
			l.Patches = append(l.Patches, p)
		}
	}
	l.Broken, err = m.wouldBreak(ctx, t)
	return l, err
}

// effective lists the patches that the servers of a trial get, in the order of application.
func (t *trial) effective() []*effective {
	var all []*effective
	at := map[string]*effective{}
	for _, s := range t.servers {
		made, err := t.before.compose(s.is)
		if err != nil {
			continue // said among what breaks
		}
		for _, of := range t.before.targetsOf(&made, s.is) {
			for _, p := range t.after.contents(of.scope, of.owner).Patches {
				if !p.For(&s.is) {
					continue
				}
				key := string(of.scope) + " " + of.owner + " " + p.Name
				if at[key] == nil {
					at[key] = &effective{layer: of, patch: p, sample: made.Input.Variables}
					all = append(all, at[key])
				}
				at[key].servers = append(at[key].servers, s.is.Name)
			}
		}
	}
	order := fleet.Scopes()
	slices.SortStableFunc(all, func(a, b *effective) int {
		return slices.Index(order, a.layer.scope) - slices.Index(order, b.layer.scope)
	})
	return all
}

// targetsOf are the layers of a server, in the order of application.
func (n *snapshot) targetsOf(made *Made, s fleet.Server) []target {
	c, role := made.Cluster, s.Assignment.Role
	all := []target{
		{scope: fleet.ScopeCluster, owner: c.ID, name: c.Name},
		{scope: fleet.ScopeRole, owner: fleet.RoleOwner(c.ID, role), name: c.Name, role: role},
	}
	if made.Config.ID != "" {
		all = append(all, target{scope: fleet.ScopeConfig, owner: made.Config.ID, name: made.Config.Name})
	}
	return append(all, target{scope: fleet.ScopeServer, owner: s.ID, name: s.Name, role: role})
}

// ref names a layer for people.
func (of *target) ref() LayerRef {
	ref := LayerRef{Scope: of.scope, Owner: of.name}
	if of.scope == fleet.ScopeRole {
		ref.Role = of.role
	}
	return ref
}

// lint looks at one patch.
func (e *effective) lint(from, to string, hidden *diff.Redactor) PatchLint {
	p := PatchLint{Layer: e.layer.ref(), Patch: e.patch.Name, Servers: e.servers}
	slices.Sort(p.Servers)
	text := []byte(e.patch.Text)
	fresh := schema.LintUpgrade(text, from, to)
	for _, f := range schema.Lint(text, to) {
		p.Findings = append(p.Findings, PatchFinding{hideFinding(hidden, f), !slices.Contains(fresh, f)})
	}
	o := modernise.Options{Role: patchRole(&e.layer, e.patch), Variables: filled(e.sample)}
	needs, err := modernise.NeedsWork(e.patch.Text, to, o)
	if err == nil && needs {
		var made *modernise.Result
		if made, err = modernise.Patch(e.patch.Text, to, o); err == nil {
			p.Modernise, p.Problem = made.Proof.Verdict, hidden.String(made.Proof.Problem)
		}
	}
	if err != nil {
		p.Problem = hidden.String(err.Error())
	}
	return p
}

// patchRole is the role of the nodes that get a patch of a layer; "" for both.
func patchRole(of *target, p fleet.Patch) fleet.Role {
	if p.Role != "" {
		return p.Role
	}
	return of.role
}

// filled are the variables that have a value.
func filled(all machineconfig.Variables) map[string]string {
	out := map[string]string{}
	for name, value := range all {
		if value != "" {
			out[name] = value
		}
	}
	return out
}

func hideFinding(hidden *diff.Redactor, f schema.Finding) schema.Finding {
	f.Name, f.Path, f.Message, f.Instead = hidden.String(f.Name), hidden.String(f.Path), hidden.String(f.Message), hidden.String(f.Instead)
	return f
}

// wouldBreak groups the servers of a trial whose configs could not be made.
func (m *Manager) wouldBreak(ctx context.Context, t *trial) ([]BrokenGroup, error) {
	after := make([]fleet.Server, len(t.servers))
	for i, s := range t.servers {
		after[i] = s.is
	}
	var broken []tried
	var errs []error
	for i, o := range m.Renderer.renderAll(ctx, t.after, after) {
		if o.err != nil {
			broken, errs = append(broken, t.servers[i]), append(errs, o.err)
		}
	}
	return group(t, broken, errs), ctx.Err()
}
