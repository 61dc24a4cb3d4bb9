package recipe

import (
	"bytes"
	"cmp"
	"embed"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"text/template"

	"go.yaml.in/yaml/v4"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Recipe is a patch for one need, in the form that each Talos version wants.
type Recipe struct {
	Name        string       `json:"name"`        // kubespan; also the first part of its patches' names
	Title       string       `json:"title"`       // "KubeSpan: a WireGuard network between all nodes"
	Group       string       `json:"group"`       // heading in the catalogue: system, network, disks, registries, logs, gpu, kubernetes
	Description string       `json:"description"` // what it does and when one wants it
	Traps       []string     `json:"traps,omitempty"`
	Roles       []fleet.Role `json:"roles,omitempty"` // those it is for; none means every role
	Span        `yaml:",inline"`
	Parameters  []Parameter    `json:"parameters"`
	Conflicts   []Conflict     `json:"conflicts,omitempty"`
	Example     map[string]any `json:"example,omitempty"` // parameters that show it; valid on every version it knows unless they say otherwise

	checks     []check
	patches    []yield
	extensions []yield // one a line
	kernelArgs []yield // one a line
	notes      []yield
}

// Conflict names another recipe that cannot be used together with this one on the same servers.
type Conflict struct {
	With string `json:"with"`
	Span `yaml:",inline"`
	Why  string `json:"why"`
}

// check refuses what parameters cannot say together: its template makes a sentence when something is wrong.
type check struct {
	Parameter string
	Span      `yaml:",inline"`
	Text      string

	template *template.Template
}

// yield is a template of what a recipe gives on a range of versions; nothing where it makes only white space.
type yield struct {
	Name string
	Role fleet.Role
	Span `yaml:",inline"`
	Text string

	template *template.Template
}

// file is a recipe as it is written in recipes/.
type file struct {
	Recipe     `yaml:",inline"`
	Checks     []check
	Patches    []yield
	Extensions []yield
	KernelArgs []yield `yaml:"kernelArgs"`
	Notes      []yield
}

//go:embed recipes/*.yaml
var files embed.FS

var catalogue = sync.OnceValues(load)

// List gives every recipe, by group and name.
func List() []Recipe {
	all, _ := catalogue() // a test proves that it loads
	return slices.Clone(all)
}

// Get finds a recipe by its name.
func Get(name string) (Recipe, error) {
	all, err := catalogue()
	if err != nil {
		return Recipe{}, err
	}
	names := make([]string, 0, len(all))
	for _, r := range all {
		if r.Name == name {
			return r, nil
		}
		names = append(names, r.Name)
	}
	missing := fleet.Errorf(fleet.NotFound, "there is no recipe %q", name)
	if near := fleet.Nearest(name, names); len(near) > 0 {
		return Recipe{}, missing.WithHint("did you mean %s?", strings.Join(near, " or "))
	}
	return Recipe{}, missing.WithHint("the recipes are %s", strings.Join(names, ", "))
}

// PatchNames lists what the patches of the recipe can be called, on any version and with any parameters.
func (r Recipe) PatchNames() []string {
	var names []string
	for _, y := range r.patches {
		if name := r.patchName(y); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func (r Recipe) patchName(y yield) string { return strings.TrimSuffix(r.Name+"-"+y.Name, "-") }

func load() ([]Recipe, error) {
	names, err := fs.Glob(files, "recipes/*.yaml")
	if err != nil {
		return nil, err
	}
	var all []Recipe
	for _, name := range names {
		text, err := files.ReadFile(name)
		if err != nil {
			return nil, err
		}
		r, err := parse(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if r.Name+".yaml" != path.Base(name) {
			return nil, fmt.Errorf("%s: its name is %q", name, r.Name)
		}
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b Recipe) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Name, b.Name))
	})
	return all, nil
}

var dnsLabel = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`)

// parse reads a recipe strictly: an unknown field, a template that does not parse or a bound that is no version is an
// error of who wrote it.
func parse(text []byte) (Recipe, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	var f file
	if err := decoder.Decode(&f); err != nil {
		return Recipe{}, err
	}
	r := f.Recipe
	r.checks, r.patches, r.extensions, r.kernelArgs, r.notes = f.Checks, f.Patches, f.Extensions, f.KernelArgs, f.Notes
	if !dnsLabel.MatchString(r.Name) || r.Title == "" || r.Description == "" || r.Group == "" {
		return r, fmt.Errorf("name (a DNS label), title, group and description are needed")
	}
	if err := r.checkParameters(); err != nil {
		return r, err
	}
	for i := range r.checks {
		c := &r.checks[i]
		if err := r.compile(c.Span, c.Text, &c.template); err != nil {
			return r, fmt.Errorf("check of %s: %w", c.Parameter, err)
		}
	}
	for _, list := range [][]yield{r.patches, r.extensions, r.kernelArgs, r.notes} {
		for i := range list {
			if err := r.compile(list[i].Span, list[i].Text, &list[i].template); err != nil {
				return r, fmt.Errorf("%s: %w", list[i].Name, err)
			}
		}
	}
	return r, r.Span.check()
}

func (r *Recipe) checkParameters() error {
	seen := map[string]bool{}
	for i := range r.Parameters {
		p := &r.Parameters[i]
		if err := p.prepare(); err != nil {
			return fmt.Errorf("parameter %s: %w", p.Name, err)
		}
		if seen[p.Name] {
			return fmt.Errorf("parameter %s is there twice", p.Name)
		}
		seen[p.Name] = true
	}
	for _, c := range r.checks {
		if !seen[c.Parameter] {
			return fmt.Errorf("a check of %q, which is no parameter", c.Parameter)
		}
	}
	for _, c := range r.Conflicts {
		if err := c.check(); err != nil || c.Why == "" {
			return fmt.Errorf("conflict with %s: needs a reason and versions that are some", c.With)
		}
	}
	return nil
}

func (r *Recipe) compile(span Span, text string, to **template.Template) error {
	if err := span.check(); err != nil {
		return err
	}
	t, err := template.New(r.Name).Option("missingkey=error").Funcs(functions(oldest)).Parse(text)
	*to = t
	return err
}

// Clash is a pair of recipes that cannot be used together.
type Clash struct {
	A, B string
	Why  string
}

// Clashes lists the pairs among these recipes that cannot be used together on a Talos version. A name twice is no
// clash: a recipe may be used several times with other parameters.
func Clashes(version string, names ...string) ([]Clash, error) {
	minor, err := minorOf(version)
	if err != nil {
		return nil, err
	}
	var found []Clash
	for _, name := range names {
		r, err := Get(name)
		if err != nil {
			return nil, err
		}
		for _, c := range r.Conflicts {
			if c.has(minor) && slices.Contains(names, c.With) {
				found = append(found, Clash{A: name, B: c.With, Why: c.Why})
			}
		}
	}
	return found, nil
}
