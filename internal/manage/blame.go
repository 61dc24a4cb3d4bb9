package manage

import (
	"context"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
)

// PatchBlame says of each line of a patch which save brought it.
type PatchBlame struct {
	Patch string
	Lines []BlameLine
}

// BlameLine is a line of a patch, without secrets, and the save that brought it.
type BlameLine struct {
	Text     string
	Revision string
	Actor    string
	At       time.Time
	Why      string
}

// Blame says who brought each line of the patches of a layer that are in effect. A patch that was renamed, or moved
// within its layer, keeps its lines.
func (m *Manager) Blame(ctx context.Context, ref LayerRef) ([]PatchBlame, error) {
	now, of, err := m.locate(ctx, ref)
	if err != nil {
		return nil, err
	}
	history, err := m.Store.LayerHistory(ctx, of.scope, of.owner)
	if err != nil {
		return nil, err
	}
	var last fleet.Contents
	by := map[string][]store.LayerRevision{} // the save behind each line, by patch
	for _, save := range history {
		if save.Verb == store.VerbDraft || save.Verb == store.VerbDiscard {
			continue
		}
		by, last = carry(last, by, save), save.Contents
	}
	out := []PatchBlame{}
	hidden := now.layerRedactor(of, last)
	for _, p := range last.Patches {
		b := PatchBlame{Patch: p.Name, Lines: []BlameLine{}}
		for i, text := range hideLines(hidden, p.Text) {
			r := by[p.Name][i]
			b.Lines = append(b.Lines, BlameLine{Text: text, Revision: r.Revision, Actor: r.Actor, At: r.At, Why: r.Why})
		}
		out = append(out, b)
	}
	return out, nil
}

// carry takes the origins of lines over to the next save.
func carry(old fleet.Contents, by map[string][]store.LayerRevision, save store.LayerSaved) map[string][]store.LayerRevision {
	next := map[string][]store.LayerRevision{}
	for _, p := range save.Contents.Patches {
		lines := linesOf(p.Text)
		origins := make([]store.LayerRevision, len(lines))
		for i := range origins {
			origins[i] = save.LayerRevision
		}
		if before := predecessor(old, save.Contents, p); before != "" {
			for _, s := range steps(linesOf(old.Text(before)), lines) {
				if s.a >= 0 && s.b >= 0 {
					origins[s.b] = by[before][s.a]
				}
			}
		}
		next[p.Name] = origins
	}
	return next
}

// predecessor is what a patch was called before: its name, or of those that are gone now the one that has most lines in
// common with it, half of them at least. "" if it is new.
func predecessor(old, now fleet.Contents, p fleet.Patch) (name string) {
	if old.Patch(p.Name) >= 0 {
		return p.Name
	}
	lines := linesOf(p.Text)
	most := 0
	for _, o := range old.Patches {
		if now.Patch(o.Name) >= 0 {
			continue
		}
		common, before := 0, linesOf(o.Text)
		for _, s := range steps(before, lines) {
			if s.a >= 0 && s.b >= 0 {
				common++
			}
		}
		if common > most && 2*common >= max(len(before), len(lines)) {
			name, most = o.Name, common
		}
	}
	return name
}
