package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/talos-manager/talos-manager/client"
)

func (p *program) patchCommand() *cobra.Command {
	return p.noun("patch", "Patches of a layer: add, change, move, switch", aboutLayers,
		p.patchShow(), p.patchAdd(), p.patchUpdate(), p.patchMove(), p.patchSwitch("on", false), p.patchSwitch("off", true), p.patchModernise(), p.patchRemove())
}

// planned says what a change of a layer's contents would do.
func (p *program) planned(ctx context.Context, c *client.Client, l client.LayerRef, edit func(*client.ConfigContents) error) error {
	v, err := c.Layer(ctx, l)
	if err != nil {
		return err
	}
	if err := edit(&v.ConfigContents); err != nil {
		return err
	}
	return p.plan(ctx, c, client.PlanRequest{Layers: []client.PlannedLayer{{LayerRef: l, ConfigContents: v.ConfigContents}}})
}

// place finds a patch.
func place(contents *client.ConfigContents, name string) (int, error) {
	i := slices.IndexFunc(contents.Patches, func(q client.Patch) bool { return q.Name == name })
	if i < 0 {
		return i, &client.Error{Kind: client.NotFound, Message: "there is no patch " + name, Hint: "talos-manager layer show lists them"}
	}
	return i, nil
}

func (p *program) patchShow() *cobra.Command {
	var secrets bool
	cmd := p.onLayer("show LAYER PATCH", "Print the text of a patch", "patch show config/base all",
		func(ctx context.Context, c *client.Client, l client.LayerRef, args []string) error {
			v, err := layerFor(ctx, c, l, secrets)
			if err != nil {
				return err
			}
			i, err := place(&v.ConfigContents, args[0])
			if err != nil {
				return err
			}
			if p.output != "table" {
				return p.show(v.Patches[i], nil)
			}
			p.hidden(v.Hidden && strings.Contains(v.Patches[i].Text, "[secret]"))
			_, err = fmt.Fprintln(p.out, strings.TrimRight(v.Patches[i].Text, "\n"))
			return err
		})
	secretsFlag(cmd, &secrets)
	return cmd
}

// limitFlags say which servers a patch is for.
func limitFlags(cmd *cobra.Command) {
	cmd.Flags().String("role", "", "only for servers of this role: controlplane or worker")
	cmd.Flags().String("architecture", "", "only for servers of this architecture: amd64 or arm64")
	cmd.Flags().String("provider", "", "only for servers of this provider: hetzner_cloud or hetzner_robot")
	complete(cmd, "role", client.ControlPlane, client.Worker)
	complete(cmd, "architecture", "amd64", "arm64")
	complete(cmd, "provider", "hetzner_cloud", "hetzner_robot")
}

func (p *program) patchAdd() *cobra.Command {
	var how *client.LayerSave
	var dry *bool
	var at int
	var off bool
	var cmd *cobra.Command
	cmd = p.onLayer("add LAYER PATCH TEXT", "Add a patch: its text, or @FILE", "patch add config/base sysctls @sysctls.yaml --why 'elasticsearch wants it'",
		func(ctx context.Context, c *client.Client, l client.LayerRef, args []string) error {
			text, err := p.read("text", args[1])
			if err != nil {
				return err
			}
			n := client.NewPatch{LayerSave: *how, Patch: client.Patch{Name: args[0], Text: text, Off: off}}
			for flag, field := range map[string]*string{"role": &n.Patch.Role, "architecture": &n.Patch.Architecture, "provider": &n.Patch.Provider} {
				if v := given(cmd.Flags(), flag); v != nil {
					*field = *v
				}
			}
			if at >= 0 {
				n.Place = &at
			}
			if *dry {
				return p.planned(ctx, c, l, func(contents *client.ConfigContents) error {
					i := len(contents.Patches)
					if at >= 0 {
						i = min(at, i)
					}
					contents.Patches = slices.Insert(contents.Patches, i, n.Patch)
					return nil
				})
			}
			v, err := c.AddPatch(ctx, l, n)
			return p.showLayer(v, err)
		})
	limitFlags(cmd)
	cmd.Flags().IntVar(&at, "place", -1, "before the patch at this place; 0 is applied first; at the end without it")
	cmd.Flags().BoolVar(&off, "off", false, "keep it, but do not apply it")
	how, dry = draftFlags(cmd)
	return cmd
}

func (p *program) patchUpdate() *cobra.Command {
	var how *client.LayerSave
	var dry *bool
	var cmd *cobra.Command
	cmd = p.onLayer("update LAYER PATCH [TEXT]", "Change a patch: its text, name or limits", "patch update config/base sysctls @sysctls.yaml",
		func(ctx context.Context, c *client.Client, l client.LayerRef, args []string) error {
			f := cmd.Flags()
			change := client.PatchChange{LayerSave: *how, Name: given(f, "name"), Role: given(f, "role"), Architecture: given(f, "architecture"), Provider: given(f, "provider")}
			if len(args) > 1 {
				text, err := p.read("text", args[1])
				if err != nil {
					return err
				}
				change.Text = &text
			}
			if *dry {
				return p.planned(ctx, c, l, func(contents *client.ConfigContents) error {
					i, err := place(contents, args[0])
					if err != nil {
						return err
					}
					q := &contents.Patches[i]
					for field, value := range map[*string]*string{&q.Name: change.Name, &q.Text: change.Text, &q.Role: change.Role, &q.Architecture: change.Architecture, &q.Provider: change.Provider} {
						if value != nil {
							*field = *value
						}
					}
					return nil
				})
			}
			v, err := c.ChangePatch(ctx, l, args[0], change)
			return p.showLayer(v, err)
		})
	limitFlags(cmd)
	cmd.Flags().String("name", "", "new name")
	how, dry = draftFlags(cmd)
	return cmd
}

// edit changes the contents of a layer as the arguments after its name say; save has the manager do it.
type (
	edit func(contents *client.ConfigContents, args []string) error
	save func(ctx context.Context, c *client.Client, l client.LayerRef, args []string, how client.LayerSave) (client.Layer, error)
)

// changeLayer is a command that changes a layer, or says with --dry-run what the change would do.
func (p *program) changeLayer(use, short, example string, edit edit, save save) *cobra.Command {
	var how *client.LayerSave
	var dry *bool
	cmd := p.onLayer(use, short, example, func(ctx context.Context, c *client.Client, l client.LayerRef, args []string) error {
		if *dry {
			return p.planned(ctx, c, l, func(contents *client.ConfigContents) error { return edit(contents, args) })
		}
		v, err := save(ctx, c, l, args, *how)
		return p.showLayer(v, err)
	})
	how, dry = draftFlags(cmd)
	return cmd
}

func (p *program) patchMove() *cobra.Command {
	to := func(args []string) (int, error) {
		at, err := strconv.Atoi(args[1])
		if err != nil || at < 0 {
			return 0, &usage{text: fmt.Sprintf("%q is no place", args[1]), hint: "0 is the first"}
		}
		return at, nil
	}
	return p.changeLayer("move LAYER PATCH PLACE", "Move a patch in the order; 0 is applied first", "patch move config/base sysctls 0",
		func(contents *client.ConfigContents, args []string) error {
			at, err := to(args)
			if err != nil {
				return err
			}
			i, err := place(contents, args[0])
			if err != nil {
				return err
			}
			q := contents.Patches[i]
			rest := slices.Delete(slices.Clone(contents.Patches), i, i+1)
			contents.Patches = slices.Insert(rest, min(at, len(rest)), q)
			return nil
		},
		func(ctx context.Context, c *client.Client, l client.LayerRef, args []string, how client.LayerSave) (client.Layer, error) {
			at, err := to(args)
			if err != nil {
				return client.Layer{}, err
			}
			return c.ChangePatch(ctx, l, args[0], client.PatchChange{LayerSave: how, Place: &at})
		})
}

func (p *program) patchSwitch(verb string, off bool) *cobra.Command {
	return p.changeLayer(verb+" LAYER PATCH", "Switch a patch "+verb, "patch "+verb+" config/base sysctls",
		func(contents *client.ConfigContents, args []string) error {
			i, err := place(contents, args[0])
			if err == nil {
				contents.Patches[i].Off = off
			}
			return err
		},
		func(ctx context.Context, c *client.Client, l client.LayerRef, args []string, how client.LayerSave) (client.Layer, error) {
			return c.ChangePatch(ctx, l, args[0], client.PatchChange{LayerSave: how, Off: &off})
		})
}

func (p *program) patchRemove() *cobra.Command {
	cmd := p.changeLayer("remove LAYER PATCH", "Remove a patch; the history keeps it", "patch remove config/base sysctls",
		func(contents *client.ConfigContents, args []string) error {
			i, err := place(contents, args[0])
			if err == nil {
				contents.Patches = slices.Delete(contents.Patches, i, i+1)
			}
			return err
		},
		func(ctx context.Context, c *client.Client, l client.LayerRef, args []string, how client.LayerSave) (client.Layer, error) {
			return c.RemovePatch(ctx, l, args[0], how)
		})
	cmd.Aliases = []string{"rm"}
	return cmd
}

func (p *program) variableCommand() *cobra.Command {
	return p.noun("variable", "Own variables of a layer",
		"Own variables stand in patches as ${name}, beside those that every server has. They belong to layers:\n"+aboutLayers,
		p.variableList(), p.variableSet(), p.variableUnset())
}

func (p *program) variableList() *cobra.Command {
	var secrets bool
	cmd := p.onLayer("list LAYER", "List the variables of a layer", "variable list cluster/prod",
		func(ctx context.Context, c *client.Client, l client.LayerRef, _ []string) error {
			v, err := layerFor(ctx, c, l, secrets)
			if err != nil {
				return err
			}
			p.none(len(v.Variables), "variables", "talos-manager variable set "+l.String()+" NAME VALUE")
			return p.show(v.Variables, func(t *table) {
				t.row("NAME", "VALUE")
				for _, name := range slices.Sorted(maps.Keys(v.Variables)) {
					t.row(name, v.Variables[name])
				}
			})
		})
	secretsFlag(cmd, &secrets)
	return cmd
}

func (p *program) variableSet() *cobra.Command {
	return p.changeLayer("set LAYER NAME VALUE", "Set a variable: its value, or @FILE", "variable set cluster/prod registry registry.example.com",
		func(contents *client.ConfigContents, args []string) error {
			value, err := p.read("value", args[1])
			if err != nil {
				return err
			}
			if contents.Variables == nil {
				contents.Variables = map[string]string{}
			}
			contents.Variables[args[0]] = value
			return nil
		},
		func(ctx context.Context, c *client.Client, l client.LayerRef, args []string, how client.LayerSave) (client.Layer, error) {
			value, err := p.read("value", args[1])
			if err != nil {
				return client.Layer{}, err
			}
			return c.SetVariable(ctx, l, args[0], client.VariableChange{LayerSave: how, Value: value})
		})
}

func (p *program) variableUnset() *cobra.Command {
	return p.changeLayer("unset LAYER NAME", "Take a variable away", "variable unset cluster/prod registry",
		func(contents *client.ConfigContents, args []string) error {
			delete(contents.Variables, args[0])
			return nil
		},
		func(ctx context.Context, c *client.Client, l client.LayerRef, args []string, how client.LayerSave) (client.Layer, error) {
			return c.UnsetVariable(ctx, l, args[0], how)
		})
}
