package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/talos-manager/talos-manager/client"
)

const aboutLayers = `Patches live in layers, which are applied in this order: of a cluster, of one role of it, of a config, of a server; within
a layer in the order of its list. Layers are named config/NAME, cluster/NAME, role/CLUSTER/controlplane,
role/CLUSTER/worker and server/NAME. Every save is a revision.`

func (p *program) layerCommand() *cobra.Command {
	return p.noun("layer", "Layers of patches: history, drafts, blame", aboutLayers,
		p.layerShow(), p.layerRevisions(), p.layerDiff(), p.layerBlame(), p.layerRevert(), p.layerPublish(), p.layerDiscard(), p.layerDrafts())
}

// onLayer is a command whose first argument is a layer.
func (p *program) onLayer(use, short, example string, f func(ctx context.Context, c *client.Client, l client.LayerRef, args []string) error) *cobra.Command {
	names := strings.Fields(use)[1:]
	return &cobra.Command{
		Use: use, Short: short, Example: "  talos-manager " + example, Args: takes(names...), ValidArgsFunction: p.completeLayer,
		RunE: p.run(func(ctx context.Context, c *client.Client, args []string) error {
			l, err := client.ParseLayer(args[0])
			if err != nil {
				return err
			}
			return f(ctx, c, l, args[1:])
		}),
	}
}

func (p *program) completeLayer(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var out []string
	for scope, of := range map[string]names{client.ScopeConfig: configNames, client.ScopeCluster: clusterNames, client.ScopeServer: serverNames} {
		found, _ := p.completeBy(of, false)(cmd, nil, "")
		for _, name := range found {
			out = append(out, scope+"/"+name)
			if scope == client.ScopeCluster {
				out = append(out, client.ScopeRole+"/"+name+"/"+client.ControlPlane, client.ScopeRole+"/"+name+"/"+client.Worker)
			}
		}
	}
	slices.Sort(out)
	return slices.DeleteFunc(out, func(s string) bool { return !strings.HasPrefix(s, word) }), cobra.ShellCompDirectiveNoFileComp
}

// saveFlags are how a change of a layer is saved.
func saveFlags(cmd *cobra.Command) *client.LayerSave {
	how := &client.LayerSave{}
	cmd.Flags().StringVar(&how.Why, "why", "", "reason, for those who read the history")
	cmd.Flags().StringVar(&how.Base, "base", "", "revision that the change is based on; refused if it is not the current one")
	return how
}

// draftFlags are for changes that can be tried or kept beside what is in effect.
func draftFlags(cmd *cobra.Command) (how *client.LayerSave, dry *bool) {
	how = saveFlags(cmd)
	cmd.Flags().BoolVar(&how.Draft, "draft", false, "keep it as a draft: not in effect until it is published, and it may be broken")
	return how, cmd.Flags().Bool("dry-run", false, "only say what would change")
}

// showLayer prints a layer that was saved.
func (p *program) showLayer(v client.Layer, err error) error {
	if err != nil {
		return err
	}
	return p.show(v, func(t *table) {
		contents := v.ConfigContents
		if v.Draft != nil {
			contents = v.Draft.ConfigContents
			p.done("a draft, revision %.12s, is not in effect; in effect is %.12s", v.Draft.Revision, cmpOr(v.Revision, "nothing"))
		}
		t.row("PLACE", "PATCH", "ROLE", "ARCHITECTURE", "PROVIDER", "ON")
		for i, patch := range contents.Patches {
			t.row(fmt.Sprint(i), patch.Name, patch.Role, patch.Architecture, patch.Provider, yes(!patch.Off))
		}
		for _, name := range slices.Sorted(maps.Keys(contents.Variables)) {
			t.row("", "${"+name+"} = "+contents.Variables[name])
		}
	})
}

func cmpOr(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v[:min(len(v), 12)]
		}
	}
	return ""
}

func (p *program) layerShow() *cobra.Command {
	var revision string
	var secrets bool
	cmd := p.onLayer("show LAYER", "Show the patches and variables of a layer", "layer show config/base",
		func(ctx context.Context, c *client.Client, l client.LayerRef, _ []string) error {
			if revision == "" {
				v, err := layerFor(ctx, c, l, secrets)
				p.hidden(v.Hidden || v.Draft != nil && v.Draft.Hidden)
				return p.showLayer(v, err)
			}
			v, err := c.LayerAt(ctx, l, revision, secrets)
			if err != nil {
				return err
			}
			p.hidden(v.Hidden)
			return p.show(v, func(t *table) {
				t.field("revision", v.Revision)
				for _, name := range slices.Sorted(maps.Keys(v.Variables)) {
					t.field("variable "+name, v.Variables[name])
				}
				for _, patch := range v.Patches {
					t.block("patch "+patch.Name, patch.Text)
				}
			})
		})
	cmd.Flags().StringVar(&revision, "revision", "", "with the texts of this revision: its hash, the beginning of it, current or draft")
	secretsFlag(cmd, &secrets)
	return cmd
}

// secretsFlag is for what is shown without secrets otherwise.
func secretsFlag(cmd *cobra.Command, on *bool) {
	cmd.Flags().BoolVar(on, "secrets", false, "with the secrets in it; this is noted in the events")
}

func layerFor(ctx context.Context, c *client.Client, l client.LayerRef, secrets bool) (client.Layer, error) {
	if secrets {
		return c.LayerWithSecrets(ctx, l)
	}
	return c.Layer(ctx, l)
}

// hidden says that secrets are not shown.
func (p *program) hidden(any bool) {
	if any {
		p.done("[secret] stands for secrets; --secrets shows them, to change the text around them")
	}
}

func (p *program) layerRevisions() *cobra.Command {
	return p.onLayer("revisions LAYER", "List who saved what when, and why", "layer revisions config/base",
		func(ctx context.Context, c *client.Client, l client.LayerRef, _ []string) error {
			v, err := c.LayerRevisions(ctx, l)
			if err != nil {
				return err
			}
			return p.show(v, func(t *table) {
				t.row("REVISION", "WHAT", "BY", "AGE", "WHY")
				for _, r := range v.Items {
					t.row(fmt.Sprintf("%.12s", r.Revision), r.Verb, r.Actor, t.age(r.At), r.Why)
				}
			})
		})
}

func (p *program) layerDiff() *cobra.Command {
	return p.onLayer("diff LAYER FROM [TO]", "Say what two revisions differ in", "layer diff config/base 3f2a1b draft",
		func(ctx context.Context, c *client.Client, l client.LayerRef, args []string) error {
			to := "current"
			if len(args) > 1 {
				to = args[1]
			}
			d, err := c.DiffLayer(ctx, l, args[0], to)
			if err != nil {
				return err
			}
			if p.output != "table" {
				return p.show(d, nil)
			}
			if len(d.Patches)+len(d.Fields) == 0 {
				p.done("they are the same")
			}
			for _, q := range d.Patches {
				fmt.Fprintf(p.out, "patch %s %s%s\n", q.Name, q.Op, fromTo(q.From, q.To))
				for _, line := range q.Lines {
					fmt.Fprintf(p.out, "%s %s\n", map[string]string{"added": "+", "removed": "-", "": " "}[line.Op], printable(line.Text))
				}
			}
			for _, f := range d.Fields {
				fmt.Fprintf(p.out, "%s: %q -> %q\n", f.Name, f.Old, f.New)
			}
			return nil
		})
}

func fromTo(from, to string) string {
	if from == to {
		return ""
	}
	return fmt.Sprintf(" (%s -> %s)", orNone(from), orNone(to))
}

func (p *program) layerBlame() *cobra.Command {
	return p.onLayer("blame LAYER [PATCH]", "Say who brought each line of the patches", "layer blame config/base all",
		func(ctx context.Context, c *client.Client, l client.LayerRef, args []string) error {
			v, err := c.BlameLayer(ctx, l)
			if err != nil {
				return err
			}
			return p.show(v, func(t *table) {
				for _, b := range v.Items {
					if len(args) > 0 && b.Patch != args[0] {
						continue
					}
					t.row("REVISION", "BY", "AGE", "PATCH "+b.Patch)
					for _, line := range b.Lines {
						t.row(fmt.Sprintf("%.12s", line.Revision), line.Actor, t.age(line.At), line.Text)
					}
				}
			})
		})
}

// saveLayer is a command that saves a layer, as a whole.
func (p *program) saveLayer(use, short, example string, save save) *cobra.Command {
	var how *client.LayerSave
	cmd := p.onLayer(use, short, example, func(ctx context.Context, c *client.Client, l client.LayerRef, args []string) error {
		v, err := save(ctx, c, l, args, *how)
		return p.showLayer(v, err)
	})
	how = saveFlags(cmd)
	return cmd
}

func (p *program) layerRevert() *cobra.Command {
	return p.saveLayer("revert LAYER REVISION", "Make an old revision effective again, as a new save", "layer revert config/base 3f2a1b --why 'nodes were slow'",
		func(ctx context.Context, c *client.Client, l client.LayerRef, args []string, how client.LayerSave) (client.Layer, error) {
			return c.RevertLayer(ctx, l, client.LayerRevert{LayerSave: how, Revision: args[0]})
		})
}

func (p *program) layerPublish() *cobra.Command {
	return p.saveLayer("publish LAYER", "Make a draft effective", "layer publish config/base",
		func(ctx context.Context, c *client.Client, l client.LayerRef, _ []string, how client.LayerSave) (client.Layer, error) {
			return c.PublishLayer(ctx, l, how)
		})
}

func (p *program) layerDiscard() *cobra.Command {
	return p.saveLayer("discard LAYER", "Throw a draft away; it stays in the history", "layer discard config/base",
		func(ctx context.Context, c *client.Client, l client.LayerRef, _ []string, how client.LayerSave) (client.Layer, error) {
			return c.DiscardLayer(ctx, l, how)
		})
}

func (p *program) layerDrafts() *cobra.Command {
	return &cobra.Command{
		Use: "drafts", Short: "List the drafts of all layers", Example: "  talos-manager layer drafts", Args: takes(),
		RunE: p.run(func(ctx context.Context, c *client.Client, _ []string) error {
			v, err := c.Drafts(ctx)
			if err != nil {
				return err
			}
			p.none(len(v.Items), "drafts", "talos-manager patch add LAYER NAME @FILE --draft")
			return p.show(v, func(t *table) {
				t.row("LAYER", "REVISION", "OUT OF DATE")
				for _, d := range v.Items {
					t.row(d.LayerRef.String(), fmt.Sprintf("%.12s", d.Revision), yes(d.Stale))
				}
			})
		}),
	}
}
