package cli

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/talos-manager/talos-manager/client"
)

func (p *program) accountBudgets() *cobra.Command {
	return &cobra.Command{
		Use: "budgets [ACCOUNT...]", Aliases: []string{"budget"}, Short: "Say how many calls accounts have left, and when used ones are back",
		Long: `Say how many calls the providers of the accounts named, or of all, still let them make: resets, orders of a rescue system,
and all others. Nobody is asked for it: the manager counts. Operations that need more wait by themselves.`,
		Example: "  talos-manager account budgets\n  talos-manager account budgets robot -o json", Args: takes("[ACCOUNT]..."),
		ValidArgsFunction: p.completeBy(accountNames, true),
		RunE: p.run(func(ctx context.Context, c *client.Client, refs []string) (err error) {
			if len(refs) == 0 {
				if refs, err = accountNames(ctx, c); err != nil {
					return err
				}
			}
			all := client.List[client.Budget]{Items: []client.Budget{}}
			for _, ref := range refs {
				l, err := c.Budgets(ctx, ref)
				if err != nil {
					return err
				}
				all.Items = append(all.Items, l.Items...)
			}
			p.none(len(all.Items), "budgets", "they are counted of accounts at Hetzner: talos-manager account add --name NAME")
			return p.show(all, func(t *table) { budgetTable(t, all.Items) })
		}),
	}
}

func budgetTable(t *table, all []client.Budget) {
	for i, b := range all {
		if i == 0 {
			t.row("ACCOUNT", "CALLS", "LEFT", "ALLOWED", "BACK", "GROUP")
		}
		back := ""
		if !b.BackAt.IsZero() {
			back = "in " + short(b.BackAt.Sub(t.now))
		}
		allowed := fmt.Sprintf("%d in %s", b.Calls, short(time.Duration(b.WindowSeconds)*time.Second))
		t.row(b.Account.Name, b.What, strconv.Itoa(b.Left), allowed, back, b.Group)
	}
}
