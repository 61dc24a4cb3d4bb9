package cli

import (
	"context"
	"errors"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/talos-manager/talos-manager/client"
)

func (p *program) accountCommand() *cobra.Command {
	return p.noun("account", "Access to Hetzner: Cloud projects and Robot logins", "", p.accountAdd(), p.accountList(), p.accountShow(), p.accountCheck(), p.accountBudgets(), p.accountRotate(), p.accountRemove())
}

func (p *program) accountAdd() *cobra.Command {
	var n client.NewAccount
	var in credentialsIn
	cmd := &cobra.Command{
		Use: "add --name NAME", Short: "Try credentials and keep them as an account",
		Long: `Try credentials and keep them as an account.

A Cloud project has an API token with read and write access; it is taken from HCLOUD_TOKEN if it is not given. Robot
has a webservice user and a password, taken from HETZNER_WEBSERVICE_USER and HETZNER_WEBSERVICE_PASSWORD.

Here --token is the Cloud's. The one of the manager is taken from TALOS_MANAGER_TOKEN or the context.`,
		Example: `  talos-manager account add --name cloud --provider hetzner_cloud --token-stdin < token
  HCLOUD_TOKEN=… talos-manager account add --name cloud
  talos-manager account add --name robot --provider hetzner_robot --user '#ws+abc' --password-stdin < password`,
		Args: takes(),
	}
	cmd.RunE = p.run(func(ctx context.Context, c *client.Client, _ []string) (err error) {
		if n.Name == "" {
			return &usage{text: "account add: --name is missing", hint: cmd.UseLine()}
		}
		if err := in.read(p, &n); err != nil {
			return err
		}
		a, err := c.AddAccount(ctx, n)
		if err != nil {
			return err
		}
		p.done("account %s added, with %d servers; list them: talos-manager server list --account %s", a.Name, a.Servers, a.Name)
		return p.showAccounts(client.List[client.Account]{Items: []client.Account{a}}, a)
	})
	f := cmd.Flags()
	f.StringVar(&n.Name, "name", "", "name of the account")
	f.StringVar(&n.Provider, "provider", "", "hetzner_cloud or hetzner_robot; the default follows from the credentials")
	in.flags(cmd, &n)
	complete(cmd, "provider", client.HetznerCloud, client.HetznerRobot)
	return cmd
}

// credentialsIn says which credentials come from stdin.
type credentialsIn struct{ token, password bool }

func (in *credentialsIn) flags(cmd *cobra.Command, n *client.NewAccount) {
	f := cmd.Flags()
	f.StringVar(&n.Token, "token", "", "API token of a Cloud project; others on this computer can see it in the list of processes")
	f.BoolVar(&in.token, "token-stdin", false, "read the token of a Cloud project from stdin")
	f.StringVar(&n.User, "user", "", "Robot webservice user, #ws+…")
	f.StringVar(&n.Password, "password", "", "password of the webservice user; others on this computer can see it in the list of processes")
	f.BoolVar(&in.password, "password-stdin", false, "read the password of the webservice user from stdin")
}

// read fills in what stdin and the environment have.
func (in *credentialsIn) read(p *program, n *client.NewAccount) (err error) {
	if in.token {
		n.Token, err = p.line("token-stdin")
	}
	if in.password {
		n.Password, err = p.line("password-stdin")
	}
	if err == nil {
		credentials(n, os.Getenv)
	}
	return err
}

func (p *program) accountRotate() *cobra.Command {
	var n client.NewAccount
	var in credentialsIn
	cmd := &cobra.Command{
		Use: "rotate ACCOUNT", Short: "Try other credentials and give them to an account",
		Long: `Try other credentials and give them to an account. They have to list servers that the account has: those of another project
or login are refused. The old ones are forgotten here; revoke them at Hetzner after.

A token of the Cloud is taken from HCLOUD_TOKEN if it is not given, a login of Robot from HETZNER_WEBSERVICE_USER and
HETZNER_WEBSERVICE_PASSWORD; without a user, the account keeps its own.`,
		Example: `  talos-manager account rotate cloud --token-stdin < token
  talos-manager account rotate robot --password-stdin < password`,
		Args: takes("ACCOUNT"), ValidArgsFunction: p.completeBy(accountNames, false),
		RunE: p.run(func(ctx context.Context, c *client.Client, args []string) error {
			a, err := c.Account(ctx, args[0])
			if err != nil {
				return err
			}
			n.Provider = a.Provider
			if err := in.read(p, &n); err != nil {
				return err
			}
			if a, err = c.RotateAccount(ctx, a.ID, client.Credentials{Token: n.Token, User: n.User, Password: n.Password}); err != nil {
				return err
			}
			p.done("account %s has its new credentials: revoke the old ones at Hetzner now", a.Name)
			return p.showAccounts(client.List[client.Account]{Items: []client.Account{a}}, a)
		}),
	}
	in.flags(cmd, &n)
	return cmd
}

// credentials fills in what the environment has and the flags left open.
func credentials(n *client.NewAccount, getenv func(string) string) {
	if n.Provider == "" {
		n.Provider = client.HetznerCloud
		if n.Token == "" && (n.User != "" || n.Password != "") {
			n.Provider = client.HetznerRobot
		}
	}
	if n.Provider == client.HetznerCloud {
		n.Token = first(n.Token, getenv("HCLOUD_TOKEN"), getenv("HETZNER_CLOUD_API_TOKEN"))
		return
	}
	n.User = first(n.User, getenv("HETZNER_WEBSERVICE_USER"))
	n.Password = first(n.Password, getenv("HETZNER_WEBSERVICE_PASSWORD"))
}

// showAccounts prints a table of the list, or v as JSON or YAML.
func (p *program) showAccounts(l client.List[client.Account], v any) error {
	p.none(len(l.Items), "accounts", "talos-manager account add --name NAME")
	return p.show(v, func(t *table) {
		for i, a := range l.Items {
			if i == 0 {
				t.row("NAME", "PROVIDER", "SERVERS", "SYNCED", "PROBLEM")
			}
			t.row(a.Name, a.Provider, strconv.Itoa(a.Servers), t.age(a.SyncedAt), a.Problem)
		}
	})
}

func (p *program) accountList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the accounts", Example: "  talos-manager account list", Args: takes(),
		RunE: p.run(func(ctx context.Context, c *client.Client, _ []string) error {
			l, err := c.Accounts(ctx)
			if err != nil {
				return err
			}
			return p.showAccounts(l, l)
		}),
	}
}

func (p *program) accountShow() *cobra.Command {
	return &cobra.Command{
		Use: "show ACCOUNT", Short: "Show an account", Example: "  talos-manager account show cloud", Args: takes("ACCOUNT"),
		ValidArgsFunction: p.completeBy(accountNames, false),
		RunE: p.run(func(ctx context.Context, c *client.Client, args []string) error {
			a, err := c.Account(ctx, args[0])
			if err != nil {
				return err
			}
			return p.show(a, func(t *table) {
				t.field("name", a.Name)
				t.field("id", a.ID)
				t.field("provider", a.Provider)
				t.field("user", a.User)
				t.field("servers", strconv.Itoa(a.Servers))
				t.field("added", t.ago(a.CreatedAt))
				t.field("checked", t.ago(a.CheckedAt))
				t.field("synced", t.ago(a.SyncedAt))
				t.field("problem", a.Problem)
			})
		}),
	}
}

func (p *program) accountCheck() *cobra.Command {
	return &cobra.Command{
		Use: "check [ACCOUNT...]", Short: "Try the credentials of accounts", Long: "Try the credentials of the accounts named, or of all.",
		Example: "  talos-manager account check\n  talos-manager account check cloud", Args: takes("[ACCOUNT]..."),
		ValidArgsFunction: p.completeBy(accountNames, true),
		RunE: p.run(func(ctx context.Context, c *client.Client, refs []string) error {
			if len(refs) == 0 {
				var err error
				if refs, err = accountNames(ctx, c); err != nil {
					return err
				}
			}
			var l client.List[client.Account]
			var problems []error
			for _, ref := range refs {
				a, err := c.CheckAccount(ctx, ref)
				if err != nil {
					problems = append(problems, explain(err))
					continue
				}
				l.Items = append(l.Items, a)
			}
			if len(l.Items) > 0 || len(problems) == 0 {
				problems = append(problems, p.showAccounts(l, l))
			}
			return errors.Join(problems...)
		}),
	}
}

func (p *program) accountRemove() *cobra.Command {
	return &cobra.Command{
		Use: "remove ACCOUNT", Aliases: []string{"rm", "delete"}, Short: "Forget an account; at Hetzner nothing happens",
		Long:    "Forget an account and its servers. At Hetzner nothing happens. It is refused while one of its servers belongs to a cluster.",
		Example: "  talos-manager account remove cloud", Args: takes("ACCOUNT"),
		ValidArgsFunction: p.completeBy(accountNames, false),
		RunE: p.run(func(ctx context.Context, c *client.Client, args []string) error {
			if err := c.RemoveAccount(ctx, args[0]); err != nil {
				return err
			}
			p.done("account %s removed", args[0])
			return nil
		}),
	}
}
