package workflow

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/provider"
)

func TestDecide(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	p := policy{maxAttempts: 3, backoff: time.Second, maxBackoff: 4 * time.Second}
	for _, c := range []struct {
		reason string
		err    error
		memo   memo
		state  fleet.OperationState
		after  time.Duration // until the next look; errors' are jittered by a fifth
		what   string
		then   memo
	}{
		{reason: "no error is success", state: fleet.Succeeded},
		{
			reason: "a wait is not a failure, and ends a row of them", err: Wait("SSH", 2*time.Second), memo: memo{Errors: 2},
			state: fleet.Waiting, after: 2 * time.Second, what: "SSH", then: memo{Waiting: now},
		},
		{
			reason: "a wrapped wait is one", err: fmt.Errorf("boot: %w", WaitUntil("the budget", now.Add(time.Hour))),
			state: fleet.Waiting, after: time.Hour, what: "the budget", then: memo{Waiting: now},
		},
		{
			reason: "waiting is counted from its first look", err: Wait("SSH", time.Second).Within(time.Minute), memo: memo{Waiting: now.Add(-59 * time.Second)},
			state: fleet.Waiting, after: time.Second, what: "SSH", then: memo{Waiting: now.Add(-59 * time.Second)},
		},
		{
			reason: "a wait that took its time fails", err: Wait("SSH", time.Second).Within(time.Minute), memo: memo{Waiting: now.Add(-time.Minute)},
			state: fleet.Failed,
		},
		{reason: "a wait of nothing does not spin", err: Wait("SSH", 0), state: fleet.Waiting, after: shortestWait, what: "SSH", then: memo{Waiting: now}},
		{reason: "a question asks", err: Ask("sure?"), state: fleet.Asking},
		{
			reason: "a first error is tried again soon", err: errors.New("503"), state: fleet.Waiting, after: time.Second,
			what: "attempt 2 of 3", then: memo{Errors: 1},
		},
		{
			reason: "a second one later", err: errors.New("503"), memo: memo{Errors: 1}, state: fleet.Waiting, after: 2 * time.Second,
			what: "attempt 3 of 3", then: memo{Errors: 2},
		},
		{reason: "the last one fails", err: errors.New("503"), memo: memo{Errors: 2}, state: fleet.Failed},
		{
			reason: "an error in between does not lengthen a wait", err: errors.New("503"), memo: memo{Waiting: now.Add(-time.Minute)},
			state: fleet.Waiting, after: time.Second, what: "attempt 2 of 3", then: memo{Errors: 1, Waiting: now.Add(-time.Minute)},
		},
		{
			reason: "the step may choose when", err: Retry(errors.New("locked"), 9*time.Second), state: fleet.Waiting, after: 9 * time.Second,
			what: "attempt 2 of 3", then: memo{Errors: 1},
		},
		{
			reason: "a used-up budget waits and is no failure", err: fmt.Errorf("reset: %w", &provider.BudgetError{Until: now.Add(time.Hour)}),
			memo: memo{Errors: 2, Waiting: now.Add(-time.Minute)}, state: fleet.Waiting, after: time.Hour, what: "the rate budget to come back", then: memo{},
		},
		{
			reason: "a budget that is back already is an error like others", err: &provider.BudgetError{Until: now}, state: fleet.Waiting,
			after: time.Second, what: "attempt 2 of 3", then: memo{Errors: 1},
		},
		{reason: "unauthorized is never tried again", err: fleet.Errorf(fleet.Unauthorized, "401"), state: fleet.Failed},
		{
			reason: "conflict is", err: fleet.Errorf(fleet.Conflict, "locked"), state: fleet.Waiting, after: time.Second,
			what: "attempt 2 of 3", then: memo{Errors: 1},
		},
	} {
		out := p.decide(c.err, c.memo, now)
		if out.state != c.state || out.waitingFor != c.what {
			t.Errorf("%s: %s, waiting for %q", c.reason, out.state, out.waitingFor)
		}
		if out.state != fleet.Waiting {
			continue
		}
		if d := out.until.Sub(now) - c.after; d.Abs() > c.after/5+time.Millisecond {
			t.Errorf("%s: looks again after %s, want %s", c.reason, out.until.Sub(now), c.after)
		}
		if out.memo != c.then {
			t.Errorf("%s: remembers %+v, want %+v", c.reason, out.memo, c.then)
		}
	}
}

func TestTheTextOfAWaitThatTookTooLong(t *testing.T) {
	now := time.Now()
	out := policy{}.decide(Wait("rescue system to answer SSH", time.Second).Within(10*time.Minute).WithHint("look"), memo{Waiting: now.Add(-time.Hour)}, now)
	if got, want := out.err.Error(), "waited 10 min for rescue system to answer SSH"; got != want || out.hint != "look" {
		t.Errorf("got %q (%s), want %q", got, out.hint, want)
	}
}

func TestTimeInWhichNobodyLookedIsNoWaiting(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	since := now.Add(-time.Hour)
	for _, c := range []struct {
		reason string
		memo   memo
		due    time.Time
		want   time.Time
	}{
		{"looks on time", memo{Waiting: since}, now.Add(-time.Second), since},
		{"no replica ran for half an hour", memo{Waiting: since}, now.Add(-30 * time.Minute), since.Add(30 * time.Minute)},
		{"nothing is waited for", memo{}, now.Add(-30 * time.Minute), time.Time{}},
		{"it never waited before", memo{Waiting: since}, time.Time{}, since},
	} {
		if got := c.memo.resumed(c.due, now).Waiting; !got.Equal(c.want) {
			t.Errorf("%s: it waits since %s, want %s", c.reason, got, c.want)
		}
	}
}
