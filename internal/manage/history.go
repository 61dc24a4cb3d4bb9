package manage

import (
	"context"
	"slices"
	"strings"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
)

// Names of revisions, beside the beginning of their hash.
const (
	RevisionCurrent = "current" // what is in effect
	RevisionDraft   = "draft"
)

// Revisions lists who saved what of a layer, newest first.
func (m *Manager) Revisions(ctx context.Context, ref LayerRef) ([]store.LayerRevision, error) {
	_, of, err := m.locate(ctx, ref)
	if err != nil {
		return nil, err
	}
	return m.Store.LayerRevisions(ctx, of.scope, of.owner)
}

func (m *Manager) locate(ctx context.Context, ref LayerRef) (*snapshot, target, error) {
	now, _, err := m.Renderer.now(ctx)
	if err != nil {
		return nil, target{}, err
	}
	of, err := m.find(ctx, now, ref)
	return now, of, err
}

// Revision reads the contents of a revision of a layer, by its hash, the beginning of it, RevisionCurrent or
// RevisionDraft. It returns the whole hash too, "" for a layer that nobody ever saved.
func (m *Manager) Revision(ctx context.Context, ref LayerRef, revision string) (fleet.Contents, string, error) {
	now, of, err := m.locate(ctx, ref)
	if err != nil {
		return fleet.Contents{}, "", err
	}
	return m.revision(ctx, now, of, revision)
}

func (m *Manager) revision(ctx context.Context, now *snapshot, of target, revision string) (c fleet.Contents, hash string, err error) {
	l := now.Layer(of.scope, of.owner)
	switch revision {
	case RevisionCurrent, "":
		return l.Clone(), l.Revision, nil
	case RevisionDraft:
		if l.Draft == "" {
			return c, "", noDraft(of)
		}
		hash = l.Draft
	default:
		if hash, err = m.wholeHash(ctx, of, revision); err != nil {
			return c, "", err
		}
	}
	c, err = m.Store.Contents(ctx, hash)
	return c, hash, err
}

func noDraft(of target) error {
	return fleet.Errorf(fleet.NotFound, "%s has no draft", of.what).WithHint("what is in effect was saved last")
}

// wholeHash finds the revision of a layer that begins so.
func (m *Manager) wholeHash(ctx context.Context, of target, prefix string) (hash string, err error) {
	all, err := m.Store.LayerRevisions(ctx, of.scope, of.owner)
	if err != nil {
		return "", err
	}
	for _, r := range all {
		if !strings.HasPrefix(r.Revision, prefix) || r.Revision == hash {
			continue
		}
		if hash != "" {
			return "", fleet.Errorf(fleet.Invalid, "%s: several revisions begin with %q", of.what, prefix).WithHint("write more of it")
		}
		hash = r.Revision
	}
	if hash == "" {
		return "", fleet.Errorf(fleet.NotFound, "%s has no revision %q", of.what, prefix).WithHint("its list of revisions names them; the beginning of one is enough")
	}
	return hash, nil
}

// Revert makes old contents effective again, as a new save: it is checked like any.
func (m *Manager) Revert(ctx context.Context, actor string, ref LayerRef, revision string, how Save) (saved fleet.Layer, err error) {
	err = m.save(ctx, func(now *snapshot) (*edited, error) {
		of, err := m.find(ctx, now, ref)
		if err != nil {
			return nil, err
		}
		c, _, err := m.revision(ctx, now, of, revision)
		if err != nil {
			return nil, err
		}
		old := now.Layer(of.scope, of.owner)
		change := store.LayerEdit{Contents: c, Verb: store.VerbRevert, Base: how.Base, Why: how.Why}
		if how.Draft {
			change.Verb = store.VerbDraft
		}
		return m.layerEdit(ctx, now, actor, of, old, change, changesOf(old.Contents, c), &saved)
	})
	return saved, err
}

// Publish makes a draft effective. It is checked as any save; and it is refused if what it was made on was changed
// since, because that change would be lost. how.Base may name the draft.
func (m *Manager) Publish(ctx context.Context, actor string, ref LayerRef, how Save) (saved fleet.Layer, err error) {
	err = m.save(ctx, func(now *snapshot) (*edited, error) {
		of, old, c, err := m.draft(ctx, now, ref, how.Base)
		if err != nil {
			return nil, err
		}
		if old.DraftBase != old.Revision {
			return nil, mayRedraft(&of, old, "")
		}
		change := store.LayerEdit{Contents: c, Verb: store.VerbPublish, Base: old.Revision, Why: how.Why}
		return m.layerEdit(ctx, now, actor, of, old, change, changesOf(old.Contents, c), &saved)
	})
	return saved, err
}

// Discard throws a draft away; it stays in the history. how.Base may name the draft.
func (m *Manager) Discard(ctx context.Context, actor string, ref LayerRef, how Save) (saved fleet.Layer, err error) {
	err = m.save(ctx, func(now *snapshot) (*edited, error) {
		of, old, _, err := m.draft(ctx, now, ref, how.Base)
		if err != nil {
			return nil, err
		}
		t := now.try(of.what)
		t.layers = append(t.layers, of)
		if err := m.touch(ctx, t); err != nil {
			return nil, err
		}
		c := store.LayerEdit{Scope: of.scope, OwnerID: of.owner, Verb: store.VerbDiscard, Actor: actor, Base: old.Revision, Why: t.hideText(how.Why)}
		return &edited{doing: "discard the draft of " + of.what, write: func(e *store.Edit) (err error) {
			if saved, err = e.Layer(ctx, c); err != nil {
				return err
			}
			return e.Event(ctx, m.event(actor, of.subject+".patches."+c.Verb, of.subject, of.id, describeSave(of.what, c, saved, "")))
		}}, nil
	})
	return saved, err
}

// Draft is a layer that has one.
type Draft struct {
	LayerRef
	What     string // "config base"
	Revision string
	Stale    bool // what it was made on was changed since: it has to be saved again before it is published
}

// Drafts lists the drafts of all layers, by what they are of.
func (m *Manager) Drafts(ctx context.Context) ([]Draft, error) {
	now, _, err := m.Renderer.now(ctx)
	if err != nil {
		return nil, err
	}
	all := []Draft{}
	for _, l := range now.Layers("") {
		if l.Draft == "" {
			continue
		}
		ref := LayerRef{Scope: l.Scope, Owner: l.OwnerID}
		if l.Scope == fleet.ScopeRole {
			owner, role, _ := strings.Cut(l.OwnerID, "/")
			ref.Owner, ref.Role = owner, fleet.Role(role)
		}
		of, err := m.find(ctx, now, ref)
		if fleet.KindOf(err) == fleet.NotFound {
			continue // it was removed this moment
		}
		if err != nil {
			return nil, err
		}
		ref.Owner = of.name
		if l.Scope == fleet.ScopeServer {
			ref.Owner = of.id // names of servers need not be unique
		}
		all = append(all, Draft{LayerRef: ref, What: of.what, Revision: l.Draft, Stale: l.DraftBase != l.Revision})
	}
	slices.SortFunc(all, func(a, b Draft) int { return strings.Compare(a.What, b.What) })
	return all, nil
}

// wholeBase is the revision that a base names by its beginning, as revisions are shown.
func wholeBase(base string, l fleet.Layer) string {
	const shortest = 8
	for _, revision := range []string{l.Revision, l.Draft} {
		if len(base) >= shortest && strings.HasPrefix(revision, base) {
			return revision
		}
	}
	return base
}

// mayRedraft refuses to save a draft once more that was made on what is not in effect any more: published, it would take
// back what others changed since. Whoever has looked at that says so by basing it on what is in effect.
func mayRedraft(of *target, l fleet.Layer, base string) error {
	if l.Draft == "" || l.DraftBase == l.Revision || base == l.Revision {
		return nil
	}
	return fleet.Errorf(fleet.Conflict, "%s was changed since its draft was made", of.what).
		WithHint("look at the difference between %s and %s; save the draft on base %.12s when it has that change, or discard it", RevisionDraft, RevisionCurrent, l.Revision)
}

// draft finds a layer that has a draft.
func (m *Manager) draft(ctx context.Context, now *snapshot, ref LayerRef, base string) (of target, l fleet.Layer, c fleet.Contents, err error) {
	if of, err = m.find(ctx, now, ref); err != nil {
		return of, l, c, err
	}
	l = now.Layer(of.scope, of.owner)
	if l.Draft == "" {
		return of, l, c, noDraft(of)
	}
	if base = wholeBase(base, l); base != "" && base != l.Draft && base != l.Revision {
		return of, l, c, fleet.Errorf(fleet.Conflict, "the draft of %s was changed by somebody else meanwhile", of.what).WithHint("look at it again")
	}
	c, err = m.Store.Contents(ctx, l.Draft)
	return of, l, c, err
}
