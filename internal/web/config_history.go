package web

import (
	"cmp"
	"net/http"
	"net/url"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig/diff"
	"github.com/talos-manager/talos-manager/internal/manage"
	"github.com/talos-manager/talos-manager/internal/store"
)

// configHistoryData is who saved what of a layer, newest first.
type configHistoryData struct {
	configHead
	Saves []savedRevision
}

// savedRevision is a save with the one before it that was in effect.
type savedRevision struct {
	store.LayerRevision
	Before  string // revision that was in effect before; "" for the first
	Current bool
	Draft   bool // it is the draft
}

// configHistory is the page of a layer's revisions.
func (s *site) configHistory(r *http.Request) (view, error) {
	ctx := r.Context()
	h, err := s.layer(ctx, layerRef(r), "/history")
	if err != nil {
		return view{}, err
	}
	all, err := s.Manager.Revisions(ctx, h.Ref)
	if err != nil {
		return view{}, err
	}
	d := configHistoryData{configHead: h, Saves: revisionsOf(h.Layer, all)}
	layer := h.cli()
	v := h.view(
		"", configHistoryPage(d),
		command{"List the revisions", "layer revisions " + layer, "GET " + h.api("/revisions")},
		command{"Compare two", "layer diff " + layer + " FROM TO", "GET " + h.api("/diff")},
		command{"Go back to one", "layer revert " + layer + " REVISION --why '…'", "POST " + h.api("/revert") + ` {"revision": "…", "why": "…"}`},
	)
	v.sheet = func() (sheet, error) {
		out := sheet{name: "revisions", columns: []string{"saved", "what", "by", "reason", "revision"}}
		for _, save := range d.Saves {
			out.rows = append(out.rows, []string{save.At.UTC().Format(time.RFC3339), save.Verb, save.Actor, save.Why, save.Revision})
		}
		return out, nil
	}
	return v.live(partOf("config-head", h, configHeading), partOf("config-saves", d, configSaves)), nil
}

// revisionsOf finds for each save, newest first, what was in effect before it.
func revisionsOf(l fleet.Layer, all []store.LayerRevision) []savedRevision {
	out := make([]savedRevision, len(all))
	effective, seen := "", false
	for i := len(all) - 1; i >= 0; i-- {
		out[i] = savedRevision{LayerRevision: all[i], Before: effective, Draft: all[i].Verb == store.VerbDraft && all[i].Revision == l.Draft}
		if all[i].Verb != store.VerbDraft && all[i].Verb != store.VerbDiscard {
			effective = all[i].Revision
		}
	}
	for i := range out {
		if !seen && out[i].Revision == l.Revision && out[i].Verb != store.VerbDraft && out[i].Verb != store.VerbDiscard {
			out[i].Current, seen = true, true
		}
	}
	return out
}

// saveWords says what a save was.
func saveWords(verb string) string {
	switch verb {
	case store.VerbDraft:
		return "Kept as a draft"
	case store.VerbPublish:
		return "Draft published"
	case store.VerbRevert:
		return "Went back"
	case store.VerbDiscard:
		return "Draft thrown away"
	}
	return "Saved"
}

// configDiffData is what two revisions of a layer differ in.
type configDiffData struct {
	configHead
	From, To string // as they were asked for
	Diff     manage.LayerDiff
}

// configDiff is the page of what two revisions differ in.
func (s *site) configDiff(r *http.Request) (view, error) {
	ctx := r.Context()
	h, err := s.layer(ctx, layerRef(r), "/diff")
	if err != nil {
		return view{}, err
	}
	d := configDiffData{configHead: h, From: cmp.Or(r.FormValue("from"), manage.RevisionCurrent), To: cmp.Or(r.FormValue("to"), manage.RevisionCurrent)}
	if d.Diff, err = s.Manager.DiffRevisions(ctx, h.Ref, d.From, d.To); err != nil {
		return view{}, err
	}
	v := h.view(
		revisionName(d.From)+" and "+revisionName(d.To), configDiffPage(d),
		command{"Compare them", "layer diff " + h.cli() + " " + short(d.From) + " " + short(d.To), "GET " + layerDiffAPI(h, d.From, d.To)},
	)
	v.address = layerPage(h.Ref, "/diff", url.Values{"from": {d.From}, "to": {d.To}})
	return v, nil
}

func layerDiffAPI(h configHead, from, to string) string {
	q := url.Values{"from": {from}, "to": {to}}
	if h.Ref.Scope == fleet.ScopeRole {
		q.Set("role", string(h.Ref.Role))
	}
	return "/api/v1/layers/" + string(h.Ref.Scope) + "/" + h.Ref.Owner + "/diff?" + q.Encode()
}

// revisionName is a revision in words.
func revisionName(revision string) string {
	switch revision {
	case manage.RevisionCurrent:
		return "What is in effect"
	case manage.RevisionDraft:
		return "the draft"
	}
	return short(revision)
}

// patchDiffTitle says what became of a patch.
func patchDiffTitle(p manage.PatchDiff) string {
	switch p.Op {
	case diff.Added:
		return "Patch " + p.Name + " added, at " + p.To
	case diff.Removed:
		return "Patch " + p.Name + " removed, was at " + p.From
	case diff.Moved:
		return "Patch " + p.Name + " moved, from " + p.From + " to " + p.To
	}
	if p.From != p.To {
		return "Patch " + p.Name + " changed, from " + p.From + " to " + p.To
	}
	return "Patch " + p.Name + " changed"
}

// patchDiffLines are the lines of both texts, of long stretches that are the same only the ends.
func patchDiffLines(p manage.PatchDiff) []diffLine {
	const around = 3
	var out []diffLine
	near := func(i int) bool {
		for j := max(0, i-around); j <= min(len(p.Lines)-1, i+around); j++ {
			if p.Lines[j].Op != "" {
				return true
			}
		}
		return false
	}
	left := 0
	skipped := func() {
		if left > 0 {
			out = append(out, diffLine{"note", "… " + count(left, "line") + " the same"})
		}
		left = 0
	}
	for i, l := range p.Lines {
		if !near(i) {
			left++
			continue
		}
		skipped()
		switch l.Op {
		case diff.Added:
			out = append(out, diffLine{"added", "+ " + l.Text})
		case diff.Removed:
			out = append(out, diffLine{"removed", "- " + l.Text})
		default:
			out = append(out, diffLine{"", "  " + l.Text})
		}
	}
	skipped()
	return out
}

// configBlameData is who brought each line of the patches that are in effect.
type configBlameData struct {
	configHead
	Patches []manage.PatchBlame
}

// configBlame is the page of who brought each line.
func (s *site) configBlame(r *http.Request) (view, error) {
	h, err := s.layer(r.Context(), layerRef(r), "/blame")
	if err != nil {
		return view{}, err
	}
	d := configBlameData{configHead: h}
	if d.Patches, err = s.Manager.Blame(r.Context(), h.Ref); err != nil {
		return view{}, err
	}
	v := h.view("", configBlamePage(d), command{"Say who brought each line", "layer blame " + h.cli(), "GET " + h.api("/blame")})
	return v.live(partOf("config-head", h, configHeading), partOf("config-blame", d, configBlamed)), nil
}

// blameFirst says that a line begins a stretch that one save brought.
func blameFirst(lines []manage.BlameLine, i int) bool {
	return i == 0 || lines[i-1].Revision != lines[i].Revision || !lines[i-1].At.Equal(lines[i].At)
}
