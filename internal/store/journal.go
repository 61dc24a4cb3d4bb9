package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

// CreateOperation writes a pending operation; fleet.Conflict names the active one that has the server (or the
// cluster) already.
func (s *Store) CreateOperation(ctx context.Context, op fleet.Operation, input []byte) error {
	doing := "create operation " + op.Kind
	if op.ID == "" || op.Kind == "" {
		return fleet.Errorf(fleet.Internal, "%s: it needs an id and a kind", doing)
	}
	if op.CreatedAt.IsZero() {
		op.CreatedAt = s.now()
	}
	sealed := s.seal(input, "operations", "input", op.ID)
	err := s.write(ctx, doing, func(t *tx) error {
		_, err := t.ExecContext(ctx, `
			INSERT INTO operations (id, kind, server_id, cluster_id, parent_id, actor, state, step, hint, input, created_at, updated_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)`,
			op.ID, op.Kind, op.ServerID, op.ClusterID, op.ParentID, text(op.Actor), fleet.Pending, op.Step, text(op.Hint), sealed,
			micros(op.CreatedAt))
		if err != nil {
			return err
		}
		t.changed("operations", op.ID)
		return writeSteps(ctx, t, op.ID, op.Steps)
	})
	return s.busy(ctx, op, err)
}

// busy turns the refusal of a unique index into a Conflict that names the active operation.
func (s *Store) busy(ctx context.Context, op fleet.Operation, err error) error {
	if !duplicate(err) {
		return err
	}
	other, found, lookErr := s.active(ctx, op)
	switch {
	case lookErr != nil:
		return lookErr
	case !found:
		return fleet.Errorf(fleet.Conflict, "operation %s exists already, or the one in its way ended this moment", op.ID).
			WithHint("try again")
	case op.ServerID != "":
		return fleet.Errorf(fleet.Conflict, "server %s is busy with %s (operation %s, %s)", op.ServerID, other.Kind, other.ID, other.State).
			WithHint("wait for it, or cancel it: talos-manager operation cancel %s", other.ID)
	}
	return fleet.Errorf(fleet.Conflict, "cluster %s is busy with %s (operation %s, %s)", op.ClusterID, other.Kind, other.ID, other.State).
		WithHint("wait for it, or cancel it: talos-manager operation cancel %s", other.ID)
}

func (s *Store) active(ctx context.Context, op fleet.Operation) (fleet.Operation, bool, error) {
	f := filter{}
	f.and("state NOT IN ('succeeded', 'failed', 'cancelled')")
	f.and("id <> $?", op.ID)
	f.and("server_id = $?", op.ServerID)
	if op.ServerID == "" {
		f.and("cluster_id = $?", op.ClusterID)
		f.and("kind = $?", op.Kind)
	}
	all, err := list(ctx, s.writer, scanOperation, `SELECT `+operationColumns+` FROM operations`+f.where()+` ORDER BY created_at, id`, f.args...)
	if err != nil || len(all) == 0 {
		return fleet.Operation{}, false, s.explain("look for the active operation", err)
	}
	return all[0], true, nil
}

// held is what the journal knows of an operation beside its record.
type held struct {
	op       fleet.Operation
	input    []byte
	revision int64
	holder   string
	lease    time.Time
}

// due says whether the operation may be claimed now.
func (h held) due(now time.Time) bool {
	switch h.op.State {
	case fleet.Pending:
		return true
	case fleet.Waiting:
		return !h.op.WaitUntil.After(now)
	case fleet.Running:
		return !h.lease.After(now)
	default:
		return false
	}
}

// ClaimOperation takes an operation for one slice, or says workflow.ErrNotDue. A slice that released its lease
// while running ended properly; TakenOver says that one did not.
func (s *Store) ClaimOperation(ctx context.Context, id, holder string, now time.Time, lease time.Duration) (workflow.Claim, error) {
	var c workflow.Claim
	err := s.write(ctx, "claim operation "+id, func(t *tx) error {
		h, err := s.held(ctx, t, id)
		if err != nil {
			return err
		}
		if !h.due(now) {
			return workflow.ErrNotDue
		}
		taken, err := affected(t.ExecContext(ctx, `
			UPDATE operations SET state = 'running', revision = revision + 1, holder = $1, lease_until = $2, updated_at = $3
			WHERE id = $4 AND revision = $5 AND state = $6 AND lease_until = $7`,
			holder, micros(now.Add(lease)), micros(now), id, h.revision, h.op.State, micros(h.lease)))
		if err != nil {
			return err
		}
		if taken == 0 {
			return workflow.ErrNotDue // somebody was faster
		}
		c = workflow.Claim{
			Operation: h.op, Input: h.input, Revision: h.revision + 1,
			TakenOver: h.op.State == fleet.Running && h.holder != "",
		}
		c.Operation.State = fleet.Running
		c.Operation.UpdatedAt = now.UTC()
		if c.Operation.Steps, err = steps(ctx, t, id); err != nil {
			return err
		}
		c.Values, err = s.values(ctx, t, id)
		t.changed("operations", id)
		return err
	})
	return c, err
}

// held reads an operation inside a transaction, without its steps.
func (s *Store) held(ctx context.Context, q queryer, id string) (held, error) {
	var h held
	more := []any{s.sealed(&h.input, "operations", "input", &h.op.ID), &h.revision, &h.holder, moment{&h.lease}}
	err := q.QueryRowContext(ctx, `
		SELECT `+operationColumns+`, input, revision, holder, lease_until FROM operations WHERE id = $1`, id).
		Scan(append(operationFields(&h.op), more...)...)
	if errors.Is(err, sql.ErrNoRows) {
		return h, missing("operation", id)
	}
	return h, err
}

// WriteOperation writes what a slice did, if the revision is still the claim's; workflow.ErrFenced otherwise.
func (s *Store) WriteOperation(ctx context.Context, id string, revision int64, change workflow.Change) error {
	return s.write(ctx, "write operation "+id, func(t *tx) error {
		seq, ok, err := s.update(ctx, t, id, revision, change)
		if err != nil {
			return err
		}
		if !ok {
			return s.fenced(ctx, t, id)
		}
		return s.append(ctx, t, id, seq, change)
	})
}

// fenced tells an operation that moved on from one that does not exist.
func (s *Store) fenced(ctx context.Context, t *tx, id string) error {
	if _, err := s.held(ctx, t, id); err != nil {
		return err
	}
	return workflow.ErrFenced
}

// update changes the operation's own row if it has the revision, and gives the number of its last log line.
func (s *Store) update(ctx context.Context, t *tx, id string, revision int64, c workflow.Change) (seq int64, ok bool, err error) {
	err = t.QueryRowContext(ctx, `
		UPDATE operations SET
			state       = COALESCE(NULLIF($3, ''), state),
			step        = COALESCE($4, step),
			waiting_for = COALESCE($5, waiting_for),
			wait_until  = COALESCE($6, wait_until),
			question    = COALESCE($7, question),
			answer      = COALESCE($8, answer),
			error       = COALESCE($9, error),
			hint        = COALESCE($10, hint),
			done        = COALESCE($11, done),
			total       = COALESCE($12, total),
			unit        = COALESCE($13, unit),
			finished_at = COALESCE($14, finished_at),
			holder      = CASE WHEN $15 = 1 THEN '' ELSE holder END,
			lease_until = CASE WHEN $15 = 1 THEN 0 ELSE lease_until END,
			log_seq     = log_seq + $16,
			updated_at  = $17
		WHERE id = $1 AND revision = $2
		RETURNING log_seq`,
		id, revision, string(c.State), c.Step, textRef(c.WaitingFor), microsRef(c.WaitUntil), textRef(c.Question), textRef(c.Answer),
		textRef(c.Error), textRef(c.Hint), c.Done, c.Total, c.Unit, microsRef(c.Finished), number(c.Release), len(c.Log), micros(s.now())).
		Scan(&seq)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, false, nil
	}
	t.changed("operations", id)
	return seq, err == nil, err
}

// append writes what belongs to an operation beside its row; seq is the number of the last of the new log lines.
func (s *Store) append(ctx context.Context, t *tx, id string, seq int64, c workflow.Change) error {
	if err := writeSteps(ctx, t, id, c.Steps); err != nil {
		return err
	}
	for i, line := range c.Log {
		_, err := t.ExecContext(ctx, `
			INSERT INTO operation_log (operation_id, seq, at, step, level, text) VALUES ($1, $2, $3, $4, $5, $6)`,
			id, seq-int64(len(c.Log)-1-i), micros(line.At), line.Step, line.Level, text(line.Text))
		if err != nil {
			return err
		}
	}
	for name, value := range c.Values {
		if err := s.writeValue(ctx, t, id, name, value); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) writeValue(ctx context.Context, t *tx, id, name string, value []byte) error {
	if value == nil {
		_, err := t.ExecContext(ctx, `DELETE FROM operation_values WHERE operation_id = $1 AND name = $2`, id, name)
		return err
	}
	_, err := t.ExecContext(ctx, `
		INSERT INTO operation_values (operation_id, name, value) VALUES ($1, $2, $3)
		ON CONFLICT (operation_id, name) DO UPDATE SET value = excluded.value`,
		id, name, s.seal(value, "operation_values", "value", id+"/"+name))
	return err
}

// writeSteps upserts steps by name; their order is the one they were first seen in.
func writeSteps(ctx context.Context, t *tx, id string, all []fleet.OperationStep) error {
	for _, step := range all {
		_, err := t.ExecContext(ctx, `
			INSERT INTO operation_steps (operation_id, name, position, state, attempts, started_at, finished_at, error)
			VALUES ($1, $2, (SELECT COUNT(*) FROM operation_steps WHERE operation_id = $1), $3, $4, $5, $6, $7)
			ON CONFLICT (operation_id, name) DO UPDATE SET state = excluded.state, attempts = excluded.attempts,
				started_at = excluded.started_at, finished_at = excluded.finished_at, error = excluded.error`,
			id, step.Name, step.State, step.Attempts, micros(step.StartedAt), micros(step.FinishedAt), text(step.Error))
		if err != nil {
			return err
		}
	}
	return nil
}

// RequestOperation runs change against the current record, and fences a running slice. change runs inside the
// transaction, perhaps more than once, and must not call the store. fleet.Conflict as in CreateOperation when it
// makes an operation active again and another one has taken its place.
func (s *Store) RequestOperation(ctx context.Context, id string, change func(fleet.Operation) (workflow.Change, error)) error {
	var op fleet.Operation
	err := s.write(ctx, "change operation "+id, func(t *tx) error {
		// The row is locked first: on Postgres the record read next stays current until the commit.
		n, err := affected(t.ExecContext(ctx, `
			UPDATE operations SET revision = revision + 1, lease_until = 0 WHERE id = $1`, id))
		if err != nil {
			return err
		}
		if n == 0 {
			return missing("operation", id)
		}
		h, err := s.held(ctx, t, id)
		if err != nil {
			return err
		}
		if h.op.Steps, err = steps(ctx, t, id); err != nil {
			return err
		}
		op = h.op
		c, err := change(op)
		if err != nil {
			return err
		}
		seq, _, err := s.update(ctx, t, id, h.revision, c)
		if err != nil {
			return err
		}
		return s.append(ctx, t, id, seq, c)
	})
	return s.busy(ctx, op, err)
}

// DueOperations lists the ids of operations that could be claimed now, oldest first.
func (s *Store) DueOperations(ctx context.Context, now time.Time, limit int) ([]string, error) {
	ids, err := list(ctx, s.reader, func(r row) (id string, err error) { return id, r.Scan(&id) }, `
		SELECT id FROM operations
		WHERE state IN ('pending', 'waiting', 'running')
		  AND (state = 'pending' OR (state = 'waiting' AND wait_until <= $1) OR (state = 'running' AND lease_until <= $1))
		ORDER BY created_at, id LIMIT $2`, micros(now), limit)
	return ids, s.explain("list due operations", err)
}

// ReleaseLeases ends the leases of a holder whose process is certainly dead. The holder stays written, so that
// the next claim knows that a step was interrupted.
func (s *Store) ReleaseLeases(ctx context.Context, holder string) error {
	return s.write(ctx, "release the operations of "+holder, func(t *tx) error {
		_, err := t.ExecContext(ctx, `
			UPDATE operations SET lease_until = 0 WHERE holder = $1 AND state = 'running'`, holder)
		return err
	})
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}
