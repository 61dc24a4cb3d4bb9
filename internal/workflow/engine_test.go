package workflow_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/workflow"
	"github.com/talos-manager/talos-manager/internal/workflow/workflowtest"
)

// trace records what steps did, in order.
type trace struct {
	mu    sync.Mutex
	lines []string
}

func (tr *trace) add(format string, args ...any) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.lines = append(tr.lines, fmt.Sprintf(format, args...))
}

func (tr *trace) reset() {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.lines = nil
}

func (tr *trace) all() []string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return slices.Clone(tr.lines)
}

func (tr *trace) count(line string) (n int) {
	for _, l := range tr.all() {
		if l == line {
			n++
		}
	}
	return n
}

func steps(all ...workflow.Step) func(*workflow.Run) ([]workflow.Step, error) {
	return func(*workflow.Run) ([]workflow.Step, error) { return all, nil }
}

func step(name string, do func(ctx context.Context, run *workflow.Run) error) workflow.Step {
	return workflow.Step{Name: name, Do: do}
}

func enqueue(t *testing.T, e *workflow.Engine, n workflow.New) string {
	t.Helper()
	op, err := e.Enqueue(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	return op.ID
}

func TestStepsRunInOrderAndAreWrittenDown(t *testing.T) {
	each(t, func(t *testing.T, l lab) {
		var tr trace
		type input struct{ Disk string }
		e := l.start(t, workflow.Options{}, workflow.Kind{Name: "install", Steps: steps(
			step("one", func(ctx context.Context, run *workflow.Run) error {
				var in input
				if err := run.Input(&in); err != nil {
					return err
				}
				tr.add("one %s", in.Disk)
				run.Log(ctx, "disk %s", in.Disk)
				run.Progress(ctx, 5, 10, "bytes")
				return run.Set(ctx, "disk", in.Disk)
			}),
			step("two", func(ctx context.Context, run *workflow.Run) error {
				var disk string
				ok, err := run.Get("disk", &disk)
				tr.add("two %v %s attempt %d", ok, disk, run.Attempt())
				run.Warn(ctx, "nearly done")
				return err
			}),
		)})
		begun := time.Now()
		id := enqueue(t, e, workflow.New{Kind: "install", ServerID: "s1", Actor: "anna", Input: input{"sda"}})
		op := workflowtest.Await(t, l.journal, id, slower*5*time.Second, workflowtest.Final)
		t.Logf("%s after Enqueue", time.Since(begun).Round(time.Millisecond))
		if got, want := tr.all(), []string{"one sda", "two true sda attempt 1"}; !slices.Equal(got, want) {
			t.Errorf("steps did %q, want %q", got, want)
		}
		if op.State != fleet.Succeeded || op.FinishedAt.IsZero() || op.Done != 0 || op.Actor != "anna" {
			t.Errorf("operation is %+v", op)
		}
		for _, s := range op.Steps {
			if s.State != fleet.Succeeded || s.Attempts != 1 || s.StartedAt.IsZero() || s.FinishedAt.IsZero() {
				t.Errorf("step is %+v", s)
			}
		}
		if got := l.log(t, id); !slices.Equal(got, []string{"info one: disk sda", "warn two: nearly done"}) {
			t.Errorf("log is %q", got)
		}
	})
}

func TestAStepThatWaitsLooksAgain(t *testing.T) {
	each(t, func(t *testing.T, l lab) {
		var mu sync.Mutex
		var looks []time.Time
		e := l.start(t, workflow.Options{}, workflow.Kind{Name: "boot", Steps: steps(
			step("wait", func(ctx context.Context, run *workflow.Run) error {
				mu.Lock()
				defer mu.Unlock()
				if looks = append(looks, time.Now()); len(looks) < 4 {
					return workflow.Wait("the server to boot", 200*time.Millisecond)
				}
				return nil
			}),
		)})
		id := enqueue(t, e, workflow.New{Kind: "boot"})
		waiting := workflowtest.Await(t, l.journal, id, slower*5*time.Second, workflowtest.In(fleet.Waiting))
		if waiting.WaitingFor != "the server to boot" || waiting.WaitUntil.IsZero() {
			t.Errorf("waits for %q until %s", waiting.WaitingFor, waiting.WaitUntil)
		}
		op := workflowtest.Await(t, l.journal, id, slower*5*time.Second, workflowtest.Final)
		if op.State != fleet.Succeeded || op.WaitingFor != "" || op.Steps[0].Attempts != 1 {
			t.Errorf("operation is %+v", op)
		}
		for i := 1; i < len(looks); i++ {
			if d := looks[i].Sub(looks[i-1]); d < 195*time.Millisecond || d > slower*500*time.Millisecond {
				t.Errorf("look %d came after %s, want about 200ms", i, d)
			}
		}
	})
}

func TestAWaitThatTakesTooLongFailsWithItsReason(t *testing.T) {
	each(t, func(t *testing.T, l lab) {
		e := l.start(t, workflow.Options{}, workflow.Kind{Name: "boot", Steps: steps(
			step("wait", func(ctx context.Context, run *workflow.Run) error {
				return workflow.Wait("rescue system to answer SSH", 20*time.Millisecond).Within(100 * time.Millisecond).WithHint("look at the console")
			}),
		)})
		op := workflowtest.Await(t, l.journal, enqueue(t, e, workflow.New{Kind: "boot"}), slower*5*time.Second, workflowtest.Final)
		if op.State != fleet.Failed || op.Error != "waited 100 ms for rescue system to answer SSH" || op.Hint != "look at the console" {
			t.Errorf("operation is %s: %q (%s)", op.State, op.Error, op.Hint)
		}
	})
}

func TestWakeShortensAWait(t *testing.T) {
	each(t, func(t *testing.T, l lab) {
		var looks trace
		e := l.start(t, workflow.Options{}, workflow.Kind{Name: "boot", Steps: steps(
			step("wait", func(ctx context.Context, run *workflow.Run) error {
				if looks.add("look"); looks.count("look") < 2 {
					return workflow.Wait("the config to be fetched", time.Hour)
				}
				return nil
			}),
		)})
		id := enqueue(t, e, workflow.New{Kind: "boot"})
		workflowtest.Await(t, l.journal, id, slower*5*time.Second, workflowtest.In(fleet.Waiting))
		if err := e.Wake(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		workflowtest.Await(t, l.journal, id, slower*5*time.Second, workflowtest.In(fleet.Succeeded))
		if err := e.Wake(t.Context(), id); err != nil {
			t.Errorf("waking a finished operation: %v", err)
		}
	})
}

func TestAQuestionStopsUntilItIsAnswered(t *testing.T) {
	each(t, func(t *testing.T, l lab) {
		var tr trace
		e := l.start(t, workflow.Options{}, workflow.Kind{Name: "wipe", Steps: steps(
			step("ask", func(ctx context.Context, run *workflow.Run) error {
				answer, ok := run.Answer()
				if !ok {
					return workflow.Ask("wipe sda of db-1?")
				}
				tr.add("answer %s", answer)
				if tr.count("answer yes") == 1 {
					return workflow.Wait("the disk", 10*time.Millisecond)
				}
				return nil
			}),
			step("next", func(ctx context.Context, run *workflow.Run) error {
				if _, ok := run.Answer(); ok {
					tr.add("an answer of an earlier step")
				}
				return nil
			}),
		)})
		id := enqueue(t, e, workflow.New{Kind: "wipe"})
		op := workflowtest.Await(t, l.journal, id, slower*5*time.Second, workflowtest.In(fleet.Asking))
		if op.Question != "wipe sda of db-1?" {
			t.Errorf("it asks %q", op.Question)
		}
		if err := e.Answer(t.Context(), id, "", "anna"); fleet.KindOf(err) != fleet.Invalid {
			t.Errorf("an empty answer gives %v", err)
		}
		if err := e.Answer(t.Context(), id, "yes", "anna"); err != nil {
			t.Fatal(err)
		}
		op = workflowtest.Await(t, l.journal, id, slower*5*time.Second, workflowtest.Final)
		if got := tr.all(); op.State != fleet.Succeeded || !slices.Equal(got, []string{"answer yes", "answer yes"}) || op.Question != "" {
			t.Errorf("operation is %s, steps did %q, question %q", op.State, got, op.Question)
		}
		if err := e.Answer(t.Context(), id, "yes", "anna"); fleet.KindOf(err) != fleet.Conflict {
			t.Errorf("an answer nobody asked for gives %v", err)
		}
	})
}

func TestErrorsAreRetriedOrFailByTheirKind(t *testing.T) {
	each(t, func(t *testing.T, l lab) {
		cases := []struct {
			reason   string
			err      func(now time.Time) error
			attempts int
			state    fleet.OperationState
			hint     string
		}{
			{"an unknown error is tried again until attempts are used up", func(time.Time) error { return errors.New("robot: 503") }, 3, fleet.Failed, ""},
			{"refused is permanent, and its hint is kept", func(time.Time) error {
				return fmt.Errorf("disk: %w", fleet.Errorf(fleet.Refused, "data on sda").WithHint("wipe it"))
			}, 1, fleet.Failed, "wipe it"},
			{"what a step calls permanent is", func(time.Time) error { return workflow.Permanent(errors.New("no")) }, 1, fleet.Failed, ""},
			{"a permanent kind inside Retry is tried again", func(time.Time) error {
				return workflow.Retry(fleet.Errorf(fleet.NotFound, "not yet"), 10*time.Millisecond)
			}, 3, fleet.Failed, ""},
			{"a panic is a bug: permanent", func(time.Time) error { panic("boom") }, 1, fleet.Failed, "its log has the details; please report it"},
		}
		var kinds []workflow.Kind
		for i, c := range cases {
			kinds = append(kinds, workflow.Kind{Name: fmt.Sprint("case", i), Steps: steps(
				step("do", func(context.Context, *workflow.Run) error { return c.err(time.Now()) }),
			)})
		}
		e := l.start(t, workflow.Options{MaxAttempts: 3, Backoff: 10 * time.Millisecond}, kinds...)
		for i, c := range cases {
			op := workflowtest.Await(t, l.journal, enqueue(t, e, workflow.New{Kind: fmt.Sprint("case", i)}), slower*5*time.Second, workflowtest.Final)
			if op.State != c.state || op.Steps[0].Attempts != c.attempts || op.Hint != c.hint || op.Error == "" || strings.Contains(op.Error, "boom") {
				t.Errorf("%s: %s after %d attempts: %q (%s)", c.reason, op.State, op.Steps[0].Attempts, op.Error, op.Hint)
			}
		}
	})
}

type budgetError struct{ until time.Time }

func (b *budgetError) Error() string      { return "budget used up" }
func (b *budgetError) Unwrap() error      { return fleet.Errorf(fleet.Exhausted, "used up") }
func (b *budgetError) RetryAt() time.Time { return b.until }

func TestAUsedUpBudgetWaitsTillItComesBack(t *testing.T) {
	each(t, func(t *testing.T, l lab) {
		until := time.Now().Add(300 * slower * time.Millisecond)
		e := l.start(t, workflow.Options{MaxAttempts: 1}, workflow.Kind{Name: "reset", Steps: steps(
			step("reset", func(context.Context, *workflow.Run) error {
				if time.Now().Before(until) {
					return fmt.Errorf("reset db-1: %w", &budgetError{until})
				}
				return nil
			}),
		)})
		id := enqueue(t, e, workflow.New{Kind: "reset"})
		op := workflowtest.Await(t, l.journal, id, slower*5*time.Second, workflowtest.In(fleet.Waiting))
		if d := op.WaitUntil.Sub(until); d.Abs() > 2*time.Millisecond || op.Error == "" {
			t.Errorf("it waits until %s, want %s; error %q", op.WaitUntil, until, op.Error)
		}
		op = workflowtest.Await(t, l.journal, id, slower*5*time.Second, workflowtest.Final)
		if op.State != fleet.Succeeded || op.Error != "" {
			t.Errorf("operation is %s: %s", op.State, op.Error)
		}
	})
}

func TestRetryGoesOnAtTheStepItStoodAt(t *testing.T) {
	each(t, func(t *testing.T, l lab) {
		var tr trace
		e := l.start(t, workflow.Options{}, workflow.Kind{Name: "install", Steps: steps(
			step("one", func(context.Context, *workflow.Run) error { tr.add("one"); return nil }),
			step("two", func(context.Context, *workflow.Run) error {
				if tr.add("two"); tr.count("two") == 1 {
					return fleet.Errorf(fleet.Refused, "not now")
				}
				return nil
			}),
		)})
		id := enqueue(t, e, workflow.New{Kind: "install", ServerID: "s1"})
		workflowtest.Await(t, l.journal, id, slower*5*time.Second, workflowtest.In(fleet.Failed))
		if err := e.Retry(t.Context(), id, "anna"); err != nil {
			t.Fatal(err)
		}
		op := workflowtest.Await(t, l.journal, id, slower*5*time.Second, workflowtest.In(fleet.Succeeded))
		if got := tr.all(); !slices.Equal(got, []string{"one", "two", "two"}) || op.Error != "" {
			t.Errorf("steps did %q, error %q", got, op.Error)
		}
		if err := e.Retry(t.Context(), id, "anna"); fleet.KindOf(err) != fleet.Conflict {
			t.Errorf("retrying what succeeded gives %v", err)
		}
	})
}

func TestRetryFromAnEarlierStepForgetsWhatItIsTold(t *testing.T) {
	each(t, func(t *testing.T, l lab) {
		var tr trace
		e := l.start(t, workflow.Options{}, workflow.Kind{Name: "install", Steps: steps(
			step("one", func(ctx context.Context, run *workflow.Run) error {
				var old string
				if known, err := run.Get("boot", &old); known || err != nil {
					tr.add("remembered")
				}
				tr.add("one")
				return errors.Join(run.Set(ctx, "boot", "first"), run.Set(ctx, "plan", "kept"))
			}),
			step("two", func(_ context.Context, run *workflow.Run) error {
				if tr.add("two"); tr.count("two") == 1 {
					return fleet.Errorf(fleet.Refused, "not now")
				}
				var plan string
				if known, err := run.Get("plan", &plan); !known || err != nil {
					tr.add("forgot the plan")
				}
				return nil
			}),
		)})
		id := enqueue(t, e, workflow.New{Kind: "install", ServerID: "s1"})
		workflowtest.Await(t, l.journal, id, slower*5*time.Second, workflowtest.In(fleet.Failed))
		if err := e.RetryFrom(t.Context(), id, "anna", "one", "boot"); err != nil {
			t.Fatal(err)
		}
		op := workflowtest.Await(t, l.journal, id, slower*5*time.Second, workflowtest.In(fleet.Succeeded))
		if got := tr.all(); !slices.Equal(got, []string{"one", "two", "one", "two"}) {
			t.Errorf("steps did %q", got)
		}
		for _, s := range op.Steps {
			if s.State != fleet.Succeeded || s.Attempts != 2 || s.Error != "" {
				t.Errorf("step %+v", s)
			}
		}
	})
}

func TestAServerHasOneActiveOperation(t *testing.T) {
	each(t, func(t *testing.T, l lab) {
		release := make(chan struct{})
		e := l.start(t, workflow.Options{}, workflow.Kind{Name: "install", Steps: steps(
			step("wait", func(context.Context, *workflow.Run) error {
				select {
				case <-release:
					return nil
				default:
					return workflow.Wait("the test", 20*time.Millisecond)
				}
			}),
		)})
		n := workflow.New{Kind: "install", ServerID: "s1"}
		first := enqueue(t, e, n)
		if _, err := e.Enqueue(t.Context(), n); fleet.KindOf(err) != fleet.Conflict || !strings.Contains(err.Error(), first) {
			t.Errorf("a second operation gives %v, want a conflict that names %s", err, first)
		}
		if err := e.Cancel(t.Context(), first, "anna"); err != nil {
			t.Fatal(err)
		}
		second := enqueue(t, e, n)
		if err := e.Retry(t.Context(), first, "anna"); fleet.KindOf(err) != fleet.Conflict {
			t.Errorf("retrying the first beside the second gives %v", err)
		}
		close(release)
		workflowtest.Await(t, l.journal, second, slower*5*time.Second, workflowtest.In(fleet.Succeeded))
	})
}

func TestCancelStopsARunningStepAndCleansUp(t *testing.T) {
	each(t, func(t *testing.T, l lab) {
		var tr trace
		kind := workflow.Kind{
			Name: "install",
			Steps: steps(step("long", func(ctx context.Context, run *workflow.Run) error {
				tr.add("enter")
				<-ctx.Done()
				tr.add("leave")
				return ctx.Err()
			})),
			OnCancel: func(ctx context.Context, run *workflow.Run) error {
				tr.add("clean %s", run.Operation().Step)
				return nil
			},
		}
		other := l.start(t, workflow.Options{Replica: "a"}, kind) // the one that asks is not always the one that runs
		e := l.start(t, workflow.Options{Replica: "b"}, kind)
		for i := range 4 {
			id := enqueue(t, e, workflow.New{Kind: "install", ServerID: fmt.Sprint("s", i)})
			workflowtest.Await(t, l.journal, id, slower*5*time.Second, func(op fleet.Operation) bool { return tr.count("enter") == i+1 })
			begun := time.Now()
			asked := []*workflow.Engine{e, other}[i%2]
			if err := asked.Cancel(t.Context(), id, "anna"); err != nil {
				t.Fatal(err)
			}
			op := workflowtest.Await(t, l.journal, id, slower*5*time.Second, workflowtest.Final)
			if d := time.Since(begun); op.State != fleet.Cancelled || op.Steps[0].State != fleet.Cancelled || d > 2*time.Second {
				t.Errorf("operation is %s after %s: %+v", op.State, d, op.Steps)
			}
			want := []string{"enter", "leave", "clean long"}
			if got := tr.all(); !slices.Equal(got[len(got)-3:], want) {
				t.Errorf("it did %q, want %q at last", got, want)
			}
		}
	})
}

func TestCleanUpAfterAFailureIsTriedAgain(t *testing.T) {
	each(t, func(t *testing.T, l lab) {
		var tr trace
		e := l.start(t, workflow.Options{Backoff: 10 * time.Millisecond}, workflow.Kind{
			Name: "install",
			Steps: steps(step("do", func(context.Context, *workflow.Run) error {
				return fleet.Errorf(fleet.Invalid, "bad").WithHint("fix it")
			})),
			OnFail: func(ctx context.Context, run *workflow.Run) error {
				if tr.add("clean"); tr.count("clean") < 3 {
					return errors.New("not yet")
				}
				return nil
			},
		})
		op := workflowtest.Await(t, l.journal, enqueue(t, e, workflow.New{Kind: "install"}), slower*5*time.Second, workflowtest.Final)
		if op.State != fleet.Failed || op.Error != "bad" || op.Hint != "fix it" || tr.count("clean") != 3 {
			t.Errorf("operation is %s: %q (%s) after %d clean-ups", op.State, op.Error, op.Hint, tr.count("clean"))
		}
	})
}

func TestChildrenAreStartedOnceAndWakeTheirParent(t *testing.T) {
	each(t, func(t *testing.T, l lab) {
		var tr trace
		e := l.start(t, workflow.Options{}, workflow.Kind{Name: "child", Steps: steps(
			step("do", func(ctx context.Context, run *workflow.Run) error {
				tr.add("child of %s", run.Operation().Actor)
				return nil
			}),
		)}, workflow.Kind{Name: "parent", Steps: steps(
			step("roll out", func(ctx context.Context, run *workflow.Run) error {
				for _, server := range []string{"s1", "s2"} {
					if _, err := run.Start(ctx, workflow.New{Kind: "child", Key: server, ServerID: server}); err != nil {
						return err
					}
				}
				children, err := run.Children(ctx)
				if err != nil {
					return err
				}
				for _, c := range children {
					if !c.State.Final() {
						return workflow.Wait("its children", time.Hour)
					}
				}
				tr.add("%d children", len(children))
				return nil
			}),
		)})
		id := enqueue(t, e, workflow.New{Kind: "parent", ClusterID: "c1", Actor: "anna"})
		op := workflowtest.Await(t, l.journal, id, slower*10*time.Second, workflowtest.Final)
		if got := tr.all(); op.State != fleet.Succeeded || !slices.Equal(got, []string{"child of anna", "child of anna", "2 children"}) {
			t.Errorf("operation is %s, it did %q", op.State, got)
		}
	})
}

func TestStopLetsGoOfWhatRuns(t *testing.T) {
	each(t, func(t *testing.T, l lab) {
		var tr trace
		kind := workflow.Kind{Name: "install", Steps: steps(
			step("long", func(ctx context.Context, run *workflow.Run) error {
				if tr.add("enter"); tr.count("enter") == 1 {
					<-ctx.Done()
					return ctx.Err()
				}
				return nil
			}),
		)}
		e := l.start(t, workflow.Options{Replica: "a"}, kind)
		id := enqueue(t, e, workflow.New{Kind: "install"})
		workflowtest.Await(t, l.journal, id, slower*5*time.Second, func(fleet.Operation) bool { return tr.count("enter") == 1 })
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := e.Stop(ctx); err != nil {
			t.Fatal(err)
		}
		l.start(t, workflow.Options{Replica: "b"}, kind)
		op := workflowtest.Await(t, l.journal, id, slower*5*time.Second, workflowtest.Final) // far less than the lease
		if op.State != fleet.Succeeded || op.Error != "" {
			t.Errorf("operation is %s: %s", op.State, op.Error)
		}
	})
}

func logger(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}
