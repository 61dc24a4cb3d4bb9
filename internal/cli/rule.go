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
