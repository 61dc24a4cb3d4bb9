package web

import (
	"strings"

	"github.com/talos-manager/talos-manager/internal/machineconfig/recipe"
)

// recipeCommand is what does the same in a shell. Secrets are left for who types it.
func recipeCommand(name string, a asked) string {
	words := []string{"recipe", "apply", name}
	if a.layer == nil {
		words = append(words, "--layer", "config/NAME")
	} else {
		words = append(words, "--layer", writeLayer(*a.layer))
	}
	v, err := recipe.Get(name)
	if err != nil {
		return strings.Join(words, " ")
	}
	for _, p := range v.Parameters {
		value, given := a.use.Parameters[p.Name]
		switch {
		case given && p.Secret:
			words = append(words, "--set", shellWord(p.Name+"=@FILE"))
		case given:
			words = append(words, "--set", shellWord(p.Name+"="+flat(value)))
		}
	}
	for _, f := range [][2]string{{"--talos-version", a.use.TalosVersion}, {"--as", a.use.As}, {"--schematic", a.use.Schematic}, {"--why", a.save.Why}} {
		if f[1] != "" {
			words = append(words, f[0], shellWord(f[1]))
		}
	}
	if a.save.Draft {
		words = append(words, "--draft")
	}
	return strings.Join(words, " ")
}

// recipeCall is what does the same by the REST API.
func recipeCall(v recipe.Recipe, a asked) string {
	params := recipe.Params{}
	for _, p := range v.Parameters {
		if value, given := a.use.Parameters[p.Name]; given {
			if params[p.Name] = value; p.Secret {
				params[p.Name] = recipe.Masked
			}
		}
	}
	body := map[string]any{"parameters": params}
	if a.layer != nil {
		layer := map[string]any{"scope": a.layer.Scope, "owner": a.layer.Owner}
		if a.layer.Role != "" {
			layer["role"] = a.layer.Role
		}
		body["layer"] = layer
	}
	for name, value := range map[string]string{"talosVersion": a.use.TalosVersion, "as": a.use.As, "schematic": a.use.Schematic, "why": a.save.Why} {
		if value != "" {
			body[name] = value
		}
	}
	if a.save.Draft {
		body["draft"] = true
	}
	return "POST /api/v1/recipes/" + v.Name + "/apply " + jsonOf(body)
}
