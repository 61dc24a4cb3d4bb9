package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// cleaning is what an operation waits for between its last step and being cancelled or failed.
const cleaning = "its clean-up"

// cleanAttempts is how often a clean-up is tried before it is given up, and the operation ends all the same: one that
// never ended would keep its server busy for ever.
const cleanAttempts = 5

// margin is the last part of a lease: steps' contexts have ended, what they did is being written.
func (e *Engine) margin() time.Duration { return e.o.Lease / 10 }

// slice claims an operation and advances it.
func (e *Engine) slice(ctx context.Context, stop context.CancelCauseFunc, id string) verdict {
	began := time.Now()
	claim, err := e.journal.ClaimOperation(ctx, id, e.o.Replica, e.now(), e.o.Lease)
	if errors.Is(err, ErrNotDue) {
		return verdict{skipped: true}
	}
	if err != nil {
		e.o.Log.Warn("cannot claim an operation", "operation", id, "error", err)
		return verdict{}
	}
	r := newRun(e, claim, began.Add(e.o.Lease-e.margin()), stop)
	defer r.keep(ctx)()
	v := r.advance(ctx, began)
	if op := r.Operation(); op.State.Final() {
		e.ended(context.WithoutCancel(ctx), op)
	}
	return v
}

// ended tells whoever waits for it.
func (e *Engine) ended(ctx context.Context, op fleet.Operation) {
	e.o.Log.Info("operation ended", "operation", op.ID, "kind", op.Kind, "server", op.ServerID, "state", op.State)
	if op.ParentID == "" {
		return
	}
	if err := e.Wake(ctx, op.ParentID); err != nil {
		e.o.Log.Warn("cannot wake the parent", "operation", op.ID, "error", err)
	}
}

// advance runs the step the operation stands at and those that follow, until one stops it or the budget is over.
func (r *Run) advance(ctx context.Context, began time.Time) verdict {
	if r.memo.Ending != "" {
		return r.cleanUp(ctx)
	}
	steps, i, err := r.plan()
	if err != nil {
		return r.settle(ctx, err)
	}
	if err := r.enter(ctx, steps, i); err != nil {
		return verdict{}
	}
	for {
		err := r.call(ctx, steps[i].Name, r.doing(steps[i]))
		if err != nil {
			return r.settle(ctx, err)
		}
		goOn := time.Since(began) < r.e.o.SliceBudget && !r.e.isStopping() && ctx.Err() == nil
		if !r.finish(ctx, steps, i, goOn) || i+1 == len(steps) {
			return verdict{}
		}
		if !goOn {
			return verdict{next: r.e.now()}
		}
		i++
	}
}

// plan asks the kind for its steps and finds the one the operation stands at.
func (r *Run) plan() (steps []Step, at int, err error) {
	kind, ok := r.e.kinds[r.op.Kind]
	if !ok { // a newer replica may know it
		return nil, 0, fleet.Errorf(fleet.Unavailable, "this version knows no operation %s", r.op.Kind).
			WithHint("update the manager on all replicas, or cancel the operation")
	}
	err = r.protect("list the steps", func() error {
		steps, err = kind.Steps(r)
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	for i, s := range steps {
		if s.Name == "" || slices.ContainsFunc(steps[:i], func(o Step) bool { return o.Name == s.Name }) {
			return nil, 0, Permanent(fleet.Errorf(fleet.Internal, "operation %s lists step %q twice or without a name", r.op.Kind, s.Name))
		}
	}
	if len(steps) == 0 {
		return nil, 0, Permanent(fleet.Errorf(fleet.Internal, "operation %s has no steps", r.op.Kind))
	}
	if r.op.Step == "" {
		return steps, 0, nil
	}
	at = slices.IndexFunc(steps, func(s Step) bool { return s.Name == r.op.Step })
	if at < 0 {
		return nil, 0, fleet.Errorf(fleet.Unavailable, "this version of operation %s has no step %q", r.op.Kind, r.op.Step).
			WithHint("update the manager on all replicas, or cancel the operation and start it again")
	}
	return steps, at, nil
}

// enter notes that the step is tried afresh: for the first time, after an error, or because the replica that was in
// it died. A look after a Wait, one after an answer, and what is done instead of a step, is not noted.
func (r *Run) enter(ctx context.Context, steps []Step, i int) error {
	r.mu.Lock()
	st := r.record(steps[i].Name)
	known, again, skipped := len(r.op.Steps), r.memo.Errors > 0, r.skipped(st.Name)
	r.mu.Unlock()
	if st.State == fleet.Waiting && !again || st.State == fleet.Asking || skipped {
		return nil
	}
	if r.takeover && st.State == fleet.Running {
		r.say("warn", "step %q goes on: whoever was in it stopped without a word", st.Name)
	}
	c := r.opening(steps[i].Name, true)
	if known < len(steps) {
		c.Steps = append(r.unknown(steps), c.Steps...)
	}
	return r.persist(ctx, c)
}

// opening is the change that makes a step the one the operation stands at.
func (r *Run) opening(name string, running bool) Change {
	r.mu.Lock()
	defer r.mu.Unlock()
	st := r.record(name)
	if running {
		st.State = fleet.Running
		st.Attempts++
		if st.StartedAt.IsZero() {
			st.StartedAt = r.e.now()
		}
	}
	return Change{Step: &name, Steps: []fleet.OperationStep{st}}
}

// unknown lists steps that are not written down yet, so that people see the whole list from the start.
func (r *Run) unknown(steps []Step) []fleet.OperationStep {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]fleet.OperationStep, len(steps))
	for i, s := range steps {
		out[i] = r.record(s.Name)
	}
	return out
}

// call runs a step or a clean-up with a context that ends before the lease does.
func (r *Run) call(ctx context.Context, name string, do func(context.Context, *Run) error) error {
	deadline := time.Now().Add(r.e.o.StepTimeout)
	if deadline.After(r.deadline) {
		deadline = r.deadline
	}
	limit := time.Until(deadline)
	stepCtx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	err := r.protect(name, func() error { return do(stepCtx, r) })
	if err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) && stepCtx.Err() != nil {
		return fmt.Errorf("not done within %s: %w", fleet.InWords(limit), err)
	}
	return err
}

// protect turns a panic into a permanent error; the stack goes to the manager's log only.
func (r *Run) protect(name string, do func() error) (err error) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		r.e.o.Log.Error("panic in an operation", "operation", r.op.ID, "kind", r.op.Kind, "step", name,
			"panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		err = Permanent(fleet.Errorf(fleet.Internal, "a bug of the manager in %q", name).
			WithHint("its log has the details; please report it"))
	}()
	return do()
}

// finish writes that a step is done or was left out, and that the next one is entered if the slice goes on, or that the operation is
// done. It says whether that was written.
func (r *Run) finish(ctx context.Context, steps []Step, i int, goOn bool) bool {
	now := r.e.now()
	r.mu.Lock()
	st := r.record(steps[i].Name)
	r.mu.Unlock()
	st.FinishedAt, st.Error = now, ""
	if st.State != fleet.Skipped {
		st.State = fleet.Succeeded
	}
	c := r.memoChange(memo{}).then(r.clear(st))
	if i+1 == len(steps) {
		c = c.then(Change{State: fleet.Succeeded, Finished: &now, Release: true})
	} else {
		c = c.then(r.opening(steps[i+1].Name, goOn))
		c.Release = !goOn
	}
	return r.done(ctx, c)
}

// clear is the change that leaves nothing of a step's waiting, asking, failing and progress behind.
func (r *Run) clear(st fleet.OperationStep) Change {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := Change{Steps: []fleet.OperationStep{st}}
	for _, f := range []struct {
		now   string
		field **string
	}{
		{r.op.WaitingFor, &c.WaitingFor},
		{r.op.Question, &c.Question},
		{r.op.Answer, &c.Answer},
		{r.op.Error, &c.Error},
		{r.op.Hint, &c.Hint},
		{r.op.Unit, &c.Unit},
	} {
		if f.now != "" {
			*f.field = new(string)
		}
	}
	if r.op.Done != 0 || r.op.Total != 0 {
		c.Done, c.Total = new(int64), new(int64)
	}
	return c
}

// memoChange saves what the engine remembers, if it changed.
func (r *Run) memoChange(m memo) Change {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m == r.memo {
		return Change{}
	}
	var data []byte
	if m != (memo{}) {
		data, _ = json.Marshal(m) // a struct of numbers, times and strings
	}
	return Change{Values: map[string][]byte{memoKey: data}}
}

// done writes the end of a step's call, unless the program is killed there.
func (r *Run) done(ctx context.Context, c Change) bool {
	op := r.Operation()
	c.ApplyTo(&op)
	if c.State == "" {
		op.State = fleet.Running
	}
	if r.kill(r.e.o.AfterStep, op) {
		return false
	}
	return r.persist(ctx, c) == nil
}
