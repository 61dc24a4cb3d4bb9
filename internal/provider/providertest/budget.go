package providertest

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/provider"
)

// Budget proves what drivers rely on, of budgets that open makes, each new and empty.
func Budget(t *testing.T, open func(t *testing.T) provider.Budget) {
	counting(t, open)
	comingBack(t, open)
}

// hourly is three calls an hour.
func hourly() provider.Limit { return provider.Limit{Calls: 3, Window: time.Hour} }

// counting: what is taken, and what is refused.
func counting(t *testing.T, open func(t *testing.T) provider.Budget) {
	hourly := hourly()
	t.Run("calls are there until the limit, then at the end of the window", func(t *testing.T) {
		b, start := open(t), time.Now()
		take(t, b, "a", hourly, 3)
		next, err := b.Take(t.Context(), "a", hourly)
		if err != nil {
			t.Fatal(err)
		}
		if wait := next.Sub(start); wait < 59*time.Minute || wait > 61*time.Minute {
			t.Fatalf("next call in %s, want in an hour", wait)
		}
	})
	t.Run("groups do not touch each other", func(t *testing.T) {
		b := open(t)
		take(t, b, "a", hourly, 3)
		take(t, b, "b", hourly, 3)
	})
	t.Run("a refusal of the provider counts more than our count", func(t *testing.T) {
		b, until := open(t), time.Now().Add(20*time.Minute).Truncate(time.Second)
		exhaust(t, b, "a", until)
		exhaust(t, b, "a", until.Add(-time.Minute)) // a late report of an earlier refusal shortens nothing
		if next, err := b.Take(t.Context(), "a", hourly); err != nil || !next.Equal(until) {
			t.Fatalf("got %s, %v, want %s", next, err, until)
		}
		take(t, b, "b", hourly, 1)
	})
	t.Run("callers at the same moment get no more than the limit", func(t *testing.T) {
		b, limit := open(t), provider.Limit{Calls: 5, Window: time.Hour}
		var got sync.WaitGroup
		taken := make(chan bool, 20)
		for range 20 {
			got.Go(func() {
				next, err := b.Take(t.Context(), "a", limit)
				if err != nil {
					t.Error(err)
				}
				taken <- next.IsZero()
			})
		}
		got.Wait()
		close(taken)
		n := 0
		for ok := range taken {
			if ok {
				n++
			}
		}
		if n != 5 {
			t.Fatalf("%d calls taken, want 5", n)
		}
	})
	t.Run("the error says when to go on, in a form that needs no knowledge of budgets", func(t *testing.T) {
		b := open(t)
		take(t, b, "a", hourly, 3)
		err := provider.TakeOne(t.Context(), b, "a", hourly)
		retry, ok := errors.AsType[interface {
			error
			RetryAt() time.Time
		}](err)
		if !ok || time.Until(retry.RetryAt()) < 59*time.Minute || fleet.KindOf(err) != fleet.Exhausted {
			t.Fatalf("got %v", err)
		}
	})
}

// comingBack: when there is a call again.
func comingBack(t *testing.T, open func(t *testing.T) provider.Budget) {
	t.Run("it goes on after the refusal and after the window", func(t *testing.T) {
		b, short := open(t), provider.Limit{Calls: 1, Window: 200 * time.Millisecond}
		take(t, b, "a", short, 1)
		untilTaken(t, b, "a", short)
		exhaust(t, b, "b", time.Now().Add(100*time.Millisecond))
		untilTaken(t, b, "b", hourly())
	})
	t.Run("a refilling limit gives calls back one by one", func(t *testing.T) {
		b, refill := open(t), provider.Limit{Calls: 10, Window: 2 * time.Second, Refill: true}
		take(t, b, "a", refill, 10)
		next, err := b.Take(t.Context(), "a", refill)
		if err != nil || next.IsZero() || time.Until(next) > time.Second {
			t.Fatalf("got %s, %v, want a call within a tenth of the window", next, err)
		}
		untilTaken(t, b, "a", refill)
	})
}

func take(t *testing.T, b provider.Budget, group string, limit provider.Limit, n int) {
	t.Helper()
	for i := range n {
		if err := provider.TakeOne(t.Context(), b, group, limit); err != nil {
			t.Fatalf("call %d: %v", i+1, err)
		}
	}
}

func exhaust(t *testing.T, b provider.Budget, group string, until time.Time) {
	t.Helper()
	if err := b.Exhaust(t.Context(), group, until); err != nil {
		t.Fatal(err)
	}
}

// untilTaken takes a call as soon as there is one.
func untilTaken(t *testing.T, b provider.Budget, group string, limit provider.Limit) {
	t.Helper()
	eventually(t, "a call of "+group, func() bool {
		next, err := b.Take(t.Context(), group, limit)
		if err != nil {
			t.Fatal(err)
		}
		return next.IsZero()
	})
}
