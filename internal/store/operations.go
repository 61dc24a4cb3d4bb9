package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

const operationColumns = `id, kind, server_id, cluster_id, parent_id, actor, state, step, waiting_for, wait_until,
	question, answer, error, hint, done, total, unit, created_at, updated_at, finished_at`

func operationFields(o *fleet.Operation) []any {
	return []any{
		&o.ID, &o.Kind, &o.ServerID, &o.ClusterID, &o.ParentID, &o.Actor, &o.State, &o.Step, &o.WaitingFor,
		moment{&o.WaitUntil},
		&o.Question, &o.Answer, &o.Error, &o.Hint, &o.Done, &o.Total, &o.Unit,
		moment{&o.CreatedAt},
		moment{&o.UpdatedAt},
		moment{&o.FinishedAt},
	}
}

func scanOperation(r row) (o fleet.Operation, err error) { return o, r.Scan(operationFields(&o)...) }

// Operation reads one with its steps.
func (s *Store) Operation(ctx context.Context, id string) (fleet.Operation, error) {
	all, err := s.withSteps(ctx, `SELECT `+operationColumns+` FROM operations WHERE id = $1`, id)
	if err != nil {
		return fleet.Operation{}, s.explain("read operation "+id, err)
	}
	if len(all) == 0 {
		return fleet.Operation{}, missing("operation", id)
	}
	return all[0], nil
}

// Children lists the operations whose parent is id, oldest first, with their steps.
func (s *Store) Children(ctx context.Context, id string) ([]fleet.Operation, error) {
	all, err := s.withSteps(ctx, `
		SELECT `+operationColumns+` FROM operations WHERE parent_id = $1 AND parent_id <> '' ORDER BY created_at, id`, id)
	return all, s.explain("list the children of operation "+id, err)
}

func (s *Store) withSteps(ctx context.Context, query string, args ...any) ([]fleet.Operation, error) {
	t, err := s.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	defer t.Rollback()
	all, err := list(ctx, t, scanOperation, query, args...)
	if err != nil {
		return nil, err
	}
	for i := range all {
		if all[i].Steps, err = steps(ctx, t, all[i].ID); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// snapshot is a transaction that reads everything as of one moment.
func (s *Store) snapshot(ctx context.Context) (*sql.Tx, error) {
	if s.pool == nil {
		return s.reader.BeginTx(ctx, nil) // always so in SQLite
	}
	return s.reader.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
}

func steps(ctx context.Context, q queryer, id string) ([]fleet.OperationStep, error) {
	return list(ctx, q, func(r row) (p fleet.OperationStep, err error) {
		return p, r.Scan(&p.Name, &p.State, &p.Attempts, moment{&p.StartedAt}, moment{&p.FinishedAt}, &p.Error)
	}, `SELECT name, state, attempts, started_at, finished_at, error FROM operation_steps WHERE operation_id = $1 ORDER BY position`, id)
}

func (s *Store) values(ctx context.Context, q queryer, id string) (map[string][]byte, error) {
	type pair struct {
		name  string
		value []byte
	}
	all, err := list(ctx, q, func(r row) (p pair, err error) {
		var key string
		if err := r.Scan(&key, &p.name, s.sealed(&p.value, "operation_values", "value", &key)); err != nil {
			return p, err
		}
		return p, nil
	}, `SELECT operation_id || '/' || name, name, value FROM operation_values WHERE operation_id = $1`, id)
	values := map[string][]byte{}
	for _, p := range all {
		values[p.name] = p.value
	}
	return values, err
}

// OperationFilter chooses operations; zero fields choose all.
type OperationFilter struct {
	States    []fleet.OperationState
	Active    bool // only those that are not final
	ServerID  string
	ClusterID string
	ParentID  string
	Kind      string
	Before    string // id of the last operation of the page before
	Limit     int    // 0: all
}

// Operations lists operations, newest first, without their steps.
func (s *Store) Operations(ctx context.Context, o OperationFilter) ([]fleet.Operation, error) {
	f := filter{}
	in(&f, "state", o.States)
	if o.Active {
		f.and("state NOT IN ('succeeded', 'failed', 'cancelled')")
	}
	for _, equal := range []struct{ column, value string }{
		{"server_id", o.ServerID}, {"cluster_id", o.ClusterID}, {"parent_id", o.ParentID}, {"kind", o.Kind},
	} {
		if equal.value != "" {
			f.and(equal.column+" = $?", equal.value)
		}
	}
	if o.Before != "" {
		f.and("(created_at, id) < (SELECT created_at, id FROM operations WHERE id = $?)", o.Before)
	}
	where := f.where()
	all, err := list(ctx, s.reader, scanOperation,
		`SELECT `+operationColumns+` FROM operations`+where+` ORDER BY created_at DESC, id DESC`+f.page(o.Limit, 0), f.args...)
	return all, s.explain("list operations", err)
}

// OperationLog reads lines of an operation's log after a line's number, in order; limit 0: all.
func (s *Store) OperationLog(ctx context.Context, id string, after int64, limit int) ([]fleet.LogLine, error) {
	f := filter{}
	f.and("operation_id = $?", id)
	f.and("seq > $?", after)
	where := f.where()
	lines, err := list(ctx, s.reader, func(r row) (l fleet.LogLine, err error) {
		return l, r.Scan(&l.Seq, moment{&l.At}, &l.Step, &l.Level, &l.Text)
	}, `SELECT seq, at, step, level, text FROM operation_log`+where+` ORDER BY seq`+f.page(limit, 0), f.args...)
	return lines, s.explain("read the log of operation "+id, err)
}

// OperationCounts counts operations by state: what a page's badges show.
func (s *Store) OperationCounts(ctx context.Context) (map[fleet.OperationState]int, error) {
	type count struct {
		state fleet.OperationState
		n     int
	}
	all, err := list(ctx, s.reader, func(r row) (c count, err error) { return c, r.Scan(&c.state, &c.n) },
		`SELECT state, COUNT(*) FROM operations GROUP BY state`)
	counts := map[fleet.OperationState]int{}
	for _, c := range all {
		counts[c.state] = c.n
	}
	return counts, s.explain("count operations", err)
}

// RemoveOperations deletes operations that finished before, with their logs, and says how many. What they did
// stays in the events.
func (s *Store) RemoveOperations(ctx context.Context, before time.Time) (removed int64, err error) {
	err = s.write(ctx, "remove old operations", func(t *tx) error {
		const old = `SELECT id FROM operations
			WHERE state IN ('succeeded', 'failed', 'cancelled') AND finished_at > 0 AND finished_at < $1`
		for _, table := range []string{"operation_log", "operation_steps", "operation_values"} {
			if _, err := t.ExecContext(ctx, `DELETE FROM `+table+` WHERE operation_id IN (`+old+`)`, micros(before)); err != nil {
				return err
			}
		}
		removed, err = affected(t.ExecContext(ctx, `DELETE FROM operations WHERE id IN (`+old+`)`, micros(before)))
		if removed > 0 {
			t.changed("operations", "")
		}
		return err
	})
	return removed, err
}
