package manage

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig/recipe"
)

// RecipeUse says how a recipe is used for a layer.
type RecipeUse struct {
	Recipe     string
	Parameters recipe.Params
	// TalosVersion to make the patches for; "" is that of the clusters the layer is used in, if they have one in common.
	TalosVersion string
	// As is what the patches are called instead of the recipe's name, so that it can be used twice.
	As     string
	DryRun bool // only say what would be done
	// Schematic, by name or id, gets what of the recipe belongs into one; "" leaves that to the user.
	Schematic string
}

// RecipeUsed is what became of it. It holds no secrets, but for the layer.
type RecipeUsed struct {
	Recipe       string
	TalosVersion string
	Patches      []fleet.Patch // those of the recipe, secrets taken out of their texts
	Removed      []string      // patches of an earlier use that this one does not make any more
	Parts        recipe.Schematic
	Schematics   []string // of the servers that the layer is for, by name; "" is the plain one; only where there are parts
	Notes        []string
	Plan         Plan
	Layer        fleet.Layer // as it is now
	Saved        bool
	Schematic    *fleet.Schematic // that was added to
}

// ApplyRecipe puts the patches of a recipe into a layer: those of an earlier use are replaced where they stand, new ones
// are added at the end. It is checked as any save.
func (m *Manager) ApplyRecipe(ctx context.Context, actor string, ref LayerRef, use RecipeUse, save Save) (out RecipeUsed, err error) {
	r, err := recipe.Get(use.Recipe)
	if err != nil {
		return out, err
	}
	now, of, err := m.locate(ctx, ref)
	if err != nil {
		return out, err
	}
	if out.TalosVersion, err = m.versionOf(ctx, now, of, use.TalosVersion); err != nil {
		return out, err
	}
	made, err := r.Apply(out.TalosVersion, use.Parameters)
	if err != nil {
		return out, err
	}
	base, err := m.editable(ctx, now, of, save)
	if err != nil {
		return out, err
	}
	out.Recipe, out.Parts, out.Notes = r.Name, made.Schematic, made.Notes
	c := base.Clone()
	if err := out.put(&c, &of, r, made.Patches, use.As); err != nil {
		return out, err
	}
	servers, err := m.usersOf(ctx, now, of)
	if err != nil {
		return out, err
	}
	out.Notes = append(out.Notes, now.clashes(of, servers, c, r.Name, out.TalosVersion)...)
	parts := fleet.Customization{Extensions: made.Schematic.Extensions, KernelArgs: made.Schematic.KernelArgs}
	if len(parts.Extensions) > 0 || len(parts.KernelArgs) > 0 {
		out.Schematics = now.schematicsOf(servers, fleet.Patch{})
	}
	if out.Plan, err = m.Plan(ctx, Change{Layers: []LayerChange{{ref, c}}}, PlanOptions{}); err != nil || use.DryRun {
		return out, err
	}
	out.Layer, out.Schematic, err = m.saveWithParts(ctx, actor, ref, base, c, save, use.Schematic, parts)
	out.Saved = err == nil
	return out, err
}

// put puts the patches of a recipe into contents.
func (out *RecipeUsed) put(c *fleet.Contents, of *target, r recipe.Recipe, patches []recipe.Patch, as string) error {
	named := func(name string) string {
		if as == "" {
			return name
		}
		return as + strings.TrimPrefix(name, r.Name)
	}
	var names []string
	for _, made := range patches {
		if of.scope == fleet.ScopeRole {
			if made.Role != "" && made.Role != of.role {
				out.Notes = append(out.Notes, fmt.Sprintf("Its patch %s is for the role %s, which this layer is not for: use the recipe for that layer too.", made.Name, made.Role))
				continue
			}
			made.Role = ""
		}
		name := named(made.Name)
		p := fleet.Patch{Name: name, Text: made.Text, Role: made.Role}
		if i := c.Patch(name); i < 0 {
			c.Patches = append(c.Patches, p)
		} else if recipeOf(c.Patches[i].Text) != r.Name {
			return fleet.Errorf(fleet.Conflict, "%s has a patch %q already, which is not of the recipe %s", of.what, name, r.Name).
				WithHint("call the recipe's patches otherwise, or rename that one")
		} else {
			p.Architecture, p.Provider = c.Patches[i].Architecture, c.Patches[i].Provider
			c.Patches[i] = p
		}
		names = append(names, name)
		p.Text = made.Shown
		out.Patches = append(out.Patches, p)
	}
	if len(patches) > 0 && len(out.Patches) == 0 {
		return fleet.Errorf(fleet.Invalid, "recipe %s has no patch for the role %s", r.Name, of.role).WithHint("use it for the layer of another role, a config or the cluster")
	}
	c.Patches = slices.DeleteFunc(c.Patches, func(p fleet.Patch) bool {
		mine := slices.ContainsFunc(r.PatchNames(), func(name string) bool { return named(name) == p.Name })
		stale := mine && recipeOf(p.Text) == r.Name && !slices.Contains(names, p.Name)
		if stale {
			out.Removed = append(out.Removed, p.Name)
		}
		return stale
	})
	return nil
}

// head is the first line of what a recipe makes.
var head = regexp.MustCompile(`^# Recipe ([a-z0-9-]+) for Talos [0-9.]+\.\r?\n`)

// recipeOf says of which recipe a patch is; "" of none.
func recipeOf(text string) string {
	if m := head.FindStringSubmatch(text); m != nil {
		return m[1]
	}
	return ""
}

// clashes notes recipes that are in use for the same servers, and cannot be together with this one.
func (n *snapshot) clashes(of target, servers []fleet.Server, c fleet.Contents, name, version string) (notes []string) {
	used := []string{name}
	add := func(patches []fleet.Patch) {
		for _, p := range patches {
			if r := recipeOf(p.Text); r != "" && !p.Off && !slices.Contains(used, r) {
				used = append(used, r)
			}
		}
	}
	add(c.Patches)
	for _, s := range servers {
		made, err := n.compose(s)
		if err != nil {
			continue
		}
		for _, layer := range n.targetsOf(&made, s) {
			if layer.key() != of.key() {
				add(n.contents(layer.scope, layer.owner).Patches)
			}
		}
	}
	for _, other := range used[1:] {
		found, err := recipe.Clashes(version, name, other)
		if err != nil {
			continue // a recipe of another version of this program
		}
		for _, clash := range found {
			notes = append(notes, fmt.Sprintf("Not together with the recipe %s, which is in use here: %s", other, strings.TrimSpace(clash.Why)))
		}
	}
	return slices.Compact(notes)
}
