package store

import (
	"context"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

const ruleColumns = `id, cluster_id, pattern, labels, taints, created_at`

func scanRule(r row) (c fleet.Rule, err error) {
	return c, r.Scan(&c.ID, optional{&c.ClusterID}, &c.Match, document{&c.Labels}, document{&c.Taints}, moment{&c.CreatedAt})
}

// CreateRule writes a new rule. fleet.NotFound when its cluster does not exist.
func (s *Store) CreateRule(ctx context.Context, c fleet.Rule) (fleet.Rule, error) {
	s.stamp(&c.ID, &c.CreatedAt)
	err := s.write(ctx, "create a rule", func(t *tx) error {
		_, err := t.ExecContext(ctx, `INSERT INTO rules (id, cluster_id, pattern, labels, taints, created_at) VALUES ($1, $2, $3, $4, $5, $6)`,
			c.ID, ref(c.ClusterID), text(c.Match), encode(c.Labels), encode(c.Taints), micros(c.CreatedAt))
		t.changed("rules", c.ID)
		return err
	})
	return c, ruleError(err, c)
}

// UpdateRule writes everything but the time.
func (s *Store) UpdateRule(ctx context.Context, c fleet.Rule) error {
	err := s.write(ctx, "change rule "+c.ID, func(t *tx) error {
		n, err := affected(t.ExecContext(ctx, `UPDATE rules SET cluster_id = $2, pattern = $3, labels = $4, taints = $5 WHERE id = $1`,
			c.ID, ref(c.ClusterID), text(c.Match), encode(c.Labels), encode(c.Taints)))
		t.changed("rules", c.ID)
		return one(n, err, "rule", c.ID)
	})
	return ruleError(err, c)
}

func ruleError(err error, c fleet.Rule) error {
	if dangling(err) {
		return missing("cluster", c.ClusterID)
	}
	return err
}

// Rule reads one by its id.
func (s *Store) Rule(ctx context.Context, id string) (fleet.Rule, error) {
	return lookUp(ctx, s, "rule", id, scanRule, `SELECT `+ruleColumns+` FROM rules WHERE id = $1`)
}

// Rules lists rules, oldest first: all ("") or those that apply to a cluster, which are its own and the common ones.
func (s *Store) Rules(ctx context.Context, clusterID string) ([]fleet.Rule, error) {
	f := filter{}
	if clusterID != "" {
		f.and("(cluster_id = $? OR cluster_id IS NULL)", clusterID)
	}
	all, err := list(ctx, s.reader, scanRule, `SELECT `+ruleColumns+` FROM rules`+f.where()+` ORDER BY created_at, id`, f.args...)
	return all, s.explain("list rules", err)
}

// RemoveRule removes a rule; what it put on nodes stays until somebody takes it off.
func (s *Store) RemoveRule(ctx context.Context, id string) error {
	return s.write(ctx, "remove rule "+id, func(t *tx) error {
		n, err := affected(t.ExecContext(ctx, `DELETE FROM rules WHERE id = $1`, id))
		t.changed("rules", id)
		return one(n, err, "rule", id)
	})
}
