package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/talos-manager/talos-manager/client"
)

func (p *program) schematicCommand() *cobra.Command {
	return p.noun("schematic", "What the image factory builds images from: extensions, kernel arguments",
		`A schematic says what the Talos image factory builds an image from: system extensions, kernel arguments, META, an
overlay. Whoever knows the id of one can read it at the factory, so none with a secret in it is taken.`,
		p.schematicCreate(), p.schematicList(), p.schematicShow(), p.schematicUpdate(), p.schematicCheck(), p.schematicExtensions(),
		p.schematicOverlays(), p.schematicDelete())
}

func (p *program) schematicCreate() *cobra.Command {
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Create a schematic",
		Long: `Creates a schematic from parts, from YAML as the factory takes it, or from YAML with parts added. Extensions and
overlays are looked up at the factory, for the newest Talos version or another one.`,
		Example: `  talos-manager schematic create storage --extension iscsi-tools --extension zfs --kernel-arg net.ifnames=0
  talos-manager schematic create storage --file storage.yaml
  talos-manager schematic create board --overlay rpi_generic --overlay-option configTxt=@config.txt`, Args: takes("NAME"),
	}
	parts := p.declareParts(cmd)
	cmd.RunE = p.run(func(ctx context.Context, c *client.Client, args []string) error {
		n := client.NewSchematic{Name: args[0]}
		var err error
		if n.YAML, n.Parts, err = parts.read(p, cmd); err != nil {
			return err
		}
		if n.Parts == nil && !parts.text(cmd) {
			return &usage{text: "schematic create: what is special about it? Give parts such as --extension, or --file or --yaml", hint: cmd.UseLine()}
		}
		n.TalosVersion, n.Unchecked = parts.talos, parts.unchecked
		v, err := c.CreateSchematic(ctx, n)
		if err != nil {
			return err
		}
		p.done("schematic %s created", v.Name)
		p.twins(v)
		return p.showSchematics(client.List[client.Schematic]{Items: []client.Schematic{v}}, v)
	})
	return cmd
}

// twins says that the factory builds the same images for another schematic.
func (p *program) twins(v client.Schematic) {
	if len(v.SameAs) > 0 {
		p.done("it has the same contents as %s, so the factory builds the same images", strings.Join(v.SameAs, ", "))
	}
}

// showSchematics prints a table of the list, or v as JSON or YAML.
func (p *program) showSchematics(l client.List[client.Schematic], v any) error {
	p.none(len(l.Items), "schematics", "talos-manager schematic create NAME --extension EXTENSION")
	return p.show(v, func(t *table) {
		for i, s := range l.Items {
			if i == 0 {
				t.row("NAME", "FACTORY ID", "EXTENSIONS", "SAME AS", "AGE")
			}
			var extensions []string
			if s.Parts != nil {
				extensions = each(s.Parts.Extensions, func(name string) string { return strings.TrimPrefix(name, "siderolabs/") })
			}
			t.row(s.Name, s.FactoryID, strings.Join(extensions, ","), strings.Join(s.SameAs, ","), t.age(s.CreatedAt))
		}
	})
}

func (p *program) schematicList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the schematics", Example: "  talos-manager schematic list", Args: takes(),
		RunE: p.run(func(ctx context.Context, c *client.Client, _ []string) error {
			l, err := c.Schematics(ctx)
			if err != nil {
				return err
			}
			return p.showSchematics(l, l)
		}),
	}
}

func (p *program) schematicShow() *cobra.Command {
	var text bool
	cmd := &cobra.Command{
		Use: "show SCHEMATIC", Short: "Show a schematic", Args: takes("SCHEMATIC"),
		Example:           "  talos-manager schematic show storage\n  talos-manager schematic show storage --yaml > storage.yaml",
		ValidArgsFunction: p.completeBy(schematicNames, false),
		RunE: p.run(func(ctx context.Context, c *client.Client, args []string) error {
			v, err := c.Schematic(ctx, args[0])
			if err != nil {
				return err
			}
			if text {
				_, err := fmt.Fprintln(p.out, strings.TrimRight(v.YAML, "\n"))
				return err
			}
			return p.show(v, func(t *table) {
				t.field("name", v.Name)
				t.field("id", v.ID)
				t.field("factory id", v.FactoryID)
				t.field("same as", strings.Join(v.SameAs, ", "))
				t.field("created", t.ago(v.CreatedAt))
				t.block("customization", v.YAML)
			})
		}),
	}
	cmd.Flags().BoolVar(&text, "yaml", false, "print only the customization, to be changed and given to update --file")
	return cmd
}

func (p *program) schematicUpdate() *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use: "update SCHEMATIC", Short: "Change a schematic; machines keep what they run",
		Long: `Changes a schematic: parts are added, replaced or taken away, or --file or --yaml replaces all of it. Machines keep
what they run; what is installed or upgraded from now on gets the new one. Extensions and overlays are looked up for the
Talos versions of the clusters that use the schematic.`,
		Example: `  talos-manager schematic update storage --extension drbd --remove-extension zfs
  talos-manager schematic update storage --name data --kernel-arg mitigations=off`, Args: takes("SCHEMATIC"),
		ValidArgsFunction: p.completeBy(schematicNames, false),
	}
	parts := p.declareParts(cmd)
	less := declareLess(cmd)
	cmd.Flags().StringVar(&name, "name", "", "new name")
	cmd.RunE = p.run(func(ctx context.Context, c *client.Client, args []string) error {
		u := client.SchematicUpdate{Name: name, TalosVersion: parts.talos, Unchecked: parts.unchecked}
		text, more, err := parts.read(p, cmd)
		if err != nil {
			return err
		}
		switch {
		case parts.text(cmd):
			if less.any() {
				return &usage{text: "schematic update: there is nothing to remove from a new text", hint: "change the text, or leave --file and --yaml out"}
			}
			u.YAML, u.Parts = &text, more
		case more != nil || less.any():
			if u.FactoryID, u.Parts, err = edited(ctx, c, args[0], more, less); err != nil {
				return err
			}
		case name == "":
			return &usage{text: "schematic update: nothing is given to change", hint: cmd.UseLine()}
		}
		v, err := c.UpdateSchematic(ctx, args[0], u)
		if err != nil {
			return err
		}
		p.done("schematic %s changed", v.Name)
		p.twins(v)
		return p.showSchematics(client.List[client.Schematic]{Items: []client.Schematic{v}}, v)
	})
	return cmd
}

// edited reads a schematic and changes its parts. It says what the change is based on.
func edited(ctx context.Context, c *client.Client, ref string, more *client.SchematicParts, less *lessParts) (string, *client.SchematicParts, error) {
	v, err := c.Schematic(ctx, ref)
	if err != nil {
		return "", nil, err
	}
	if v.Parts == nil {
		return "", nil, &usage{text: fmt.Sprintf("schematic %s cannot be changed by parts, because it cannot be read", v.Name), hint: "replace it with --file"}
	}
	if err := less.from(v.Parts); err != nil {
		return "", nil, err
	}
	if more != nil {
		add(v.Parts, more)
	}
	return v.FactoryID, v.Parts, nil
}

func (p *program) schematicCheck() *cobra.Command {
	var version string
	cmd := &cobra.Command{
		Use: "check SCHEMATIC", Short: "Say what a Talos version lacks of a schematic",
		Long: `Says what Talos versions lack of a schematic: without --talos-version, those of the clusters that use it, or the
newest. It ends with exit code 3 if anything is missing: no image can be built then.`,
		Example: "  talos-manager schematic check storage --talos-version v1.14.1", Args: takes("SCHEMATIC"),
		ValidArgsFunction: p.completeBy(schematicNames, false),
	}
	cmd.RunE = p.run(func(ctx context.Context, c *client.Client, args []string) error {
		l, err := c.CheckSchematic(ctx, args[0], version)
		if err != nil {
			return err
		}
		if err := p.show(l, func(t *table) { reports(t, l.Items) }); err != nil {
			return err
		}
		return lacks(args[0], l.Items)
	})
	cmd.Flags().StringVar(&version, "talos-version", "", "Talos version")
	return cmd
}

func reports(t *table, all []client.SchematicReport) {
	t.row("TALOS", "WHAT", "NAME", "STATE", "INSTEAD", "USED BY")
	for _, r := range all {
		used := strings.Join(r.UsedBy, ", ")
		for _, m := range r.Missing {
			t.row(r.TalosVersion, m.Kind, m.Name, first(m.Text, "missing"), strings.Join(m.Nearest, ", "), used)
		}
		for _, x := range r.Renamed {
			t.row(r.TalosVersion, "extension", x.From, "renamed", x.To, used)
		}
		if len(r.Missing)+len(r.Renamed) == 0 {
			t.row(r.TalosVersion, "", "", "all is there", "", used)
		}
	}
}

// lacks is an error if anything is missing.
func lacks(name string, all []client.SchematicReport) error {
	for _, r := range all {
		if len(r.Missing) == 0 {
			continue
		}
		names := each(r.Missing, func(m client.MissingPart) string { return m.Kind + " " + m.Name })
		return &client.Error{
			Kind: client.Invalid, Message: fmt.Sprintf("schematic %s: Talos %s has no %s", name, r.TalosVersion, strings.Join(names, ", ")),
			Hint: "talos-manager schematic update " + name + " --remove-extension NAME, or stay at a Talos version that has it",
		}
	}
	return nil
}

func (p *program) schematicExtensions() *cobra.Command {
	var f client.FactoryFilter
	cmd := &cobra.Command{
		Use: "extensions", Short: "List the extensions that the image factory has",
		Example: "  talos-manager schematic extensions --talos-version v1.14.1 --search nvidia", Args: takes(),
	}
	cmd.RunE = p.run(func(ctx context.Context, c *client.Client, _ []string) error {
		l, err := c.Extensions(ctx, f)
		if err != nil {
			return err
		}
		p.none(len(l.Items), "such extensions for Talos "+l.TalosVersion, "")
		return p.show(l, func(t *table) {
			for i, e := range l.Items {
				if i == 0 {
					t.row("EXTENSION", "VERSION", "WHAT IT IS (TALOS "+l.TalosVersion+")")
				}
				t.row(e.Name, e.Ref[strings.LastIndex(e.Ref, ":")+1:], strings.TrimSpace(e.Description))
			}
		})
	})
	factoryFlags(cmd, &f)
	return cmd
}

func (p *program) schematicOverlays() *cobra.Command {
	var f client.FactoryFilter
	cmd := &cobra.Command{
		Use: "overlays", Short: "List the overlays for boards that the image factory has",
		Example: "  talos-manager schematic overlays --search rpi", Args: takes(),
	}
	cmd.RunE = p.run(func(ctx context.Context, c *client.Client, _ []string) error {
		l, err := c.Overlays(ctx, f)
		if err != nil {
			return err
		}
		p.none(len(l.Items), "such overlays for Talos "+l.TalosVersion, "")
		return p.show(l, func(t *table) {
			for i, o := range l.Items {
				if i == 0 {
					t.row("OVERLAY", "IMAGE", "VERSION")
				}
				t.row(o.Name, o.Image, o.Ref[strings.LastIndex(o.Ref, ":")+1:])
			}
		})
	})
	factoryFlags(cmd, &f)
	return cmd
}

func factoryFlags(cmd *cobra.Command, f *client.FactoryFilter) {
	cmd.Flags().StringVar(&f.TalosVersion, "talos-version", "", "Talos version; the default is the newest")
	cmd.Flags().StringVar(&f.Search, "search", "", "part of the name or description")
}

func (p *program) schematicDelete() *cobra.Command {
	return &cobra.Command{
		Use: "delete SCHEMATIC", Aliases: []string{"rm", "remove"}, Short: "Forget a schematic that nobody uses", Example: "  talos-manager schematic delete storage", Args: takes("SCHEMATIC"),
		ValidArgsFunction: p.completeBy(schematicNames, false),
		RunE: p.run(func(ctx context.Context, c *client.Client, args []string) error {
			if err := c.DeleteSchematic(ctx, args[0]); err != nil {
				return err
			}
			p.done("schematic %s deleted", args[0])
			return nil
		}),
	}
}
