package store

import (
	"context"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Edit is one transaction that changes what machine configs are made from, with the events that tell of it: all of it
// is written, or nothing.
type Edit struct {
	s *Store
	t *tx
}

// Version of what machine configs are made from. It grows with every change, whoever makes it.
type Version struct {
	Records     int64 // clusters, configs, layers, schematics, vSwitches
	Assignments int64 // what servers are to be
}

// ErrStale says that something changed since it was checked: check again. It is a fleet.Conflict.
var ErrStale = fleet.Errorf(fleet.Conflict, "something that this depends on was changed meanwhile").WithHint("try again")

// Edit runs fn in one transaction. base is what the caller has checked the change against; ErrStale when anything
// changed since, nil: whatever is there. fn may run more than once, and must use nothing of the store but the edit.
func (s *Store) Edit(ctx context.Context, doing string, base *Version, fn func(*Edit) error) error {
	return s.write(ctx, doing, func(t *tx) error {
		if err := fn(&Edit{s: s, t: t}); err != nil {
			return err
		}
		if base == nil {
			return nil
		}
		if err := t.revise(ctx); err != nil {
			return err
		}
		// Last, because it keeps every other edit waiting until the commit.
		if err := t.unchanged(ctx, "assignments", base.Assignments); err != nil {
			return err
		}
		return t.unchanged(ctx, "records", base.Records)
	})
}

// unchanged makes sure that a counter still is where it was, until the commit.
func (t *tx) unchanged(ctx context.Context, name string, n int64) error {
	_, err := t.ExecContext(ctx, `INSERT INTO counters (name, n) VALUES ($1, 0) ON CONFLICT (name) DO UPDATE SET n = counters.n`, name)
	if err != nil {
		return err
	}
	var now int64
	if err := t.QueryRowContext(ctx, `SELECT n FROM counters WHERE name = $1`, name).Scan(&now); err != nil {
		return err
	}
	if now != n {
		return ErrStale
	}
	return nil
}

// count makes the counters grow: the last thing before a commit.
func (t *tx) count(ctx context.Context) error {
	for _, c := range []struct {
		name    string
		changed bool
	}{{"assignments", t.assignments}, {"records", t.records}} { // in this order everywhere: no deadlock
		if !c.changed {
			continue
		}
		_, err := t.ExecContext(ctx, `INSERT INTO counters (name, n) VALUES ($1, 1) ON CONFLICT (name) DO UPDATE SET n = counters.n + 1`, c.name)
		if err != nil {
			return err
		}
	}
	return nil
}

// Version reads the counters.
func (s *Store) Version(ctx context.Context) (Version, error) {
	v, err := readVersion(ctx, s.reader)
	return v, s.explain("read what changed", err)
}

func readVersion(ctx context.Context, q queryer) (v Version, err error) {
	err = q.QueryRowContext(ctx, `
		SELECT COALESCE((SELECT n FROM counters WHERE name = 'records'), 0), COALESCE((SELECT n FROM counters WHERE name = 'assignments'), 0)`).
		Scan(&v.Records, &v.Assignments)
	return v, err
}

// Event appends to the audit log; it fills in ID and At where they are empty.
func (e *Edit) Event(ctx context.Context, v fleet.Event) error {
	return e.s.addEvent(ctx, e.t, &v)
}
