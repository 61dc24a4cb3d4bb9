package recipe

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/template"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Params are the parameters of a recipe by name. Values may be what YAML and JSON have (strings, numbers, booleans,
// lists, maps) or strings that say the same: lists and maps one entry a line or separated by commas, map entries as
// key=value. ${variables} of the server may be used in them, except in secrets; $${ stands for a plain ${.
type Params = map[string]any

// Result is what a recipe gives for a Talos version.
type Result struct {
	Recipe    string    `json:"recipe"`
	Version   string    `json:"version"` // minor: 1.14
	Patches   []Patch   `json:"patches"`
	Schematic Schematic `json:"schematic"`
	Notes     []string  `json:"notes"` // what is left to do, in order; plain text with commands, no secrets
}

// Patch is a patch for a layer.
type Patch struct {
	Name  string     `json:"name"`            // kubespan; node-taints-workers where a recipe gives several: unique in a result
	Role  fleet.Role `json:"role,omitempty"`  // "" for every role
	Text  string     `json:"text"`            // may hold ${variables}
	Shown string     `json:"shown,omitempty"` // Text with secrets replaced, for people and logs
}

// Schematic is what belongs into the image of the servers. It never holds a secret: schematics are public.
type Schematic struct {
	Extensions []string `json:"extensions,omitempty"` // siderolabs/nvidia-container-toolkit-lts
	KernelArgs []string `json:"kernelArgs,omitempty"`
}

// Masked stands in Shown for every secret.
const Masked = "** redacted **"

// Apply checks the parameters and makes the patches for a Talos version (v1.14.1). Errors are fleet.Invalid, name each
// wrong parameter, and say what to write instead.
func (r Recipe) Apply(version string, params Params) (Result, error) {
	minor, err := minorOf(version)
	if err != nil {
		return Result{}, err
	}
	if !r.has(minor) {
		return Result{}, fleet.Errorf(fleet.Invalid, "recipe %s is for %s, not for Talos 1.%d", r.Name, r.Span, minor).
			WithHint("%s", r.elsewhere(minor))
	}
	values, problems := r.values(minor, params)
	if len(problems) > 0 {
		return Result{}, r.refuse(problems)
	}
	return r.yield(minor, values)
}

func (r Recipe) elsewhere(minor int) string {
	if r.Since != "" && minor < mustMinor(r.Since) {
		return fmt.Sprintf("upgrade Talos to %s first", r.Since)
	}
	return "newer Talos versions do it without a patch"
}

// Check lists what is wrong with the parameters on a Talos version; nothing means that Apply takes them.
func (r Recipe) Check(version string, params Params) ([]Problem, error) {
	minor, err := minorOf(version)
	if err != nil {
		return nil, err
	}
	_, problems := r.values(minor, params)
	return problems, nil
}

// Problem is what is wrong with a parameter.
type Problem struct {
	Parameter string
	Text      string // "9 is too small"
	Write     string // "write a number from 1280 to 9000"
}

func (r Recipe) refuse(problems []Problem) error {
	var texts, writes []string
	for _, p := range problems {
		texts = append(texts, fmt.Sprintf("parameter %s: %s", p.Parameter, p.Text))
		if p.Write != "" {
			writes = append(writes, p.Parameter+": "+p.Write)
		}
	}
	return fleet.Errorf(fleet.Invalid, "recipe %s: %s", r.Name, strings.Join(texts, "; ")).WithHint("%s", strings.Join(writes, "; "))
}

// values reads the parameters, fills in the defaults and runs the checks of the recipe.
func (r Recipe) values(minor int, params Params) (map[string]any, []Problem) {
	values, problems := map[string]any{}, r.unknown(params)
	for _, p := range r.Parameters {
		value, problem := p.read(minor, params)
		if problem != nil {
			problems = append(problems, *problem)
		}
		values[p.Name] = value
	}
	if len(problems) > 0 {
		return nil, problems
	}
	for _, c := range r.checks {
		if !c.has(minor) {
			continue
		}
		text, err := run(c.template, minor, r.masked(values))
		if err != nil {
			text = err.Error()
		}
		if text = strings.Join(strings.Fields(text), " "); text != "" {
			what, write, _ := strings.Cut(text, " | ")
			problems = append(problems, Problem{Parameter: c.Parameter, Text: what, Write: write})
		}
	}
	return values, problems
}

func (r Recipe) unknown(params Params) []Problem {
	var problems []Problem
	names := make([]string, len(r.Parameters))
	for i, p := range r.Parameters {
		names[i] = p.Name
	}
	for _, name := range slices.Sorted(maps.Keys(params)) {
		if slices.Contains(names, name) {
			continue
		}
		write := "it has no parameters"
		if near := fleet.Nearest(name, names); len(near) > 0 {
			write = "did you mean " + strings.Join(near, " or ") + "?"
		} else if len(names) > 0 {
			write = "the parameters are " + strings.Join(names, ", ")
		}
		problems = append(problems, Problem{Parameter: name, Text: "this recipe has no such parameter", Write: write})
	}
	return problems
}

// yield runs the templates. What is shown is made from masked values, not by looking for the secrets in a text.
func (r Recipe) yield(minor int, values map[string]any) (Result, error) {
	out := Result{Recipe: r.Name, Version: fmt.Sprintf("1.%d", minor)}
	masked := r.masked(values)
	for _, y := range r.patches {
		text, err := y.run(minor, values)
		if err != nil {
			return out, err
		}
		shown, err := y.run(minor, masked)
		if err != nil {
			return out, err
		}
		if text == "" {
			continue
		}
		head := fmt.Sprintf("# Recipe %s for Talos %s.\n", r.Name, out.Version)
		out.Patches = append(out.Patches, Patch{Name: r.patchName(y), Role: r.only(y.Role), Text: head + text + "\n", Shown: head + shown + "\n"})
	}
	var err error
	if out.Schematic.Extensions, err = lines(r.extensions, minor, masked); err != nil {
		return out, err
	}
	if out.Schematic.KernelArgs, err = lines(r.kernelArgs, minor, masked); err != nil {
		return out, err
	}
	for _, y := range r.notes {
		text, err := y.run(minor, masked)
		if err != nil {
			return out, err
		}
		if text != "" {
			out.Notes = append(out.Notes, text)
		}
	}
	return out, nil
}

// only is the role a patch is for: that of the recipe where it is for one role.
func (r Recipe) only(role fleet.Role) fleet.Role {
	if role == "" && len(r.Roles) == 1 {
		return r.Roles[0]
	}
	return role
}

// lines collects the lines that templates make, each once.
func lines(list []yield, minor int, values map[string]any) ([]string, error) {
	var out []string
	for _, y := range list {
		text, err := y.run(minor, values)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); line != "" && !slices.Contains(out, line) {
				out = append(out, line)
			}
		}
	}
	return out, nil
}

func (y yield) run(minor int, values map[string]any) (string, error) {
	if !y.has(minor) {
		return "", nil
	}
	return run(y.template, minor, values)
}

// run gives what a template makes, without the empty lines around it and the separator before a first document.
func run(t *template.Template, minor int, values map[string]any) (string, error) {
	t, err := t.Clone()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	t.Funcs(functions(minor)).Funcs(template.FuncMap{"include": func(name string, data any) (string, error) {
		var b strings.Builder
		err := t.ExecuteTemplate(&b, name, data)
		return b.String(), err
	}})
	if err := t.Execute(&b, values); err != nil {
		return "", err
	}
	if strings.TrimSpace(b.String()) == "" {
		return "", nil
	}
	return strings.TrimPrefix(strings.TrimRight(strings.Trim(b.String(), "\n"), " \n"), "---\n"), nil
}
