package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/talos-manager/talos-manager/client"
)

func (p *program) serverOverrideUUID() *cobra.Command {
	return &cobra.Command{
		Use: "override-uuid SERVER UUID", Short: "Say which UUID the next install gives to Talos, or none for the board's own",
		Long: `Say which UUID the next install has META give to Talos in place of the board's, or none for the board's own. The machine is
not touched. Without this, "server install --override-uuid" makes a random one where the board's will not do.`,
		Example: "  talos-manager server override-uuid worker-7 5d3c1d7c-3a0f-4b5e-9c1e-0f6a2f2f8a11\n  talos-manager server override-uuid worker-7 none",
		Args:    takes("SERVER", "UUID"), ValidArgsFunction: p.completeBy(serverNames, false),
		RunE: p.run(func(ctx context.Context, c *client.Client, args []string) error {
			uuid := args[1]
			if uuid == "none" {
				uuid = ""
			}
			s, err := c.ChangeServer(ctx, args[0], client.ServerChange{UUID: &uuid})
			if err != nil {
				return err
			}
			p.done("the next install of server %s gives Talos the UUID %s", s.Name, first(s.UUIDOverride, "of its board"))
			return p.show(s, func(*table) {})
		}),
	}
}

func (p *program) serverRecoverUUID() *cobra.Command {
	w := waiting{one: true}
	var r client.UUIDRecovery
	cmd := &cobra.Command{
		Use: "recover-uuid SERVER", Short: "Give Talos the UUID back by which it ran, after an exchange of the board",
		Long: `Give Talos the UUID back by which it ran: an exchanged board brings another one, and disks that Talos encrypted by it do not
open any more. The server is booted into the rescue system, META on its disk is given the UUID, and the node is booted
again. Nothing else on the disk is changed.`,
		Example: "  talos-manager server recover-uuid worker-7 --wait", Args: takes("SERVER"),
		ValidArgsFunction: p.completeBy(serverNames, false),
		RunE: p.run(func(ctx context.Context, c *client.Client, servers []string) error {
			return p.start(ctx, c, servers, w, func(ctx context.Context, ref string) (client.Operation, error) { return c.RecoverUUID(ctx, ref, r) })
		}),
	}
	cmd.Flags().StringVar(&r.UUID, "uuid", "", "the UUID; the default is the one by which Talos was last seen to run")
	w.flags(cmd)
	return cmd
}
