package cli

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/talos-manager/talos-manager/client"
)

// client finds the manager: by flags, the environment, or the context file. A token of the file goes only to the
// address that it was made for.
func (p *program) client() (*client.Client, error) {
	o := client.Options{URL: first(p.url, os.Getenv("TALOS_MANAGER_URL")), Token: first(p.token, os.Getenv("TALOS_MANAGER_TOKEN"))}
	if o.URL == "" || p.context != "" && p.url == "" {
		c, err := p.current()
		if err != nil {
			return nil, err
		}
		o.URL = c.URL
		if p.token == "" && (o.Token == "" || p.context != "") {
			o.Token = c.Token
		}
	}
	c, err := client.New(o)
	if err != nil {
		return nil, &usage{text: err.Error(), hint: hintOf(err)}
	}
	return c, nil
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// run is a command that asks the manager.
func (p *program) run(f func(ctx context.Context, c *client.Client, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, err := p.client()
		if err != nil {
			return err
		}
		return explain(f(cmd.Context(), c, args))
	}
}

// explain adds what only the command line knows to errors of the client.
func explain(err error) error {
	var e *client.Error
	if !errors.As(err, &e) {
		return err
	}
	switch {
	case e.Kind == client.Unauthorized && (e.Hint == "" || e.Message == "log in first"): // others are about a provider's credentials
		e.Hint = "give a token with --token or TALOS_MANAGER_TOKEN, or log in: talos-manager context add NAME --url URL --password-stdin"
	case e.Kind == client.Unavailable && e.Status == 0:
		e.Hint = "is it running? start one with talos-manager serve, or name another with --url"
	}
	return err
}

// complete completes a flag by fixed words.
func complete(cmd *cobra.Command, flag string, words ...string) {
	must(cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)))
}

// must is for what only a bug can break: a flag that was not declared.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// names lists what can be completed.
type names func(context.Context, *client.Client) ([]string, error)

// completeBy completes arguments by asking the manager, without a word if it does not answer at once. With many, more
// than one may be given.
func (p *program) completeBy(list names, many bool) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 && !many {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		c, err := p.client()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		parent := cmd.Context()
		if parent == nil {
			parent = context.Background()
		}
		ctx, cancel := context.WithTimeout(parent, 2*time.Second)
		defer cancel()
		all, err := list(ctx, c)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return all, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeFlag completes a flag by asking the manager.
func (p *program) completeFlag(cmd *cobra.Command, flag string, list names) {
	must(cmd.RegisterFlagCompletionFunc(flag, p.completeBy(list, true)))
}

func accountNames(ctx context.Context, c *client.Client) ([]string, error) {
	l, err := c.Accounts(ctx)
	return each(l.Items, func(v client.Account) string { return v.Name }), err
}

func serverNames(ctx context.Context, c *client.Client) ([]string, error) {
	l, err := c.Servers(ctx, client.ServerFilter{})
	return each(l.Items, func(v client.Server) string { return v.Name }), err
}

func clusterNames(ctx context.Context, c *client.Client) ([]string, error) {
	l, err := c.Clusters(ctx)
	return each(l.Items, func(v client.Cluster) string { return v.Name }), err
}

func configNames(ctx context.Context, c *client.Client) ([]string, error) {
	l, err := c.Configs(ctx)
	return each(l.Items, func(v client.Config) string { return v.Name }), err
}

func schematicNames(ctx context.Context, c *client.Client) ([]string, error) {
	l, err := c.Schematics(ctx)
	return each(l.Items, func(v client.Schematic) string { return v.Name }), err
}

func ruleIDs(ctx context.Context, c *client.Client) ([]string, error) {
	l, err := c.Rules(ctx)
	return each(l.Items, func(v client.Rule) string { return v.ID + "\t" + v.Match }), err
}

func tokenNames(ctx context.Context, c *client.Client) ([]string, error) {
	l, err := c.Tokens(ctx)
	return each(l.Items, func(v client.Token) string { return v.Name }), err
}

// operationIDs lists the ids with what they are about, which shells show beside them.
func operationIDs(ctx context.Context, c *client.Client) ([]string, error) {
	l, err := c.Operations(ctx, client.OperationFilter{Limit: 50})
	return each(l.Items, func(v client.Operation) string { return v.ID + "\t" + v.Kind + " " + v.Subject() + ", " + v.State }), err
}

func each[T, U any](all []T, f func(T) U) []U {
	out := make([]U, 0, len(all))
	for _, v := range all {
		out = append(out, f(v))
	}
	return out
}
