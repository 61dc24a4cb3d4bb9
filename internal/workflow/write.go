package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

const (
	// flushEvery is how long log lines and progress wait to be written, and how soon a slice that writes nothing
	// notices that it was fenced.
	flushEvery = 400 * time.Millisecond
	// noticed is when such a slice has stopped for certain.
	noticed = 2*flushEvery + 200*time.Millisecond
	// writeAgain is how soon a write is tried again that the database did not take.
	writeAgain = 250 * time.Millisecond
)

// write writes a change and what was staged before it, fenced by the claim's revision. After ErrFenced nothing is
// written any more and the slice's context is cancelled.
func (r *Run) write(ctx context.Context, c Change) error {
	r.writing.Lock()
	defer r.writing.Unlock()
	r.mu.Lock()
	if r.dead {
		r.mu.Unlock()
		return errKilled
	}
	staged := r.staged
	r.staged = Change{}
	whole := staged.then(c)
	op := r.op
	r.mu.Unlock()
	whole.ApplyTo(&op)
	if r.kill(r.e.o.BeforeWrite, op) {
		return errKilled
	}
	err := r.e.journal.WriteOperation(ctx, r.op.ID, r.revision, whole)
	if errors.Is(err, ErrFenced) {
		r.stop(ErrFenced)
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.staged = staged.then(r.staged)
		return err
	}
	c.ApplyTo(&r.op)
	r.keepValues(c.Values)
	return nil
}

// keepValues remembers what was written. The caller has the lock.
func (r *Run) keepValues(values map[string][]byte) {
	for k, v := range values {
		if v == nil {
			delete(r.values, k)
		} else {
			r.values[k] = v
		}
		if k == memoKey {
			r.memo = memo{}
			if v != nil {
				_ = json.Unmarshal(v, &r.memo) // we wrote it
			}
		}
	}
}

// persist writes a change even if the slice's context has ended, and tries again while the claim holds: losing it
// would mean to do the step again.
func (r *Run) persist(ctx context.Context, c Change) error {
	if err := context.Cause(ctx); errors.Is(err, ErrFenced) || errors.Is(err, errKilled) {
		return err
	}
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), r.deadline.Add(r.e.margin()))
	defer cancel()
	for {
		err := r.write(ctx, c)
		if err == nil || errors.Is(err, ErrFenced) || errors.Is(err, errKilled) {
			return err
		}
		r.e.o.Log.Warn("cannot write to the journal", "operation", r.op.ID, "error", err)
		select {
		case <-time.After(writeAgain):
		case <-ctx.Done():
			return err
		}
	}
}

// check asks whether the claim still holds, without writing.
func (r *Run) check(ctx context.Context) error {
	op, err := r.e.journal.Operation(ctx, r.op.ID)
	if err != nil {
		return err
	}
	if op.State != fleet.Running {
		r.stop(ErrFenced)
		return ErrFenced
	}
	return nil
}

// keep writes log lines and progress as they come, and notices when the claim is lost, until the slice calls the
// function it returns.
func (r *Run) keep(ctx context.Context) (done func()) {
	over := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(flushEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				r.keepOnce(ctx)
			case <-over:
				return
			case <-ctx.Done():
				return
			}
		}
	})
	return func() {
		close(over)
		wg.Wait()
	}
}

func (r *Run) keepOnce(ctx context.Context) {
	r.mu.Lock()
	idle := r.staged.empty()
	r.mu.Unlock()
	var err error
	if idle {
		err = r.check(ctx)
	} else {
		err = r.write(ctx, Change{})
	}
	if err != nil && ctx.Err() == nil {
		r.e.o.Log.Warn("cannot reach the journal", "operation", r.op.ID, "error", err)
	}
}

// kill asks a test hook whether the program dies here.
func (r *Run) kill(hook func(fleet.Operation, string) error, op fleet.Operation) bool {
	if hook == nil || hook(op, r.op.Step) == nil {
		return false
	}
	r.mu.Lock()
	r.dead = true
	r.mu.Unlock()
	r.stop(errKilled)
	return true
}
