package web

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/a-h/templ"

	"github.com/talos-manager/talos-manager/internal/access"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig"
	"github.com/talos-manager/talos-manager/internal/machineconfig/recipe"
	"github.com/talos-manager/talos-manager/internal/manage"
)

// recipeData is the page of one recipe.
type recipeData struct {
	Recipe     recipe.Recipe
	Fields     []recipeField
	Versions   []option
	Layer      string // that is chosen, as writeLayer writes it
	Layers     []option
	Schematics []option
	Preview    *recipePreview
}

// recipePreview is what a recipe would do. It holds no secrets.
type recipePreview struct {
	Layer      string // in words; "" for none
	Version    string
	Patches    []fleet.Patch
	Removed    []string
	Notes      []string
	Parts      recipe.Schematic
	Schematics []string // of the servers
	Into       string   // schematic that gets the parts; "" for none
	Plan       *manage.Plan
	Base       string // revision of the layer
	Key        string // of what was asked for
	Draft      bool
}

// refuses says that the layer would not be saved like this.
func (p *recipePreview) refuses() bool { return p.Plan != nil && len(p.Plan.Broken) > 0 && !p.Draft }

// asked is what a recipe's form asks for.
type asked struct {
	use   manage.RecipeUse
	layer *manage.LayerRef // nil: none
	save  manage.Save
}

// recipe is the page of one recipe.
func (s *site) recipe(r *http.Request) (view, error) {
	d, err := s.recipeData(r)
	return s.recipeView(d, command{What: "Apply it", CLI: recipeCommand(d.Recipe.Name, asked{}), API: "POST /api/v1/recipes/" + d.Recipe.Name + "/apply {}"}), err
}

func (s *site) recipeView(d recipeData, apply command) view {
	return view{
		title: d.Recipe.Title, section: "/configs", crumbs: []crumb{{"Configs", "/configs"}, {"Recipes", "/recipes"}},
		address: "/recipes/" + url.PathEscape(d.Recipe.Name), scripts: []string{"gallery.js"}, wants: changeOf(),
		body: func([]fleet.LogLine) templ.Component { return recipePage(d) },
		same: []command{{What: "Show what it does and takes", CLI: "recipe show " + d.Recipe.Name, API: "GET /api/v1/recipes/" + d.Recipe.Name}, apply},
	}
}

func (s *site) recipeData(r *http.Request) (d recipeData, err error) {
	ctx := r.Context()
	if d.Recipe, err = recipe.Get(r.PathValue("name")); err != nil {
		return d, err
	}
	d.Fields = recipeFields(d.Recipe, r.URL.Query().Has("example"))
	d.Layer = typed(ctx, recipeForm, "layer", r.URL.Query().Get("layer"))
	if d.Layers, err = s.layerOptions(ctx, d.Layer); err != nil {
		return d, err
	}
	if d.Versions, err = s.talosVersions(ctx, option{"", "That of the clusters it goes to"}); err != nil {
		return d, err
	}
	if d.Schematics, err = s.schematicOptions(ctx, option{"", "None"}); err != nil {
		return d, err
	}
	if refused(ctx, recipeForm) {
		a, _ := s.askedOf(r, d.Recipe)
		problems, err := d.Recipe.Check(s.recipeVersion(ctx, a), recipeParams(d.Recipe, r.Form))
		if err == nil {
			markProblems(d.Fields, problems)
		}
	}
	return d, nil
}

// recipeVersion is the Talos version that a form's parameters are checked for.
func (s *site) recipeVersion(ctx context.Context, a asked) string {
	if a.use.TalosVersion != "" {
		return a.use.TalosVersion
	}
	if a.layer != nil {
		if version, err := s.Manager.LayerVersion(ctx, *a.layer); err == nil {
			return version
		}
	}
	return machineconfig.NewestTalos()
}

// askedOf reads a recipe's form.
func (s *site) askedOf(r *http.Request, v recipe.Recipe) (a asked, err error) {
	value := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	a.use = manage.RecipeUse{
		Recipe: v.Name, Parameters: recipeParams(v, r.PostForm), TalosVersion: value("version"), As: value("as"), Schematic: value("schematic"),
	}
	a.save = manage.Save{Why: value("why"), Base: value("base"), Draft: value("draft") == "true"}
	layer := value("layer")
	if layer == ofServer {
		layer += value("server")
	}
	if layer == "" {
		return a, nil
	}
	ref, err := readLayer(layer)
	if err == nil {
		a.layer = &ref
	}
	return a, err
}

// key tells whether a form asks for the same as another one: for all but its secrets, which nobody sees.
func (a asked) key(v recipe.Recipe) string {
	params := recipe.Params{}
	for _, p := range v.Parameters {
		if !p.Secret {
			params[p.Name] = a.use.Parameters[p.Name]
		}
	}
	return keyOf([]any{params, a.use.TalosVersion, a.use.As, a.use.Schematic, a.layer, a.save.Draft})
}

// useRecipe shows what a recipe would do, or puts its patches into a layer: those that were shown.
func (s *site) useRecipe(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	v, err := recipe.Get(r.PathValue("name"))
	if err != nil {
		return err
	}
	a, err := s.askedOf(r, v)
	previewed := r.PostFormValue("previewed")
	forgetSecrets(v, r.PostForm)
	if err != nil {
		return s.again(w, r, s.recipe, err)
	}
	if r.PostFormValue("do") != "apply" || a.layer == nil || previewed != a.key(v) {
		return s.previewRecipe(w, r, v, a)
	}
	used, err := s.Manager.ApplyRecipe(ctx, access.Actor(ctx), *a.layer, a.use, a.save)
	if err != nil {
		return s.again(w, r, s.recipe, err)
	}
	return s.done(w, r, layerPage(*a.layer, "", nil), saidOfRecipe(v, a, used))
}

// saidOfRecipe says what was done.
func saidOfRecipe(v recipe.Recipe, a asked, used manage.RecipeUsed) string {
	var names []string
	for _, p := range used.Patches {
		names = append(names, p.Name)
	}
	text := "Recipe " + v.Name + ": " + sayLayer(*a.layer) + " has " + strings.Join(names, " and ") + " now"
	if len(names) == 0 {
		text = "Recipe " + v.Name + " has no patch for " + sayLayer(*a.layer)
	}
	if a.save.Draft {
		text = "Recipe " + v.Name + " is kept as a draft of " + sayLayer(*a.layer) + ": publish it to put it into effect"
	}
	if used.Schematic != nil {
		text += "; added to schematic " + used.Schematic.Name
	}
	return text
}

// previewRecipe shows the page once more, with what the recipe would do.
func (s *site) previewRecipe(w http.ResponseWriter, r *http.Request, v recipe.Recipe, a asked) error {
	p, err := s.recipePreview(r.Context(), v, a)
	if err != nil {
		return s.again(w, r, s.recipe, err)
	}
	r = r.WithContext(withTyped(r.Context(), r.PostForm))
	d, err := s.recipeData(r)
	if err != nil {
		return err
	}
	d.Preview = &p
	if r.PostFormValue("do") == "apply" {
		text := "Nothing is saved yet: the form was changed after it was looked at. This is what it does now."
		r = r.WithContext(withNotice(r.Context(), notice{Tone: attention, Text: text}))
	}
	apply := command{What: "Apply it like this", CLI: recipeCommand(v.Name, a), API: recipeCall(v, a)}
	return s.show(w, r, http.StatusOK, s.recipeView(d, apply))
}

func (s *site) recipePreview(ctx context.Context, v recipe.Recipe, a asked) (p recipePreview, err error) {
	p.Key, p.Draft = a.key(v), a.save.Draft
	if a.layer == nil {
		p.Version = cmp.Or(a.use.TalosVersion, machineconfig.NewestTalos())
		made, err := v.Apply(p.Version, a.use.Parameters)
		for _, patch := range made.Patches {
			p.Patches = append(p.Patches, fleet.Patch{Name: patch.Name, Role: patch.Role, Text: patch.Shown})
		}
		p.Notes, p.Parts = made.Notes, made.Schematic
		return p, err
	}
	l, _, err := s.Manager.Layer(ctx, *a.layer)
	if err != nil {
		return p, err
	}
	use := a.use
	use.DryRun = true
	used, err := s.Manager.ApplyRecipe(ctx, access.Actor(ctx), *a.layer, use, manage.Save{Draft: a.save.Draft})
	if a.use.Schematic != "" {
		to, err := s.store.Schematic(ctx, a.use.Schematic)
		if err != nil {
			return p, err
		}
		p.Into = to.Name
	}
	p.Layer, p.Base, p.Version, p.Plan = sayLayer(*a.layer), l.Revision, used.TalosVersion, &used.Plan
	p.Patches, p.Removed, p.Notes, p.Parts, p.Schematics = used.Patches, used.Removed, used.Notes, used.Parts, used.Schematics
	return p, err
}

// intoSchematic says where extensions and kernel arguments belong.
func intoSchematic(schematics []string) string {
	switch {
	case len(schematics) == 0:
		return "Belongs into the schematic of the servers"
	case slices.Equal(schematics, []string{""}):
		return "Belongs into a schematic, of which these servers have none"
	}
	return "Belongs into schematic " + strings.Join(slices.DeleteFunc(slices.Clone(schematics), func(name string) bool { return name == "" }), " and ")
}
