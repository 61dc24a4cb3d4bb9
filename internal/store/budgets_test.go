package store_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
	"github.com/talos-manager/talos-manager/internal/store/storetest"
)

func TestBudgetComesBackAtTheEndOfTheWindow(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		take := func(at time.Duration, wantNext time.Duration) {
			t.Helper()
			next := must(s.TakeCall(t.Context(), "a", "reset", 3, time.Hour, false, noon.Add(at)))(t)
			expect(t, at, next, wantNext)
		}
		take(0, 0)
		take(time.Minute, 0)
		take(2*time.Minute, 0)
		take(3*time.Minute, time.Hour)
		take(59*time.Minute, time.Hour)
		take(time.Hour, 0) // all are back
		take(time.Hour, 0)
		take(time.Hour, 0)
		take(time.Hour+time.Second, 2*time.Hour)
		if next := must(s.TakeCall(t.Context(), "b", "reset", 3, time.Hour, false, noon))(t); !next.IsZero() {
			t.Error("accounts share a budget")
		}
		if next := must(s.TakeCall(t.Context(), "a", "boot", 3, time.Hour, false, noon))(t); !next.IsZero() {
			t.Error("groups of endpoints share a budget")
		}
	})
}

func TestBudgetComesBackEvenly(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		take := func(at time.Duration, wantNext time.Duration) {
			t.Helper()
			next := must(s.TakeCall(t.Context(), "a", "api", 4, time.Hour, true, noon.Add(at)))(t)
			expect(t, at, next, wantNext)
		}
		for range 4 {
			take(0, 0) // a burst
		}
		take(0, 15*time.Minute)
		take(14*time.Minute, 15*time.Minute)
		take(15*time.Minute, 0) // one came back
		take(15*time.Minute, 30*time.Minute)
		take(45*time.Minute, 0) // two did
		take(45*time.Minute, 0)
		take(45*time.Minute, time.Hour)
	})
}

func TestBudgetRefusedByTheProvider(t *testing.T) {
	for _, test := range []struct {
		why    string
		refill bool
		second time.Duration // next of the second call at the block's end; 0: taken
	}{
		{"all come back at once", false, 0},
		{"one is back, the others come later", true, 30 * time.Minute},
	} {
		t.Run(test.why, func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, s *store.Store) {
				take := func(at time.Duration, wantNext time.Duration) {
					t.Helper()
					next := must(s.TakeCall(t.Context(), "a", "g", 6, time.Hour, test.refill, noon.Add(at)))(t)
					expect(t, at, next, wantNext)
				}
				must(0, s.ExhaustCalls(t.Context(), "a", "g", noon.Add(20*time.Minute)))(t)
				must(0, s.ExhaustCalls(t.Context(), "a", "g", noon.Add(10*time.Minute)))(t) // an older answer shortens nothing
				take(0, 20*time.Minute)
				take(19*time.Minute, 20*time.Minute)
				take(20*time.Minute, 0)
				take(20*time.Minute, test.second)
			})
		})
	}
}

func expect(t *testing.T, at time.Duration, next time.Time, want time.Duration) {
	t.Helper()
	var at0 time.Time
	if want != 0 {
		at0 = noon.Add(want)
	}
	if !next.Equal(at0) {
		t.Errorf("a call at %s: next %s, want %s", at, next, at0)
	}
}

func TestBudgetIsSharedByReplicas(t *testing.T) {
	storetest.EachDatabase(t, func(t *testing.T, d storetest.Database) {
		const calls = 25
		replicas := []*store.Store{d.Open(t), d.Open(t)}
		var taken atomic.Int32
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() {
				next, err := replicas[i%2].TakeCall(t.Context(), "a", "reset", calls, time.Hour, false, noon)
				if err != nil {
					t.Error(err)
				} else if next.IsZero() {
					taken.Add(1)
				}
			})
		}
		wg.Wait()
		if taken.Load() != calls {
			t.Errorf("%d calls were taken of %d", taken.Load(), calls)
		}
	})
}

func TestBudgetOfNothingIsABug(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		_, err := s.TakeCall(t.Context(), "a", "g", 0, time.Hour, false, noon)
		want(t, err, fleet.Internal)
	})
}
