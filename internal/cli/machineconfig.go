package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/talos-manager/talos-manager/client"
)

func (p *program) machineConfigCommand() *cobra.Command {
	return p.noun("machine-config", "What is handed to machines", "", p.machineConfigShow(), p.machineConfigExplain(), p.machineConfigDiff())
}

func (p *program) machineConfigShow() *cobra.Command {
	var secrets bool
	cmd := &cobra.Command{
		Use: "show SERVER", Short: "Print the machine config that a server has or would get",
		Long:    "Print the machine config that a server has or would get, from the records as they are now. Secrets are replaced by\nstars; with --secrets they are there, and that is noted in the events.",
		Example: "  talos-manager machine-config show worker-1\n  talos-manager machine-config show worker-1 --secrets > worker-1.yaml", Args: takes("SERVER"),
		ValidArgsFunction: p.completeBy(serverNames, false),
		RunE: p.run(func(ctx context.Context, c *client.Client, args []string) error {
			m, err := c.MachineConfig(ctx, args[0], secrets)
			if err != nil {
				return err
			}
			if p.output != "table" {
				return p.show(m, nil)
			}
			_, err = fmt.Fprint(p.out, m.YAML)
			return err
		}),
	}
	cmd.Flags().BoolVar(&secrets, "secrets", false, "with secrets; this is noted in the events")
	return cmd
}

func (p *program) machineConfigExplain() *cobra.Command {
	return &cobra.Command{
		Use: "explain SERVER", Short: "Say which patch set each line of a machine config",
		Example: "  talos-manager machine-config explain worker-1", Args: takes("SERVER"),
		ValidArgsFunction: p.completeBy(serverNames, false),
		RunE: p.run(func(ctx context.Context, c *client.Client, args []string) error {
			e, err := c.ExplainMachineConfig(ctx, args[0])
			if err != nil {
				return err
			}
			if p.output != "table" {
				return p.show(e, nil)
			}
			for _, line := range besideLines(e.YAML, e.Lines) {
				fmt.Fprintln(p.out, line)
			}
			for _, what := range e.Removed {
				p.done("taken away by %s", what)
			}
			for _, name := range e.Idle {
				p.done("%s changed nothing", name)
			}
			return nil
		}),
	}
}

// besideLines puts before each line of a text who set it.
func besideLines(text string, by []string) []string {
	wide := 0
	for _, name := range by {
		wide = max(wide, len([]rune(name)))
	}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for i, line := range lines {
		lines[i] = fmt.Sprintf("%-*s | %s", wide, printable(by[i]), printable(line))
	}
	return lines
}

func (p *program) machineConfigDiff() *cobra.Command {
	return &cobra.Command{
		Use: "diff SERVER OTHER", Short: "Say what the machine configs of two servers differ in",
		Example: "  talos-manager machine-config diff worker-1 worker-2", Args: takes("SERVER", "OTHER"),
		ValidArgsFunction: p.completeBy(serverNames, true),
		RunE: p.run(func(ctx context.Context, c *client.Client, args []string) error {
			d, err := c.DiffMachineConfigs(ctx, args[0], args[1])
			if err != nil {
				return err
			}
			if p.output != "table" {
				return p.show(d, nil)
			}
			if len(d.Documents) == 0 {
				p.done("they mean the same")
				return nil
			}
			for line := range strings.Lines(d.Text) {
				fmt.Fprint(p.out, printable(line))
			}
			return nil
		}),
	}
}
