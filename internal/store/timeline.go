package store

import (
	"context"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Beside chooses operations that were under way together with another one.
type Beside struct {
	ClusterID string // of this cluster; "": those of Kind that Actor asked for
	Kind      string
	Actor     string
	From, To  time.Time // a zero To is now
	Limit     int
}

// OperationsBeside lists operations that were under way between two moments, oldest first, with their steps.
func (s *Store) OperationsBeside(ctx context.Context, b Beside) ([]fleet.Operation, error) {
	f := filter{}
	if b.ClusterID != "" {
		f.and("cluster_id = $?", b.ClusterID)
	} else {
		f.and("kind = $?", b.Kind)
		f.and("actor = $?", b.Actor)
	}
	f.and("(finished_at = 0 OR finished_at >= $?)", micros(b.From))
	if !b.To.IsZero() {
		f.and("created_at <= $?", micros(b.To))
	}
	where := f.where()
	chosen := where + ` ORDER BY created_at, id` + f.page(b.Limit, 0)
	t, err := s.snapshot(ctx)
	if err != nil {
		return nil, s.explain("list operations of one time", err)
	}
	defer t.Rollback()
	all, err := list(ctx, t, scanOperation, `SELECT `+operationColumns+` FROM operations`+chosen, f.args...)
	if err != nil {
		return nil, s.explain("list operations of one time", err)
	}
	return all, s.explain("list the steps of operations of one time", addSteps(ctx, t, all, chosen, f.args))
}

// addSteps reads the steps of the operations that a clause chooses, all in one statement.
func addSteps(ctx context.Context, q queryer, all []fleet.Operation, chosen string, args []any) error {
	type stepOf struct {
		operation string
		fleet.OperationStep
	}
	steps, err := list(ctx, q, func(r row) (p stepOf, err error) {
		return p, r.Scan(&p.operation, &p.Name, &p.State, &p.Attempts, moment{&p.StartedAt}, moment{&p.FinishedAt}, &p.Error)
	}, `
		SELECT operation_id, name, state, attempts, started_at, finished_at, error FROM operation_steps
		WHERE operation_id IN (SELECT id FROM operations`+chosen+`) ORDER BY operation_id, position`, args...)
	if err != nil {
		return err
	}
	at := map[string]int{}
	for i := range all {
		at[all[i].ID] = i
	}
	for _, p := range steps {
		if i, there := at[p.operation]; there {
			all[i].Steps = append(all[i].Steps, p.OperationStep)
		}
	}
	return nil
}

// OperationValue reads a value that an operation saved; nil if it has none of that name.
func (s *Store) OperationValue(ctx context.Context, id, name string) ([]byte, error) {
	all, err := s.values(ctx, s.reader, id)
	return all[name], s.explain("read value "+name+" of operation "+id, err)
}
