package workflow_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store/storetest"
	"github.com/talos-manager/talos-manager/internal/wait"
	"github.com/talos-manager/talos-manager/internal/workflow"
	"github.com/talos-manager/talos-manager/internal/workflow/workflowtest"
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
		runBurst(t, l, e, 30)
		if got, want := looks.Load(), int64(30*3*2); got != want {
			t.Errorf("steps looked %d times, want %d: one ran twice or not at all", got, want)
		}
	})
}

func TestOperationsSurviveARestartOfPostgres(t *testing.T) {
	t.Parallel()
	server, err := storetest.StartServer()
	if err != nil {
		t.Fatalf("this test needs a Postgres of its own: %v", err)
	}
	t.Cleanup(func() { _ = server.Remove() })
	l := onStore(storetest.PostgresOn(t, server).Open(t))
	var looks, late atomic.Int64
	o := quick("a")
	o.Backoff = 100 * time.Millisecond
	e := l.start(t, o, burst(6, 2, 50*time.Millisecond, &looks, &late))
	ids := enqueueBurst(t, e, 20)
	awaitLooks(t, &looks, 100)
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	down := looks.Load()
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	back := time.Now()
	awaitBurst(t, l, ids)
	t.Logf("stopped after %d looks, back for %s until all were done", down, time.Since(back).Round(time.Millisecond))
}

func awaitLooks(t *testing.T, looks *atomic.Int64, n int64) {
	t.Helper()
	err := wait.Until(t.Context(), "steps to run", 5*time.Millisecond, func(context.Context) (bool, error) { return looks.Load() >= n, nil })
	if err != nil {
		t.Fatal(err)
	}
}

func runBurst(t testing.TB, l lab, e *workflow.Engine, n int) {
	t.Helper()
	awaitBurst(t, l, enqueueBurst(t, e, n))
}

func enqueueBurst(t testing.TB, e *workflow.Engine, n int) []string {
	t.Helper()
	ids := make([]string, n)
	for i := range ids {
		op, err := e.Enqueue(t.Context(), workflow.New{Kind: "burst", ServerID: fmt.Sprint("s", i)})
		if err != nil {
			t.Fatal(err)
		}
		ids[i] = op.ID
	}
	return ids
}

func awaitBurst(t testing.TB, l lab, ids []string) {
	t.Helper()
	for _, id := range ids {
		if op := workflowtest.Await(t, l.journal, id, time.Minute, workflowtest.Final); op.State != fleet.Succeeded {
			t.Fatalf("operation %s is %s: %s", id, op.State, op.Error)
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
