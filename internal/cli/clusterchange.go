package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/talos-manager/talos-manager/client"
)

func (p *program) clusterUpdate() *cobra.Command {
	var dry bool
	cmd := &cobra.Command{
		Use: "update CLUSTER", Short: "Change the record of a cluster",
		Long: `Change the record of a cluster. What is not given stays as it is; an empty config or schematic takes it away. It is refused
if that would break a server of it. No machine is touched. The versions of a cluster that runs are what it runs: they
change by an upgrade of its nodes.`,
		Example: "  talos-manager cluster update prod --config base --why 'patches in one place'\n  talos-manager cluster update prod --private-network 10.0.0.0/16 --private-mtu 1400 --dry-run",
		Args:    takes("CLUSTER"), ValidArgsFunction: p.completeBy(clusterNames, false),
	}
	f := cmd.Flags()
	f.String("config", "", `config of its servers; "" for none`)
	f.String("schematic", "", `schematic of its servers; "" for the plain one`)
	f.String("talos-version", "", "Talos version; only before it is bootstrapped")
	f.String("kubernetes-version", "", "Kubernetes version; only before it is bootstrapped")
	f.String("vswitch", "", `id of the vSwitch that joins its dedicated servers; "" for none`)
	f.String("private-network", "", `private network of its servers, as 10.0.0.0/16; "" for none`)
	f.String("disk-policy", "", `what installs of its servers may overwrite without asking: clean-only, wipe-ours or wipe-all; "" for clean-only`)
	f.Int("private-mtu", 0, "MTU of the private network; 0 for what the provider has")
	f.String("why", "", "reason, for those who read the events")
	f.BoolVar(&dry, "dry-run", false, "only say what would change")
	complete(cmd, "disk-policy", client.CleanOnly, client.WipeOurs, client.WipeAll)
	p.completeFlag(cmd, "config", configNames)
	p.completeFlag(cmd, "schematic", schematicNames)
	completeVersions(cmd, "talos-version")
	cmd.RunE = p.run(func(ctx context.Context, c *client.Client, args []string) error {
		change := client.ClusterChange{
			TalosVersion: given(f, "talos-version"), KubernetesVersion: given(f, "kubernetes-version"), Config: given(f, "config"),
			Schematic: given(f, "schematic"), VSwitch: given(f, "vswitch"), PrivateNetwork: given(f, "private-network"), DiskPolicy: given(f, "disk-policy"),
		}
		if f.Changed("private-mtu") {
			mtu, err := f.GetInt("private-mtu")
			must(err)
			change.PrivateMTU = &mtu
		}
		if change == (client.ClusterChange{}) {
			return &usage{text: "cluster update: nothing is given to change", hint: "--config NAME, …; more with --help"}
		}
		if why := given(f, "why"); why != nil {
			change.Why = *why
		}
		if dry {
			return p.plan(ctx, c, client.PlanRequest{Cluster: &client.PlannedCluster{Cluster: args[0], ClusterChange: change}})
		}
		v, err := c.UpdateCluster(ctx, args[0], change)
		if err != nil {
			return err
		}
		p.done("cluster %s saved; machines keep what they have", v.Name)
		return p.showClusters(client.List[client.Cluster]{Items: []client.Cluster{v}}, v)
	})
	return cmd
}

func (p *program) clusterLint() *cobra.Command {
	var version string
	cmd := &cobra.Command{
		Use: "lint CLUSTER --talos-version VERSION", Short: "Say what another Talos version would make of the patches of a cluster",
		Long: `Say what another Talos version would refuse or ignore of the patches that are in effect for the servers of a cluster, in
which layers they are, and whether they can be rewritten: before an upgrade, what has to be done first. The exit code is
3 when that version would refuse something.`,
		Example: "  talos-manager cluster lint prod --talos-version v1.14.1", Args: takes("CLUSTER"),
		ValidArgsFunction: p.completeBy(clusterNames, false),
		RunE: p.run(func(ctx context.Context, c *client.Client, args []string) error {
			if version == "" {
				return &usage{text: "cluster lint: no version is given", hint: "--talos-version v1.14.1"}
			}
			l, err := c.LintCluster(ctx, args[0], version)
			if err != nil {
				return err
			}
			if p.output != "table" {
				if err := p.show(l, nil); err != nil {
					return err
				}
			} else {
				p.showUpgradeLint(l)
			}
			return verdict(l)
		}),
	}
	cmd.Flags().StringVar(&version, "talos-version", "", "Talos version to look at")
	completeVersions(cmd, "talos-version")
	return cmd
}

// verdict is an error if a version would refuse something.
func verdict(l client.UpgradeLint) error {
	refused := 0
	for _, patch := range l.Patches {
		for _, f := range patch.Findings {
			if f.Severity == "error" {
				refused++
			}
		}
	}
	servers := 0
	for _, b := range l.Broken {
		servers += len(b.Servers)
	}
	var why []string
	if refused > 0 {
		why = append(why, fmt.Sprintf("would refuse %d things in patches", refused))
	}
	if servers > 0 {
		why = append(why, fmt.Sprintf("leaves %d servers without a machine config", servers))
	}
	if len(why) == 0 {
		return nil
	}
	return &client.Error{
		Kind: client.Invalid, Message: fmt.Sprintf("cluster %s: Talos %s %s", l.Cluster.Name, l.To, strings.Join(why, ", and ")),
		Hint: fmt.Sprintf("rewrite them as drafts, and publish these with the upgrade: talos-manager patch modernise LAYER PATCH --talos-version %s --draft", l.To),
	}
}

func (p *program) showUpgradeLint(l client.UpgradeLint) {
	for _, patch := range l.Patches {
		fmt.Fprintf(p.out, "%s patch %s, for %s: %s\n", patch.Layer, patch.Patch, first3(patch.Servers), rewritable(patch))
		for _, f := range patch.Findings {
			before := ""
			if f.Before && l.From != l.To {
				before = ", as " + l.From + " does"
			}
			fmt.Fprintf(p.out, "  %d:%d: %s%s: %s\n", f.Line, f.Column, f.Severity, before, printable(f.Message))
			if f.Instead != "" {
				fmt.Fprintf(p.out, "      instead: %s\n", printable(f.Instead))
			}
		}
	}
	for _, b := range l.Broken {
		fmt.Fprintf(p.out, "would break %s: %s\n", first3(b.Servers), printable(b.Reason))
		if b.Hint != "" {
			fmt.Fprintf(p.out, "  instead: %s\n", printable(b.Hint))
		}
	}
	if len(l.Patches)+len(l.Broken) == 0 {
		p.done("nothing found for Talos %s", l.To)
	}
}

// rewritable says whether modernise helps.
func rewritable(p client.PatchLint) string {
	switch p.Modernise {
	case "equal", "equal-on-older":
		return "modernise rewrites it, proven to mean the same"
	case "differs":
		return "modernise rewrites it, and says what would differ"
	case "":
		if p.Problem == "" {
			return "nothing has to be rewritten"
		}
	}
	return "it has to be rewritten by hand: " + printable(p.Problem)
}

// first3 names some of many.
func first3(names []string) string {
	if len(names) > 4 {
		return strings.Join(names[:3], ", ") + fmt.Sprintf(" and %d more", len(names)-3)
	}
	return strings.Join(names, ", ")
}
