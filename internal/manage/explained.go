package manage

import (
	"context"
	"maps"
	"slices"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig"
	"github.com/talos-manager/talos-manager/internal/machineconfig/diff"
)

// Explained is the machine config of a server for people: without secrets, and with who set each line.
type Explained struct {
	Config                          fleet.Config    // zero: none; without its contents
	Schematic                       fleet.Schematic // zero: the plain one
	TalosVersion, KubernetesVersion string
	InstallImage                    string
	Lines                           []ExplainedLine
	Patches                         []ExplainedPatch // in the order they are applied
	Removed                         []string         // what patches took away, with who did
	Warnings                        []string         // of Talos, which takes the config all the same
	Variables                       []ShownVariable  // by name
}

// ExplainedLine is a line of a machine config. By is the patch that set it, by its Name; one of our own, as
// "talos-manager: hostname"; or "" for what Talos generates.
type ExplainedLine struct{ Text, By string }

// ExplainedPatch is a patch that a machine config is made of.
type ExplainedPatch struct {
	Name  string // config base, patch "all"
	Layer LayerRef
	Patch string
	Idle  bool // it changed nothing
}

// ShownVariable is what a name in patches stands for. From is the layer that sets it, "" for a built-in one.
type ShownVariable struct{ Name, Value, Means, From string }

// Explain makes the machine config of an assigned server from the records as they are now, and says who set what of it.
func (m *Manager) Explain(ctx context.Context, s fleet.Server) (out Explained, err error) {
	now, _, err := m.Renderer.now(ctx)
	if err != nil {
		return out, err
	}
	made, err := now.compose(s)
	if err != nil {
		return out, err
	}
	e, err := m.Renderer.explain(made.Input)
	if err != nil {
		return out, err
	}
	text, by, err := e.Redacted()
	if err != nil {
		return out, err
	}
	for i, line := range linesOf(string(HideConfig(e.YAML, text))) {
		out.Lines = append(out.Lines, ExplainedLine{line, by[i]})
	}
	out.Config, out.Schematic = made.Config, made.Schematic
	out.Config.Contents = fleet.Contents{}
	out.TalosVersion, out.KubernetesVersion, out.InstallImage = made.Input.TalosVersion, made.Input.KubernetesVersion, made.Input.InstallImage
	layers, hidden := now.layersOf(&made, s), now.known()
	hidden.shared(now, made.Cluster)
	scopes := scopesOf(layers)
	for i, l := range layers {
		hidden.contents(l.contents)
		out.Patches = append(out.Patches, explainedPatches(scopes[i], l, s, e.Idle)...)
	}
	r := hidden.redactor()
	for _, o := range e.Removed {
		out.Removed = append(out.Removed, r.String(o.By+": "+o.Kind+" "+o.Path))
	}
	for _, w := range e.Warnings {
		out.Warnings = append(out.Warnings, r.String(w))
	}
	out.Variables = now.shownVariables(made.Input.Variables, layers, r)
	return out, nil
}

func (r *Renderer) explain(in machineconfig.Input) (machineconfig.Explained, error) {
	if r.Cache == nil {
		return machineconfig.Explain(in)
	}
	return r.Cache.Explain(in)
}

// scopesOf are the scopes of the layers of a server: it has a config or none.
func scopesOf(layers []named) []fleet.Scope {
	if len(layers) == len(fleet.Scopes()) {
		return fleet.Scopes()
	}
	return slices.DeleteFunc(fleet.Scopes(), func(s fleet.Scope) bool { return s == fleet.ScopeConfig })
}

func explainedPatches(scope fleet.Scope, l named, s fleet.Server, idle []string) (all []ExplainedPatch) {
	ref := LayerRef{Scope: scope, Owner: l.owner}
	if scope == fleet.ScopeRole {
		ref.Role = s.Assignment.Role
	}
	for _, p := range l.contents.Patches {
		if p.For(&s) {
			name := patchName(l.what, p.Name)
			all = append(all, ExplainedPatch{Name: name, Layer: ref, Patch: p.Name, Idle: slices.Contains(idle, name)})
		}
	}
	return all
}

// shownVariables lists what the patches of a server may use.
func (n *snapshot) shownVariables(values machineconfig.Variables, layers []named, hidden *diff.Redactor) (all []ShownVariable) {
	means := map[string]string{}
	for _, v := range machineconfig.BuiltInVariables() {
		means[v.Name] = v.Means
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		v := ShownVariable{Name: name, Value: hidden.String(values[name]), Means: means[name]}
		for _, l := range layers { // the last one wins
			if _, sets := l.contents.Variables[name]; sets {
				v.From = l.what
			}
		}
		if n.secrets.has(name) {
			v.Value = diff.Secret
		}
		all = append(all, v)
	}
	return all
}
