package cli

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig"
	"github.com/talos-manager/talos-manager/internal/machineconfig/recipe"
)

func (p *program) recipeCommand() *cobra.Command {
	return p.noun("recipe", "Patches for common needs",
		`Recipes are patches for common needs with parameters, in the form that each Talos version wants, together with what
belongs into the schematic and what is left to do. No manager is needed, unless to put them into a layer.`,
		p.recipeList(), p.recipeShow(), p.recipeApply())
}

func recipeNames() []string {
	var out []string
	for _, r := range recipe.List() {
		out = append(out, r.Name)
	}
	return out
}

func (p *program) recipeList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the recipes", Example: "  talos-manager recipe list", Args: takes(),
		RunE: func(*cobra.Command, []string) error {
			all := recipe.List()
			return p.show(all, func(t *table) {
				t.row("NAME", "GROUP", "TALOS", "WHAT IT IS FOR")
				for _, r := range all {
					t.row(r.Name, r.Group, bounds(r.Span), r.Title)
				}
			})
		},
	}
}

func (p *program) recipeShow() *cobra.Command {
	return &cobra.Command{
		Use: "show RECIPE", Short: "Show what a recipe does and takes", Example: "  talos-manager recipe show kubespan", Args: takes("RECIPE"),
		ValidArgs: recipeNames(),
		RunE: func(_ *cobra.Command, args []string) error {
			r, err := recipe.Get(args[0])
			if err != nil {
				return err
			}
			if p.output != "table" {
				return p.show(r, nil)
			}
			fmt.Fprintf(p.out, "%s\n\n%s\n", r.Title, strings.TrimSpace(r.Description))
			for _, trap := range r.Traps {
				fmt.Fprintf(p.out, "\nMind: %s\n", strings.TrimSpace(trap))
			}
			for _, c := range r.Conflicts {
				fmt.Fprintf(p.out, "\nNot together with %s: %s\n", c.With, strings.TrimSpace(c.Why))
			}
			fmt.Fprintf(p.out, "\n%s", forWhom(r))
			fmt.Fprintln(p.out, "Parameters:")
			for _, x := range r.Parameters {
				fmt.Fprintf(p.out, "  %s\n      %s\n", parameterLine(x), strings.ReplaceAll(strings.TrimSpace(x.Help), "\n", "\n      "))
				for _, v := range x.Values {
					fmt.Fprintf(p.out, "        %s: %s\n", v.Value, v.Help)
				}
			}
			if len(r.Parameters) == 0 {
				fmt.Fprintln(p.out, "  none")
			}
			fmt.Fprintf(p.out, "\nExample:\n  %s\n", exampleOf(r))
			return nil
		},
	}
}

// bounds says a range of versions, "" for all.
func bounds(s recipe.Span) string {
	if s == (recipe.Span{}) {
		return ""
	}
	return s.String()
}

// forWhom says which versions and roles a recipe is for, where it is not for all.
func forWhom(r recipe.Recipe) string {
	var out string
	if s := bounds(r.Span); s != "" {
		out += "For " + s + ".\n"
	}
	if len(r.Roles) > 0 {
		roles := make([]string, len(r.Roles))
		for i, role := range r.Roles {
			roles[i] = string(role)
		}
		out += "For the role " + strings.Join(roles, " or ") + ".\n"
	}
	if out != "" {
		out += "\n"
	}
	return out
}

func parameterLine(x recipe.Parameter) string {
	line := x.Name + "  " + string(x.Type)
	if x.Of != "" {
		line += " of " + string(x.Of)
	}
	switch {
	case x.Required:
		line += ", required"
	case x.Default != nil:
		line += fmt.Sprintf(", %v by default", x.Default)
	}
	if s := bounds(x.Span); s != "" {
		line += " (" + s + ")"
	}
	return line
}

// exampleOf writes the recipe's example as a command.
func exampleOf(r recipe.Recipe) string {
	out := "talos-manager recipe apply " + r.Name
	for _, name := range slices.Sorted(maps.Keys(r.Example)) {
		out += fmt.Sprintf(" --set '%s=%s'", name, flat(r.Example[name]))
	}
	return out
}

// flat writes a value as --set takes it.
func flat(v any) string {
	switch v := v.(type) {
	case []any:
		parts := make([]string, len(v))
		for i, e := range v {
			parts[i] = flat(e)
		}
		return strings.Join(parts, ",")
	case map[string]any:
		var parts []string
		for _, key := range slices.Sorted(maps.Keys(v)) {
			parts = append(parts, key+"="+flat(v[key]))
		}
		return strings.Join(parts, ",")
	}
	return fmt.Sprint(v)
}

func (p *program) recipeApply() *cobra.Command {
	var version, directory string
	var set []string
	var force bool
	var on *onlineRecipe
	cmd := &cobra.Command{
		Use: "apply RECIPE", Short: "Make the patches of a recipe",
		Long: `Make the patches of a recipe for a Talos version. They go to stdout, or into a directory, a file each; what belongs into
the schematic and what is left to do is said beside them. With --layer a manager puts them into a layer: patches of an
earlier use are replaced in their places. The version is then that of the clusters the layer is used in.`,
		Example: "  talos-manager recipe apply kubespan --talos-version v1.13.9 --set mtu=1320\n" +
			"  talos-manager recipe apply registry-auth --layer config/base --set registry=registry.example.com --set username=ci --set password=@password",
		Args: takes("RECIPE"), ValidArgs: recipeNames(),
		RunE: func(cmd *cobra.Command, args []string) error {
			params, err := p.parameters(set)
			if err != nil {
				return err
			}
			if on.asked(cmd) {
				return p.applyOnline(cmd, args, on, params)
			}
			r, err := recipe.Get(args[0])
			if err != nil {
				return err
			}
			made, err := r.Apply(version, params)
			if err != nil {
				return err
			}
			return p.showRecipe(made, directory, force)
		},
	}
	f := cmd.Flags()
	f.StringVar(&version, "talos-version", machineconfig.NewestTalos(), "Talos version to make the patches for")
	f.StringArrayVar(&set, "set", nil, "parameter, NAME=VALUE or NAME=@FILE; lists and maps by commas: a,b or k=v,l=w")
	f.StringVarP(&directory, "directory", "d", "", "write the patches into this directory")
	f.BoolVarP(&force, "force", "f", false, "overwrite files")
	must(cmd.MarkFlagDirname("directory"))
	completeVersions(cmd, "talos-version")
	on = p.onlineFlags(cmd)
	return cmd
}

// parameters reads what --set says.
func (p *program) parameters(set []string) (recipe.Params, error) {
	params := recipe.Params{}
	for _, s := range set {
		name, value, ok := strings.Cut(s, "=")
		if !ok {
			return nil, &usage{text: fmt.Sprintf("--set %s has no value", name), hint: "write --set NAME=VALUE, or NAME=@FILE"}
		}
		text, err := p.read("set", value)
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(value, "@") {
			text = strings.TrimRight(text, "\r\n")
		}
		params[name] = text
	}
	return params, nil
}

func (p *program) showRecipe(made recipe.Result, directory string, force bool) error {
	switch {
	case directory != "":
		for _, patch := range made.Patches {
			d := destination{force: force}
			if err := d.write(p, filepath.Join(directory, patch.Name+".yaml"), []byte(patch.Text)); err != nil {
				return err
			}
		}
	case p.output != "table":
		return p.show(made, nil)
	default:
		for i, patch := range made.Patches {
			if i > 0 {
				fmt.Fprintln(p.out, "---")
			}
			fmt.Fprintf(p.out, "# %s%s\n%s", patch.Name, only(patch.Role), patch.Text)
		}
	}
	if len(made.Patches) == 0 {
		p.done("no patch is needed")
	}
	for _, e := range made.Schematic.Extensions {
		p.done("into the schematic: extension %s", e)
	}
	for _, a := range made.Schematic.KernelArgs {
		p.done("into the schematic: kernel argument %s", a)
	}
	for _, note := range made.Notes {
		p.done("\n%s", strings.TrimSpace(note))
	}
	return nil
}

func only(role fleet.Role) string {
	switch role {
	case fleet.ControlPlane:
		return ", for control planes"
	case fleet.Worker:
		return ", for workers"
	}
	return ""
}
