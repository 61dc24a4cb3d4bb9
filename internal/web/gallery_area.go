package web

import (
	"encoding/json"
	"strings"
)

// galleryArea is recipes, modernise, schematics and rules.
func (s *site) galleryArea() area {
	return area{
		pages: map[string]loader{
			"/recipes":               s.recipes,
			"/recipes/{name}":        s.recipe,
			"/modernise":             s.modernise,
			"/schematics":            s.schematics,
			"/schematics/new":        s.newSchematic,
			"/schematics/{ref}":      s.schematic,
			"/schematics/{ref}/edit": s.editedSchematic,
			"/rules":                 s.rules,
		},
		actions: map[string]handler{
			"POST /recipes/{name}":          s.useRecipe,
			"POST /modernise/text":          s.moderniseText,
			"POST /modernise/patch":         s.modernisePatch,
			"POST /schematics":              s.createSchematic,
			"POST /schematics/{ref}":        s.updateSchematic,
			"POST /schematics/{ref}/delete": s.deleteSchematic,
			"POST /rules":                   s.createRule,
			"POST /rules/{id}/delete":       s.deleteRule,
		},
	}
}

// tab is a page beside others of its kind.
type tab struct{ Href, Name string }

// configTabList are the pages of what machines are made of.
func configTabList() []tab {
	return []tab{{"/configs", "Configs"}, {"/recipes", "Recipes"}, {"/schematics", "Schematics"}, {"/rules", "Rules"}, {"/modernise", "Modernise"}}
}

// jsonOf writes the body of a call.
func jsonOf(body any) string {
	var out strings.Builder
	w := json.NewEncoder(&out)
	w.SetEscapeHTML(false)
	if err := w.Encode(body); err != nil {
		return err.Error() // of our own maps none fails
	}
	return strings.TrimSpace(out.String())
}
