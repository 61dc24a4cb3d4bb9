package provider

import (
	"context"
	"errors"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Limit is how many calls a group of endpoints allows.
type Limit struct {
	Calls  int           // per window
	Window time.Duration // 1 h at Robot
	// Refill: calls come back evenly over the window (Cloud) instead of all at its end (Robot).
	Refill bool
}

// Budget counts the calls of one account, shared by all replicas. Implemented by package store; MemoryBudget
// is for tests and tools.
type Budget interface {
	// Take takes one call of the group, or says when one will be there again: a zero time means taken.
	Take(ctx context.Context, group string, limit Limit) (next time.Time, err error)
	// Exhaust notes that the provider itself refused until then, whatever we counted.
	Exhaust(ctx context.Context, group string, until time.Time) error
}

// BudgetError is returned instead of making a call that would be refused. Its kind is fleet.Exhausted.
type BudgetError struct {
	Group string
	Until time.Time
}

// Error names the group and the time it goes on.
func (e *BudgetError) Error() string {
	return "the budget for " + e.Group + " is used up until " + e.Until.Format("15:04:05")
}

// Unwrap makes fleet.KindOf see an Exhausted error.
func (e *BudgetError) Unwrap() error {
	return fleet.Errorf(fleet.Exhausted, "the budget for %s is used up", e.Group)
}

// ExhaustedUntil says when a call that failed for its budget can be made, zero if err is something else.
func ExhaustedUntil(err error) time.Time {
	if b, ok := errors.AsType[*BudgetError](err); ok {
		return b.Until
	}
	return time.Time{}
}
