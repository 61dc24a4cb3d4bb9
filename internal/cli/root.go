package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// root is the tree of all commands.
func (p *program) root() *cobra.Command {
	root := p.noun("talos-manager", "From rented servers to healthy Talos clusters",
		`Talos Manager turns rented Hetzner servers into healthy Talos Linux clusters.

Start a manager with "serve", or see one at work on a simulated Hetzner with "demo". Commands that work on files need
none; all others talk to a running manager. They find it by --url and --token, by TALOS_MANAGER_URL and
TALOS_MANAGER_TOKEN, or by the context that "talos-manager context add" made.

Exit codes: 0 all well, 1 another error, 2 wrong usage, 3 invalid, 4 not found, 5 conflict, 6 refused because it would
do harm, 7 not logged in or not allowed, 8 does not answer, 9 budget used up, 10 an operation failed.`)
	root.Example = `  # see it work, without an account
  talos-manager demo

  # start a manager, then log in to it
  talos-manager serve --host manager.example.com
  talos-manager context add prod --url https://manager.example.com --password-stdin < talos-manager-data/password

  # the first cluster
  talos-manager account add --name cloud --token-stdin < token
  talos-manager server sync
  talos-manager cluster create prod --endpoint https://203.0.113.10:6443
  talos-manager server assign control-plane-1 worker-1 --cluster prod
  talos-manager server install control-plane-1 worker-1 --wait
  talos-manager cluster kubeconfig prod -f kubeconfig`
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &usage{text: fmt.Sprintf("%s: %v", cmd.CommandPath(), err), hint: cmd.CommandPath() + " --help"}
	})
	root.PersistentPreRunE = func(*cobra.Command, []string) error { return p.checkOutput() }
	flags := root.PersistentFlags()
	flags.StringVar(&p.url, "url", "", "address of the manager (TALOS_MANAGER_URL)")
	flags.StringVar(&p.token, "token", "", "API token (TALOS_MANAGER_TOKEN)")
	flags.StringVar(&p.context, "context", "", "context to use instead of the current one")
	flags.StringVarP(&p.output, "output", "o", "table", "table, json or yaml")
	complete(root, "output", "table", "json", "yaml")
	complete(root, "context", p.contextNames()...)
	for _, g := range []struct {
		id, title string
		commands  []*cobra.Command
	}{
		{"servers", "Servers:", []*cobra.Command{p.accountCommand(), p.serverCommand(), p.vswitchCommand(), p.sshKeyCommand()}},
		{"clusters", "Clusters:", []*cobra.Command{p.clusterCommand(), p.configCommand(), p.layerCommand(), p.patchCommand(), p.variableCommand(), p.planCommand(), p.machineConfigCommand(), p.secretsCommand(), p.recipeCommand(), p.schematicCommand(), p.extensionCommand(), p.ruleCommand()}},
		{"work", "What is being done:", []*cobra.Command{p.operationCommand(), p.eventCommand()}},
		{"manager", "The manager itself:", []*cobra.Command{p.serveCommand(), p.demoCommand(), p.addressCommand(), p.contextCommand(), p.tokenCommand(), p.versionCommand()}},
	} {
		root.AddGroup(&cobra.Group{ID: g.id, Title: g.title})
		for _, c := range g.commands {
			c.GroupID = g.id
			root.AddCommand(c)
		}
	}
	root.SetHelpCommandGroupID("manager")
	root.SetCompletionCommandGroupID("manager")
	return root
}

// noun is a command that only has others below it.
func (p *program) noun(name, short, long string, verbs ...*cobra.Command) *cobra.Command {
	if long == "" {
		long = short + "."
	}
	cmd := &cobra.Command{Use: name, Short: short, Long: long, Args: cobra.ArbitraryArgs, RunE: func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		u := &usage{text: fmt.Sprintf("%s: there is no command %q", cmd.CommandPath(), args[0]), hint: cmd.CommandPath() + " --help lists them"}
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			u.hint = "did you mean " + strings.Join(near, " or ") + "?"
		}
		return u
	}}
	cmd.SuggestionsMinimumDistance = 2
	cmd.AddCommand(verbs...)
	return cmd
}

func (p *program) checkOutput() error {
	switch p.output {
	case "table", "json", "yaml":
		return nil
	}
	return &usage{text: fmt.Sprintf("--output: %q is none of table, json and yaml", p.output), hint: "-o json"}
}
