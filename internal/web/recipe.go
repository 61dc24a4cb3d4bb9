package web

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/a-h/templ"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig/recipe"
)

// recipesData is the gallery of all recipes.
type recipesData struct {
	Filter   recipeFilter
	Groups   []recipeGroup
	All      int
	Shown    int
	Headings []option
	Versions []option
}

// recipeFilter narrows the gallery. It is the query of its address.
type recipeFilter struct {
	Search, Group, Version, Layer string
}

// recipeGroup is a heading with its recipes.
type recipeGroup struct {
	Name, Title string
	Cards       []recipeCard
}

// recipeCard is a recipe in the gallery.
type recipeCard struct {
	Name, Title, What string
	Versions          string
	Roles             string // "" for all
	Traps             []string
	In                []string // layers that it is used in
}

func recipeFilterOf(q url.Values) recipeFilter {
	return recipeFilter{Search: strings.TrimSpace(q.Get("search")), Group: q.Get("group"), Version: q.Get("version"), Layer: q.Get("layer")}
}

func (f recipeFilter) address() string {
	q := url.Values{}
	for name, value := range map[string]string{"search": f.Search, "group": f.Group, "version": f.Version, "layer": f.Layer} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if len(q) == 0 {
		return "/recipes"
	}
	return "/recipes?" + q.Encode()
}

// to is the address of a recipe, for the layer that the gallery was opened for.
func (f recipeFilter) to(name string) string {
	address := "/recipes/" + url.PathEscape(name)
	if f.Layer != "" {
		address += "?" + url.Values{"layer": {f.Layer}}.Encode()
	}
	return address
}

// recipes is the gallery.
func (s *site) recipes(r *http.Request) (view, error) {
	ctx, all := r.Context(), recipe.List()
	d := recipesData{Filter: recipeFilterOf(r.URL.Query()), All: len(all), Headings: []option{{"", "All"}}}
	var err error
	if d.Versions, err = s.talosVersions(ctx, option{"", "All"}); err != nil {
		return view{}, err
	}
	patches, err := s.Manager.Patches(ctx)
	if err != nil {
		return view{}, err
	}
	used := map[string][]string{}
	for _, p := range patches {
		if layers := used[p.Recipe]; len(layers) == 0 || layers[len(layers)-1] != sayLayer(p.Layer) {
			used[p.Recipe] = append(layers, sayLayer(p.Layer))
		}
	}
	for _, v := range all {
		d.add(v, used[v.Name])
	}
	return view{
		title: "Recipes", section: "/configs", crumbs: []crumb{{"Configs", "/configs"}}, address: d.Filter.address(),
		body:  func([]fleet.LogLine) templ.Component { return recipesPage(d) },
		parts: []part{partOf("recipes-list", d, recipesList)}, wants: changeOf("clusters", "configs"),
		sheet: func() (sheet, error) { return d.sheet(), nil },
		same:  []command{{What: "List the recipes", CLI: "recipe list", API: "GET /api/v1/recipes"}},
	}, nil
}

// add puts a recipe under its heading if the filter chooses it.
func (d *recipesData) add(v recipe.Recipe, in []string) {
	if n := len(d.Headings); d.Headings[n-1].Value != v.Group {
		d.Headings = append(d.Headings, option{v.Group, recipeHeading(v.Group)})
	}
	if !d.Filter.chooses(v) {
		return
	}
	d.Shown++
	if n := len(d.Groups); n == 0 || d.Groups[n-1].Name != v.Group {
		d.Groups = append(d.Groups, recipeGroup{Name: v.Group, Title: recipeHeading(v.Group)})
	}
	g := &d.Groups[len(d.Groups)-1]
	g.Cards = append(g.Cards, recipeCard{
		Name: v.Name, Title: v.Title, What: firstSentence(v.Description), Versions: v.Span.String(), Roles: rolesOf(v), Traps: v.Traps, In: in,
	})
}

func (f recipeFilter) chooses(v recipe.Recipe) bool {
	if f.Group != "" && f.Group != v.Group || f.Version != "" && !v.On(f.Version) {
		return false
	}
	text := strings.ToLower(strings.Join(append([]string{v.Name, v.Title, v.Group, v.Description}, v.Traps...), " "))
	for word := range strings.FieldsSeq(strings.ToLower(f.Search)) {
		if !strings.Contains(text, word) {
			return false
		}
	}
	return true
}

func (d *recipesData) sheet() sheet {
	out := sheet{name: "recipes", columns: []string{"name", "title", "group", "versions", "for", "risks", "used by"}}
	for _, g := range d.Groups {
		for _, c := range g.Cards {
			out.rows = append(out.rows, []string{c.Name, c.Title, g.Name, c.Versions, c.Roles, strings.Join(c.Traps, "\n"), strings.Join(c.In, ", ")})
		}
	}
	return out
}

// recipeHeading is the title of a group of recipes.
func recipeHeading(group string) string {
	if group == "gpu" {
		return "GPUs"
	}
	return upper(group)
}

// rolesOf says which servers a recipe is for; "" for all.
func rolesOf(v recipe.Recipe) string {
	var all []string
	for _, role := range v.Roles {
		all = append(all, strings.ToLower(roleTitle(role))+"s")
	}
	return upper(strings.Join(all, " and "))
}

// firstSentence is the beginning of a text of several lines.
func firstSentence(text string) string {
	text = oneLine(text)
	if i := strings.Index(text, ". "); i > 0 {
		return text[:i+1]
	}
	return text
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
