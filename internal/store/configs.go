package store

import (
	"context"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

const configColumns = `configs.id, configs.name, configs.created_at, layers.revision, layers.draft, layers.draft_base, layers.saved_at, config_contents.body`

const configsAndContents = `configs JOIN layers ON layers.scope = 'config' AND layers.owner_id = configs.id
	LEFT JOIN config_contents ON config_contents.revision = layers.revision`

// scanConfig reads configColumns.
func (s *Store) scanConfig(r row) (c fleet.Config, err error) {
	var body []byte
	err = r.Scan(&c.ID, &c.Name, moment{&c.CreatedAt}, optional{&c.Revision}, optional{&c.Draft}, &c.DraftBase, moment{&c.UpdatedAt},
		s.sealed(&body, "config_contents", "body", &c.Revision))
	if err != nil {
		return c, err
	}
	if c.UpdatedAt.IsZero() { // only a draft so far
		c.UpdatedAt = c.CreatedAt
	}
	c.Contents, err = decodeContents(body)
	return c, err
}

// CreateConfig writes a new config and its first revision. fleet.Conflict when the name is taken.
func (s *Store) CreateConfig(ctx context.Context, c fleet.Config, actor string) (out fleet.Config, err error) {
	err = s.Edit(ctx, "create config "+c.Name, nil, func(e *Edit) error {
		out, err = e.CreateConfig(ctx, c, LayerEdit{Verb: VerbSave, Actor: actor})
		return err
	})
	return out, err
}

// UpdateConfig writes name and contents, and a new revision if the contents changed. c.Revision is the revision
// that the change was based on: fleet.Conflict when it is no longer the current one; empty: whichever is.
func (s *Store) UpdateConfig(ctx context.Context, c fleet.Config, actor string) (out fleet.Config, err error) {
	err = s.Edit(ctx, "change config "+c.Name, nil, func(e *Edit) error {
		out, err = e.UpdateConfig(ctx, c, LayerEdit{Verb: VerbSave, Actor: actor})
		return err
	})
	return out, err
}

// CreateConfig is Store.CreateConfig as a part of an edit; how says who saves it why, and whether as a draft.
func (e *Edit) CreateConfig(ctx context.Context, c fleet.Config, how LayerEdit) (fleet.Config, error) {
	e.s.stamp(&c.ID, &c.CreatedAt)
	_, err := e.t.ExecContext(ctx, `INSERT INTO configs (id, name, created_at) VALUES ($1, $2, $3)`, c.ID, c.Name, micros(c.CreatedAt))
	if err != nil {
		return c, taken(err, "config", c.Name)
	}
	e.t.changed("configs", c.ID)
	how.Scope, how.OwnerID, how.Contents, how.Base = fleet.ScopeConfig, c.ID, c.Contents, ""
	l, err := e.Layer(ctx, how)
	return withLayer(c, l), err
}

// UpdateConfig is Store.UpdateConfig as a part of an edit; how says who saves it why, and whether as a draft.
func (e *Edit) UpdateConfig(ctx context.Context, c fleet.Config, how LayerEdit) (fleet.Config, error) {
	n, err := affected(e.t.ExecContext(ctx, `UPDATE configs SET name = $2 WHERE id = $1`, c.ID, c.Name)) // and locks it
	if err := one(n, err, "config", c.ID); err != nil {
		return c, taken(err, "config", c.Name)
	}
	e.t.changed("configs", c.ID)
	old, err := list(ctx, e.t, e.s.scanConfig, `SELECT `+configColumns+` FROM `+configsAndContents+` WHERE configs.id = $1`, c.ID)
	if err != nil {
		return c, err
	}
	if len(old) == 0 {
		return c, missing("config", c.ID)
	}
	if c.Revision != "" && c.Revision != old[0].Revision && !(how.Verb == VerbDraft && c.Revision == old[0].Draft) {
		return c, fleet.Errorf(fleet.Conflict, "config %s was changed by somebody else meanwhile", c.Name).WithHint("look at what changed and save again")
	}
	how.Scope, how.OwnerID, how.Contents, how.Base = fleet.ScopeConfig, c.ID, c.Contents, ""
	l, err := e.Layer(ctx, how)
	c.CreatedAt = old[0].CreatedAt
	return withLayer(c, l), err
}

func withLayer(c fleet.Config, l fleet.Layer) fleet.Config {
	c.Contents, c.Revision, c.Draft, c.DraftBase, c.UpdatedAt = l.Contents, l.Revision, l.Draft, l.DraftBase, l.SavedAt
	if c.UpdatedAt.IsZero() {
		c.UpdatedAt = c.CreatedAt
	}
	return c
}

// Config reads one by id or name.
func (s *Store) Config(ctx context.Context, ref string) (fleet.Config, error) {
	return lookUp(ctx, s, "config", ref, s.scanConfig, `SELECT `+configColumns+` FROM `+configsAndContents+` WHERE id = $1 OR name = $1`)
}

// Configs lists all by name.
func (s *Store) Configs(ctx context.Context) ([]fleet.Config, error) {
	all, err := list(ctx, s.reader, s.scanConfig, `SELECT `+configColumns+` FROM `+configsAndContents+` ORDER BY name`)
	return all, s.explain("list configs", err)
}

// RemoveConfig removes a config; its revisions stay readable. fleet.Conflict names who uses it.
func (s *Store) RemoveConfig(ctx context.Context, id string) error {
	return s.Edit(ctx, "remove config "+id, nil, func(e *Edit) error { return e.RemoveConfig(ctx, id) })
}

// RemoveConfig is Store.RemoveConfig as a part of an edit.
func (e *Edit) RemoveConfig(ctx context.Context, id string) error {
	if err := removeLayers(ctx, e.t, fleet.ScopeConfig, id); err != nil {
		return err
	}
	return e.t.removeUsed(ctx, "config", "configs", id, `DELETE FROM configs WHERE id = $1`, `
		SELECT 'cluster ' || name FROM clusters WHERE config_id = $1
		UNION ALL SELECT 'server ' || name FROM servers WHERE config_id = $1`)
}

// removeUsed removes a record unless the query names users of it.
func (s *Store) removeUsed(ctx context.Context, what, table, id, remove, users string) error {
	return s.write(ctx, "remove "+what+" "+id, func(t *tx) error { return t.removeUsed(ctx, what, table, id, remove, users) })
}

func (t *tx) removeUsed(ctx context.Context, what, table, id, remove, users string) error {
	names, err := list(ctx, t, scanName, users, id)
	if err != nil {
		return err
	}
	if len(names) > 0 {
		return fleet.Errorf(fleet.Conflict, "%s %s is used by %s", what, id, some(names)).WithHint("give them another one first")
	}
	n, err := affected(t.ExecContext(ctx, remove, id))
	if dangling(err) {
		return fleet.Errorf(fleet.Conflict, "%s %s was given to a server or cluster this moment", what, id).WithHint("give them another one first")
	}
	t.changed(table, id)
	return one(n, err, what, id)
}
