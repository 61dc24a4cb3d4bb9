package api

import (
	"context"

	"github.com/danielgtaylor/huma/v2"

	"github.com/talos-manager/talos-manager/client"
	"github.com/talos-manager/talos-manager/internal/access"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig"
	"github.com/talos-manager/talos-manager/internal/machineconfig/recipe"
	"github.com/talos-manager/talos-manager/internal/manage"
)

// recipeRoutes are the routes of the catalogue of patches.
func (a *api) recipeRoutes(h huma.API) {
	add(a, h, "list-recipes", "GET /recipes", "List the recipes of patches", a.listRecipes)
	add(a, h, "show-recipe", "GET /recipes/{name}", "Show what a recipe does and takes", a.showRecipe)
	add(a, h, "apply-recipe", "POST /recipes/{name}/apply", "Make the patches of a recipe, and put them into a layer", a.applyRecipe, explained(
		"Secrets among the parameters are kept in the layer's patches, sealed, and are not answered. Patches of an earlier use are replaced in their places; new ones are added at the end."))
}

// ByName names a recipe in a path.
type ByName struct {
	Name string `path:"name"`
}

func (a *api) listRecipes(context.Context, *nothing) (*body[client.List[client.Recipe]], error) {
	return answer(items(recipe.List(), recipeOf), nil)
}

func (a *api) showRecipe(_ context.Context, in *ByName) (*body[client.Recipe], error) {
	r, err := recipe.Get(in.Name)
	return answer(recipeOf(r), err)
}

func spanOf(s recipe.Span) client.VersionSpan {
	return client.VersionSpan{Since: s.Since, Until: s.Until}
}

func recipeOf(r recipe.Recipe) client.Recipe {
	return client.Recipe{
		Name: r.Name, Title: r.Title, Group: r.Group, Description: r.Description, Traps: r.Traps, Example: r.Example, VersionSpan: spanOf(r.Span),
		Roles:      convert(r.Roles, func(role fleet.Role) string { return string(role) }),
		Parameters: convert(r.Parameters, parameterOf),
		Conflicts: convert(r.Conflicts, func(c recipe.Conflict) client.RecipeConflict {
			return client.RecipeConflict{With: c.With, Why: c.Why, VersionSpan: spanOf(c.Span)}
		}),
	}
}

func parameterOf(p recipe.Parameter) client.RecipeParameter {
	return client.RecipeParameter{
		Name: p.Name, Type: string(p.Type), Of: string(p.Of), Help: p.Help, Default: p.Default, Required: p.Required, Secret: p.Secret,
		Min: p.Min, Max: p.Max, Pattern: p.Pattern, Write: p.Write, Key: p.Key, Schemes: p.Schemes, VersionSpan: spanOf(p.Span),
		Values: convert(p.Values, func(v recipe.Value) client.RecipeValue {
			return client.RecipeValue{Value: v.Value, Help: v.Help, VersionSpan: spanOf(v.Span)}
		}),
	}
}

func (a *api) applyRecipe(ctx context.Context, in *struct {
	ByName
	Body client.RecipeUse
},
) (*body[client.RecipeResult], error) {
	use := in.Body
	if use.Layer == nil {
		return a.showRecipeResult(in.Name, use)
	}
	used, err := a.Manager.ApplyRecipe(ctx, access.Actor(ctx), layerFrom(*use.Layer), manage.RecipeUse{
		Recipe: in.Name, Parameters: use.Parameters, TalosVersion: use.TalosVersion, As: use.As, DryRun: use.DryRun, Schematic: use.Schematic,
	}, saveOf(use.LayerSave))
	if err != nil {
		return nil, err
	}
	plan := planOf(used.Plan)
	out := client.RecipeResult{
		Recipe: used.Recipe, TalosVersion: used.TalosVersion, Patches: convert(used.Patches, patchOf), Removed: used.Removed,
		Extensions: used.Parts.Extensions, KernelArgs: used.Parts.KernelArgs, Schematics: used.Schematics, Schematic: schematicRef(used.Schematic),
		Notes: used.Notes, Plan: &plan, Saved: used.Saved,
	}
	if used.Saved {
		out.Layer, err = a.savedLayer(ctx, ByLayer{Scope: use.Layer.Scope, Owner: use.Layer.Owner, Role: use.Layer.Role})
	}
	return answer(out, err)
}

// showRecipeResult makes the patches for nobody.
func (a *api) showRecipeResult(name string, use client.RecipeUse) (*body[client.RecipeResult], error) {
	if use.Schematic != "" || use.As != "" || use.LayerSave != (client.LayerSave{}) {
		return nil, fleet.Errorf(fleet.Invalid, "recipe %s: no layer is named to put its patches into", name).
			WithHint(`name one: {"scope": "config", "owner": "base"}; without, a recipe is only shown`)
	}
	r, err := recipe.Get(name)
	if err != nil {
		return nil, err
	}
	version := use.TalosVersion
	if version == "" {
		version = machineconfig.NewestTalos()
	}
	made, err := r.Apply(version, use.Parameters)
	return answer(client.RecipeResult{
		Recipe: r.Name, TalosVersion: version, Extensions: made.Schematic.Extensions, KernelArgs: made.Schematic.KernelArgs, Notes: made.Notes,
		Patches: convert(made.Patches, func(p recipe.Patch) client.Patch {
			return client.Patch{Name: p.Name, Role: string(p.Role), Text: p.Shown}
		}),
	}, err)
}
