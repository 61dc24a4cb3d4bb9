package app_test

import (
	"strings"

	"github.com/talos-manager/talos-manager/client"
)

// mistakes are requests that must be refused, each with a secret at the place that the answer speaks of; and changes
// that are only tried.
func (l *lab) mistakes() {
	l.Helper()
	word := l.hide("what was given by mistake", "open-mistake-sesame")
	l.secrets[len(l.secrets)-1].elsewhere = true
	registry := func(value string) string {
		return "apiVersion: v1alpha1\nkind: RegistryAuthConfig\nname: m.example.com\nusername: ci\npassword: " + value + "\n"
	}
	texts := map[string]string{
		"no YAML after a secret":         registry(word) + "x: [\n",
		"no YAML at a secret":            registry("\"" + word),
		"a list instead of a secret":     registry("[" + word + "]"),
		"a map instead of a secret":      registry("{" + word + ": " + word + "}"),
		"an unknown field":               registry(word) + "passwort: " + word + "\n",
		"a key twice":                    registry(word) + "password: " + word + "\n",
		"a key that is no key":           "apiVersion: v1alpha1\nkind: WireguardConfig\nname: wg1\nprivateKey: " + word + "\n",
		"an unknown variable":            registry(word + "-${nobody}"),
		"a provider that there is not":   "apiVersion: v1alpha1\nkind: VolumeConfig\nname: EPHEMERAL\nencryption:\n  provider: rot13\n  keys: [{slot: 1, static: {passphrase: " + word + "}}]\n",
		"an operation on nothing":        `[{"op": "replace", "path": "/machine/registries/config/none/auth/password", "value": "` + word + `"}]`,
		"an operation that there is not": `[{"op": "hide", "path": "/machine/token", "value": "` + word + `"}]`,
		"a test that fails":              `[{"op": "test", "path": "/machine/token", "value": "` + word + `"}]`,
		"a token that is none":           "cluster:\n  token: " + word + "\nmachine:\n  token: [" + word + "]\n",
		"a variable of a secret kind":    registry("${opener"),
	}
	for why, text := range texts {
		for layer, owner := range map[string]string{"cluster": "prod", "config": "base", "server": "worker-1"} {
			at := "/api/v1/layers/" + layer + "/" + owner
			l.refused(why, "POST", at+"/patches", client.NewPatch{LayerSave: client.LayerSave{Why: word}, Patch: client.Patch{Name: "mistake", Text: text}})
		}
		l.raw("POST", "/api/v1/lint", client.LintRequest{Text: text, TalosVersion: "v1.14.1"})
		l.modernise(text)
		l.raw("POST", "/api/v1/plan", client.PlanRequest{Layers: []client.PlannedLayer{{LayerRef: client.LayerRef{Scope: "cluster", Owner: "prod"}, ConfigContents: contents(text)}}})
		l.refused(why, "PATCH", "/api/v1/servers/metal-cp-1/assignment", client.AssignmentChange{Patch: &text})
		l.refused(why, "POST", "/api/v1/configs", client.NewConfig{Name: "mistake", ConfigContents: contents(text)})
	}
	l.shapes(word)
	l.credentials(word)
	l.tries()
}

func contents(text string) client.ConfigContents {
	return client.ConfigContents{LayerContents: client.LayerContents{Patches: []client.Patch{{Name: "mistake", Text: text}}}}
}

func (l *lab) refused(why, method, path string, body any) {
	l.Helper()
	if status, text := l.send(method, path, body); status < 400 {
		l.Errorf("%s: %s %s is not refused: %s", why, method, path, text)
	}
}

// modernise answers the text as it was given: only what is said about it is kept.
func (l *lab) modernise(text string) {
	l.Helper()
	r, err := l.Client.Modernise(l.Context(), client.ModerniseRequest{Text: text, TalosVersion: "v1.14.1", All: true})
	if err == nil && r.Text == "" && r.ControlPlane == "" && strings.TrimSpace(text) != "" {
		l.Errorf("nothing is left of %q", text)
	}
}

// shapes are requests of a wrong form.
func (l *lab) shapes(word string) {
	l.Helper()
	layer := "/api/v1/layers/cluster/prod"
	for why, body := range map[string]string{
		"no JSON":                    `{"patch": {"name": "x", "text": "` + word,
		"a map instead of a text":    `{"patch": {"name": "x", "text": {"password": "` + word + `"}}}`,
		"a number instead of a text": `{"patch": {"name": "x", "text": 7}, "why": {"` + word + `": 1}}`,
		"a patch without a name":     `{"patch": {"name": "", "text": "password: ` + word + `"}}`,
		"a field that is misspelt":   `{"patch": {"name": "x", "txt": "` + word + `"}}`,
		"a role that there is not":   `{"patch": {"name": "x", "text": "machine: {token: ` + word + `}", "role": "boss"}}`,
	} {
		l.refused(why, "POST", layer+"/patches", body)
	}
	l.refused("a variable that is taken", "PUT", layer+"/variables/hostname", client.VariableChange{Value: word})
	l.refused("a variable with a zero byte", "PUT", layer+"/variables/secret", client.VariableChange{Value: word + "\x00"})
	l.refused("a revision that is none", "PUT", layer, client.LayerUpdate{LayerSave: client.LayerSave{Base: "0123"}, ConfigContents: contents("machine: {token: " + word + "}")})
	l.refused("secrets that are none", "POST", "/api/v1/clusters", client.NewCluster{Name: "x", Endpoint: "https://203.0.113.5:6443", Secrets: "cluster: {secret: " + word + ", id: [" + word + "]}"})
	l.refused("an endpoint with a password", "POST", "/api/v1/clusters", client.NewCluster{Name: "x", Endpoint: "ftp://u:" + word + "@203.0.113.5:6443"})
	l.refused("a schematic with a secret", "POST", "/api/v1/schematics", client.NewSchematic{Name: "x", YAML: "customization: {extraKernelArgs: [\"siderolink.api=https://x/?jointoken=" + word + "\"]}"})
	l.refused("a recipe with a wrong secret", "POST", "/api/v1/recipes/registry-auth/apply", client.RecipeUse{Parameters: map[string]any{"registry": "r.io", "username": "ci", "password": word + "\n" + word}})
	l.refused("a recipe with too many secrets", "POST", "/api/v1/recipes/registry-auth/apply", client.RecipeUse{Parameters: map[string]any{"registry": "r.io", "username": "ci", "password": word, "auth": word, "pasword": word}})
	l.raw("POST", "/api/v1/recipes/registry-auth/apply", client.RecipeUse{Parameters: map[string]any{"registry": "r.io", "username": "ci", "password": word}})
}

// credentials are wrong ones.
func (l *lab) credentials(word string) {
	l.Helper()
	l.refused("a token of the Cloud", "POST", "/api/v1/accounts", client.NewAccount{Name: "x", Provider: client.HetznerCloud, Token: word})
	l.refused("a password of Robot", "POST", "/api/v1/accounts", client.NewAccount{Name: "y", Provider: client.HetznerRobot, User: "#ws+nobody", Password: word})
	other, err := client.New(client.Options{URL: l.url, Token: "tm_" + word})
	l.must(err)
	if _, err := other.Version(l.Context()); err == nil {
		l.Error("anybody may ask")
	} else {
		l.said.add("a wrong token", err.Error())
	}
}

// tries are changes that only say what they would do, to what the records say and to what a node runs.
func (l *lab) tries() {
	l.Helper()
	ctx := l.Context()
	for _, layer := range l.layers() {
		_, err := l.Plan(ctx, client.PlanRequest{Layers: []client.PlannedLayer{{LayerRef: layer}}}) // all of it taken away
		l.must(err)
		v, err := l.Layer(ctx, layer)
		l.must(err)
		for _, p := range v.Patches {
			_, err = l.ModernisePatch(ctx, layer, p.Name, client.PatchModernise{TalosVersion: "v1.14.1", All: true, DryRun: true})
			l.must(err)
		}
	}
	l.add(client.LayerRef{Scope: client.ScopeRole, Owner: "prod", Role: client.Worker}, "passphrase",
		"apiVersion: v1alpha1\nkind: VolumeConfig\nname: EPHEMERAL\nencryption:\n  provider: luks2\n  keys:\n    - slot: 1\n      static:\n        passphrase: "+l.hide("another passphrase", "open-worker-sesame")+"\n")
	l.add(client.LayerRef{Scope: client.ScopeRole, Owner: "prod", Role: client.ControlPlane}, "changed",
		"apiVersion: v1alpha1\nkind: RegistryAuthConfig\nname: p.example.com\nusername: ci\npassword: "+l.hide("a password that a node does not have yet", "open-later-sesame")+"\n")
	p, err := l.Plan(ctx, client.PlanRequest{Running: true})
	l.must(err)
	if len(p.Groups) == 0 || p.Groups[0].From != "running" || len(p.Silent) != 0 {
		l.Errorf("the node was not compared with what it runs: %+v", p)
	}
	_, err = l.Plan(ctx, client.PlanRequest{Publish: []client.LayerRef{{Scope: client.ScopeConfig, Owner: "base"}}})
	l.must(err)
	l.refused("a draft that is broken", "POST", "/api/v1/layers/config/base/publish", client.LayerSave{})
}
