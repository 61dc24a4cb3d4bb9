package store

import "context"

// told notes a change that readers want to hear of, but that no machine config is made of: those made before are
// still good.
func (t *tx) told(table, id string) { t.changes = append(t.changes, Change{Table: table, ID: id}) }

// revise moves the revision of every server that changed, so that a config made before is not handed over any more:
// see HandOver. It comes after everything else but the counters, for which others wait.
func (t *tx) revise(ctx context.Context) error {
	if len(t.revised) == 0 {
		return nil
	}
	_, err := t.ExecContext(ctx, `UPDATE servers SET revision = revision + 1 WHERE id IN (SELECT key FROM json_each($1))`, encode(t.revised))
	clear(t.revised)
	return err
}

// settle is the last thing before a commit.
func (t *tx) settle(ctx context.Context) error {
	if err := t.revise(ctx); err != nil {
		return err
	}
	return t.count(ctx)
}
