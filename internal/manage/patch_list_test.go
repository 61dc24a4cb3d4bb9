package manage_test

import (
	"cmp"
	"slices"
	"testing"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig/recipe"
	"github.com/talos-manager/talos-manager/internal/manage"
)

func TestPatchesAreListedWithTheirRecipesAndWhatIsOldAmongThem(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.rent(t, "control-plane-1", "worker-1")
	l.older(t, "control-plane-1", "worker-1")
	ctx := t.Context()
	l.set(t, onConfig("base"), fleet.Patch{Name: "kernel", Text: arguments}, fleet.Patch{Name: "fine", Text: sysctl("vm.a", "1"), Off: true})
	l.set(t, onServer("worker-1"), fleet.Patch{Name: "own", Text: arguments})
	use := manage.RecipeUse{Recipe: "sysctls", Parameters: recipe.Params{"sysctls": "vm.b=2"}}
	ok(l.ApplyRecipe(ctx, "test", onRole("old", fleet.Worker), use, manage.Save{}))(t)

	var got []string
	for _, p := range ok(l.Patches(ctx))(t) {
		what := string(p.Layer.Scope) + "/" + p.Layer.Owner + "/" + string(p.Layer.Role) + " " + p.Patch + " " + p.Recipe
		if p.Off {
			what += "off"
		}
		got = append(got, what)
	}
	if want := []string{"role/old/worker sysctls sysctls", "config/base/ kernel ", "config/base/ fine off"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	old := func(version string, alone bool) (names []string) {
		for _, p := range ok(l.OldPatches(ctx, version, alone))(t) {
			if p.TalosVersion != cmp.Or(version, "v1.11.6") || p.Problem != "" {
				t.Errorf("%+v", p)
			}
			name := string(p.Layer.Scope) + " " + p.Patch
			if p.Deprecated {
				name += " deprecated"
			}
			names = append(names, name)
		}
		return names
	}
	if got := old("", true); len(got) != 0 {
		t.Errorf("for their own version, old are %q", got)
	}
	if got := old("v1.14.1", false); !slices.Equal(got, []string{"role sysctls deprecated", "config kernel", "config fine deprecated"}) {
		t.Errorf("old are %q", got)
	}
	if got := old("v1.14.1", true); len(got) != 4 || got[3] != "server own" {
		t.Errorf("with those of servers, old are %q", got)
	}
	_, err := l.OldPatches(ctx, "1.x", false)
	refused(t, "no such version", err, fleet.Invalid, "1.x", "")
	if v := ok(l.LayerVersion(ctx, onConfig("base")))(t); v != "v1.11.6" {
		t.Errorf("the config is written for %s", v)
	}
}
