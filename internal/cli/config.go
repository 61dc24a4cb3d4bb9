package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/talos-manager/talos-manager/client"
)

func (p *program) configCommand() *cobra.Command {
	return p.noun("config", "Patches for the machine configs of clusters",
		`A config is a named set of patches for machine configs, as talosctl takes them: strategic merge patches, documents, or
JSON patches; one for all servers, one for control planes, one for workers. In them ${hostname}, ${private_ip},
${public_ip}, ${vlan} and ${bootstrap_disk_wwid} stand for the values of each server. Every save is a new revision.`,
		p.configCreate(), p.configList(), p.configShow(), p.configUpdate(), p.configDelete(), p.configRender(), p.configDiff(), p.configLint(), p.configModernise(),
		p.configGenerate(), p.configPatch(), p.configValidate())
}

// contentFlags declares the flags of what is in a config.
func contentFlags(f *pflag.FlagSet) {
	f.String("patch-all", "", "patch for every server, YAML or @FILE")
	f.String("patch-control-plane", "", "patch for control planes, YAML or @FILE")
	f.String("patch-worker", "", "patch for workers, YAML or @FILE")
	f.String("install-image", "", "installer image instead of the image factory's")
	f.String("kubernetes", "", "Kubernetes version instead of the cluster's")
	f.Bool("kubespan", false, "let the nodes find each other by KubeSpan")
}

// contents changes what the flags say, and leaves the rest.
func (p *program) contents(f *pflag.FlagSet, c *client.ConfigContents) error {
	for _, patch := range []client.Patch{{Name: "all"}, {Name: "control-plane", Role: client.ControlPlane}, {Name: "worker", Role: client.Worker}} {
		flag := "patch-" + patch.Name
		if v := given(f, flag); v != nil {
			var err error
			if patch.Text, err = p.read(flag, *v); err != nil {
				return err
			}
			c.SetPatch(patch)
		}
	}
	if v := given(f, "install-image"); v != nil {
		c.InstallImage = *v
	}
	if v := given(f, "kubernetes"); v != nil {
		c.KubernetesVersion = *v
	}
	if f.Changed("kubespan") {
		on, err := f.GetBool("kubespan")
		must(err)
		c.KubeSpan = on
	}
	return nil
}

func (p *program) configCreate() *cobra.Command {
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Create a config",
		Example: "  talos-manager config create base --patch-all @all.yaml --patch-worker @worker.yaml", Args: takes("NAME"),
	}
	contentFlags(cmd.Flags())
	cmd.RunE = p.run(func(ctx context.Context, c *client.Client, args []string) error {
		n := client.NewConfig{Name: args[0]}
		if err := p.contents(cmd.Flags(), &n.ConfigContents); err != nil {
			return err
		}
		v, err := c.CreateConfig(ctx, n)
		if err != nil {
			return err
		}
		p.done("config %s created, revision %.12s", v.Name, v.Revision)
		return p.showConfigs(client.List[client.Config]{Items: []client.Config{v}}, v)
	})
	return cmd
}

// showConfigs prints a table of the list, or v as JSON or YAML.
func (p *program) showConfigs(l client.List[client.Config], v any) error {
	p.none(len(l.Items), "configs", "talos-manager config create NAME --patch-all @FILE")
	return p.show(v, func(t *table) {
		for i, c := range l.Items {
			if i == 0 {
				t.row("NAME", "REVISION", "PATCHES", "KUBESPAN", "UPDATED")
			}
			t.row(c.Name, fmt.Sprintf("%.12s", c.Revision), patches(c.ConfigContents), yes(c.KubeSpan), t.age(c.UpdatedAt))
		}
	})
}

// patches says which there are.
func patches(c client.ConfigContents) (text string) {
	for i, patch := range c.Patches {
		if i > 0 {
			text += ", "
		}
		text += patch.Name
		if patch.Off {
			text += " (off)"
		}
	}
	return text
}

func (p *program) configList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the configs", Example: "  talos-manager config list", Args: takes(),
		RunE: p.run(func(ctx context.Context, c *client.Client, _ []string) error {
			l, err := c.Configs(ctx)
			if err != nil {
				return err
			}
			return p.showConfigs(l, l)
		}),
	}
}

func (p *program) configShow() *cobra.Command {
	var secrets bool
	cmd := &cobra.Command{
		Use: "show CONFIG", Short: "Show a config with its patches", Example: "  talos-manager config show base", Args: takes("CONFIG"),
		ValidArgsFunction: p.completeBy(configNames, false),
		RunE: p.run(func(ctx context.Context, c *client.Client, args []string) error {
			get := c.Config
			if secrets {
				get = c.ConfigWithSecrets
			}
			v, err := get(ctx, args[0])
			if err != nil {
				return err
			}
			p.hidden(v.Hidden)
			return p.show(v, func(t *table) {
				t.field("name", v.Name)
				t.field("id", v.ID)
				t.field("revision", v.Revision)
				t.field("created", t.ago(v.CreatedAt))
				t.field("updated", t.ago(v.UpdatedAt))
				t.field("installer image", v.InstallImage)
				t.field("Kubernetes", v.KubernetesVersion)
				t.field("KubeSpan", yes(v.KubeSpan))
				for _, patch := range v.Patches {
					t.block("patch "+patch.Name, patch.Text)
				}
			})
		}),
	}
	secretsFlag(cmd, &secrets)
	return cmd
}

func (p *program) configUpdate() *cobra.Command {
	cmd := &cobra.Command{
		Use: "update CONFIG", Short: "Change a config",
		Long: `Change a config. What is not given stays as it is; an empty patch takes it away. It is refused if a server that uses the
config could not work with it, or if somebody else changed it meanwhile. Machines keep what they have until they are
installed again.`,
		Example: "  talos-manager config update base --patch-worker @worker.yaml\n  talos-manager config update base --name common", Args: takes("CONFIG"),
		ValidArgsFunction: p.completeBy(configNames, false),
	}
	contentFlags(cmd.Flags())
	cmd.Flags().String("name", "", "new name")
	cmd.RunE = p.run(func(ctx context.Context, c *client.Client, args []string) error {
		if cmd.Flags().NFlag() == 0 {
			return &usage{text: "config update: nothing is given to change", hint: "--patch-all @FILE, …; more with --help"}
		}
		v, err := c.Config(ctx, args[0])
		if err != nil {
			return err
		}
		u := client.ConfigUpdate{Revision: v.Revision, ConfigContents: v.ConfigContents}
		if n := given(cmd.Flags(), "name"); n != nil {
			u.Name = *n
		}
		if err := p.contents(cmd.Flags(), &u.ConfigContents); err != nil {
			return err
		}
		old := v.Revision
		if v, err = c.UpdateConfig(ctx, v.ID, u); err != nil {
			return err
		}
		if v.Revision == old {
			p.done("config %s has the same contents as before, revision %.12s", v.Name, v.Revision)
		} else {
			p.done("config %s saved, revision %.12s", v.Name, v.Revision)
		}
		return p.showConfigs(client.List[client.Config]{Items: []client.Config{v}}, v)
	})
	return cmd
}

func (p *program) configDelete() *cobra.Command {
	return &cobra.Command{
		Use: "delete CONFIG", Aliases: []string{"rm", "remove"}, Short: "Forget a config that nobody uses", Example: "  talos-manager config delete base", Args: takes("CONFIG"),
		ValidArgsFunction: p.completeBy(configNames, false),
		RunE: p.run(func(ctx context.Context, c *client.Client, args []string) error {
			if err := c.DeleteConfig(ctx, args[0]); err != nil {
				return err
			}
			p.done("config %s deleted", args[0])
			return nil
		}),
	}
}
