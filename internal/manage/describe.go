package manage

import (
	"maps"
	"slices"
	"strings"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// changesOf says in a line what a save changes of a layer, for the audit log: names, never values.
func changesOf(old, c fleet.Contents) string {
	var all []string
	for _, p := range c.Patches {
		i := old.Patch(p.Name)
		if i < 0 {
			all = append(all, "patch "+p.Name+" added")
			continue
		}
		if what := patchChange(old.Patches[i], p); what != "" {
			all = append(all, "patch "+p.Name+" "+what)
		}
	}
	for _, p := range old.Patches {
		if c.Patch(p.Name) < 0 {
			all = append(all, "patch "+p.Name+" removed")
		}
	}
	if moved(old, c) {
		all = append(all, "patches moved")
	}
	names := maps.Clone(old.Variables)
	if names == nil {
		names = map[string]string{}
	}
	maps.Copy(names, c.Variables)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		was, before := old.Variables[name]
		is, after := c.Variables[name]
		switch {
		case !after:
			all = append(all, "variable "+name+" unset")
		case !before:
			all = append(all, "variable "+name+" set")
		case was != is:
			all = append(all, "variable "+name+" changed")
		}
	}
	for _, f := range []struct{ name, was, is string }{
		{"installer image", old.InstallImage, c.InstallImage},
		{"Kubernetes version", old.KubernetesVersion, c.KubernetesVersion},
		{"KubeSpan", onOff(old.KubeSpan), onOff(c.KubeSpan)},
	} {
		if f.was != f.is {
			all = append(all, f.name+" changed")
		}
	}
	return strings.Join(all, ", ")
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

func patchChange(old, p fleet.Patch) string {
	var all []string
	if old.Text != p.Text {
		all = append(all, "changed")
	}
	if old.Role != p.Role || old.Architecture != p.Architecture || old.Provider != p.Provider {
		all = append(all, "limited otherwise")
	}
	if old.Off != p.Off {
		all = append(all, "switched "+onOff(!p.Off))
	}
	return strings.Join(all, " and ")
}

// moved says whether the patches that both have stand in another order.
func moved(old, c fleet.Contents) bool {
	names := func(of, other fleet.Contents) (all []string) {
		for _, p := range of.Patches {
			if other.Patch(p.Name) >= 0 {
				all = append(all, p.Name)
			}
		}
		return all
	}
	return !slices.Equal(names(old, c), names(c, old))
}
