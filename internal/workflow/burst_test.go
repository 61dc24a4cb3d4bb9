package workflow_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store/storetest"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

// burst is an operation of many steps, each of which waits a few times.
func burst(nSteps, waits int, wait time.Duration, looks *atomic.Int64, late *atomic.Int64) workflow.Kind {
	var all []workflow.Step
	for i := range nSteps {
		all = append(all, step(fmt.Sprint("step ", i), func(ctx context.Context, run *workflow.Run) error {
			looks.Add(1)
			key := fmt.Sprint("looks ", i)
			var n int
			if _, err := run.Get(key, &n); err != nil {
				return err
			}
			if until := run.Operation().WaitUntil; n > 0 {
				late.Add(int64(time.Since(until)))
			}
			if n == waits {
				return nil
			}
			if err := run.Set(ctx, key, n+1); err != nil {
				return err
			}
			return workflow.Wait("the world", wait)
		}))
	}
	return workflow.Kind{Name: "burst", Steps: steps(all...)}
}

func TestABurstOfOperationsLosesNone(t *testing.T) {
	each(t, func(t *testing.T, l lab) {
		var looks, late atomic.Int64
		kind := burst(3, 1, 20*time.Millisecond, &looks, &late)
		e := l.start(t, workflow.Options{Replica: "a"}, kind)
		l.start(t, workflow.Options{Replica: "b"}, kind)
		runBurst(t, l, e, 60)
		if got, want := looks.Load(), int64(60*3*2); got != want {
			t.Errorf("steps looked %d times, want %d: one ran twice or not at all", got, want)
		}
	})
}

func runBurst(t testing.TB, l lab, e *workflow.Engine, n int) {
	t.Helper()
	ids := make([]string, n)
	for i := range ids {
		op, err := e.Enqueue(t.Context(), workflow.New{Kind: "burst", ServerID: fmt.Sprint("s", i)})
		if err != nil {
			t.Fatal(err)
		}
		ids[i] = op.ID
	}
	deadline := time.Now().Add(2 * time.Minute)
	for _, id := range ids {
		for {
			op, err := l.journal.Operation(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			if op.State == fleet.Succeeded {
				break
			}
			if op.State.Final() || time.Now().After(deadline) {
				t.Fatalf("operation %s is %s: %s", id, op.State, op.Error)
			}
			<-time.After(20 * time.Millisecond)
		}
	}
}

// BenchmarkOperations runs 200 operations of 12 steps that wait twice each.
func BenchmarkOperations(b *testing.B) {
	const ops, nSteps, waits, wait = 200, 12, 2, 200 * time.Millisecond
	bench := func(b *testing.B, open func(b *testing.B) lab) {
		for b.Loop() {
			b.StopTimer()
			l := open(b)
			var looks, late atomic.Int64
			e, err := l.engine([]workflow.Kind{burst(nSteps, waits, wait, &looks, &late)}, workflow.Options{})
			if err != nil {
				b.Fatal(err)
			}
			if err := e.Start(b.Context()); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
			begun := time.Now()
			runBurst(b, l, e, ops)
			took := time.Since(begun)
			b.StopTimer()
			if err := e.Stop(b.Context()); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(ops*nSteps)/took.Seconds(), "steps/s")
			b.ReportMetric(float64(looks.Load())/took.Seconds(), "looks/s")
			b.ReportMetric(float64(late.Load())/float64(ops*nSteps*waits)/1e6, "ms-late/wait")
			b.StartTimer()
		}
	}
	b.Run("sqlite", func(b *testing.B) { bench(b, func(b *testing.B) lab { return onStore(storetest.SQLite(b).Open(b)) }) })
	b.Run("postgres", func(b *testing.B) { bench(b, func(b *testing.B) lab { return onStore(storetest.Postgres(b).Open(b)) }) })
}
