package workflow

import (
	"context"
	"errors"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// settle writes what becomes of the operation when its step did not succeed.
func (r *Run) settle(ctx context.Context, err error) verdict {
	if v, over := r.interrupted(ctx); over {
		return v
	}
	out := r.e.policy.decide(err, r.memo.resumed(r.due, r.at), r.e.now())
	c := r.settled(out)
	if !r.done(ctx, c) {
		return verdict{}
	}
	if c.State == fleet.Waiting {
		return verdict{next: *c.WaitUntil}
	}
	return verdict{}
}

// interrupted says whether the step returned because its slice was stopped, which is nobody's failure. A slice that
// was fenced or killed writes nothing; one that is stopped with its program lets the operation go.
func (r *Run) interrupted(ctx context.Context) (verdict, bool) {
	cause := context.Cause(ctx)
	switch {
	case cause == nil:
		return verdict{}, false
	case errors.Is(cause, ErrFenced), errors.Is(cause, errKilled):
		return verdict{}, true
	}
	c := Change{Release: true}
	r.mu.Lock()
	st := r.record(r.op.Step)
	r.mu.Unlock()
	if st.State == fleet.Running {
		st.State = fleet.Pending
		c.Steps = []fleet.OperationStep{st}
	}
	if r.persist(ctx, c) != nil {
		return verdict{}, true
	}
	return verdict{next: r.e.now()}, true
}

// settled is the change for an outcome other than success.
func (r *Run) settled(out outcome) Change {
	now := r.e.now()
	r.mu.Lock()
	st := r.record(r.op.Step)
	waitedFor := r.op.WaitingFor
	r.mu.Unlock()
	if st.Error = ""; st.State != fleet.Skipped || out.state != fleet.Waiting { // what is done instead of a step may wait
		st.State = out.state
	}
	c := Change{State: out.state, Release: true, WaitingFor: &out.waitingFor, Question: &out.question, Hint: &out.hint, Error: new(string)}
	if out.err != nil {
		st.Error = out.err.Error()
		c.Error = &st.Error
	}
	switch {
	case out.state == fleet.Asking:
		c.Answer = new(string)
		r.say("info", "asking: %s", out.question)
	case out.state == fleet.Failed:
		st.FinishedAt = now
		r.say("error", "%s", st.Error)
		c = c.then(r.endIn(fleet.Failed, now))
		out.memo = memo{}
		if c.State == fleet.Waiting {
			out.memo = memo{Ending: fleet.Failed}
		}
	case out.err != nil:
		c.WaitUntil = &out.until
		r.say("warn", "%s: %s, in %s", st.Error, out.waitingFor, out.until.Sub(now).Round(100*time.Millisecond))
	default:
		c.WaitUntil = &out.until
		if waitedFor != out.waitingFor {
			r.say("info", "waiting for %s", out.waitingFor)
		}
	}
	if st.Name != "" {
		c.Steps = []fleet.OperationStep{st}
	}
	if out.state == fleet.Asking {
		out.memo = memo{}
	}
	return c.then(r.memoChange(out.memo))
}

// endIn is the change that ends an operation, or first makes it wait for its clean-up.
func (r *Run) endIn(state fleet.OperationState, now time.Time) Change {
	kind := r.e.kinds[r.op.Kind]
	if kind.cleanUp(state) != nil {
		what := cleaning
		return Change{State: fleet.Waiting, WaitingFor: &what, WaitUntil: &now}
	}
	return Change{State: state, Finished: &now}
}

func (k Kind) cleanUp(state fleet.OperationState) func(context.Context, *Run) error {
	switch state {
	case fleet.Cancelled:
		return k.OnCancel
	case fleet.Failed:
		return k.OnFail
	}
	return nil
}

// cleanUp runs OnCancel or OnFail, and ends the operation after it.
func (r *Run) cleanUp(ctx context.Context) verdict {
	m := r.memo
	var err error
	if hook := r.e.kinds[r.op.Kind].cleanUp(m.Ending); hook != nil {
		err = r.call(ctx, cleaning, hook)
	}
	if err != nil {
		if v, over := r.interrupted(ctx); over {
			return v
		}
	}
	if err != nil {
		if again, ok := r.cleanAgain(err, m); ok {
			if r.done(ctx, again) {
				return verdict{next: *again.WaitUntil}
			}
			return verdict{}
		}
		r.say("error", "the clean-up did not work and is given up: %s", err)
	}
	now := r.e.now()
	c := Change{State: m.Ending, Finished: &now, Release: true, WaitingFor: new(string)}
	r.done(ctx, c.then(r.memoChange(memo{})))
	return verdict{}
}

// cleanAgain is the change that has a clean-up tried once more, unless it was tried often enough.
func (r *Run) cleanAgain(err error, m memo) (Change, bool) {
	out := r.e.policy.decide(err, memo{Errors: m.Errors, Waiting: m.Waiting}, r.e.now())
	if out.state != fleet.Waiting || out.memo.Errors >= cleanAttempts {
		return Change{}, false
	}
	if out.err != nil {
		r.say("warn", "the clean-up is tried again: %s", out.err)
	}
	out.memo.Ending = m.Ending
	what := cleaning
	c := Change{State: fleet.Waiting, WaitUntil: &out.until, WaitingFor: &what, Release: true}
	return c.then(r.memoChange(out.memo)), true
}
