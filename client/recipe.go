package client

import (
	"context"
	"net/http"
)

// Recipe is a patch for one need, with parameters, in the form that each Talos version wants.
type Recipe struct {
	Name        string            `json:"name"`
	Title       string            `json:"title"`
	Group       string            `json:"group" doc:"heading in the catalogue: system, network, disks, …"`
	Description string            `json:"description"`
	Traps       []string          `json:"traps,omitempty"`
	Roles       []string          `json:"roles,omitempty" doc:"those it is for; absent: every role"`
	Parameters  []RecipeParameter `json:"parameters" nullable:"false"`
	Conflicts   []RecipeConflict  `json:"conflicts,omitempty"`
	Example     map[string]any    `json:"example,omitempty" doc:"parameters that show it"`
	VersionSpan
}

// VersionSpan is a range of Talos minors, both included.
type VersionSpan struct {
	Since string `json:"since,omitempty" doc:"Talos minor: 1.12"`
	Until string `json:"until,omitempty" doc:"Talos minor: 1.13"`
}

// RecipeParameter is what somebody may say about how a recipe is made.
type RecipeParameter struct {
	Name     string        `json:"name"`
	Type     string        `json:"type" doc:"string, text, secret, int, bool, enum, list, map, address, prefix, url, certificates, mac, disk or member"`
	Of       string        `json:"of,omitempty" doc:"type of the elements of a list and the values of a map"`
	Help     string        `json:"help"`
	Default  any           `json:"default,omitempty"`
	Required bool          `json:"required,omitempty"`
	Secret   bool          `json:"secret,omitempty" doc:"what it holds is never shown"`
	Values   []RecipeValue `json:"values,omitempty" doc:"of an enum"`
	Min      *int          `json:"min,omitempty"`
	Max      *int          `json:"max,omitempty"`
	Pattern  string        `json:"pattern,omitempty" doc:"that the whole of it matches"`
	Write    string        `json:"write,omitempty" doc:"the words for the pattern"`
	Key      string        `json:"key,omitempty" doc:"pattern of a map's keys"`
	Schemes  []string      `json:"schemes,omitempty" doc:"of a URL"`
	VersionSpan
}

// RecipeValue is one that an enum can have.
type RecipeValue struct {
	Value string `json:"value"`
	Help  string `json:"help"`
	VersionSpan
}

// RecipeConflict names a recipe that cannot be used together with another on the same servers.
type RecipeConflict struct {
	With string `json:"with"`
	Why  string `json:"why"`
	VersionSpan
}

// RecipeUse makes the patches of a recipe, and puts them into a layer where one is named.
type RecipeUse struct {
	LayerSave
	TalosVersion string         `json:"talosVersion,omitempty" doc:"to make the patches for; absent: that of the clusters the layer is used in, and without a layer the newest"`
	Parameters   map[string]any `json:"parameters,omitempty" doc:"by name; as JSON, or as texts that say the same"`
	Layer        *LayerRef      `json:"layer,omitempty" doc:"that gets the patches; absent: they are only shown"`
	As           string         `json:"as,omitempty" doc:"what its patches are called instead of the recipe's name, to use it twice"`
	DryRun       bool           `json:"dryRun,omitempty" doc:"only say what would be done to the layer"`
	Schematic    string         `json:"schematic,omitempty" doc:"name or id of one that gets what of the recipe belongs into a schematic"`
}

// RecipeResult is what a recipe gives. It holds no secrets: they are replaced in the patches as they are shown.
type RecipeResult struct {
	Recipe       string   `json:"recipe"`
	TalosVersion string   `json:"talosVersion"`
	Patches      []Patch  `json:"patches" nullable:"false" doc:"with ** redacted ** in place of secrets"`
	Removed      []string `json:"removed,omitempty" doc:"patches of an earlier use that are not made any more"`
	Extensions   []string `json:"extensions,omitempty" doc:"they belong into the schematic"`
	KernelArgs   []string `json:"kernelArgs,omitempty" doc:"they belong into the schematic"`
	Schematics   []string `json:"schematics,omitempty" doc:"those of the layer's servers, by name; empty for the plain one; only where something belongs into them"`
	Schematic    *Ref     `json:"schematic,omitempty" doc:"that was added to"`
	Notes        []string `json:"notes,omitempty" doc:"what is left to do"`
	Plan         *Plan    `json:"plan,omitempty" doc:"what the layer does to machine configs with it"`
	Saved        bool     `json:"saved"`
	Layer        *Layer   `json:"layer,omitempty" doc:"as it was saved"`
}

// Recipes lists the recipes, by group and name.
func (c *Client) Recipes(ctx context.Context) (l List[Recipe], err error) {
	return l, c.call(ctx, http.MethodGet, at("/recipes"), nil, nil, &l)
}

// Recipe reads one by its name.
func (c *Client) Recipe(ctx context.Context, name string) (r Recipe, err error) {
	return r, c.call(ctx, http.MethodGet, at("/recipes/%s", name), nil, nil, &r)
}

// ApplyRecipe makes the patches of a recipe, and puts them into a layer where one is named.
func (c *Client) ApplyRecipe(ctx context.Context, name string, use RecipeUse) (r RecipeResult, err error) {
	return r, c.call(ctx, http.MethodPost, at("/recipes/%s/apply", name), nil, use, &r)
}
