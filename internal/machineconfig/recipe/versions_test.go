package recipe

import (
	"testing"

	"github.com/talos-manager/talos-manager/internal/machineconfig/schema"
)

func TestEveryExampleRendersStrictlyOnEveryVersionForEveryRole(t *testing.T) {
	for _, r := range List() {
		for _, release := range releases {
			if !r.has(minor(t, release.talos)) {
				continue
			}
			result, err := r.Apply(release.talos, example(t, r, release.talos))
			if err != nil {
				t.Errorf("%s on %s: %v", r.Name, release.talos, err)
				continue
			}
			for _, role := range roles {
				if _, err := render(t, release.talos, role, of(role, result)...); err != nil {
					t.Errorf("%s on %s for a %s: %v", r.Name, release.talos, role, err)
					for _, p := range of(role, result) {
						t.Log(p.Name + "\n" + indent(p.Text))
					}
				}
			}
		}
	}
}

// What a version calls deprecated, or does not know yet, is not in a patch for it.
func TestPatchesAreAsTheirVersionWantsThem(t *testing.T) {
	for _, p := range promises() {
		r, err := Get(p.recipe)
		if err != nil {
			t.Fatal(err)
		}
		for _, release := range releases {
			params := p.known(r, minor(t, release.talos))
			if !r.has(minor(t, release.talos)) || params == nil {
				continue
			}
			for _, patch := range mustApply(t, p.recipe, release.talos, params).Patches {
				for _, f := range schema.Lint([]byte(patch.Text), release.talos) {
					if params["keep_path"] == true && f.Problem == schema.Deprecated {
						continue // which is what the parameter is for, and its trap says
					}
					t.Errorf("%s, %s, on %s: %s\n%s", p.recipe, p.why, release.talos, f, indent(patch.Text))
				}
			}
		}
	}
}
