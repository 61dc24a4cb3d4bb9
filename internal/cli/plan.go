package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/talos-manager/talos-manager/client"
)

func (p *program) planCommand() *cobra.Command {
	var running bool
	var publish []string
	cmd := &cobra.Command{
		Use: "plan [SERVER...]", Short: "Say what would change in machine configs",
		Long: `Say what would change in machine configs, for each server, and whether a node takes it without a reboot. Nothing is
changed. With --running it compares what the records say with what the nodes run; with --publish it says what the draft
of a layer would change. The commands that change layers and assignments do the same with --dry-run.`,
		Example: "  talos-manager plan --running\n  talos-manager plan worker-1 --publish config/base", Args: takes("[SERVER...]"),
		ValidArgsFunction: p.completeBy(serverNames, true),
		RunE: p.run(func(ctx context.Context, c *client.Client, args []string) error {
			r := client.PlanRequest{Servers: args, Running: running}
			for _, name := range publish {
				l, err := client.ParseLayer(name)
				if err != nil {
					return err
				}
				r.Publish = append(r.Publish, l)
			}
			if !running && len(publish) == 0 {
				return &usage{text: "plan: there is nothing to compare with", hint: "plan --running, or plan --publish config/NAME"}
			}
			return p.plan(ctx, c, r)
		}),
	}
	cmd.Flags().BoolVar(&running, "running", false, "compare with what the nodes run")
	cmd.Flags().StringArrayVar(&publish, "publish", nil, "say what the draft of this layer would change")
	return cmd
}

// plan asks for a plan and prints it.
func (p *program) plan(ctx context.Context, c *client.Client, r client.PlanRequest) error {
	made, err := c.Plan(ctx, r)
	if err != nil {
		return err
	}
	if p.output != "table" {
		return p.show(made, nil)
	}
	return p.showPlan(made, false)
}

// showPlan prints a plan for people; done says that it was saved already, perhaps as a draft.
func (p *program) showPlan(made client.Plan, done bool) error {
	for i, g := range made.Groups {
		if i > 0 {
			fmt.Fprintln(p.out)
		}
		fmt.Fprintf(p.out, "%s%s:\n", names3(g.Servers), map[string]string{"running": ", from what they run", "nothing": ", which have no config so far"}[g.From])
		for line := range strings.Lines(g.Text) {
			fmt.Fprint(p.out, "  "+printable(line))
		}
	}
	for _, b := range made.Broken {
		fmt.Fprintf(p.out, "\nwould break %s: %s\n", strings.Join(b.Servers, ", "), printable(b.Reason))
		if b.Hint != "" {
			fmt.Fprintf(p.out, "  instead: %s\n", printable(b.Hint))
		}
	}
	for _, b := range made.Silent {
		p.done("%s did not say what they run: %s", strings.Join(b.Servers, ", "), printable(b.Reason))
	}
	p.done("%s", summary(made, done))
	return nil
}

func summary(made client.Plan, done bool) string {
	changed, reboots, broken := 0, 0, 0
	for _, g := range made.Groups {
		changed += len(g.Servers)
		if g.Verdict != nil && g.Verdict.Reboots {
			reboots += len(g.Servers)
		}
	}
	for _, b := range made.Broken {
		broken += len(b.Servers)
	}
	text := fmt.Sprintf("%d servers change, %d of them by a reboot; %d stay as they are", changed, reboots, len(made.Unchanged))
	switch {
	case broken > 0 && done:
		text += fmt.Sprintf("; %d would break as things are", broken)
	case broken > 0:
		text += fmt.Sprintf("; %d would break, so it would be refused", broken)
	}
	return text
}

// names3 names servers, the first of many.
func names3(servers []client.PlanServer) string {
	var out []string
	for i, s := range servers {
		if i == 6 {
			return strings.Join(out, ", ") + fmt.Sprintf(" and %d more", len(servers)-i)
		}
		out = append(out, s.Name)
	}
	return strings.Join(out, ", ")
}
