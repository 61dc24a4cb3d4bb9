package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/talos-manager/talos-manager/client"
)

func (p *program) patchModernise() *cobra.Command {
	var how client.PatchModernise
	var save *client.LayerSave
	var dry *bool
	cmd := p.onLayer("modernise LAYER PATCH", "Rewrite an old patch for a Talos version", "patch modernise config/base all --talos-version v1.14.1 --draft",
		func(ctx context.Context, c *client.Client, l client.LayerRef, args []string) error {
			how.LayerSave, how.DryRun = *save, *dry
			made, err := c.ModernisePatch(ctx, l, args[0], how)
			if err != nil {
				return err
			}
			return p.showModernised(made, l, args[0], how.Draft)
		})
	cmd.Aliases = []string{"modernize"}
	cmd.Long = `Rewrite a patch of a layer that was written for an older Talos into what a version wants, in its place. What only control
planes take becomes a patch of its own. It is refused where the result is not proven to mean the same, unless it is kept
as a draft. What is written for an upgrade that is still to come is kept as a draft too, and published when it is done.`
	f := cmd.Flags()
	f.StringVar(&how.TalosVersion, "talos-version", "", "Talos version to rewrite for; that of the clusters the layer is used in without it")
	f.BoolVar(&how.All, "all", false, "rewrite what the version still takes but calls deprecated, too")
	f.StringVar(&how.Schematic, "schematic", "", "add what leaves the patch for a schematic to this one")
	save, dry = draftFlags(cmd)
	completeVersions(cmd, "talos-version")
	p.completeFlag(cmd, "schematic", schematicNames)
	return cmd
}

func (p *program) showModernised(made client.ModernisedPatch, l client.LayerRef, patch string, draft bool) error {
	if p.output != "table" {
		return p.show(made, nil)
	}
	if !made.Changed {
		p.done("%s, patch %s: nothing to do for Talos %s", l, patch, made.TalosVersion)
		if made.Verdict != "equal" {
			p.sayRewriting(patch, made)
		}
		return nil
	}
	for i, text := range []string{made.Text, made.ControlPlane} {
		if strings.TrimSpace(text) != "" {
			fmt.Fprintf(p.out, "%s%s\n", []string{"", "---\n# for control planes only\n"}[i], strings.TrimRight(printable(text), "\n"))
		}
	}
	p.sayRewriting(patch, made)
	if err := p.showPlan(made.Plan, made.Saved); err != nil {
		return err
	}
	p.intoSchematic(made.Extensions, made.KernelArgs, made.Schematics, made.Schematic)
	if made.Saved && len(made.Patches) == 0 {
		p.done("nothing is left of the patch: it is removed")
	}
	p.savedLayer(made.Layer, l, draft)
	return nil
}

// sayRewriting says what was done to a patch, and what the proof found.
func (p *program) sayRewriting(patch string, made client.ModernisedPatch) {
	for _, c := range made.Changes {
		to := "dropped"
		if len(c.To) > 0 {
			to = "now " + strings.Join(c.To, ", ")
		}
		p.done("%s:%d: %s: %s: %s", patch, c.Line, printable(c.Path), to, printable(c.Why))
	}
	for _, n := range made.Notes {
		p.done("%s:%d: %s: %s", patch, n.Line, n.Kind, printable(strings.TrimSpace(n.Path+" "+n.Text)))
	}
	switch made.Verdict {
	case "equal":
		p.done("proven: nodes do the same with it")
	case "equal-on-older":
		p.done("proven: nodes do with it what Talos %s did with the old one, which %s refuses", made.Against, made.TalosVersion)
	case "unproven":
		p.done("not proven: %s", printable(made.Problem))
	case "refused":
		p.done("Talos %s would refuse it: %s", made.TalosVersion, printable(made.Problem))
	}
	for _, d := range made.Differences {
		p.done("differs for %s: %s: %s -> %s %s", d.Role, printable(d.Path), orNone(printable(d.Old)), orNone(printable(d.New)), printable(d.Why))
	}
}
