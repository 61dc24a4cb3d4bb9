package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/talos-manager/talos-manager/client"
)

func (p *program) clusterCommand() *cobra.Command {
	return p.noun("cluster", "Talos and Kubernetes clusters", "",
		p.clusterCreate(), p.clusterList(), p.clusterShow(), p.clusterHealth(), p.clusterUpdate(), p.clusterReplaceSecrets(), p.clusterLint(), p.clusterBootstrap(), p.clusterTalosconfig(), p.clusterKubeconfig(), p.clusterDelete())
}

func (p *program) clusterCreate() *cobra.Command {
	var n client.NewCluster
	cmd := &cobra.Command{
		Use: "create NAME --endpoint URL", Short: "Create a cluster; no machine is touched",
		Long: `Create a cluster: its name, where its Kubernetes API will be, its versions and its secrets. No machine is touched;
assign servers to it and install them. The secrets are made unless those of an existing cluster are brought along.`,
		Example: `  talos-manager cluster create prod --endpoint https://203.0.113.10:6443
  talos-manager cluster create prod --endpoint https://api.example.com:6443 --talos v1.14.1 --config base --secrets @secrets.yaml`,
		Args: takes("NAME"),
		RunE: p.run(func(ctx context.Context, c *client.Client, args []string) (err error) {
			n.Name = args[0]
			if n.Secrets, err = p.read("secrets", n.Secrets); err != nil {
				return err
			}
			v, err := c.CreateCluster(ctx, n)
			if err != nil {
				return err
			}
			p.done("cluster %s created; give it servers: talos-manager server assign SERVER… --cluster %s", v.Name, v.Name)
			return p.showClusters(client.List[client.Cluster]{Items: []client.Cluster{v}}, v)
		}),
	}
	f := cmd.Flags()
	f.StringVar(&n.Endpoint, "endpoint", "", "https://HOST:6443 of the Kubernetes API: a load balancer, a DNS name or the first control plane")
	f.StringVar(&n.TalosVersion, "talos", "", "Talos version; the default is the newest the manager knows")
	f.StringVar(&n.KubernetesVersion, "kubernetes", "", "Kubernetes version; the default is the one that the Talos version brings")
	f.StringVar(&n.Config, "config", "", "config of its servers")
	f.StringVar(&n.Schematic, "schematic", "", "schematic of its servers")
	f.StringVar(&n.VSwitch, "vswitch", "", "id of the vSwitch that joins its dedicated servers")
	f.StringVar(&n.Secrets, "secrets", "", "secrets to take over, YAML or @FILE: of talosctl gen secrets, or the machine config of a control plane")
	f.StringVar(&n.DiskPolicy, "disk-policy", "", "what installs of its servers may overwrite without asking: clean-only (default), wipe-ours or wipe-all")
	complete(cmd, "disk-policy", client.CleanOnly, client.WipeOurs, client.WipeAll)
	p.completeFlag(cmd, "config", configNames)
	p.completeFlag(cmd, "schematic", schematicNames)
	return cmd
}

// showClusters prints a table of the list, or v as JSON or YAML.
func (p *program) showClusters(l client.List[client.Cluster], v any) error {
	p.none(len(l.Items), "clusters", "talos-manager cluster create NAME --endpoint https://HOST:6443")
	return p.show(v, func(t *table) {
		for i, c := range l.Items {
			if i == 0 {
				t.row("NAME", "CONTROL PLANES", "WORKERS", "TALOS", "KUBERNETES", "ENDPOINT", "BOOTSTRAPPED", "AGE")
			}
			s := c.Servers
			t.row(c.Name, fmt.Sprintf("%d/%d ready", s.ReadyControlPlanes, s.ControlPlanes), fmt.Sprintf("%d/%d ready", s.ReadyWorkers, s.Workers),
				c.TalosVersion, c.KubernetesVersion, c.Endpoint, first(t.age(c.BootstrappedAt), "no"), t.age(c.CreatedAt))
		}
	})
}

func (p *program) clusterList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the clusters", Example: "  talos-manager cluster list", Args: takes(),
		RunE: p.run(func(ctx context.Context, c *client.Client, _ []string) error {
			l, err := c.Clusters(ctx)
			if err != nil {
				return err
			}
			return p.showClusters(l, l)
		}),
	}
}

func (p *program) clusterShow() *cobra.Command {
	return &cobra.Command{
		Use: "show CLUSTER", Short: "Show a cluster and its servers", Example: "  talos-manager cluster show prod", Args: takes("CLUSTER"),
		ValidArgsFunction: p.completeBy(clusterNames, false),
		RunE: p.run(func(ctx context.Context, c *client.Client, args []string) error {
			v, err := c.Cluster(ctx, args[0])
			if err != nil {
				return err
			}
			var servers client.List[client.Server]
			if p.output == "table" {
				if servers, err = c.Servers(ctx, client.ServerFilter{Cluster: v.ID, Missing: true}); err != nil {
					return err
				}
			}
			return p.show(v, func(t *table) {
				t.field("name", v.Name)
				t.field("id", v.ID)
				t.field("endpoint", v.Endpoint)
				t.field("Talos", v.TalosVersion)
				t.field("Kubernetes", v.KubernetesVersion)
				t.field("config", name(v.Config))
				t.field("schematic", first(name(v.Schematic), "plain"))
				t.field("vSwitch", name(v.VSwitch))
				t.field("disk policy", first(v.DiskPolicy, client.CleanOnly))
				t.field("created", t.ago(v.CreatedAt))
				t.field("bootstrapped", first(strings.TrimSpace(t.ago(v.BootstrappedAt)+on(v.BootstrapServer)), "not yet"))
				fmt.Fprintln(t.w)
				serverTable(t, servers.Items)
			})
		}),
	}
}

func on(r *client.Ref) string {
	if r == nil {
		return ""
	}
	return " on " + name(r)
}

func (p *program) clusterBootstrap() *cobra.Command {
	w := waiting{one: true}
	cmd := &cobra.Command{
		Use: "bootstrap CLUSTER", Short: "Start etcd of a new cluster",
		Long:    "Start etcd of a new cluster, which is done once in its life. Installing its first control plane does this by itself.",
		Example: "  talos-manager cluster bootstrap prod --wait", Args: takes("CLUSTER"),
		ValidArgsFunction: p.completeBy(clusterNames, false),
		RunE: p.run(func(ctx context.Context, c *client.Client, args []string) error {
			return p.start(ctx, c, args, w, c.BootstrapCluster)
		}),
	}
	w.flags(cmd)
	return cmd
}

func (p *program) clusterReplaceSecrets() *cobra.Command {
	var secrets string
	var sure bool
	cmd := &cobra.Command{
		Use: "replace-secrets CLUSTER --secrets @FILE", Short: "Give a cluster that has not begun to run the secrets of one that exists",
		Long: `Give a cluster that has not begun to run the secrets of one that exists, so that its installs join that one: a bundle of
talosctl gen secrets, or the machine config of one of its control planes. Those that it was made with are lost. It is
refused as soon as a machine may have them.
At a terminal the name has to be typed once more, unless --yes is given.`,
		Example: "  talos-manager cluster replace-secrets prod --secrets @secrets.yaml\n  talos-manager cluster replace-secrets prod --secrets @controlplane.yaml --yes", Args: takes("CLUSTER"),
		ValidArgsFunction: p.completeBy(clusterNames, false),
	}
	cmd.RunE = p.run(func(ctx context.Context, c *client.Client, args []string) error {
		text, err := p.read("secrets", secrets)
		if err != nil {
			return err
		}
		if strings.TrimSpace(text) == "" {
			return &usage{text: "cluster replace-secrets: --secrets is missing", hint: cmd.UseLine()}
		}
		v, err := c.Cluster(ctx, args[0])
		if err != nil {
			return err
		}
		if err := p.insist(sure, fmt.Sprintf("The secrets that cluster %s has now will be lost.", v.Name), v.Name); err != nil {
			return err
		}
		if v, err = c.ReplaceSecrets(ctx, v.ID, text); err != nil {
			return err
		}
		p.done("cluster %s has other secrets: its installs use them from now on", v.Name)
		return p.showClusters(client.List[client.Cluster]{Items: []client.Cluster{v}}, v)
	})
	cmd.Flags().StringVar(&secrets, "secrets", "", "the secrets, YAML or @FILE; @- is stdin")
	cmd.Flags().BoolVarP(&sure, "yes", "y", false, "do not ask")
	return cmd
}

// insist has the name of what is lost typed at a terminal.
func (p *program) insist(sure bool, lost, name string) error {
	if sure || !p.terminal() {
		return nil
	}
	typed, err := p.prompt(lost + " Type its name to go on: ")
	if err == nil && typed != name {
		return &usage{text: fmt.Sprintf("%q is not %s: nothing was done", typed, name)}
	}
	return err
}

func (p *program) clusterDelete() *cobra.Command {
	var sure bool
	cmd := &cobra.Command{
		Use: "delete CLUSTER", Aliases: []string{"rm", "remove"}, Short: "Forget a cluster and its secrets",
		Long:    "Forget a cluster and its secrets: nobody can log in to nodes of it any more. It is refused while servers belong to it.\nAt a terminal the name has to be typed once more, unless --yes is given.",
		Example: "  talos-manager cluster delete test --yes", Args: takes("CLUSTER"),
		ValidArgsFunction: p.completeBy(clusterNames, false),
		RunE: p.run(func(ctx context.Context, c *client.Client, args []string) error {
			v, err := c.Cluster(ctx, args[0])
			if err != nil {
				return err
			}
			if err := p.insist(sure, fmt.Sprintf("The secrets of cluster %s will be lost.", v.Name), v.Name); err != nil {
				return err
			}
			if err := c.DeleteCluster(ctx, v.ID); err != nil {
				return err
			}
			p.done("cluster %s deleted", v.Name)
			return nil
		}),
	}
	cmd.Flags().BoolVarP(&sure, "yes", "y", false, "do not ask")
	return cmd
}
