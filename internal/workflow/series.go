package workflow

import (
	"context"
	"errors"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

const (
	// longestSleep is how long a job stays with an operation that waits; for longer it is handed back to River, and
	// any replica may go on.
	longestSleep = 10 * time.Second
	// seriesLength is when a job hands an operation back to River in any case.
	seriesLength = time.Minute
)

var (
	errStopping = errors.New("the manager is stopping")
	errKilled   = errors.New("killed by a test")
)

// hold is an operation that a job of this replica looks after: in a slice, or asleep between two.
type hold struct {
	poke   chan struct{} // look at once; holds one
	cancel context.CancelCauseFunc
	wake   bool // Wake met a running slice: look again as soon as it waits
}

// take makes the caller the one who looks after an operation. If a job of this replica does already, that one is
// told to look.
func (e *Engine) take(id string) *hold {
	e.mu.Lock()
	defer e.mu.Unlock()
	if h := e.held[id]; h != nil {
		h.nudge()
		return nil
	}
	h := &hold{poke: make(chan struct{}, 1)}
	e.held[id] = h
	return h
}

// leave ends that, unless somebody asked for a look meanwhile.
func (e *Engine) leave(id string, h *hold) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	select {
	case <-h.poke:
		return false
	default:
	}
	delete(e.held, id)
	return true
}

func (h *hold) nudge() {
	select {
	case h.poke <- struct{}{}:
	default:
	}
}

// work is a job: slice after slice while the operation's waits are short, so that an operation that waits 200 ms
// fifty times costs River one job. It returns when to look again, if somebody should.
func (e *Engine) work(ctx context.Context, id string) (snooze time.Duration, again bool) {
	h := e.take(id)
	if h == nil {
		return 0, false
	}
	began := time.Now()
	var next time.Time // when the operation is due, as far as we know
	for {
		v := e.turn(ctx, id, h)
		switch {
		case !v.skipped:
			next = v.next
		case next.IsZero():
			next = e.dueSoon(ctx, id)
		}
		if next.IsZero() || v.skipped && !next.After(e.o.Now()) {
			if e.leave(id, h) {
				return 0, false
			}
			continue
		}
		pause := next.Sub(e.o.Now())
		if e.isStopping() || ctx.Err() != nil || pause > longestSleep || time.Since(began) > seriesLength {
			if e.leave(id, h) || e.isStopping() || ctx.Err() != nil {
				e.drop(id, h)
				return pause, true
			}
			continue
		}
		e.sleep(ctx, h, pause)
	}
}

// dueSoon is when an operation that was not due will be, if that is soon: what made somebody look may be a little
// ahead of its time. Otherwise zero: the job that made it wait comes back, or the revival does.
func (e *Engine) dueSoon(ctx context.Context, id string) time.Time {
	op, err := e.journal.Operation(ctx, id)
	if err != nil || op.State != fleet.Waiting || op.WaitUntil.Sub(e.now()) > longestSleep {
		return time.Time{}
	}
	return op.WaitUntil
}

// drop forgets a hold whatever was asked of it; its job goes back to River.
func (e *Engine) drop(id string, h *hold) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.held[id] == h {
		delete(e.held, id)
	}
}

func (e *Engine) sleep(ctx context.Context, h *hold, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-h.poke:
	case <-e.stopping:
	case <-ctx.Done():
	}
}

// verdict is what a slice leaves behind for its job.
type verdict struct {
	next    time.Time // look again then; zero: never, by itself
	skipped bool      // it was not due, nothing happened
}

// turn runs one slice when there is a slot for it.
func (e *Engine) turn(ctx context.Context, id string, h *hold) verdict {
	select {
	case e.slots <- struct{}{}:
	case <-e.stopping:
		return verdict{next: e.now()}
	case <-ctx.Done():
		return verdict{next: e.now()}
	}
	defer func() { <-e.slots }()
	if e.isStopping() {
		return verdict{next: e.now()}
	}
	sliceCtx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	e.mu.Lock()
	h.cancel = cancel
	e.mu.Unlock()
	v := e.slice(sliceCtx, cancel, id)
	e.mu.Lock()
	h.cancel = nil
	wake := h.wake
	h.wake = false
	e.mu.Unlock()
	if wake && v.next.After(e.now()) && e.hasten(ctx, id) == nil {
		v.next = e.now()
	}
	return v
}

// notHeld leaves out the operations that a job of this replica looks after already.
func (e *Engine) notHeld(ids []string) []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []string
	for _, id := range ids {
		if e.held[id] == nil {
			out = append(out, id)
		}
	}
	return out
}

// look makes somebody look at an operation now: the job of this replica that has it, or a new one. A job that is
// lost is made up for by the next revival.
func (e *Engine) look(ctx context.Context, id string) {
	e.mu.Lock()
	h := e.held[id]
	if h != nil {
		h.nudge()
	}
	e.mu.Unlock()
	if h != nil {
		return
	}
	if err := e.queue.insert(ctx, []string{id}, 0); err != nil {
		e.o.Log.Warn("cannot insert a job", "operation", id, "error", err)
	}
}

// interrupt cancels the slice of an operation, if this replica has it.
func (e *Engine) interrupt(id string, cause error) (held bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	h := e.held[id]
	if h == nil || h.cancel == nil {
		return false
	}
	h.cancel(cause)
	return true
}

func (e *Engine) interruptAll(cause error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, h := range e.held {
		if h.cancel != nil {
			h.cancel(cause)
		}
	}
}
