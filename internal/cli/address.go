package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/talos-manager/talos-manager/client"
	"github.com/talos-manager/talos-manager/internal/fleet"
)

func (p *program) addressCommand() *cobra.Command {
	return p.noun("address", "The public address, where machines fetch their configs", "", p.addressCheck())
}

func (p *program) addressCheck() *cobra.Command {
	return &cobra.Command{
		Use: "check", Short: "Look whether the public address of the manager answers as machines need it",
		Long: `Have the manager look, from where it runs, whether its public address (HOST) answers as machines need it: its name, its
certificate, /healthz, and /config, from which they fetch their configs. What is between the machines and the manager it
cannot know. The exit code is 8 if something keeps machines away.`,
		Example: "  talos-manager address check", Args: takes(),
		RunE: p.run(func(ctx context.Context, c *client.Client, _ []string) error {
			l, err := c.CheckAddress(ctx)
			if err != nil {
				return err
			}
			if err := p.show(l, func(t *table) { addressTable(t, l.Items) }); err != nil {
				return err
			}
			for _, c := range l.Items {
				if c.Problem != "" && !c.Warning {
					return fleet.Errorf(fleet.Unavailable, "public address: %s", c.Problem).WithHint("%s", c.Hint)
				}
			}
			return nil
		}),
	}
}

func addressTable(t *table, all []client.AddressCheck) {
	t.row("CHECK", "RESULT", "WHY", "WHAT TO DO")
	for _, c := range all {
		result := "ok"
		switch {
		case c.Problem != "" && c.Warning:
			result = "warning"
		case c.Problem != "":
			result = "problem"
		}
		t.row(c.What, result, c.Problem, c.Hint)
	}
}
