package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/talos-manager/talos-manager/client"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig/recipe"
)

// onlineRecipe are the flags of a recipe for a layer.
type onlineRecipe struct {
	layer, as, schematic string
	how                  *client.LayerSave
	dry                  *bool
}

func (p *program) onlineFlags(cmd *cobra.Command) *onlineRecipe {
	o := &onlineRecipe{}
	f := cmd.Flags()
	f.StringVar(&o.layer, "layer", "", "put the patches into this layer: config/NAME, cluster/NAME, role/CLUSTER/worker, server/NAME")
	f.StringVar(&o.as, "as", "", "with --layer: what its patches are called instead of the recipe's name, to use it twice")
	f.StringVar(&o.schematic, "schematic", "", "with --layer: add what belongs into a schematic to this one")
	o.how, o.dry = draftFlags(cmd)
	must(cmd.RegisterFlagCompletionFunc("layer", func(cmd *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
		return p.completeLayer(cmd, nil, word)
	}))
	p.completeFlag(cmd, "schematic", schematicNames)
	return o
}

// asked says whether a manager is to do it.
func (o *onlineRecipe) asked(cmd *cobra.Command) bool {
	return slices.ContainsFunc([]string{"layer", "as", "schematic", "why", "base", "draft", "dry-run"}, cmd.Flags().Changed)
}

func (p *program) applyOnline(cmd *cobra.Command, args []string, o *onlineRecipe, params recipe.Params) error {
	if o.layer == "" {
		return &usage{text: "recipe apply: no layer is named", hint: "--layer config/NAME; without flags of layers it needs no manager"}
	}
	if cmd.Flags().Changed("directory") || cmd.Flags().Changed("force") {
		return &usage{text: "recipe apply: the patches go into a layer or into a directory", hint: "leave --directory and --force out"}
	}
	l, err := client.ParseLayer(o.layer)
	if err != nil {
		return err
	}
	use := client.RecipeUse{LayerSave: *o.how, Parameters: params, Layer: &l, As: o.as, DryRun: *o.dry, Schematic: o.schematic}
	if v := given(cmd.Flags(), "talos-version"); v != nil {
		use.TalosVersion = *v
	}
	return p.run(func(ctx context.Context, c *client.Client, args []string) error {
		made, err := c.ApplyRecipe(ctx, args[0], use)
		if err != nil {
			return err
		}
		return p.showApplied(made, l, o.how.Draft)
	})(cmd, args)
}

// showApplied says what a recipe did to a layer, or would do.
func (p *program) showApplied(made client.RecipeResult, l client.LayerRef, draft bool) error {
	if p.output != "table" {
		return p.show(made, nil)
	}
	for i, patch := range made.Patches {
		if i > 0 {
			fmt.Fprintln(p.out, "---")
		}
		fmt.Fprintf(p.out, "# %s%s\n%s", patch.Name, only(fleet.Role(patch.Role)), printable(patch.Text))
	}
	for _, name := range made.Removed {
		p.done("patch %s of an earlier use: removed", name)
	}
	if made.Plan != nil {
		if err := p.showPlan(*made.Plan, made.Saved); err != nil {
			return err
		}
	}
	p.intoSchematic(made.Extensions, made.KernelArgs, made.Schematics, made.Schematic)
	for _, note := range made.Notes {
		p.done("\n%s", strings.TrimSpace(note))
	}
	p.savedLayer(made.Layer, l, draft)
	return nil
}

// intoSchematic says what belongs into a schematic, and into which.
func (p *program) intoSchematic(extensions, arguments, schematics []string, added *client.Ref) {
	if len(extensions)+len(arguments) == 0 {
		return
	}
	where := "the schematic"
	switch {
	case added != nil:
		where = "schematic " + added.Name + ", added now"
	case slices.Equal(schematics, []string{""}):
		where = "a schematic, which these servers have none of"
	case len(schematics) > 0:
		where = "schematic " + strings.Join(schematics, " and ")
	}
	for _, e := range extensions {
		p.done("into %s: extension %s", where, e)
	}
	for _, a := range arguments {
		p.done("into %s: kernel argument %s", where, a)
	}
}

// savedLayer says what became of a layer.
func (p *program) savedLayer(v *client.Layer, l client.LayerRef, draft bool) {
	switch {
	case v == nil:
		p.done("nothing was saved")
	case draft && v.Draft != nil:
		p.done("%s: saved as a draft, revision %.12s, which is not in effect", l, v.Draft.Revision)
	default:
		p.done("%s: saved, revision %.12s", l, v.Revision)
	}
}
