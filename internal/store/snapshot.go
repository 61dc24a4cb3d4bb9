package store

import (
	"context"
	"database/sql"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Records are all records but the servers that machine configs are made from, as they were at one moment. They are
// shared: do not change them.
type Records struct {
	Version    Version
	Clusters   map[string]fleet.Cluster // by id
	Configs    map[string]fleet.Config
	Schematics map[string]fleet.Schematic
	VSwitches  map[string]fleet.VSwitch
	layers     map[layerKey]fleet.Layer
	contents   map[string]fleet.Contents // by revision: they never change
}

type layerKey struct {
	scope fleet.Scope
	owner string
}

// Layer is what is in effect for an owner; empty if nothing ever was.
func (r *Records) Layer(scope fleet.Scope, owner string) fleet.Layer {
	if l, ok := r.layers[layerKey{scope, owner}]; ok {
		return l
	}
	return fleet.Layer{Scope: scope, OwnerID: owner}
}

// Layers lists all layers, of a scope or ("") of all, in no order.
func (r *Records) Layers(scope fleet.Scope) []fleet.Layer {
	var all []fleet.Layer
	for k, l := range r.layers {
		if scope == "" || k.scope == scope {
			all = append(all, l)
		}
	}
	return all
}

// Records reads all. old may be an earlier result, whose contents are not read again: only what changed is unsealed.
func (s *Store) Records(ctx context.Context, old *Records) (*Records, error) {
	r := &Records{contents: map[string]fleet.Contents{}}
	if old != nil {
		r.contents = old.contents
	}
	err := s.read(ctx, func(q queryer) error { return s.readRecords(ctx, q, r) })
	if err != nil {
		return nil, s.explain("read what machine configs are made from", err)
	}
	return r, nil
}

// read runs fn on one state of the database.
func (s *Store) read(ctx context.Context, fn func(queryer) error) error {
	options := &sql.TxOptions{ReadOnly: true}
	if s.pool != nil {
		options.Isolation = sql.LevelRepeatableRead
	}
	t, err := s.reader.BeginTx(ctx, options)
	if err != nil {
		return err
	}
	defer func() { _ = t.Rollback() }() // it wrote nothing
	return fn(t)
}

func (s *Store) readRecords(ctx context.Context, q queryer, r *Records) (err error) {
	if r.Version, err = readVersion(ctx, q); err != nil {
		return err
	}
	if r.Clusters, err = byID(ctx, q, s.scanCluster, func(c fleet.Cluster) string { return c.ID }, `SELECT `+clusterColumns+` FROM clusters`); err != nil {
		return err
	}
	if r.Schematics, err = byID(ctx, q, scanSchematic, func(c fleet.Schematic) string { return c.ID }, `SELECT `+schematicColumns+` FROM schematics`); err != nil {
		return err
	}
	if r.VSwitches, err = byID(ctx, q, scanVSwitch, func(v fleet.VSwitch) string { return v.ID }, `SELECT `+vswitchColumns+` FROM vswitches`); err != nil {
		return err
	}
	if err := s.readLayers(ctx, q, r); err != nil {
		return err
	}
	r.Configs, err = byID(ctx, q, func(row row) (c fleet.Config, err error) {
		return c, row.Scan(&c.ID, &c.Name, moment{&c.CreatedAt})
	}, func(c fleet.Config) string { return c.ID }, `SELECT id, name, created_at FROM configs`)
	for id, c := range r.Configs {
		r.Configs[id] = withLayer(c, r.Layer(fleet.ScopeConfig, id))
	}
	return err
}

func byID[T any](ctx context.Context, q queryer, scan func(row) (T, error), id func(T) string, query string) (map[string]T, error) {
	all, err := list(ctx, q, scan, query)
	if err != nil {
		return nil, err
	}
	m := make(map[string]T, len(all))
	for _, v := range all {
		m[id(v)] = v
	}
	return m, nil
}

// readLayers reads all layers, and the contents that are not known yet.
func (s *Store) readLayers(ctx context.Context, q queryer, r *Records) error {
	layers, err := list(ctx, q, func(row row) (l fleet.Layer, err error) {
		return l, row.Scan(&l.Scope, &l.OwnerID, optional{&l.Revision}, optional{&l.Draft}, &l.DraftBase, moment{&l.SavedAt})
	}, `SELECT scope, owner_id, revision, draft, draft_base, saved_at FROM layers`)
	if err != nil {
		return err
	}
	contents, unknown := map[string]fleet.Contents{}, map[string]bool{}
	for _, l := range layers {
		for _, revision := range []string{l.Revision, l.Draft} {
			if c, ok := r.contents[revision]; ok {
				contents[revision] = c
			} else if revision != "" {
				unknown[revision] = true
			}
		}
	}
	if err := s.readContents(ctx, q, unknown, contents); err != nil {
		return err
	}
	r.contents, r.layers = contents, make(map[layerKey]fleet.Layer, len(layers))
	for _, l := range layers {
		l.Contents = contents[l.Revision]
		r.layers[layerKey{l.Scope, l.OwnerID}] = l
	}
	return nil
}

// readContents reads few revisions one by one, and many all at once with those that are known.
func (s *Store) readContents(ctx context.Context, q queryer, revisions map[string]bool, into map[string]fleet.Contents) error {
	const few = 20
	if len(revisions) > few {
		all, err := list(ctx, q, s.scanContents, `
			SELECT revision, body FROM config_contents WHERE revision IN (SELECT revision FROM layers) OR revision IN (SELECT draft FROM layers)`)
		for _, c := range all {
			into[c.revision] = c.Contents
		}
		return err
	}
	for revision := range revisions {
		one, err := list(ctx, q, s.scanContents, `SELECT revision, body FROM config_contents WHERE revision = $1`, revision)
		if err != nil {
			return err
		}
		for _, c := range one {
			into[revision] = c.Contents
		}
	}
	return nil
}

// ContentsOf reads what a revision of a layer holds, if it is in effect or a draft.
func (r *Records) ContentsOf(revision string) (fleet.Contents, bool) {
	c, ok := r.contents[revision]
	return c, ok
}
