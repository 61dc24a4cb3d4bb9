package recipe

import "testing"

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
