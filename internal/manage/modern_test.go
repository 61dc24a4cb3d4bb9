package manage_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig/modernise"
	"github.com/talos-manager/talos-manager/internal/machineconfig/recipe"
	"github.com/talos-manager/talos-manager/internal/manage"
)

// older makes the cluster "old" on an older Talos, with a config of its own, and puts servers into it.
func (l *lab) older(t *testing.T, servers ...string) {
	t.Helper()
	ctx := t.Context()
	ok(l.SaveConfig(ctx, "test", fleet.Config{Name: "base"}))(t)
	ok(l.CreateCluster(ctx, "test", manage.NewCluster{
		Name: "old", Endpoint: "https://203.0.113.8:6443", TalosVersion: "v1.11.6", KubernetesVersion: "v1.34.1", Config: "base", Secrets: ok(secrets())(t),
	}))(t)
	for _, s := range servers {
		ok(l.Assign(ctx, "test", s, manage.AssignmentChange{Cluster: ptr("old")}))(t)
	}
}

const (
	arguments = "machine:\n  install:\n    extraKernelArgs:\n      - mitigations=off # benchmarks\n"
	registry  = "machine:\n  registries:\n    config:\n      r.example.com:\n        auth:\n          username: ci\n          password: open-sesame-1\n"
	apiserver = "machine:\n  sysctls: {vm.a: \"1\"}\ncluster:\n  apiServer:\n    extraArgs: {v: \"4\"}\n"
)

func TestALintBeforeAnUpgradeNamesPatchesAndServers(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.rent(t, "control-plane-1", "worker-1", "worker-2", "spare")
	l.older(t, "control-plane-1", "worker-1", "worker-2")
	ctx := t.Context()
	l.set(t, onConfig("base"), fleet.Patch{Name: "kernel", Text: arguments}, fleet.Patch{Name: "registry", Text: registry, Role: fleet.Worker}, fleet.Patch{Name: "fine", Text: "machine: {type: ''}", Off: true})
	l.set(t, onServer("worker-2"), fleet.Patch{Name: "own", Text: sysctl("vm.b", "2")})

	found := ok(l.LintUpgrade(ctx, "old", "v1.14.1"))(t)
	var got []string
	for _, p := range found.Patches {
		got = append(got, string(p.Layer.Scope)+"/"+p.Layer.Owner+" "+p.Patch+" for "+strings.Join(p.Servers, " ")+": "+string(p.Modernise))
		if len(p.Findings) == 0 || p.Findings[0].Line == 0 || p.Problem != "" {
			t.Errorf("%s: %+v", p.Patch, p)
		}
	}
	want := []string{
		"config/base kernel for control-plane-1 worker-1 worker-2: equal-on-older",
		"config/base registry for worker-1 worker-2: ",
		"server/worker-2 own for worker-2: ",
	}
	for i := range want {
		if i >= len(got) || !strings.HasPrefix(got[i], want[i]) {
			t.Fatalf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	if found.From != "v1.11.6" || len(found.Broken) == 0 || len(found.Broken[0].Servers) != 3 || !strings.Contains(found.Broken[0].Reason, "machine.install") {
		t.Errorf("what breaks: %+v", found.Broken)
	}
	// What the present version finds too is marked, and nothing breaks.
	found = ok(l.LintUpgrade(ctx, "old", "v1.11.6"))(t)
	if len(found.Broken) != 0 {
		t.Errorf("the present version breaks %+v", found.Broken)
	}
	for _, p := range found.Patches {
		for _, f := range p.Findings {
			if !f.Before {
				t.Errorf("%s: %v is said to be new", p.Patch, f.Finding)
			}
		}
	}
	_, err := l.LintUpgrade(ctx, "nope", "v1.14.1")
	refused(t, "no such cluster", err, fleet.NotFound, "nope", "cluster list")
	_, err = l.LintUpgrade(ctx, "old", "1.x")
	refused(t, "no such version", err, fleet.Invalid, "1.x", "")
}

func TestAPatchIsModernisedInPlaceWithProofAndPlan(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.rent(t, "control-plane-1", "worker-1")
	l.older(t, "control-plane-1", "worker-1")
	ctx := t.Context()
	l.set(t, onConfig("base"), fleet.Patch{Name: "kernel", Text: arguments}, fleet.Patch{Name: "registry", Text: registry, Architecture: fleet.AMD64}, fleet.Patch{Name: "api", Text: apiserver})

	// Its own version wants nothing.
	out := ok(l.Modernise(ctx, "test", onConfig("base"), "kernel", manage.Modernising{}, manage.Save{}))(t)
	if out.TalosVersion != "v1.11.6" || out.Result.Changed || out.Saved {
		t.Errorf("for the version it was written for: %+v", out)
	}
	// A dry run says what would be, saves nothing and shows no secret.
	out = ok(l.Modernise(ctx, "test", onConfig("base"), "registry", manage.Modernising{TalosVersion: "v1.14.1", All: true, DryRun: true}, manage.Save{}))(t)
	if !out.Result.Changed || out.Saved || !strings.Contains(out.Result.Text, "RegistryAuthConfig") || strings.Contains(out.Result.Text, "open-sesame") {
		t.Errorf("dry run: %+v", out.Result)
	}
	if len(out.Plan.Groups)+len(out.Plan.Broken) == 0 || strings.Contains(strings.Join(groups(out.Plan), ""), "open-sesame") {
		t.Errorf("its plan: %+v", out.Plan)
	}
	if layer, _, _ := l.Layer(ctx, onConfig("base")); layer.Text("registry") != registry {
		t.Error("a dry run was saved")
	}
	// What is written for a later version would break the servers now: it is kept as a draft.
	_, err := l.Modernise(ctx, "test", onConfig("base"), "registry", manage.Modernising{TalosVersion: "v1.14.1", All: true}, manage.Save{})
	refused(t, "for a later version", err, fleet.Invalid, "RegistryAuthConfig", "draft")
	out = ok(l.Modernise(ctx, "test", onConfig("base"), "registry", manage.Modernising{TalosVersion: "v1.14.1", All: true}, manage.Save{Draft: true, Why: "upgrade"}))(t)
	if !out.Saved || out.Layer.Draft == "" {
		t.Errorf("draft: %+v", out)
	}
	// The draft is what the next one begins with. What left the patch belongs into a schematic.
	s := ok(l.AddSchematic(ctx, "test", fleet.Schematic{Name: "bench", YAML: "customization: {}"}))(t)
	out = ok(l.Modernise(ctx, "test", onConfig("base"), "kernel", manage.Modernising{TalosVersion: "v1.14.1", Schematic: "bench"}, manage.Save{Draft: true}))(t)
	if len(out.Patches) != 0 || !slices.Equal(out.Schematics, []string{""}) || out.Schematic == nil || out.Schematic.ID != s.ID || !strings.Contains(out.Schematic.YAML, "mitigations=off") {
		t.Errorf("kernel arguments: %+v", out)
	}
	_, draft, _ := l.Layer(ctx, onConfig("base"))
	if draft.Patch("kernel") >= 0 || !strings.Contains(draft.Text("registry"), "password: open-sesame-1") || draft.Patches[0].Architecture != fleet.AMD64 {
		t.Errorf("the draft is %+v", draft)
	}
	// What only control planes take becomes a patch of its own.
	out = ok(l.Modernise(ctx, "test", onConfig("base"), "api", manage.Modernising{TalosVersion: "v1.14.1", All: true}, manage.Save{Draft: true}))(t)
	_, draft, _ = l.Layer(ctx, onConfig("base"))
	if !slices.Equal(out.Patches, []string{"api", "api-control-plane"}) || draft.Patches[draft.Patch("api-control-plane")].Role != fleet.ControlPlane || draft.Patches[draft.Patch("api")].Role != "" {
		t.Errorf("split: %v, %+v", out.Patches, draft.Patches)
	}
	_, err = l.Modernise(ctx, "test", onConfig("base"), "nope", manage.Modernising{}, manage.Save{})
	refused(t, "no such patch", err, fleet.NotFound, "nope", "")
	if e := l.said(t, "config.patches.draft"); strings.Contains(e, "open-sesame") {
		t.Errorf("event %s", e)
	}
}

// What a rewriting would change is not saved, unless as a draft.
func TestAModernisedPatchThatMeansSomethingElseIsRefused(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.rent(t, "worker-1")
	l.cluster(t, "prod", "worker-1")
	ctx := t.Context()
	const network = "machine:\n  network:\n    interfaces:\n      - interface: eth1\n        dhcp: true\n"
	l.set(t, onCluster("prod"), fleet.Patch{Name: "network", Text: network})
	_, err := l.Modernise(ctx, "test", onCluster("prod"), "network", manage.Modernising{All: true}, manage.Save{})
	refused(t, "cards that no document names ask for no address", err, fleet.Refused, "network.defaultDHCP: true -> false", "draft")
	if layer, _, _ := l.Layer(ctx, onCluster("prod")); layer.Text("network") != network || layer.Draft != "" {
		t.Errorf("it was saved: %+v", layer)
	}
	out := ok(l.Modernise(ctx, "test", onCluster("prod"), "network", manage.Modernising{All: true}, manage.Save{Draft: true}))(t)
	if out.Result.Proof.Verdict != modernise.Differs || !out.Saved || out.Layer.Draft == "" || len(out.Plan.Groups) != 1 {
		t.Errorf("as a draft: %+v", out)
	}
	// A broken draft stays one: there is nothing to prove.
	odd := fleet.Patch{Name: "odd", Text: "machine:\n  sysctl: {a: b}\n  network:\n    hostname: x\n"}
	saved := ok(l.SetLayer(ctx, "test", onCluster("prod"), fleet.Contents{Patches: []fleet.Patch{odd}}, manage.Save{Draft: true, Base: out.Layer.Draft}))(t)
	out = ok(l.Modernise(ctx, "test", onCluster("prod"), "odd", manage.Modernising{}, manage.Save{Draft: true, Base: saved.Draft}))(t)
	if out.Result.Proof.Verdict != modernise.Unproven || out.Result.Proof.Problem == "" || len(out.Plan.Broken) != 1 {
		t.Errorf("a misspelt field: %+v", out)
	}
}

func TestARecipeIsUsedForALayer(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.rent(t, "control-plane-1", "worker-1", "worker-2")
	l.older(t, "control-plane-1", "worker-1")
	ctx := t.Context()
	use := manage.RecipeUse{Recipe: "registry-auth", Parameters: registryLogin("r.example.com", "open-sesame-1"), DryRun: true}
	out := ok(l.ApplyRecipe(ctx, "test", onConfig("base"), use, manage.Save{}))(t)
	if out.Saved || out.TalosVersion != "v1.11.6" || len(out.Patches) != 1 || len(out.Plan.Groups) == 0 || !strings.Contains(out.Patches[0].Text, recipe.Masked) || strings.Contains(out.Patches[0].Text, "open-sesame") {
		t.Fatalf("dry run: %+v", out)
	}
	use.DryRun = false
	out = ok(l.ApplyRecipe(ctx, "test", onConfig("base"), use, manage.Save{Why: "new registry"}))(t)
	layer, _, _ := l.Layer(ctx, onConfig("base"))
	if !out.Saved || !strings.Contains(layer.Text("registry-auth"), "open-sesame-1") || !strings.Contains(l.yaml(t, "worker-1"), "open-sesame-1") {
		t.Fatalf("used: %+v", layer)
	}
	// Again: replaced in its place; by another name: beside it.
	use.Parameters = registryLogin("r.example.com", "open-sesame-2")
	ok(l.ApplyRecipe(ctx, "test", onConfig("base"), use, manage.Save{}))(t)
	use.As, use.Parameters = "registry-auth-b", registryLogin("b.example.com", "open-sesame-3")
	ok(l.ApplyRecipe(ctx, "test", onConfig("base"), use, manage.Save{}))(t)
	use.As, use.Parameters = "", registryLogin("r.example.com", "open-sesame-4")
	ok(l.ApplyRecipe(ctx, "test", onConfig("base"), use, manage.Save{}))(t)
	layer, _, _ = l.Layer(ctx, onConfig("base"))
	if len(layer.Patches) != 2 || !strings.Contains(layer.Patches[0].Text, "open-sesame-4") || !strings.Contains(layer.Patches[1].Text, "open-sesame-3") {
		t.Errorf("twice: %+v", layer.Patches)
	}

	// Limits come from the recipe; what it does not make any more goes; a role's layer takes what is for it.
	taints := manage.RecipeUse{Recipe: "node-taints", Parameters: recipe.Params{"taints": "dedicated=db:NoSchedule"}}
	out = ok(l.ApplyRecipe(ctx, "test", onConfig("base"), taints, manage.Save{}))(t)
	if len(out.Patches) != 2 || out.Patches[0].Role == out.Patches[1].Role {
		t.Errorf("patches of two roles: %+v", out.Patches)
	}
	taints.Parameters["control_planes"] = true
	out = ok(l.ApplyRecipe(ctx, "test", onConfig("base"), taints, manage.Save{}))(t)
	if !slices.Equal(out.Removed, []string{"node-taints-workers"}) || len(out.Layer.Patches) != 3 {
		t.Errorf("fewer patches: removed %v, %+v", out.Removed, out.Layer.Patches)
	}
	taints.Parameters["control_planes"] = false
	out = ok(l.ApplyRecipe(ctx, "test", onRole("old", fleet.Worker), taints, manage.Save{}))(t)
	if len(out.Layer.Patches) != 1 || out.Layer.Patches[0].Role != "" || !strings.Contains(strings.Join(out.Notes, "\n"), "for that layer too") {
		t.Errorf("a role's layer: %+v, %q", out.Layer.Patches, out.Notes)
	}

	// What belongs into the schematic goes there when it is asked for.
	ok(l.AddSchematic(ctx, "test", fleet.Schematic{Name: "gov", YAML: "customization: {}"}))(t)
	out = ok(l.ApplyRecipe(ctx, "test", onCluster("old"), manage.RecipeUse{Recipe: "cpu-governor", Schematic: "gov"}, manage.Save{}))(t)
	if out.Schematic == nil || !strings.Contains(out.Schematic.YAML, "cpufreq.default_governor") || !slices.Equal(out.Schematics, []string{""}) {
		t.Errorf("schematic %+v of %q", out.Schematic, out.Schematics)
	}

	// A layer of clusters with several versions needs a choice.
	c := l.cluster(t, "new", "worker-2")
	ok(l.Assign(ctx, "test", "worker-2", manage.AssignmentChange{Config: ptr("base")}))(t)
	_, err := l.ApplyRecipe(ctx, "test", onConfig("base"), use, manage.Save{})
	refused(t, "several versions", err, fleet.Invalid, "new has "+c.TalosVersion+", old has v1.11.6", "for which Talos version")
	ok(l.SetLayer(ctx, "test", onServer("worker-1"), fleet.Contents{Patches: []fleet.Patch{{Name: "registry-auth", Text: sysctl("vm.a", "1")}}}, manage.Save{}))(t)
	_, err = l.ApplyRecipe(ctx, "test", onServer("worker-1"), use, manage.Save{})
	refused(t, "somebody's own patch of that name", err, fleet.Conflict, "registry-auth", "otherwise")
	_, err = l.ApplyRecipe(ctx, "test", onServer("worker-1"), manage.RecipeUse{Recipe: "kubespann"}, manage.Save{})
	refused(t, "no such recipe", err, fleet.NotFound, "kubespann", "kubespan")
}

func registryLogin(host, password string) recipe.Params {
	return recipe.Params{"registry": host, "username": "ci", "password": password}
}
