package provider

import (
	"context"
	"errors"
	"math"
	"sync"
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

// TakeOne takes one call from the budget, or returns a *BudgetError that says when it comes back.
func TakeOne(ctx context.Context, b Budget, group string, limit Limit) error {
	next, err := b.Take(ctx, group, limit)
	if err != nil {
		return err
	}
	if next.IsZero() {
		return nil
	}
	return &BudgetError{Group: group, Until: next}
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
	return fleet.Errorf(fleet.Exhausted, "the budget for %s is used up", e.Group).
		WithHint("wait: it goes on by itself at %s", e.Until.Format("15:04:05"))
}

// RetryAt is when the call can be made: whoever retries need not know what a budget is.
func (e *BudgetError) RetryAt() time.Time { return e.Until }

// ExhaustedUntil says when a call that failed for its budget can be made, zero if err is something else.
func ExhaustedUntil(err error) time.Time {
	if b, ok := errors.AsType[*BudgetError](err); ok {
		return b.Until
	}
	return time.Time{}
}

// MemoryBudget is a Budget within one process. The zero value is ready.
type MemoryBudget struct {
	mu     sync.Mutex
	groups map[string]*count
}

// count is what was taken from one group. A refilling group gets calls back one by one: used shrinks with time.
type count struct {
	since time.Time // start of the window, or of the last refill
	used  float64
	until time.Time // the provider refused until then
}

// Take implements Budget.
func (b *MemoryBudget) Take(_ context.Context, group string, limit Limit) (time.Time, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now, c := time.Now(), b.group(group)
	if now.Before(c.until) {
		return c.until, nil
	}
	c.forget(now, limit)
	if c.used+1 > float64(limit.Calls) {
		return c.next(limit), nil
	}
	c.used++
	return time.Time{}, nil
}

// Exhaust implements Budget.
func (b *MemoryBudget) Exhaust(_ context.Context, group string, until time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c := b.group(group); until.After(c.until) {
		c.until = until
	}
	return nil
}

// Used says how many calls of the group were counted when one was last taken; for tests.
func (b *MemoryBudget) Used(group string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return int(math.Ceil(b.group(group).used))
}

func (b *MemoryBudget) group(name string) *count {
	if b.groups == nil {
		b.groups = map[string]*count{}
	}
	if b.groups[name] == nil {
		b.groups[name] = &count{}
	}
	return b.groups[name]
}

// forget takes off what is out of the window by now.
func (c *count) forget(now time.Time, limit Limit) {
	switch past := now.Sub(c.since); {
	case past >= limit.Window:
		c.since, c.used = now, 0
	case limit.Refill:
		c.used = max(0, c.used-past.Seconds()*float64(limit.Calls)/limit.Window.Seconds())
		c.since = now
	}
}

// next is when one more call can be taken.
func (c *count) next(limit Limit) time.Time {
	if !limit.Refill {
		return c.since.Add(limit.Window)
	}
	missing := c.used + 1 - float64(limit.Calls)
	wait := time.Duration(missing * float64(limit.Window) / float64(limit.Calls))
	return c.since.Add(max(wait, time.Millisecond))
}
