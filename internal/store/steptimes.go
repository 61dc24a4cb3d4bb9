package store

import (
	"context"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// StepTime is when a step of an operation was done.
type StepTime struct {
	OperationID string
	Provider    fleet.Provider // of its server, "" if it has none, or it is gone
	Step        string
	Started     time.Time
	Finished    time.Time
	// Bootstrapped is when the operation's cluster was; zero: it was not, or there is none.
	Bootstrapped time.Time
}

// StepTimes reads the steps of the newest operations of a kind that succeeded, at most so many operations.
func (s *Store) StepTimes(ctx context.Context, kind string, operations int) ([]StepTime, error) {
	all, err := list(ctx, s.reader, func(r row) (v StepTime, err error) {
		return v, r.Scan(&v.OperationID, &v.Provider, &v.Step, moment{&v.Started}, moment{&v.Finished}, moment{&v.Bootstrapped})
	}, `
		SELECT step.operation_id, COALESCE(server.provider, ''), step.name, step.started_at, step.finished_at, COALESCE(cluster.bootstrapped_at, 0)
		FROM operation_steps step
		JOIN operations op ON op.id = step.operation_id
		LEFT JOIN servers server ON server.id = op.server_id
		LEFT JOIN clusters cluster ON cluster.id = op.cluster_id
		WHERE step.state = 'succeeded' AND op.id IN (
			SELECT id FROM operations WHERE kind = $1 AND state = 'succeeded' ORDER BY created_at DESC, id DESC LIMIT $2)
		ORDER BY op.created_at DESC, op.id DESC, step.position`, kind, operations)
	return all, s.explain("read how long steps took", err)
}
