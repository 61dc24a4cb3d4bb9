package manage

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig/diff"
	"github.com/talos-manager/talos-manager/internal/machineconfig/modernise"
)

// Modernising says how a patch of a layer is rewritten.
type Modernising struct {
	TalosVersion string // to write for; "" is that of the clusters the layer is used in
	All          bool   // what the version still takes but calls deprecated, too
	DryRun       bool   // only say what would be done
	// Schematic, by name or id, gets the kernel arguments and extensions that leave the patch; "" names those that
	// should.
	Schematic string
}

// Modernised is what became of a patch. It holds no secrets, but for the layer.
type Modernised struct {
	TalosVersion string
	Result       modernise.Result // its texts have their secrets taken out
	Patches      []string         // what the patch is now: its name, and that of the part for control planes; none: nothing was left
	Plan         Plan
	Layer        fleet.Layer // as it is now
	Saved        bool
	// Schematics are those of the servers that get the patch, by name; "" is the plain one. Only where something left
	// the patch for a schematic.
	Schematics []string
	Schematic  *fleet.Schematic // that was added to
}

// Modernise rewrites a patch of a layer in place, for a Talos version. It is refused where the result is not proven to
// mean the same, unless it is kept as a draft; and like any save, where it would break a server: what is written for a
// later version than a cluster has is kept as a draft until the upgrade.
func (m *Manager) Modernise(ctx context.Context, actor string, ref LayerRef, patch string, how Modernising, save Save) (out Modernised, err error) {
	now, of, err := m.locate(ctx, ref)
	if err != nil {
		return out, err
	}
	base, err := m.editable(ctx, now, of, save)
	if err != nil {
		return out, err
	}
	i := base.Patch(patch)
	if i < 0 {
		return out, noPatch(ref, patch, &base)
	}
	if out.TalosVersion, err = m.versionOf(ctx, now, of, how.TalosVersion); err != nil {
		return out, err
	}
	servers, err := m.usersOf(ctx, now, of)
	if err != nil {
		return out, err
	}
	made, err := rewrite(now, &of, base.Patches[i], servers, out.TalosVersion, how.All)
	if err != nil {
		return out, now.layerRedactor(of, base).Error(fmt.Errorf("%s, patch %q: %w", of.what, patch, err))
	}
	c := base.Clone()
	out.Patches = replaced(&c, i, of.scope, made)
	out.Result = *made
	hideRewriting(now.layerRedactor(of, base, c), &out.Result)
	if made.Schematic.Extensions != nil || made.Schematic.KernelArguments != nil {
		out.Schematics = now.schematicsOf(servers, base.Patches[i])
	}
	if out.Plan, err = m.Plan(ctx, Change{Layers: []LayerChange{{ref, c}}}, PlanOptions{}); err != nil || how.DryRun || !made.Changed {
		return out, err
	}
	if err := mayReplace(of.what, patch, out.TalosVersion, &out.Result, save.Draft); err != nil {
		return out, err
	}
	parts := fleet.Customization{Extensions: made.Schematic.Extensions, KernelArgs: made.Schematic.KernelArguments}
	out.Layer, out.Schematic, err = m.saveWithParts(ctx, actor, ref, base, c, save, how.Schematic, parts)
	out.Saved = err == nil
	return out, err
}

// rewrite rewrites a patch; the proof uses the variables of one of its servers.
func rewrite(now *snapshot, of *target, p fleet.Patch, servers []fleet.Server, version string, all bool) (*modernise.Result, error) {
	o := modernise.Options{Role: patchRole(of, p), All: all}
	for i := range servers {
		s := &servers[i]
		if made, err := now.compose(*s); err == nil && p.For(s) {
			o.Variables = filled(made.Input.Variables)
			break
		}
	}
	return modernise.Patch(p.Text, version, o)
}

// editable are the contents that a change begins with: the draft's, if it is kept as a draft again.
func (m *Manager) editable(ctx context.Context, now *snapshot, of target, how Save) (fleet.Contents, error) {
	l := now.Layer(of.scope, of.owner)
	if how.Draft && l.Draft != "" {
		return m.Store.Contents(ctx, l.Draft)
	}
	return l.Clone(), nil
}

// versionOf is the Talos version that a layer is written for: the one asked for, or that of the clusters it is used in.
func (m *Manager) versionOf(ctx context.Context, now *snapshot, of target, version string) (string, error) {
	if version != "" {
		return version, nil
	}
	if of.cluster.ID != "" {
		return of.cluster.TalosVersion, nil
	}
	users, err := m.usersOf(ctx, now, of)
	if err != nil {
		return "", err
	}
	clusters := map[string]string{} // version by name
	for _, s := range users {
		c, _ := now.cluster(s.Assignment.ClusterID)
		clusters[c.Name] = c.TalosVersion
	}
	for _, c := range now.Clusters {
		if of.scope == fleet.ScopeConfig && c.ConfigID == of.id {
			clusters[c.Name] = c.TalosVersion
		}
	}
	return oneVersion(of.what, clusters, m.newestOffered(ctx))
}

// oneVersion is the version of all clusters; that of none is the newest.
func oneVersion(what string, clusters map[string]string, newest string) (string, error) {
	var versions, list []string
	for name, version := range clusters {
		list = append(list, name+" has "+version)
		if !slices.Contains(versions, version) {
			versions = append(versions, version)
		}
	}
	slices.Sort(list)
	switch len(versions) {
	case 0:
		return newest, nil
	case 1:
		return versions[0], nil
	}
	return "", fleet.Errorf(fleet.Invalid, "%s is used by clusters of several Talos versions: %s", what, strings.Join(list, ", ")).
		WithHint("say for which Talos version to write; the oldest of them is taken by all as far as it goes")
}

// replaced puts a rewritten patch in the place of the old one. What only control planes take is a patch of its own.
func replaced(c *fleet.Contents, i int, scope fleet.Scope, made *modernise.Result) (names []string) {
	if !made.Changed {
		return []string{c.Patches[i].Name}
	}
	old := c.Patches[i]
	c.Patches = slices.Delete(c.Patches, i, i+1)
	add := func(name, text string, role fleet.Role) {
		if blank(text) {
			return
		}
		p := old
		p.Name, p.Text = name, text
		if role != "" && scope != fleet.ScopeRole {
			p.Role = role
		}
		c.Patches = slices.Insert(c.Patches, i+len(names), p)
		names = append(names, name)
	}
	add(old.Name, made.Text, "")
	name := old.Name
	if len(names) > 0 {
		name = freeName(c, old.Name+"-control-plane")
	}
	add(name, made.ControlPlane, fleet.ControlPlane)
	return names
}

// blank says that a text holds nothing but comments.
func blank(text string) bool {
	for _, line := range linesOf(text) {
		if line = strings.TrimSpace(line); line != "" && line != "---" && !strings.HasPrefix(line, "#") {
			return false
		}
	}
	return true
}

// freeName is a name that no patch has.
func freeName(c *fleet.Contents, name string) string {
	const longest = 63
	name = name[:min(len(name), longest)]
	for n := 2; c.Patch(name) >= 0; n++ {
		end := fmt.Sprintf("-%d", n)
		name = strings.TrimRight(name[:min(len(name), longest-len(end))], "-") + end
	}
	return name
}

// mayReplace refuses what is not proven to mean the same.
func mayReplace(what, patch, version string, r *modernise.Result, draft bool) error {
	name := fmt.Sprintf("%s, patch %q", what, patch)
	switch {
	case r.Proof.Verdict == modernise.Refused:
		return fleet.Errorf(fleet.Refused, "%s: Talos %s would refuse the result: %s", name, version, r.Proof.Problem).WithHint("mend the patch first")
	case draft:
		return nil
	case r.Proof.Verdict == modernise.Unproven:
		return orDraft(fleet.Errorf(fleet.Refused, "%s: the result cannot be proven to mean the same: %s", name, r.Proof.Problem).WithHint("mend the patch first"))
	case r.Proof.Verdict == modernise.Differs:
		first := r.Proof.Differences[0]
		return orDraft(fleet.Errorf(fleet.Refused, "%s: the result would mean something else in %d places: for a %s, %s: %s -> %s",
			name, len(r.Proof.Differences), first.Role, first.Path, orNone(first.Old), orNone(first.New)).WithHint("look at it without saving"))
	}
	return nil
}

// schematicsOf names the schematics of the servers that get a patch; "" is the plain one.
func (n *snapshot) schematicsOf(servers []fleet.Server, p fleet.Patch) (names []string) {
	for i := range servers {
		s := &servers[i]
		made, err := n.compose(*s)
		if err != nil || !p.For(s) || slices.Contains(names, made.Schematic.Name) {
			continue
		}
		names = append(names, made.Schematic.Name)
	}
	slices.Sort(names)
	return names
}

// saveWithParts saves contents that were made from base, after what belongs to them was added to a schematic: an image
// with more in it than a config asks for does no harm, one that lacks something may.
func (m *Manager) saveWithParts(ctx context.Context, actor string, ref LayerRef, base, c fleet.Contents, save Save, schematic string, parts fleet.Customization) (fleet.Layer, *fleet.Schematic, error) {
	var to *fleet.Schematic
	if schematic != "" && (len(parts.Extensions) > 0 || len(parts.KernelArgs) > 0) {
		if err := m.wouldSave(ctx, ref, c, save); err != nil {
			return fleet.Layer{}, nil, err
		}
		was, err := m.Store.Schematic(ctx, schematic)
		if err != nil {
			return fleet.Layer{}, nil, err
		}
		s, err := m.UpdateSchematic(ctx, actor, was.ID, SchematicEdit{YAML: &was.YAML, Parts: &parts, Based: m.factoryID(was.YAML)})
		if err != nil {
			return fleet.Layer{}, nil, err
		}
		to = &s
	}
	l, err := m.EditLayer(ctx, actor, ref, save, func(is *fleet.Contents) error {
		if changesOf(base, *is) != "" {
			return fleet.Errorf(fleet.Conflict, "%s %s was changed by somebody else meanwhile", ref.Scope, ref.Owner).WithHint("try again")
		}
		*is = c
		return nil
	})
	if err != nil && to != nil {
		err = fmt.Errorf("schematic %s was changed already, but not the patches: %w", to.Name, err)
	}
	return l, to, err
}

// wouldSave checks what saving will check.
func (m *Manager) wouldSave(ctx context.Context, ref LayerRef, c fleet.Contents, save Save) error {
	now, of, err := m.locate(ctx, ref)
	if err != nil || save.Draft {
		return err
	}
	t := now.try(of.what)
	t.setLayer(of, c)
	if err := m.touch(ctx, t); err != nil {
		return err
	}
	if err := checkContents(&of, &c); err != nil {
		return t.hideAll(err)
	}
	return m.check(ctx, t)
}

// hideRewriting takes secrets out of a rewriting, its texts too.
func hideRewriting(hidden *diff.Redactor, r *modernise.Result) {
	hideResult(hidden, r)
	r.Text, r.ControlPlane = hideText(hidden, r.Text), hideText(hidden, r.ControlPlane)
}
