package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/talos-manager/talos-manager/client"
	"github.com/talos-manager/talos-manager/internal/fleet"
)

func (p *program) schematicCommand() *cobra.Command {
	return p.noun("schematic", "What the image factory builds images from: extensions, kernel arguments",
		"A schematic says what the Talos image factory builds an image from: system extensions, kernel arguments, overlays.\nSchematics are public at the factory: put no secrets into them.",
		p.schematicCreate(), p.schematicList(), p.schematicShow(), p.schematicDelete())
}

func (p *program) schematicCreate() *cobra.Command {
	var text string
	cmd := &cobra.Command{
		Use: "create NAME --file FILE", Short: "Create a schematic",
		Example: "  talos-manager schematic create storage --file storage.yaml\n  talos-manager schematic create storage --yaml 'customization: {systemExtensions: {officialExtensions: [siderolabs/iscsi-tools]}}'", Args: takes("NAME"),
	}
	var file string
	cmd.RunE = p.run(func(ctx context.Context, c *client.Client, args []string) error {
		if (text == "") == (file == "") {
			return &usage{text: "schematic create: give either --file or --yaml", hint: cmd.UseLine()}
		}
		n := client.NewSchematic{Name: args[0], YAML: text}
		if file != "" {
			var err error
			if n.YAML, err = p.read("file", "@"+strings.TrimPrefix(file, "@")); err != nil {
				return err
			}
		}
		v, err := c.CreateSchematic(ctx, n)
		if err != nil {
			return err
		}
		p.done("schematic %s created", v.Name)
		return p.showSchematics(client.List[client.Schematic]{Items: []client.Schematic{v}}, v)
	})
	cmd.Flags().StringVarP(&file, "file", "f", "", "file with the customization, - for stdin")
	cmd.Flags().StringVar(&text, "yaml", "", "the customization itself")
	must(cmd.MarkFlagFilename("file", "yaml", "yml"))
	return cmd
}

// showSchematics prints a table of the list, or v as JSON or YAML.
func (p *program) showSchematics(l client.List[client.Schematic], v any) error {
	p.none(len(l.Items), "schematics", "talos-manager schematic create NAME --file FILE")
	return p.show(v, func(t *table) {
		for i, s := range l.Items {
			if i == 0 {
				t.row("NAME", "FACTORY ID", "AGE")
			}
			t.row(s.Name, s.FactoryID, t.age(s.CreatedAt))
		}
	})
}

func (p *program) schematicList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the schematics", Example: "  talos-manager schematic list", Args: takes(),
		RunE: p.run(func(ctx context.Context, c *client.Client, _ []string) error {
			l, err := c.Schematics(ctx)
			if err != nil {
				return err
			}
			return p.showSchematics(l, l)
		}),
	}
}

func (p *program) schematicShow() *cobra.Command {
	return &cobra.Command{
		Use: "show SCHEMATIC", Short: "Show a schematic", Example: "  talos-manager schematic show storage", Args: takes("SCHEMATIC"),
		ValidArgsFunction: p.completeBy(schematicNames, false),
		RunE: p.run(func(ctx context.Context, c *client.Client, args []string) error {
			v, err := c.Schematic(ctx, args[0])
			if err != nil {
				return err
			}
			return p.show(v, func(t *table) {
				t.field("name", v.Name)
				t.field("id", v.ID)
				t.field("factory id", v.FactoryID)
				t.field("created", t.ago(v.CreatedAt))
				t.block("customization", v.YAML)
			})
		}),
	}
}

func (p *program) schematicDelete() *cobra.Command {
	return &cobra.Command{
		Use: "delete SCHEMATIC", Aliases: []string{"rm", "remove"}, Short: "Forget a schematic that nobody uses", Example: "  talos-manager schematic delete storage", Args: takes("SCHEMATIC"),
		ValidArgsFunction: p.completeBy(schematicNames, false),
		RunE: p.run(func(ctx context.Context, c *client.Client, args []string) error {
			if err := c.DeleteSchematic(ctx, args[0]); err != nil {
				return err
			}
			p.done("schematic %s deleted", args[0])
			return nil
		}),
	}
}

func (p *program) ruleCommand() *cobra.Command {
	return p.noun("rule", "Labels and taints for nodes whose names match",
		"A rule puts labels and taints on the nodes of servers with a certain text in their name. Of two rules the later wins.",
		p.ruleCreate(), p.ruleList(), p.ruleDelete())
}

func (p *program) ruleCreate() *cobra.Command {
	var n client.NewRule
	var labels, taints []string
	cmd := &cobra.Command{
		Use: "create --match TEXT", Short: "Create a label and taint rule",
		Example: `  talos-manager rule create --match worker --label node-role.kubernetes.io/worker=
  talos-manager rule create --match db --cluster prod --label tier=db --taint dedicated=db:NoSchedule`, Args: takes(),
	}
	cmd.RunE = p.run(func(ctx context.Context, c *client.Client, _ []string) (err error) {
		if n.Labels, err = fleet.ParseLabels(strings.Join(labels, "\n")); err != nil {
			return err
		}
		parsed, err := fleet.ParseTaints(strings.Join(taints, "\n"))
		if err != nil {
			return err
		}
		for _, t := range parsed {
			n.Taints = append(n.Taints, client.Taint(t))
		}
		r, err := c.CreateRule(ctx, n)
		if err != nil {
			return err
		}
		return p.showRules(client.List[client.Rule]{Items: []client.Rule{r}}, r)
	})
	f := cmd.Flags()
	f.StringVar(&n.Match, "match", "", "part of the names of the servers")
	f.StringVar(&n.Cluster, "cluster", "", "only in this cluster; the default is every cluster")
	f.StringArrayVar(&labels, "label", nil, "KEY=VALUE, may be given several times")
	f.StringArrayVar(&taints, "taint", nil, "KEY=VALUE:EFFECT or KEY:EFFECT, may be given several times")
	p.completeFlag(cmd, "cluster", clusterNames)
	return cmd
}

// showRules prints a table of the list, or v as JSON or YAML.
func (p *program) showRules(l client.List[client.Rule], v any) error {
	p.none(len(l.Items), "rules", "talos-manager rule create --match TEXT --label KEY=VALUE")
	return p.show(v, func(t *table) {
		for i, r := range l.Items {
			if i == 0 {
				t.row("ID", "MATCH", "CLUSTER", "LABELS", "TAINTS", "AGE")
			}
			taints := each(r.Taints, func(x client.Taint) string { return fleet.Taint(x).String() })
			t.row(r.ID, r.Match, first(name(r.Cluster), "every"), fleet.FormatLabels(r.Labels), strings.Join(taints, ","), t.age(r.CreatedAt))
		}
	})
}

func (p *program) ruleList() *cobra.Command {
	var cluster string
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the rules, in the order they are applied", Example: "  talos-manager rule list --cluster prod", Args: takes(),
		RunE: p.run(func(ctx context.Context, c *client.Client, _ []string) error {
			l, err := c.Rules(ctx)
			if err != nil {
				return err
			}
			if cluster != "" {
				v, err := c.Cluster(ctx, cluster)
				if err != nil {
					return err
				}
				l.Items = slices.DeleteFunc(l.Items, func(r client.Rule) bool { return r.Cluster != nil && r.Cluster.ID != v.ID })
			}
			return p.showRules(l, l)
		}),
	}
	cmd.Flags().StringVar(&cluster, "cluster", "", "only those that apply to this cluster")
	p.completeFlag(cmd, "cluster", clusterNames)
	return cmd
}

func (p *program) ruleDelete() *cobra.Command {
	return &cobra.Command{
		Use: "delete RULE", Aliases: []string{"rm", "remove"}, Short: "Forget a rule; what it put on nodes stays", Example: "  talos-manager rule delete d0f3k2…", Args: takes("RULE"),
		ValidArgsFunction: p.completeBy(ruleIDs, false),
		RunE: p.run(func(ctx context.Context, c *client.Client, args []string) error {
			if err := c.DeleteRule(ctx, args[0]); err != nil {
				return err
			}
			p.done("rule %s deleted", fmt.Sprint(args[0]))
			return nil
		}),
	}
}
