package web

import (
	"net/http"
	"strings"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// configPatches is the first page of a layer: its patches in the order they are applied.
func (s *site) configPatches(r *http.Request) (view, error) {
	h, err := s.layer(r.Context(), layerRef(r), "")
	if err != nil {
		return view{}, err
	}
	layer := h.cli()
	v := h.view(
		"", configPatchesPage(h),
		command{"Show it", "layer show " + layer, "GET " + h.api("")},
		command{"Add a patch", "patch add " + layer + " NAME @FILE --dry-run", "POST " + h.api("/patches") + ` {"patch": {"name": "NAME", "text": "…"}, "why": "…"}`},
		command{"Move a patch", "patch move " + layer + " NAME 0", "PATCH " + h.api("/patches/NAME") + ` {"place": 0}`},
		command{"Switch a patch off", "patch off " + layer + " NAME", "PATCH " + h.api("/patches/NAME") + ` {"off": true}`},
		command{"Remove a patch", "patch remove " + layer + " NAME", "POST " + h.api("/patches/NAME/remove") + ` {"why": "…"}`},
		command{"Publish the draft", "layer publish " + layer, "POST " + h.api("/publish") + ` {"why": "…"}`},
	)
	v.sheet = func() (sheet, error) { return patchSheet(h.Layer.Contents), nil }
	return v.live(
		partOf("config-head", h, configHeading), partOf("config-draft", h, configDraft), partOf("config-patches", h, configPatchList),
	), nil
}

func patchSheet(c fleet.Contents) sheet {
	out := sheet{name: "patches", columns: []string{"name", "role", "architecture", "provider", "off", "text"}}
	for _, p := range c.Patches {
		off := ""
		if p.Off {
			off = "off"
		}
		out.rows = append(out.rows, []string{p.Name, string(p.Role), string(p.Architecture), string(p.Provider), off, p.Text})
	}
	return out
}

// limitsOf says in words for which servers a patch is.
func limitsOf(p fleet.Patch) string {
	var all []string
	if p.Role != "" {
		all = append(all, roleWords(p.Role))
	}
	if p.Architecture != "" {
		all = append(all, string(p.Architecture))
	}
	if p.Provider != "" {
		all = append(all, strings.ToLower(providerTitle(p.Provider)))
	}
	if len(all) == 0 {
		return "all servers"
	}
	return strings.Join(all, ", ")
}

// firstLines is the beginning of a patch, to tell it by.
func firstLines(text string) string {
	const few = 6
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if len(lines) > few {
		return strings.Join(lines[:few-1], "\n") + "\n… " + count(len(lines)-few+1, "line") + " more"
	}
	return strings.Join(lines, "\n")
}

func patchNames(all []fleet.Patch) []string {
	names := make([]string, len(all))
	for i, p := range all {
		names[i] = p.Name
	}
	return names
}

func orNoneOfThem(text string) string {
	if text == "" {
		return "it has none"
	}
	return text
}
