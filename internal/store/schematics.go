package store

import (
	"context"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

const schematicColumns = `id, name, body, created_at`

func scanSchematic(r row) (c fleet.Schematic, err error) {
	return c, r.Scan(&c.ID, &c.Name, &c.YAML, moment{&c.CreatedAt})
}

// CreateSchematic writes a new schematic. fleet.Conflict when the name is taken.
func (s *Store) CreateSchematic(ctx context.Context, c fleet.Schematic) (fleet.Schematic, error) {
	s.stamp(&c.ID, &c.CreatedAt)
	err := s.write(ctx, "create schematic "+c.Name, func(t *tx) error {
		_, err := t.ExecContext(ctx, `INSERT INTO schematics (id, name, body, created_at) VALUES ($1, $2, $3, $4)`,
			c.ID, c.Name, text(c.YAML), micros(c.CreatedAt))
		t.changed("schematics", c.ID)
		return err
	})
	return c, taken(err, "schematic", c.Name)
}

// UpdateSchematic writes name and YAML.
func (s *Store) UpdateSchematic(ctx context.Context, c fleet.Schematic) error {
	return s.Edit(ctx, "change schematic "+c.Name, nil, func(e *Edit) error { return e.UpdateSchematic(ctx, c) })
}

// UpdateSchematic is Store.UpdateSchematic as a part of an edit.
func (e *Edit) UpdateSchematic(ctx context.Context, c fleet.Schematic) error {
	n, err := affected(e.t.ExecContext(ctx, `UPDATE schematics SET name = $2, body = $3 WHERE id = $1`, c.ID, c.Name, text(c.YAML)))
	e.t.changed("schematics", c.ID)
	return taken(one(n, err, "schematic", c.ID), "schematic", c.Name)
}

// Schematic reads one by id or name.
func (s *Store) Schematic(ctx context.Context, ref string) (fleet.Schematic, error) {
	return lookUp(ctx, s, "schematic", ref, scanSchematic, `SELECT `+schematicColumns+` FROM schematics WHERE id = $1 OR name = $1`)
}

// Schematics lists all by name.
func (s *Store) Schematics(ctx context.Context) ([]fleet.Schematic, error) {
	all, err := list(ctx, s.reader, scanSchematic, `SELECT `+schematicColumns+` FROM schematics ORDER BY name`)
	return all, s.explain("list schematics", err)
}

// RemoveSchematic removes a schematic. fleet.Conflict names who uses it.
func (s *Store) RemoveSchematic(ctx context.Context, id string) error {
	return s.removeUsed(ctx, "schematic", "schematics", id, `DELETE FROM schematics WHERE id = $1`, `
		SELECT 'cluster ' || name FROM clusters WHERE schematic_id = $1
		UNION ALL SELECT 'server ' || name FROM servers WHERE schematic_id = $1`)
}
