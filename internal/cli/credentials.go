package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/talos-manager/talos-manager/client"
	"github.com/talos-manager/talos-manager/internal/fleet"
)

func (p *program) clusterTalosconfig() *cobra.Command {
	return p.credentials("talosconfig", "Make an admin talosconfig",
		"Make an admin talosconfig whose endpoints are the control planes of the cluster. That this was done is noted in the events.",
		func(c *client.Client) func(context.Context, string) ([]byte, error) { return c.Talosconfig })
}

func (p *program) clusterKubeconfig() *cobra.Command {
	return p.credentials("kubeconfig", "Fetch an admin kubeconfig",
		"Fetch an admin kubeconfig from a control plane of the cluster. That this was done is noted in the events.",
		func(c *client.Client) func(context.Context, string) ([]byte, error) { return c.Kubeconfig })
}

// credentials is a command that hands out a file which opens a cluster.
func (p *program) credentials(what, short, long string, fetch func(*client.Client) func(context.Context, string) ([]byte, error)) *cobra.Command {
	var file string
	var force bool
	cmd := &cobra.Command{
		Use: what + " CLUSTER", Short: short, Long: long + "\nIt is printed, or written to a file that only you can read.",
		Example: fmt.Sprintf("  talos-manager cluster %s prod -f %s", what, what), Args: takes("CLUSTER"),
		ValidArgsFunction: p.completeBy(clusterNames, false),
		RunE: p.run(func(ctx context.Context, c *client.Client, args []string) error {
			if file != "" && !force { // before it is noted that somebody has it
				if err := free(file); err != nil {
					return err
				}
			}
			text, err := fetch(c)(ctx, args[0])
			if err != nil {
				return err
			}
			if file == "" {
				_, err = p.out.Write(text)
				return err
			}
			if err := keep(file, text, force); err != nil {
				return err
			}
			p.done("%s of %s written to %s", what, args[0], file)
			return nil
		}),
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "write it to this file")
	cmd.Flags().BoolVar(&force, "force", false, "overwrite the file")
	must(cmd.MarkFlagFilename("file"))
	return cmd
}

func free(file string) error {
	_, err := os.Lstat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fleet.Errorf(fleet.Invalid, "--file: %w", err)
	}
	return fleet.Errorf(fleet.Refused, "%s is there already", file).WithHint("name another file, or overwrite it with --force")
}

// keep writes a file that only its owner can read, in one go; a file that somebody made meanwhile stays unless forced.
func keep(file string, text []byte, force bool) error {
	flags := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	name := file
	if force {
		name = file + ".new"
		flags = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	}
	f, err := os.OpenFile(name, flags, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return free(file)
	}
	if err == nil {
		_, err = f.Write(text)
		err = errors.Join(err, f.Chmod(0o600), f.Close())
	}
	if err == nil && force {
		err = os.Rename(name, file)
	}
	if err != nil {
		return fleet.Errorf(fleet.Invalid, "--file: %w", err)
	}
	return nil
}
