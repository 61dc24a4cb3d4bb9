package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Budget is what is counted of one group of endpoints of one account. The zero value: nothing was taken.
type Budget struct {
	start   time.Time // all at once: when the window began
	used    int64     // all at once: calls since then
	fullAt  time.Time // evenly: when every call will have come back
	blocked time.Time // refused by the provider until then
}

// Take takes one call at now, or says when there will be one. calls come back all at the window's end, or evenly
// over it (refill). It is pure.
func (b Budget) Take(calls int, window time.Duration, refill bool, now time.Time) (after Budget, next time.Time) {
	if b.blocked.After(now) {
		return b, b.blocked
	}
	every := window / time.Duration(calls)
	if !b.blocked.IsZero() { // the provider's block is over: it starts where the provider does
		b.start, b.used = time.Time{}, 0
		if empty := b.blocked.Add(window - every); refill && b.fullAt.Before(empty) {
			b.fullAt = empty // one call is there, the others are still to come
		}
		b.blocked = time.Time{}
	}
	if refill {
		return b.takeEvenly(every, window, now)
	}
	if b.start.IsZero() || !now.Before(b.start.Add(window)) {
		b.start, b.used = now, 0
	}
	if b.used >= int64(calls) {
		return b, b.start.Add(window)
	}
	b.used++
	return b, time.Time{}
}

// takeEvenly is the generic cell rate algorithm: a full bucket allows a burst of all calls, then one comes back
// every so often.
func (b Budget) takeEvenly(every, window time.Duration, now time.Time) (Budget, time.Time) {
	full := b.fullAt
	if full.Before(now) {
		full = now
	}
	full = full.Add(every)
	if full.Sub(now) > window {
		return b, full.Add(-window)
	}
	b.fullAt = full
	return b, time.Time{}
}

// Used says how many calls of the window are taken at now, and when all of them are back: a zero time if none is taken.
func (b Budget) Used(calls int, window time.Duration, refill bool, now time.Time) (used int, back time.Time) {
	switch {
	case b.blocked.After(now):
		return calls, b.blocked
	case refill && b.fullAt.After(now):
		every := window / time.Duration(calls)
		return int((b.fullAt.Sub(now) + every - 1) / every), b.fullAt
	case refill || b.used == 0 || !now.Before(b.start.Add(window)) || !b.blocked.IsZero():
		return 0, time.Time{}
	}
	return int(b.used), b.start.Add(window)
}

// Budget reads what is counted of a group of endpoints of an account.
func (s *Store) Budget(ctx context.Context, account, group string) (b Budget, err error) {
	err = s.reader.QueryRowContext(ctx, `SELECT window_start, used, full_at, blocked_till FROM budgets WHERE account_id = $1 AND endpoints = $2`, account, group).
		Scan(moment{&b.start}, &b.used, moment{&b.fullAt}, moment{&b.blocked})
	if errors.Is(err, sql.ErrNoRows) {
		return Budget{}, nil
	}
	return b, s.explain("read the budget for "+group, err)
}

// TakeCall takes one call from the account's budget for a group of endpoints, which allows calls in each window,
// coming back all at its end or (refill) evenly over it. A zero next means taken; otherwise it is when to ask
// again. Replicas share budgets.
func (s *Store) TakeCall(ctx context.Context, account, group string, calls int, window time.Duration, refill bool, now time.Time) (next time.Time, err error) {
	if calls < 1 || window <= 0 {
		return time.Time{}, fleet.Errorf(fleet.Internal, "the budget for %s allows %d calls in %s", group, calls, window)
	}
	err = s.write(ctx, "take a call from the budget for "+group, func(t *tx) error {
		var b Budget
		// The update changes nothing but locks the row until the end of the transaction.
		err := t.QueryRowContext(ctx, `
			INSERT INTO budgets (account_id, endpoints) VALUES ($1, $2)
			ON CONFLICT (account_id, endpoints) DO UPDATE SET used = budgets.used
			RETURNING window_start, used, full_at, blocked_till`, account, group).
			Scan(moment{&b.start}, &b.used, moment{&b.fullAt}, moment{&b.blocked})
		if err != nil {
			return err
		}
		b, next = b.Take(calls, window, refill, now)
		if !next.IsZero() {
			return nil
		}
		_, err = t.ExecContext(ctx, `
			UPDATE budgets SET window_start = $3, used = $4, full_at = $5, blocked_till = $6 WHERE account_id = $1 AND endpoints = $2`,
			account, group, micros(b.start), b.used, micros(b.fullAt), micros(b.blocked))
		return err
	})
	return next, err
}

// ExhaustCalls notes that the provider itself refused until then, whatever was counted.
func (s *Store) ExhaustCalls(ctx context.Context, account, group string, until time.Time) error {
	return s.write(ctx, "note that the budget for "+group+" is used up", func(t *tx) error {
		_, err := t.ExecContext(ctx, `
			INSERT INTO budgets (account_id, endpoints, blocked_till) VALUES ($1, $2, $3)
			ON CONFLICT (account_id, endpoints) DO UPDATE SET
				blocked_till = CASE WHEN budgets.blocked_till > excluded.blocked_till THEN budgets.blocked_till ELSE excluded.blocked_till END`,
			account, group, micros(until))
		return err
	})
}
