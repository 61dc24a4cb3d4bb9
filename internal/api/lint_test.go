package api_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/talos-manager/talos-manager/client"
)

const registryPatch = "machine:\n  registries:\n    config:\n      r.example.com:\n        auth:\n          username: ci\n          password: open-sesame-1 # of ci\n"

// A cluster of an older Talos, and what has to be done before its upgrade.
func TestPatchesAreLintedAndModernisedBeforeAnUpgrade(t *testing.T) {
	l := open(t)
	l.accounts()
	ctx := t.Context()
	_, err := l.CreateCluster(ctx, client.NewCluster{Name: "old", Endpoint: "https://203.0.113.10:6443", TalosVersion: "v1.11.6", KubernetesVersion: "v1.34.1", Secrets: l.secrets()})
	l.must(err)
	_, err = l.AssignServer(ctx, "worker-1", client.AssignmentChange{Cluster: new("old")})
	l.must(err)
	layer := client.LayerRef{Scope: client.ScopeRole, Owner: "old", Role: client.Worker}
	_, err = l.AddPatch(ctx, layer, client.NewPatch{Patch: client.Patch{Name: "kernel", Text: "machine:\n  install:\n    extraKernelArgs: [mitigations=off]\n  sysctls: {vm.a: \"1\"}\n"}})
	l.must(err)
	found, err := l.LintCluster(ctx, "old", "v1.14.1")
	l.must(err)
	if found.From != "v1.11.6" || len(found.Patches) != 1 || found.Patches[0].Layer != layer || found.Patches[0].Modernise != "equal-on-older" ||
		!slices.Equal(found.Patches[0].Servers, []string{"worker-1"}) || len(found.Broken) != 1 {
		t.Errorf("lint: %+v", found)
	}
	_, err = l.LintCluster(ctx, "old", "next")
	l.want(err, client.Invalid, 422, "next", "")

	made, err := l.ModernisePatch(ctx, layer, "kernel", client.PatchModernise{TalosVersion: "v1.14.1", DryRun: true})
	l.must(err)
	if !made.Changed || made.Saved || made.Layer != nil || !slices.Equal(made.KernelArgs, []string{"mitigations=off"}) || !slices.Equal(made.Schematics, []string{""}) || len(made.Plan.Groups) != 1 {
		t.Errorf("dry run: %+v", made)
	}
	made, err = l.ModernisePatch(ctx, layer, "kernel", client.PatchModernise{LayerSave: client.LayerSave{Why: "upgrade"}, TalosVersion: "v1.14.1"})
	l.must(err)
	if !made.Saved || made.Layer == nil || strings.Contains(made.Layer.Patches[0].Text, "mitigations") || made.Verdict != "equal-on-older" || made.Against != "v1.11" {
		t.Errorf("modernised: %+v", made)
	}
	_, err = l.ModernisePatch(ctx, layer, "nothing", client.PatchModernise{})
	l.want(err, client.NotFound, 404, "nothing", "kernel")
}

// Texts are looked at and rewritten without a record; an editor asks what can stand where.
func TestTextsAreLintedRewrittenAndCompleted(t *testing.T) {
	l := open(t)
	ctx := t.Context()
	found, err := l.Lint(ctx, client.LintRequest{Text: "machine:\n  sysctl: {}\n", TalosVersion: "v1.13.9"})
	l.must(err)
	if len(found.Items) != 1 || found.Items[0].Line != 2 || found.Items[0].Severity != "error" || found.Items[0].Problem != "unknown-field" {
		t.Errorf("lint: %+v", found.Items)
	}
	found, err = l.Lint(ctx, client.LintRequest{Text: registryPatch, TalosVersion: "v1.12.0", From: "v1.11.6"})
	l.must(err)
	if len(found.Items) != 1 || found.Items[0].Problem != "deprecated" {
		t.Errorf("lint of an upgrade: %+v", found.Items)
	}
	_, err = l.Lint(ctx, client.LintRequest{Text: "a: b", TalosVersion: "v9"})
	l.want(err, client.Invalid, 422, "v9", "")
	r, err := l.Modernise(ctx, client.ModerniseRequest{Text: registryPatch, TalosVersion: "v1.14.1", All: true, Role: client.Worker})
	l.must(err)
	if !r.Changed || !strings.Contains(r.Text, "kind: RegistryAuthConfig") || !strings.Contains(r.Text, "open-sesame-1 # of ci") || len(r.Changes) == 0 || r.Verdict != "equal" {
		t.Errorf("modernise: %+v", r)
	}
	_, err = l.Modernise(ctx, client.ModerniseRequest{Text: "- [", TalosVersion: "v1.14.1"})
	l.want(err, client.Invalid, 422, "", "")

	at := client.EditorPosition{Text: "machine:\n  sysc", Line: 2, Column: 7, TalosVersion: "v1.13.9"}
	items, err := l.Complete(ctx, at)
	l.must(err)
	if !slices.ContainsFunc(items.Items, func(c client.Completion) bool {
		return c.Label == "sysctls" && c.Field.Type != "" && c.Field.Description != ""
	}) {
		t.Errorf("completion: %+v", items.Items)
	}
	h, err := l.Hover(ctx, client.EditorPosition{Text: "machine:\n  sysctls: {}\n", Line: 2, Column: 4, TalosVersion: "v1.13.9"})
	l.must(err)
	if h.Field == nil || h.Field.Path != "machine.sysctls" {
		t.Errorf("hover: %+v", h.Field)
	}
	h, err = l.Hover(ctx, client.EditorPosition{Text: "\n\n", Line: 1, Column: 1, TalosVersion: "v1.13.9"})
	l.must(err)
	if h.Field != nil {
		t.Errorf("hover over nothing: %+v", h.Field)
	}
	_, err = l.Complete(ctx, client.EditorPosition{Text: "", Line: 1, Column: 1, TalosVersion: "x"})
	l.want(err, client.Invalid, 422, "x", "")
	_, err = l.Complete(ctx, client.EditorPosition{Text: "", Line: 0, Column: 1, TalosVersion: "v1.13.9"})
	l.want(err, client.Invalid, 422, "line", "")
}

func TestRecipesAreShownAndPutIntoLayers(t *testing.T) {
	l := open(t)
	l.assigned()
	ctx := t.Context()
	all, err := l.Recipes(ctx)
	l.must(err)
	if len(all.Items) < 20 {
		t.Errorf("%d recipes", len(all.Items))
	}
	one, err := l.Recipe(ctx, "registry-auth")
	l.must(err)
	i := slices.IndexFunc(one.Parameters, func(p client.RecipeParameter) bool { return p.Name == "password" })
	if i < 0 || !one.Parameters[i].Secret || one.Parameters[i].Type != "secret" || one.Example["username"] != "robot" {
		t.Errorf("registry-auth: %+v", one)
	}
	_, err = l.Recipe(ctx, "kubespann")
	l.want(err, client.NotFound, 404, "kubespann", "kubespan")

	use := client.RecipeUse{Parameters: map[string]any{"registry": "r.example.com", "username": "ci", "password": "open-sesame-1"}}
	made, err := l.ApplyRecipe(ctx, "registry-auth", use)
	l.must(err)
	if len(made.Patches) != 1 || made.Saved || made.Plan != nil || !strings.Contains(made.Patches[0].Text, "** redacted **") || strings.Contains(made.Patches[0].Text, "open-sesame") {
		t.Errorf("for no layer: %+v", made)
	}
	use.Why = "registry"
	_, err = l.ApplyRecipe(ctx, "registry-auth", use)
	l.want(err, client.Invalid, 422, "no layer", "config")

	use.Layer, use.DryRun = &client.LayerRef{Scope: client.ScopeCluster, Owner: "prod"}, true
	made, err = l.ApplyRecipe(ctx, "registry-auth", use)
	l.must(err)
	if made.Saved || made.Layer != nil || made.Plan == nil || len(made.Plan.Groups) != 1 {
		t.Errorf("dry run: %+v", made)
	}
	use.DryRun = false
	made, err = l.ApplyRecipe(ctx, "registry-auth", use)
	l.must(err)
	if !made.Saved || made.Layer == nil || !made.Layer.Hidden || strings.Contains(made.Layer.Patches[0].Text, "open-sesame") {
		t.Errorf("put into a layer: %+v", made)
	}
	m, err := l.MachineConfig(ctx, "cp-1", true)
	l.must(err)
	if !strings.Contains(m.YAML, "open-sesame-1") {
		t.Error("the password is not in the machine config")
	}
	use.Parameters["password"], use.Parameters["mtu"] = "open-sesame-2", 1
	_, err = l.ApplyRecipe(ctx, "registry-auth", use)
	l.want(err, client.Invalid, 422, "mtu", "parameters are")
}

// A text is shown without its secrets, and cannot be saved so; whoever asks for them is named in the events.
func TestSecretsOfPatchesAreShownToWhoAsksAndIsNoted(t *testing.T) {
	l := open(t)
	ctx := t.Context()
	_, err := l.CreateConfig(ctx, client.NewConfig{Name: "base", ConfigContents: client.ConfigContents{LayerContents: client.LayerContents{
		Patches: []client.Patch{{Name: "registry", Text: registryPatch}}, Variables: map[string]string{"db_password": "open-sesame-3", "zone": "fsn1"},
	}}})
	l.must(err)
	layer := client.LayerRef{Scope: client.ScopeConfig, Owner: "base"}
	v, err := l.Layer(ctx, layer)
	l.must(err)
	shown := v.Patches[0].Text
	if !v.Hidden || strings.Contains(shown, "sesame") || !strings.Contains(shown, "password: [secret] # of ci\n") || v.Variables["db_password"] != "[secret]" || v.Variables["zone"] != "fsn1" {
		t.Errorf("shown: %+v", v)
	}
	u := client.ConfigUpdate{ConfigContents: v.ConfigContents}
	u.Patches = append(u.Patches, client.Patch{Name: "more", Text: "machine: {sysctls: {a: \"1\"}}"})
	_, err = l.UpdateConfig(ctx, "base", u)
	l.must(err)
	_, err = l.Plan(ctx, client.PlanRequest{Layers: []client.PlannedLayer{{LayerRef: layer, ConfigContents: v.ConfigContents}}})
	l.must(err)
	shown += "# mine\n"
	_, err = l.ChangePatch(ctx, layer, "registry", client.PatchChange{Text: &shown})
	l.want(err, client.Invalid, 422, "line 7", "secret itself")
	noted := func() int {
		events, err := l.Events(ctx, client.EventFilter{Subject: "config"})
		l.must(err)
		n := 0
		for _, e := range events.Items {
			if e.Verb == "config.patches.secrets" && e.Actor == "lab" {
				n++
			}
		}
		return n
	}
	if noted() != 0 {
		t.Error("reading without secrets is noted")
	}
	if v, err = l.LayerWithSecrets(ctx, layer); err != nil || v.Hidden || v.Patches[0].Text != registryPatch || v.Variables["db_password"] != "open-sesame-3" {
		t.Errorf("with secrets: %+v %v", v, err)
	}
	r, err := l.LayerAt(ctx, layer, "current", true)
	l.must(err)
	c, err := l.ConfigWithSecrets(ctx, "base")
	l.must(err)
	if r.Patches[0].Text != registryPatch || c.Patches[0].Text != registryPatch || noted() != 3 {
		t.Errorf("with secrets: %+v, %+v, %d events", r, c, noted())
	}
	// Without a secret there is nothing to note.
	_, err = l.CreateConfig(ctx, client.NewConfig{Name: "plain", ConfigContents: client.ConfigContents{LayerContents: client.LayerContents{Patches: []client.Patch{{Name: "p", Text: "machine: {sysctls: {a: \"1\"}}"}}}}})
	l.must(err)
	if c, err = l.ConfigWithSecrets(ctx, "plain"); err != nil || c.Hidden || noted() != 3 {
		t.Errorf("a plain config: %+v %v", c, err)
	}
	list, err := l.Configs(ctx)
	l.must(err)
	if len(list.Items) != 2 || list.Items[0].Hidden == list.Items[1].Hidden || strings.Contains(list.Items[0].Patches[0].Text, "sesame") {
		t.Errorf("list: %+v", list.Items)
	}
}
