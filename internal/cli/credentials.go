package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

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

// free refuses to write over what is there.
func free(file string) error {
	info, err := os.Lstat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && special(file):
		return nil
	case err != nil:
		return unwritable(err)
	case info.IsDir():
		return fleet.Errorf(fleet.Invalid, "%s is a directory", file).WithHint("name a file")
	}
	return fleet.Errorf(fleet.Refused, "%s is there already", file).WithHint("name another file, or overwrite it with --force")
}

// special says whether a name stands for something that can only be written to, and never replaced: /dev/null,
// /dev/stdout, a pipe.
func special(file string) bool {
	info, err := os.Stat(file)
	return err == nil && !info.Mode().IsRegular() && !info.IsDir()
}

// keep writes a file that only its owner can read, in one go; a file that somebody made meanwhile stays unless forced.
func keep(file string, text []byte, force bool) error {
	switch {
	case special(file):
		return pour(file, os.O_WRONLY, text)
	case !force:
		err := pour(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, text)
		if errors.Is(err, fs.ErrExist) {
			err = free(file)
		}
		return err
	}
	if real, err := filepath.EvalSymlinks(file); err == nil {
		file = real // else the new file would take the place of the link
	}
	if info, err := os.Stat(file); err == nil && info.IsDir() {
		return free(file)
	}
	if err := pour(file+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, text); err != nil {
		return err
	}
	return unwritable(os.Rename(file+".new", file))
}

// pour writes text to a file, and makes one its owner's alone.
func pour(file string, flags int, text []byte) error {
	f, err := os.OpenFile(file, flags, 0o600)
	if err != nil {
		return unwritable(err)
	}
	_, err = f.Write(text)
	if err == nil && flags&os.O_CREATE != 0 {
		err = f.Chmod(0o600)
	}
	return unwritable(errors.Join(err, f.Close()))
}

func unwritable(err error) error {
	if err == nil {
		return nil
	}
	return fleet.Errorf(fleet.Invalid, "%w", err).WithHint("name a file that you may write")
}
