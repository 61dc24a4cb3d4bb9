package workflow

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Pause is what Wait and WaitUntil return: not a failure, but the reason and the time of the next look.
type Pause struct {
	what   string
	again  time.Duration
	until  time.Time
	within time.Duration
	hint   string
}

// Wait says that the world is not ready and the step should look again after this time. what is read by people:
// "rescue system to answer SSH".
func Wait(what string, again time.Duration) *Pause { return &Pause{what: what, again: again} }

// WaitUntil says that the step should look again at this time.
func WaitUntil(what string, at time.Time) *Pause { return &Pause{what: what, until: at} }

// Within makes the operation fail once the step has been waiting (for whatever) this long.
func (p *Pause) Within(d time.Duration) *Pause {
	c := *p
	c.within = d
	return &c
}

// WithHint says what a person can do when the wait took too long.
func (p *Pause) WithHint(format string, args ...any) *Pause {
	c := *p
	c.hint = fmt.Sprintf(format, args...)
	return &c
}

// Error says what is waited for.
func (p *Pause) Error() string { return "waiting for " + p.what }

type question struct{ text string }

func (q *question) Error() string { return "asking: " + q.text }

// Ask stops the operation until a person answers; the step then runs again and finds Run.Answer.
func Ask(text string) error { return &question{text: text} }

type permanent struct{ err error }

func (p *permanent) Error() string { return p.err.Error() }
func (p *permanent) Unwrap() error { return p.err }

// Permanent makes err fail the operation at once, whatever its kind. Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanent{err: err}
}

type retry struct {
	err   error
	after time.Duration
}

func (r *retry) Error() string { return r.err.Error() }
func (r *retry) Unwrap() error { return r.err }

// Retry makes the step run again after this time, instead of a backoff of the engine's choice. It counts as a
// failed attempt all the same. Retry(nil, …) is nil.
func Retry(err error, after time.Duration) error {
	if err == nil {
		return nil
	}
	return &retry{err: err, after: after}
}

// memo is what the engine remembers about the step an operation stands at; it is kept among its values.
type memo struct {
	Errors  int                  `json:"errors,omitempty"` // failed attempts in a row
	Waiting time.Time            `json:"waiting,omitzero"` // since when the step waits
	Ending  fleet.OperationState `json:"ending,omitempty"` // what it becomes once its clean-up ran
}

// longestGap is how late a look may be before it counts as a time when nobody looked.
const longestGap = time.Minute

// resumed takes the time off a wait in which nobody looked, because no replica ran: a machine must not be given up at
// the first look after it.
func (m memo) resumed(due, now time.Time) memo {
	if late := now.Sub(due); !m.Waiting.IsZero() && !due.IsZero() && late > longestGap {
		m.Waiting = m.Waiting.Add(late)
	}
	return m
}

// outcome is what becomes of an operation after a step returned.
type outcome struct {
	state      fleet.OperationState // Succeeded (the step, not the operation), Waiting, Asking or Failed
	until      time.Time            // while Waiting
	waitingFor string
	question   string
	err        error // why it failed, or is tried again
	hint       string
	memo       memo
}

// policy is the part of Options that decides about errors.
type policy struct {
	maxAttempts int
	backoff     time.Duration // the first; doubles
	maxBackoff  time.Duration
}

const shortestWait = 10 * time.Millisecond

// decide turns what a step returned into what becomes of the operation. It acts on nothing.
func (p policy) decide(err error, m memo, now time.Time) outcome {
	out := p.choose(err, m, now)
	if part := out.until.Sub(out.until.Truncate(time.Millisecond)); part > 0 { // as databases keep it, and not earlier
		out.until = out.until.Add(time.Millisecond - part)
	}
	return out
}

func (p policy) choose(err error, m memo, now time.Time) outcome {
	if err == nil {
		return outcome{state: fleet.Succeeded}
	}
	if pause, ok := errors.AsType[*Pause](err); ok {
		return pause.outcome(m, now)
	}
	if q, ok := errors.AsType[*question](err); ok {
		return outcome{state: fleet.Asking, question: q.text}
	}
	if isPermanent(err) {
		return failed(err)
	}
	if at := retryAt(err); at.After(now) {
		m.Errors, m.Waiting = 0, time.Time{} // an hour without calls is no hour of looking
		return outcome{
			state: fleet.Waiting, until: at, waitingFor: "the rate budget to come back", err: err,
			hint: fleet.HintOf(err), memo: m,
		}
	}
	m.Errors++
	if m.Errors >= p.maxAttempts {
		return failed(err)
	}
	return outcome{
		state: fleet.Waiting, until: now.Add(p.delay(err, m.Errors)), err: err, hint: fleet.HintOf(err), memo: m,
		waitingFor: fmt.Sprintf("attempt %d of %d", m.Errors+1, p.maxAttempts),
	}
}

func (p *Pause) outcome(m memo, now time.Time) outcome {
	m.Errors = 0
	if m.Waiting.IsZero() {
		m.Waiting = now
	}
	if p.within > 0 && now.Sub(m.Waiting) >= p.within {
		return outcome{state: fleet.Failed, err: fmt.Errorf("waited %s for %s", fleet.InWords(p.within), p.what), hint: p.hint}
	}
	until := p.until
	if until.IsZero() {
		until = now.Add(max(p.again, shortestWait))
	}
	return outcome{state: fleet.Waiting, until: until, waitingFor: p.what, memo: m}
}

func failed(err error) outcome {
	return outcome{state: fleet.Failed, err: err, hint: fleet.HintOf(err)}
}

func isPermanent(err error) bool {
	if _, ok := errors.AsType[*permanent](err); ok {
		return true
	}
	if _, ok := errors.AsType[*retry](err); ok {
		return false
	}
	switch fleet.KindOf(err) {
	case fleet.Invalid, fleet.Refused, fleet.NotFound, fleet.Forbidden, fleet.Unauthorized:
		return true
	}
	return false
}

// retryAt finds when a used-up budget comes back, zero if err is something else.
func retryAt(err error) time.Time {
	var at interface{ RetryAt() time.Time }
	if fleet.KindOf(err) != fleet.Exhausted || !errors.As(err, &at) {
		return time.Time{}
	}
	return at.RetryAt()
}

// delay is how long to wait before the next attempt: what Retry says, or exponential with a jitter of a fifth, so
// that a hundred operations that failed together do not come back together.
func (p policy) delay(err error, errs int) time.Duration {
	if r, ok := errors.AsType[*retry](err); ok {
		return max(r.after, shortestWait)
	}
	d := min(p.backoff<<min(errs-1, 16), p.maxBackoff)
	return d + time.Duration((rand.Float64()-0.5)*0.4*float64(d))
}
