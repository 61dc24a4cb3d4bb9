package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/talos-manager/talos-manager/client"
)

func (p *program) eventCommand() *cobra.Command {
	var f client.EventFilter
	list := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List what happened, newest first",
		Example: "  talos-manager event list\n  talos-manager event list --subject server --target worker-1", Args: takes(),
		RunE: p.run(func(ctx context.Context, c *client.Client, _ []string) error {
			l, err := c.Events(ctx, f)
			if err != nil {
				return err
			}
			p.none(len(l.Items), "events", "")
			return p.show(l, func(t *table) {
				for i, e := range l.Items {
					if i == 0 {
						t.row("TIME", "BY", "WHAT", "TEXT")
					}
					t.row(e.At.Local().Format(time.DateTime), e.Actor, e.Verb, e.Text)
				}
			})
		}),
	}
	fs := list.Flags()
	fs.StringVar(&f.Subject, "subject", "", "only about this: server, cluster, account, config, schematic, rule, operation, token")
	fs.StringVar(&f.Target, "target", "", "only about the one of this id; of a server, cluster or account its name")
	fs.IntVar(&f.Limit, "limit", 50, "at most so many")
	fs.StringVar(&f.Before, "before", "", "only those before the one of this id")
	complete(list, "subject", "server", "cluster", "account", "config", "schematic", "rule", "operation", "token")
	return p.noun("event", "Who did what, and what happened by itself", "", list)
}

func (p *program) tokenCommand() *cobra.Command {
	return p.noun("token", "API tokens", "", p.tokenCreate(), p.tokenList(), p.tokenDelete())
}

func (p *program) tokenCreate() *cobra.Command {
	return &cobra.Command{
		Use: "create NAME", Short: "Make an API token; it is shown this once", Example: "  talos-manager token create ci > token", Args: takes("NAME"),
		RunE: p.run(func(ctx context.Context, c *client.Client, args []string) error {
			t, err := c.CreateToken(ctx, client.NewToken{Name: args[0]})
			if err != nil {
				return err
			}
			p.done("token %s, shown this once:", t.Name)
			return p.show(t, func(out *table) { fmt.Fprintln(out.w, t.Token) })
		}),
	}
}

func (p *program) tokenList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the API tokens", Example: "  talos-manager token list", Args: takes(),
		RunE: p.run(func(ctx context.Context, c *client.Client, _ []string) error {
			l, err := c.Tokens(ctx)
			if err != nil {
				return err
			}
			p.none(len(l.Items), "tokens", "talos-manager token create NAME")
			return p.show(l, func(t *table) {
				for i, k := range l.Items {
					if i == 0 {
						t.row("NAME", "MADE BY", "AGE", "USED")
					}
					t.row(k.Name, k.Actor, t.age(k.CreatedAt), first(t.age(k.UsedAt), "never"))
				}
			})
		}),
	}
}

func (p *program) tokenDelete() *cobra.Command {
	return &cobra.Command{
		Use: "delete TOKEN", Aliases: []string{"rm", "remove"}, Short: "Revoke an API token", Example: "  talos-manager token delete ci", Args: takes("TOKEN"),
		ValidArgsFunction: p.completeBy(tokenNames, false),
		RunE: p.run(func(ctx context.Context, c *client.Client, args []string) error {
			if err := c.DeleteToken(ctx, args[0]); err != nil {
				return err
			}
			p.done("token %s revoked", args[0])
			return nil
		}),
	}
}
