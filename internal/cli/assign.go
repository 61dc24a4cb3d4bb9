package cli

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/talos-manager/talos-manager/client"
)

// given is nil for a flag that was not given: an empty value clears, none leaves as it is.
func given(fs *pflag.FlagSet, flag string) *string {
	if !fs.Changed(flag) {
		return nil
	}
	v, err := fs.GetString(flag)
	must(err)
	return &v
}

func (p *program) serverAssign() *cobra.Command {
	cmd := &cobra.Command{
		Use: "assign SERVER...", Short: "Say what servers are to be",
		Long: `Say what servers are to be: the cluster they belong to, their role and what is special about them. Nothing happens to
the machines until they are installed. A flag that is not given leaves things as they are; an empty one clears it. An
empty --cluster takes servers out of their cluster. Several servers can be given the same cluster, role, config and
schematic in one go. Without --role it follows from the name the first time: control-plane, controlplane or master.`,
		Example: `  talos-manager server assign control-plane-1 control-plane-2 control-plane-3 --cluster prod --role controlplane
  talos-manager server assign worker-1 --cluster prod --disk eui.0025388b71b4e09c --private-ip 10.0.1.7 --patch @worker-1.yaml
  talos-manager server assign worker-2 worker-3 --disk 'rule:smallest,transport=nvme' --disk-policy wipe-ours
  talos-manager server assign worker-1 --cluster ''`,
		Args:              takes("SERVER..."),
		ValidArgsFunction: p.completeBy(serverNames, true),
	}
	cmd.RunE = p.run(func(ctx context.Context, c *client.Client, servers []string) error {
		change, err := p.assignment(cmd.Flags(), len(servers))
		if err != nil {
			return err
		}
		if dry, err := cmd.Flags().GetBool("dry-run"); err != nil || dry {
			r := client.PlanRequest{}
			for _, ref := range servers {
				r.Assign = append(r.Assign, client.PlannedAssignment{Server: ref, AssignmentChange: change})
			}
			return p.plan(ctx, c, r)
		}
		var done client.List[client.Server]
		var problems []error
		for _, ref := range servers {
			s, err := c.AssignServer(ctx, ref, change)
			if err != nil {
				problems = append(problems, explain(err))
				continue
			}
			done.Items = append(done.Items, s)
		}
		if len(done.Items) > 0 {
			problems = append(problems, p.show(done, func(t *table) { serverTable(t, done.Items) }))
		}
		return errors.Join(problems...)
	})
	f := cmd.Flags()
	f.String("cluster", "", "cluster to belong to; empty: to none")
	f.String("role", "", "controlplane or worker")
	f.String("config", "", "config of its own; empty: the cluster's")
	f.String("schematic", "", "schematic of its own; empty: the cluster's")
	f.String("hostname", "", "name of the node; empty: the server's name")
	f.String("private-ip", "", "address in the private network, without prefix length")
	f.String("disk", "", "disk to install on: WWID (eui.…, naa.…), serial:…, or rule:smallest,transport=nvme,size>=400GB; empty: the only one of 10 GB or more")
	f.String("disk-policy", "", "what an install may overwrite without asking: clean-only, wipe-ours or wipe-all; empty: what the cluster says")
	f.String("ephemeral-disk", "", "disk (wwid:…) or md array (uuid:…) for the EPHEMERAL volume")
	f.String("patch", "", "patch of its own, YAML or @FILE")
	f.Bool("draft", false, "keep it, but not in effect: what would break is no error, and the server cannot be installed")
	f.Bool("dry-run", false, "only say what would change in the machine configs")
	f.Bool("force", false, "let a control plane go that etcd may still count as a member")
	complete(cmd, "role", client.ControlPlane, client.Worker)
	complete(cmd, "disk-policy", client.CleanOnly, client.WipeOurs, client.WipeAll)
	p.completeFlag(cmd, "cluster", clusterNames)
	p.completeFlag(cmd, "config", configNames)
	p.completeFlag(cmd, "schematic", schematicNames)
	return cmd
}

// assignment reads the flags. What only one server can have is refused for several.
func (p *program) assignment(fs *pflag.FlagSet, servers int) (client.AssignmentChange, error) {
	a := client.AssignmentChange{
		Cluster: given(fs, "cluster"), Role: given(fs, "role"), Config: given(fs, "config"), Schematic: given(fs, "schematic"),
		Hostname: given(fs, "hostname"), PrivateIP: given(fs, "private-ip"), InstallDisk: given(fs, "disk"), DiskPolicy: given(fs, "disk-policy"), EphemeralDisk: given(fs, "ephemeral-disk"), Patch: given(fs, "patch"),
	}
	if a == (client.AssignmentChange{}) {
		return a, &usage{text: "server assign: nothing is given to change", hint: "--cluster NAME, --role controlplane, …; more with --help"}
	}
	for _, flag := range []string{"hostname", "private-ip", "disk", "ephemeral-disk", "patch"} {
		if flag == "disk" && a.InstallDisk != nil && (*a.InstallDisk == "" || strings.HasPrefix(*a.InstallDisk, "rule:")) {
			continue // a rule chooses on each server
		}
		if servers > 1 && fs.Changed(flag) {
			return a, &usage{text: "server assign: --" + flag + " is for one server only", hint: "assign the servers one by one"}
		}
	}
	var err error
	a.Draft, err = fs.GetBool("draft")
	must(err)
	if a.Force, err = fs.GetBool("force"); err != nil || a.Patch == nil {
		return a, err
	}
	patch, err := p.read("patch", *a.Patch)
	a.Patch = &patch
	return a, err
}
