package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// contents is how a revision of a layer is stored; its JSON is hashed, so fields are only ever added, with
// omitempty. The three patches of old are written no more, but revisions that have them stay readable.
type contents struct {
	InstallImage      string            `json:"installImage,omitempty"`
	KubernetesVersion string            `json:"kubernetesVersion,omitempty"`
	KubeSpan          bool              `json:"kubeSpan,omitempty"`
	PatchAll          string            `json:"patchAll,omitempty"`
	PatchControlPlane string            `json:"patchControlPlane,omitempty"`
	PatchWorker       string            `json:"patchWorker,omitempty"`
	Patches           []fleet.Patch     `json:"patches,omitempty"`
	Variables         map[string]string `json:"variables,omitempty"`
}

func encodeContents(c fleet.Contents) string {
	return encode(contents{
		InstallImage: c.InstallImage, KubernetesVersion: c.KubernetesVersion, KubeSpan: c.KubeSpan,
		Patches: c.Patches, Variables: c.Variables,
	})
}

func decodeContents(body []byte) (fleet.Contents, error) {
	var read contents
	if body == nil {
		return fleet.Contents{}, nil // only a draft so far
	}
	if err := json.Unmarshal(body, &read); err != nil {
		return fleet.Contents{}, err
	}
	c := fleet.Contents{
		InstallImage: read.InstallImage, KubernetesVersion: read.KubernetesVersion, KubeSpan: read.KubeSpan,
		Patches: read.Patches, Variables: read.Variables,
	}
	c.SetText(fleet.PatchControlPlane, first(read.PatchControlPlane, c.Text(fleet.PatchControlPlane)))
	c.SetText(fleet.PatchWorker, first(read.PatchWorker, c.Text(fleet.PatchWorker)))
	c.SetText(fleet.PatchAll, first(read.PatchAll, c.Text(fleet.PatchAll)))
	return c, nil
}

// The verbs of a layer's history.
const (
	VerbSave    = "save"    // in effect at once
	VerbDraft   = "draft"   // kept beside what is in effect
	VerbPublish = "publish" // a draft became effective
	VerbDiscard = "discard" // a draft was thrown away
	VerbRevert  = "revert"  // old contents are in effect again
)

// LayerRevision says who saved which contents of a layer, when and why.
type LayerRevision struct {
	Revision string // sha256 of the contents, hex
	Verb     string // VerbSave, …
	Actor    string
	Why      string
	At       time.Time
}

const layersAndContents = `layers LEFT JOIN config_contents ON config_contents.revision = layers.revision`

const layerColumns = `scope, owner_id, layers.revision, draft, draft_base, saved_at, body`

// scanLayer reads layerColumns. Patches hold secrets of users (registry logins, VPN keys): contents are sealed.
func (s *Store) scanLayer(r row) (l fleet.Layer, err error) {
	var body []byte
	err = r.Scan(&l.Scope, &l.OwnerID, optional{&l.Revision}, optional{&l.Draft}, &l.DraftBase, moment{&l.SavedAt}, s.sealed(&body, "config_contents", "body", &l.Revision))
	if err != nil {
		return l, err
	}
	l.Contents, err = decodeContents(body)
	return l, err
}

// Layer reads what is in effect; a layer that nobody ever saved is empty and has no revision.
func (s *Store) Layer(ctx context.Context, scope fleet.Scope, owner string) (fleet.Layer, error) {
	l, err := s.layer(ctx, s.reader, scope, owner)
	return l, s.explain("read the patches of "+string(scope)+" "+owner, err)
}

func (s *Store) layer(ctx context.Context, q queryer, scope fleet.Scope, owner string) (fleet.Layer, error) {
	all, err := list(ctx, q, s.scanLayer, `SELECT `+layerColumns+` FROM `+layersAndContents+` WHERE scope = $1 AND owner_id = $2`, scope, owner)
	if err != nil || len(all) == 0 {
		return fleet.Layer{Scope: scope, OwnerID: owner}, err
	}
	return all[0], nil
}

// LayerRevisions lists who saved what, newest first; also of owners that were removed.
func (s *Store) LayerRevisions(ctx context.Context, scope fleet.Scope, owner string) ([]LayerRevision, error) {
	all, err := list(ctx, s.reader, func(r row) (v LayerRevision, err error) {
		return v, r.Scan(&v.Revision, &v.Verb, &v.Actor, &v.Why, moment{&v.At})
	}, `SELECT revision, verb, actor, why, saved_at FROM layer_revisions WHERE scope = $1 AND owner_id = $2 ORDER BY position DESC`, scope, owner)
	return all, s.explain("list the revisions of "+string(scope)+" "+owner, err)
}

// LayerSaved is an entry of a layer's history with its contents.
type LayerSaved struct {
	LayerRevision
	Contents fleet.Contents
}

// LayerHistory lists who saved what, oldest first, with the contents.
func (s *Store) LayerHistory(ctx context.Context, scope fleet.Scope, owner string) ([]LayerSaved, error) {
	all, err := list(ctx, s.reader, func(r row) (v LayerSaved, err error) {
		var body []byte
		err = r.Scan(&v.Revision, &v.Verb, &v.Actor, &v.Why, moment{&v.At}, s.sealed(&body, "config_contents", "body", &v.Revision))
		if err != nil {
			return v, err
		}
		v.Contents, err = decodeContents(body)
		return v, err
	}, `
		SELECT layer_revisions.revision, verb, actor, why, saved_at, body
		FROM layer_revisions JOIN config_contents ON config_contents.revision = layer_revisions.revision
		WHERE scope = $1 AND owner_id = $2 ORDER BY position`, scope, owner)
	return all, s.explain("read the history of "+string(scope)+" "+owner, err)
}

// Contents reads what a revision holds, whichever layer it was saved in.
func (s *Store) Contents(ctx context.Context, revision string) (fleet.Contents, error) {
	all, err := list(ctx, s.reader, s.scanContents, `SELECT revision, body FROM config_contents WHERE revision = $1`, revision)
	if err != nil {
		return fleet.Contents{}, s.explain("read revision "+revision, err)
	}
	if len(all) == 0 {
		return fleet.Contents{}, fleet.Errorf(fleet.NotFound, "no revision %q", revision).WithHint("`revisions` of the config, cluster or server lists them")
	}
	return all[0].Contents, nil
}

type revisionContents struct {
	revision string
	fleet.Contents
}

func (s *Store) scanContents(r row) (c revisionContents, err error) {
	var body []byte
	if err = r.Scan(&c.revision, s.sealed(&body, "config_contents", "body", &c.revision)); err != nil {
		return c, err
	}
	c.Contents, err = decodeContents(body)
	return c, err
}

// LayerEdit is a change of one layer.
type LayerEdit struct {
	Scope    fleet.Scope
	OwnerID  string
	Contents fleet.Contents // of VerbDiscard: ignored
	Verb     string
	Actor    string
	Why      string
	// Base is the revision that the change is based on: fleet.Conflict when it is no longer the one in effect (of a
	// draft: neither that nor the draft). Empty: whichever is.
	Base string
}

// Layer writes a change of a layer. Contents that are in effect already make no revision.
func (e *Edit) Layer(ctx context.Context, c LayerEdit) (fleet.Layer, error) {
	old, err := e.lockLayer(ctx, c)
	if err != nil {
		return old, err
	}
	if c.Base != "" && c.Base != old.Revision && !(c.Verb == VerbDraft && c.Base == old.Draft) {
		return old, fleet.Errorf(fleet.Conflict, "the patches of %s %s were changed by somebody else meanwhile", c.Scope, c.OwnerID).
			WithHint("look at what changed and save again")
	}
	new := old
	now := e.s.now().UTC().Truncate(time.Microsecond)
	changes := old.Revision == "" || encodeContents(c.Contents) != encodeContents(old.Contents)
	written := ""
	switch c.Verb {
	case VerbDiscard:
		if old.Draft == "" {
			return old, nil
		}
		written, new.Draft, new.DraftBase = old.Draft, "", ""
	case VerbDraft:
		if written, err = e.s.writeContents(ctx, e.t, c.Contents); err != nil {
			return old, err
		}
		if written == old.Draft && old.DraftBase == old.Revision {
			return old, nil
		}
		new.Draft, new.DraftBase = written, old.Revision
	default:
		if c.Verb == VerbPublish {
			new.Draft, new.DraftBase = "", ""
		}
		if changes {
			if new.Revision, err = e.s.writeContents(ctx, e.t, c.Contents); err != nil {
				return old, err
			}
			new.Contents, new.SavedAt = c.Contents.Clone(), now
		} else if c.Verb != VerbPublish {
			return old, nil
		}
		written = new.Revision
	}
	return new, e.writeLayer(ctx, new, c, written, now)
}

// lockLayer reads a layer for a change; on Postgres, two changes of one layer come one after the other.
func (e *Edit) lockLayer(ctx context.Context, c LayerEdit) (fleet.Layer, error) {
	_, err := e.t.ExecContext(ctx, `
		INSERT INTO layers (scope, owner_id) VALUES ($1, $2) ON CONFLICT (scope, owner_id) DO UPDATE SET saved_at = layers.saved_at`, c.Scope, c.OwnerID)
	if err != nil {
		return fleet.Layer{}, err
	}
	return e.s.layer(ctx, e.t, c.Scope, c.OwnerID)
}

func (e *Edit) writeLayer(ctx context.Context, l fleet.Layer, c LayerEdit, revision string, now time.Time) error {
	_, err := e.t.ExecContext(ctx, `
		UPDATE layers SET revision = $3, draft = $4, draft_base = $5, saved_at = $6 WHERE scope = $1 AND owner_id = $2`,
		l.Scope, l.OwnerID, ref(l.Revision), ref(l.Draft), l.DraftBase, micros(l.SavedAt))
	if err != nil {
		return err
	}
	_, err = e.t.ExecContext(ctx, `
		INSERT INTO layer_revisions (scope, owner_id, position, revision, verb, actor, why, saved_at)
		VALUES ($1, $2, (SELECT COUNT(*) FROM layer_revisions WHERE scope = $1 AND owner_id = $2), $3, $4, $5, $6, $7)`,
		l.Scope, l.OwnerID, revision, c.Verb, text(c.Actor), text(c.Why), micros(now))
	e.t.changed(layerTable(l.Scope), l.OwnerID)
	e.t.records = true
	return err
}

// layerTable is the table whose readers want to hear of a change: a layer is part of its owner.
func layerTable(scope fleet.Scope) string {
	switch scope {
	case fleet.ScopeServer:
		return "servers"
	case fleet.ScopeConfig:
		return "configs"
	}
	return "clusters"
}

// writeContents keeps the contents under their hash.
func (s *Store) writeContents(ctx context.Context, t *tx, c fleet.Contents) (revision string, err error) {
	body := encodeContents(c)
	sum := sha256.Sum256([]byte(body))
	revision = hex.EncodeToString(sum[:])
	_, err = t.ExecContext(ctx, `INSERT INTO config_contents (revision, body) VALUES ($1, $2) ON CONFLICT (revision) DO NOTHING`,
		revision, s.seal([]byte(body), "config_contents", "body", revision))
	return revision, err
}

// removeLayers forgets what is in effect for an owner that is removed. Its revisions are kept.
func removeLayers(ctx context.Context, t *tx, scope fleet.Scope, owner string) error {
	_, err := t.ExecContext(ctx, `DELETE FROM layers WHERE scope = $1 AND owner_id = $2`, scope, owner)
	return err
}

// moveServerPatches makes the patch that a server had in its assignment its layer.
func (s *Store) moveServerPatches(ctx context.Context, t *tx) error {
	type patch struct {
		id, text string
	}
	all, err := list(ctx, t, func(r row) (p patch, err error) {
		return p, r.Scan(&p.id, s.sealedText(&p.text, "servers", "patch", &p.id))
	}, `SELECT id, patch FROM servers WHERE patch IS NOT NULL ORDER BY id`)
	if err != nil {
		return err
	}
	e := &Edit{s: s, t: t}
	for _, p := range all {
		var c fleet.Contents
		c.SetText(fleet.PatchOwn, p.text)
		_, err := e.Layer(ctx, LayerEdit{Scope: fleet.ScopeServer, OwnerID: p.id, Contents: c, Verb: VerbSave, Actor: "talos-manager", Why: "its patch moved here"})
		if err != nil {
			return err
		}
	}
	return nil
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
