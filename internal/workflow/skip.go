package workflow

import (
	"context"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Skipping is what it means to leave a step out.
type Skipping struct {
	NotDone string // what is then not done, in sentences for people
	// Instead does what has to be done all the same. Like a step it looks before it acts; it asks nothing. It may be nil.
	Instead func(ctx context.Context, run *Run) error
}

// Skippable says what it means to leave out the step that an operation stands at, or why that cannot be asked for: its
// kind has to allow it, and the step has to be in trouble. It wants the operation with its steps.
func (e *Engine) Skippable(op fleet.Operation) (Skipping, error) {
	st := op.Standing()
	skip, may := e.kinds[op.Kind].Skips[op.Step]
	switch {
	case op.Step == "":
		return Skipping{}, fleet.Errorf(fleet.Conflict, "operation %s has not begun: there is nothing to skip", op.ID)
	case op.State == fleet.Cancelled:
		return Skipping{}, fleet.Errorf(fleet.Conflict, "operation %s is cancelled: there is nothing to skip", op.ID).
			WithHint("talos-manager operation retry %s", op.ID)
	case op.State == fleet.Succeeded:
		return Skipping{}, fleet.Errorf(fleet.Conflict, "operation %s is over already: %s", op.ID, op.State)
	case op.WaitingFor == cleaning:
		return Skipping{}, fleet.Errorf(fleet.Conflict, "operation %s is being stopped: there is nothing to skip", op.ID).
			WithHint("look again once it is over")
	case !may:
		return Skipping{}, fleet.Errorf(fleet.Refused, "step %q cannot be skipped: it keeps something safe, or what follows needs it", op.Step).
			WithHint("mend what it waits for, or cancel the operation: talos-manager operation cancel %s", op.ID)
	case st.State == fleet.Skipped:
		return Skipping{}, fleet.Errorf(fleet.Conflict, "step %q is being skipped already", op.Step)
	case op.State == fleet.Asking:
		return Skipping{}, fleet.Errorf(fleet.Conflict, "operation %s asks a question", op.ID).
			WithHint("answer it: talos-manager operation approve %s", op.ID)
	case op.State != fleet.Failed && op.WaitingFor == "" && op.Error == "" && st.Attempts <= 1:
		return Skipping{}, fleet.Errorf(fleet.Conflict, "step %q has only begun", op.Step).
			WithHint("it can be skipped once it waits, or failed")
	}
	return skip, nil
}

// SkipStep has an operation go on after a step, which is the one that it stands at: who asks says which they mean, so that two
// who ask at once skip one step. A step that runs is stopped, as by Cancel.
func (e *Engine) SkipStep(ctx context.Context, id, step, actor string) error {
	here := e.running(id)
	err := e.journal.RequestOperation(ctx, id, func(op fleet.Operation) (Change, error) {
		skip, err := e.Skippable(op)
		over := op.State == fleet.Succeeded || op.State == fleet.Cancelled
		if !over && op.Step != "" && op.Step != step {
			err = fleet.Errorf(fleet.Conflict, "operation %s does not stand at step %q, but at %q", id, step, op.Step).
				WithHint("talos-manager operation show %s", id)
		}
		if err != nil {
			return Change{}, err
		}
		return e.skipping(op, skip, actor, here), nil
	})
	if err != nil {
		return err
	}
	if here {
		e.interrupt(id, ErrFenced)
	}
	e.look(ctx, id)
	return nil
}

// skipping is the change that has a step left out. The slice that finds it Skipped does what has to be done instead, and
// enters the next one.
func (e *Engine) skipping(op fleet.Operation, skip Skipping, actor string, here bool) Change {
	now := e.now()
	st := op.Standing()
	st.State, st.Error, st.FinishedAt = fleet.Skipped, "", now
	if st.StartedAt.IsZero() {
		st.StartedAt = now
	}
	c := Change{
		State: fleet.Pending, Error: new(string), Hint: new(string), Answer: new(string), WaitingFor: new(string), WaitUntil: new(time.Time),
		Finished: new(time.Time), Release: true, Steps: []fleet.OperationStep{st},
		Log:    []fleet.LogLine{{At: now, Step: op.Step, Level: "warn", Text: "skipped by " + actor + ". " + skip.NotDone}},
		Values: map[string][]byte{memoKey: nil},
	}
	if op.State == fleet.Running && !here {
		what, at := "the step to stop", now.Add(noticed)
		c.State, c.WaitingFor, c.WaitUntil = fleet.Waiting, &what, &at
	}
	return c
}

// skipped says whether a step is to be left out. The caller has the lock.
func (r *Run) skipped(name string) bool {
	_, may := r.e.kinds[r.op.Kind].Skips[name]
	return may && r.record(name).State == fleet.Skipped
}

// doing is what is done in a step, or instead of it.
func (r *Run) doing(s Step) func(context.Context, *Run) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.skipped(s.Name) {
		return s.Do
	}
	if do := r.e.kinds[r.op.Kind].Skips[s.Name].Instead; do != nil {
		return do
	}
	return func(context.Context, *Run) error { return nil }
}
