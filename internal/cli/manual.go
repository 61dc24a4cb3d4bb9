package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/talos-manager/talos-manager/client"
)

func (p *program) serverAdd() *cobra.Command {
	n := client.NewServer{}
	var probe bool
	cmd := &cobra.Command{
		Use: "add NAME ADDRESS", Short: "Note a server of any make, by its address",
		Long: `Note a server that no account lists: one of any make that has a rescue system with root SSH, or sits in Talos' maintenance
mode. Everything works with it but power: it is restarted, and its rescue system booted, by you. The key that has to be let
in is what "talos-manager ssh-key show" prints. An address is an IP address, with the port of SSH unless it is 22.`,
		Example: `  talos-manager server add rack-7 198.51.100.7 --host-key SHA256:tz…
  talos-manager server add edge-1 '[2001:db8::7]:2222' --architecture arm64 --probe`,
		Args: takes("NAME", "ADDRESS"),
		RunE: p.run(func(ctx context.Context, c *client.Client, args []string) error {
			n.Name, n.Address = args[0], args[1]
			s, err := c.AddServer(ctx, n)
			if err != nil {
				return err
			}
			if probe {
				return p.probe(ctx, c, s.Name)
			}
			p.done("server %s added; look at what answers there: talos-manager server probe %s", s.Name, s.Name)
			return p.show(s, func(t *table) { serverTable(t, []client.Server{s}) })
		}),
	}
	f := cmd.Flags()
	f.StringVar(&n.HostKey, "host-key", "", "fingerprints of its rescue system's SSH host keys, SHA256:…; without, the first that answers is trusted")
	f.StringVar(&n.Architecture, "architecture", "", "amd64 or arm64; the default is amd64")
	f.StringVar(&n.Account, "account", "", "account that holds such servers; made when it is missing")
	f.BoolVar(&probe, "probe", false, "look at once at what answers there")
	complete(cmd, "architecture", "amd64", "arm64")
	return cmd
}

func (p *program) serverProbe() *cobra.Command {
	return &cobra.Command{
		Use: "probe SERVER", Short: "Look at what answers at the address of a server that was added by hand",
		Long:    "Look at what answers at the address of a server that was added by hand. A rescue system, and a Talos in maintenance\nmode, is asked what the machine is. Nothing is changed on it.",
		Example: "  talos-manager server probe rack-7", Args: takes("SERVER"),
		ValidArgsFunction: p.completeBy(serverNames, false),
		RunE:              p.run(func(ctx context.Context, c *client.Client, args []string) error { return p.probe(ctx, c, args[0]) }),
	}
}

func (p *program) probe(ctx context.Context, c *client.Client, ref string) error {
	found, err := c.ProbeServer(ctx, ref)
	if err != nil {
		return err
	}
	return p.show(found, func(t *table) {
		fmt.Fprintln(t.w, fold(printable(found.Text), wide))
		t.field("SSH host key", found.HostKey)
		t.field("certificate", found.Certificate)
		if f := found.Facts; f != nil {
			t.field("UUID", f.UUID)
			describeMachine(t, *f)
			t.block("disks", columns(each(f.Disks, func(d client.Disk) []string {
				return []string{d.Name, first(d.ID, "(no identity)"), size(d.SizeBytes), d.Model}
			})))
		}
		if found.Hint != "" {
			fmt.Fprintln(t.w, fold("hint: "+printable(found.Hint), wide))
		}
	})
}

func (p *program) serverMove() *cobra.Command {
	cmd := &cobra.Command{
		Use: "move SERVER", Short: "Tell where a server that was added by hand is now",
		Example: "  talos-manager server move rack-7 --address 198.51.100.8\n  talos-manager server move rack-7 --host-key ''", Args: takes("SERVER"),
		ValidArgsFunction: p.completeBy(serverNames, false),
	}
	f := cmd.Flags()
	f.String("address", "", "IP address, with the port of SSH unless it is 22")
	f.String("host-key", "", "fingerprints of its rescue system's SSH host keys; empty: none is known")
	cmd.RunE = p.run(func(ctx context.Context, c *client.Client, args []string) error {
		change := client.ServerChange{Address: given(f, "address"), HostKey: given(f, "host-key")}
		if change == (client.ServerChange{}) {
			return &usage{text: "server move: nothing is given to change", hint: "--address 198.51.100.8"}
		}
		s, err := c.ChangeServer(ctx, args[0], change)
		if err != nil {
			return err
		}
		p.done("server %s is at %s", s.Name, s.ProviderID)
		return p.show(s, func(*table) {})
	})
	return cmd
}

func (p *program) serverRemove() *cobra.Command {
	return &cobra.Command{
		Use: "remove SERVER", Aliases: []string{"rm", "delete"}, Short: "Forget a server that no account lists",
		Long:    "Forget a server that was added by hand, or that its account does not list any more. Nothing happens to the machine. It\nis refused while the server belongs to a cluster.",
		Example: "  talos-manager server remove rack-7", Args: takes("SERVER"),
		ValidArgsFunction: p.completeBy(serverNames, false),
		RunE: p.run(func(ctx context.Context, c *client.Client, args []string) error {
			if err := c.RemoveServer(ctx, args[0]); err != nil {
				return err
			}
			p.done("server %s removed", args[0])
			return nil
		}),
	}
}
