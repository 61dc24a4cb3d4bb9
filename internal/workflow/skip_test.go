package workflow_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/workflow"
	"github.com/talos-manager/talos-manager/internal/workflow/workflowtest"
)

// voyage does its first step, hangs in the second, which can be skipped, and has a third.
func voyage(tr *trace, hang func(ctx context.Context) error, instead func(ctx context.Context, run *workflow.Run) error) workflow.Kind {
	note := func(what string) func(context.Context, *workflow.Run) error {
		return func(context.Context, *workflow.Run) error {
			tr.add("%s", what)
			return nil
		}
	}
	return workflow.Kind{
		Name: "voyage",
		Steps: steps(step("depart", note("depart")), step("hang", func(ctx context.Context, _ *workflow.Run) error {
			tr.add("hang")
			return hang(ctx)
		}), step("arrive", note("arrive"))),
		Skips: map[string]workflow.Skipping{"hang": {NotDone: "Nobody hangs.", Instead: instead}},
	}
}

func insteadOf(tr *trace) func(context.Context, *workflow.Run) error {
	return func(context.Context, *workflow.Run) error {
		tr.add("instead")
		return nil
	}
}

func forever(context.Context) error { return workflow.Wait("the wind", time.Hour) }

// checkSkipped wants the operation to have gone on after the step that was skipped, once.
func checkSkipped(t *testing.T, l lab, op fleet.Operation, did []string) {
	t.Helper()
	if op.State != fleet.Succeeded || op.Error != "" || op.WaitingFor != "" {
		t.Errorf("operation is %s: %q, waits for %q", op.State, op.Error, op.WaitingFor)
	}
	var states []fleet.OperationState
	for _, s := range op.Steps {
		if states = append(states, s.State); s.StartedAt.IsZero() || s.FinishedAt.IsZero() || s.Error != "" {
			t.Errorf("step is %+v", s)
		}
	}
	if want := []fleet.OperationState{fleet.Succeeded, fleet.Skipped, fleet.Succeeded}; !slices.Equal(states, want) {
		t.Errorf("its steps are %v, want %v", states, want)
	}
	if got, want := slices.Compact(slices.Clone(did)), []string{"depart", "hang", "instead", "arrive"}; !slices.Equal(got, want) {
		t.Errorf("it did %q, want %q", did, want)
	}
	said := slices.DeleteFunc(l.log(t, op.ID), func(line string) bool { return !strings.Contains(line, "skipped by") })
	if want := []string{"warn hang: skipped by anna. Nobody hangs."}; !slices.Equal(said, want) {
		t.Errorf("the log says %q, want %q", said, want)
	}
}

func TestAStepThatWaitsOrFailedIsSkipped(t *testing.T) {
	each(t, func(t *testing.T, l lab) {
		var tr trace
		var hang func(context.Context) error
		e := l.start(t, workflow.Options{}, voyage(&tr, func(ctx context.Context) error { return hang(ctx) }, insteadOf(&tr)))
		for _, c := range []struct {
			why  string
			hang func(context.Context) error
			when func(fleet.Operation) bool
		}{
			{"it waits", forever, workflowtest.In(fleet.Waiting)},
			{"it is tried again", func(context.Context) error { return workflow.Retry(errors.New("no wind"), time.Hour) }, workflowtest.In(fleet.Waiting)},
			{"it failed", func(context.Context) error { return workflow.Permanent(errors.New("no wind")) }, workflowtest.In(fleet.Failed)},
		} {
			tr.reset()
			hang = c.hang
			id := enqueue(t, e, workflow.New{Kind: "voyage"})
			op := workflowtest.Await(t, l.journal, id, slower*5*time.Second, c.when)
			if skip, err := e.Skippable(op); err != nil || skip.NotDone != "Nobody hangs." {
				t.Fatalf("%s: %q %v", c.why, skip.NotDone, err)
			}
			if err := e.SkipStep(t.Context(), id, "hang", "anna"); err != nil {
				t.Fatalf("%s: %v", c.why, err)
			}
			over := workflowtest.Await(t, l.journal, id, slower*5*time.Second, func(op fleet.Operation) bool { return op.State == fleet.Succeeded })
			checkSkipped(t, l, over, tr.all())
		}
	})
}

// What is done instead of a step may have to wait, and may fail: until it is done, the next step is not entered.
func TestWhatIsDoneInsteadOfAStepIsDoneToItsEnd(t *testing.T) {
	each(t, func(t *testing.T, l lab) {
		var tr trace
		e := l.start(t, workflow.Options{Backoff: 10 * time.Millisecond}, voyage(&tr, forever, func(context.Context, *workflow.Run) error {
			switch tr.add("instead"); tr.count("instead") {
			case 1:
				return workflow.Wait("the harbour", 10*time.Millisecond)
			case 2:
				return errors.New("no harbour")
			}
			return nil
		}))
		id := enqueue(t, e, workflow.New{Kind: "voyage"})
		workflowtest.Await(t, l.journal, id, slower*5*time.Second, workflowtest.In(fleet.Waiting))
		if err := e.SkipStep(t.Context(), id, "hang", "anna"); err != nil {
			t.Fatal(err)
		}
		checkSkipped(t, l, workflowtest.Await(t, l.journal, id, slower*5*time.Second, workflowtest.Final), tr.all())
		if n := tr.count("instead"); n != 3 {
			t.Errorf("it was done %d times", n)
		}
	})
}

// A skip is of one attempt: who cancels and retries has the step done.
func TestARetryDoesWhatWasSkippedBefore(t *testing.T) {
	each(t, func(t *testing.T, l lab) {
		var tr trace
		e := l.start(t, workflow.Options{}, voyage(&tr, func(context.Context) error {
			if tr.count("hang") > 1 {
				return nil
			}
			return workflow.Wait("the wind", time.Hour)
		}, func(context.Context, *workflow.Run) error { return workflow.Wait("the harbour", time.Hour) }))
		id := enqueue(t, e, workflow.New{Kind: "voyage"})
		workflowtest.Await(t, l.journal, id, slower*5*time.Second, workflowtest.In(fleet.Waiting))
		if err := e.SkipStep(t.Context(), id, "hang", "anna"); err != nil {
			t.Fatal(err)
		}
		op := workflowtest.Await(t, l.journal, id, slower*5*time.Second, func(op fleet.Operation) bool { return op.WaitingFor == "the harbour" })
		if st := op.Standing(); st.State != fleet.Skipped {
			t.Errorf("the step is %s", st.State)
		}
		if err := e.Cancel(t.Context(), id, "anna"); err != nil {
			t.Fatal(err)
		}
		if err := e.Retry(t.Context(), id, "anna"); err != nil {
			t.Fatal(err)
		}
		op = workflowtest.Await(t, l.journal, id, slower*5*time.Second, workflowtest.Final)
		if got, want := tr.all(), []string{"depart", "hang", "hang", "arrive"}; op.State != fleet.Succeeded || op.Steps[1].State != fleet.Succeeded || !slices.Equal(got, want) {
			t.Errorf("operation is %s, its step %s, it did %q", op.State, op.Steps[1].State, got)
		}
	})
}

func TestTwoWhoSkipAtOnceSkipOneStep(t *testing.T) {
	each(t, func(t *testing.T, l lab) {
		var tr trace
		e := l.start(t, workflow.Options{}, voyage(&tr, forever, insteadOf(&tr)))
		id := enqueue(t, e, workflow.New{Kind: "voyage"})
		workflowtest.Await(t, l.journal, id, slower*5*time.Second, workflowtest.In(fleet.Waiting))
		refusals := make([]error, 8)
		var wg sync.WaitGroup
		for i := range refusals {
			wg.Go(func() { refusals[i] = e.SkipStep(t.Context(), id, "hang", "anna") })
		}
		wg.Wait()
		heard := 0
		for _, err := range refusals {
			if err == nil {
				heard++
			} else if fleet.KindOf(err) != fleet.Conflict {
				t.Error(err)
			}
		}
		if heard != 1 {
			t.Errorf("%d of them skipped it", heard)
		}
		checkSkipped(t, l, workflowtest.Await(t, l.journal, id, slower*5*time.Second, workflowtest.Final), tr.all())
		if n := tr.count("instead") + tr.count("arrive"); n != 2 {
			t.Errorf("it did %q", tr.all())
		}
	})
}

// The step is inside its call, here or on another replica: it is stopped before what is done instead begins.
func TestAStepThatRunsIsStoppedBeforeItIsSkipped(t *testing.T) {
	each(t, func(t *testing.T, l lab) {
		var tr trace
		kind := voyage(&tr, func(ctx context.Context) error {
			if tr.count("hang") == 1 {
				return errors.New("no wind")
			}
			<-ctx.Done()
			tr.add("left")
			return ctx.Err()
		}, insteadOf(&tr))
		o := workflow.Options{Replica: "a", Backoff: 10 * time.Millisecond}
		other := l.start(t, o, kind)
		o.Replica = "b"
		e := l.start(t, o, kind)
		for i, asked := range []*workflow.Engine{e, other} {
			tr.reset()
			id := enqueue(t, e, workflow.New{Kind: "voyage", ServerID: fmt.Sprint("s", i)})
			workflowtest.Await(t, l.journal, id, slower*5*time.Second, func(fleet.Operation) bool { return tr.count("hang") == 2 })
			if err := asked.SkipStep(t.Context(), id, "hang", "anna"); err != nil {
				t.Fatal(err)
			}
			op := workflowtest.Await(t, l.journal, id, slower*5*time.Second, workflowtest.Final)
			if got, want := tr.all(), []string{"depart", "hang", "hang", "left", "instead", "arrive"}; op.State != fleet.Succeeded || !slices.Equal(got, want) {
				t.Errorf("operation is %s, it did %q, want %q", op.State, got, want)
			}
		}
	})
}

func TestWhatMayNotBeSkippedIsRefused(t *testing.T) {
	each(t, func(t *testing.T, l lab) {
		free := func(s workflow.Step) workflow.Kind {
			return workflow.Kind{Name: s.Name, Steps: steps(s), Skips: map[string]workflow.Skipping{s.Name: {NotDone: "It is not done."}}}
		}
		bound := workflow.Kind{Name: "bound", Steps: steps(step("wipe", func(context.Context, *workflow.Run) error { return workflow.Wait("the disk", time.Hour) }))}
		tidies := free(step("tidies", func(context.Context, *workflow.Run) error { return workflow.Permanent(errors.New("no")) }))
		tidies.OnFail = func(context.Context, *workflow.Run) error { return workflow.Wait("the broom", time.Hour) }
		begun := make(chan struct{}, 1)
		e := l.start(
			t, workflow.Options{}, bound, tidies,
			free(step("asks", func(context.Context, *workflow.Run) error { return workflow.Ask("go on?") })),
			free(step("ends", func(context.Context, *workflow.Run) error { return nil })),
			free(step("waits", func(context.Context, *workflow.Run) error { return workflow.Wait("the wind", time.Hour) })),
			free(step("runs", func(ctx context.Context, _ *workflow.Run) error {
				begun <- struct{}{}
				<-ctx.Done()
				return ctx.Err()
			})),
		)
		for _, c := range []struct {
			why, kind, step string
			when            func(fleet.Operation) bool
			want            fleet.Kind
			text            string
		}{
			{"a step that keeps something safe", "bound", "wipe", workflowtest.In(fleet.Waiting), fleet.Refused, `step "wipe" cannot be skipped`},
			{"another step than the one it stands at", "waits", "arrive", workflowtest.In(fleet.Waiting), fleet.Conflict, `does not stand at step "arrive", but at "waits"`},
			{"no step", "waits", "", workflowtest.In(fleet.Waiting), fleet.Conflict, "does not stand at"},
			{"a question", "asks", "asks", workflowtest.In(fleet.Asking), fleet.Conflict, "asks a question"},
			{"an operation that ended well", "ends", "ends", workflowtest.In(fleet.Succeeded), fleet.Conflict, "over already: succeeded"},
			{"a clean-up", "tidies", "tidies", func(op fleet.Operation) bool {
				return op.WaitingFor == "its clean-up" && time.Until(op.WaitUntil) > time.Minute
			}, fleet.Conflict, "is being stopped"},
			{"a step that has only begun", "runs", "runs", func(op fleet.Operation) bool { return op.Step == "runs" && len(begun) == 1 }, fleet.Conflict, "has only begun"},
		} {
			id := enqueue(t, e, workflow.New{Kind: c.kind})
			before := workflowtest.Await(t, l.journal, id, slower*5*time.Second, c.when)
			err := e.SkipStep(t.Context(), id, c.step, "anna")
			if fleet.KindOf(err) != c.want || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%s: %v", c.why, err)
			}
			after, err := l.journal.Operation(t.Context(), id)
			if err != nil || after.State != before.State || !slices.Equal(after.Steps, before.Steps) {
				t.Errorf("%s: was %+v, is %+v, %v", c.why, before, after, err)
			}
			if !after.State.Final() && after.WaitingFor != "its clean-up" {
				if err := e.Cancel(t.Context(), id, "anna"); err != nil {
					t.Fatal(err)
				}
				if err := e.SkipStep(t.Context(), id, after.Step, "anna"); fleet.KindOf(err) != fleet.Conflict || !strings.Contains(err.Error(), "is cancelled") {
					t.Errorf("%s, cancelled: %v", c.why, err)
				}
			}
		}
		if err := e.SkipStep(t.Context(), "nonsense", "hang", "anna"); fleet.KindOf(err) != fleet.NotFound {
			t.Errorf("no operation: %v", err)
		}
	})
}

func TestASkipSurvivesADeathAnywhere(t *testing.T) {
	t.Parallel()
	workflowtest.KillEverywhere(t, func(t *testing.T) workflowtest.Scenario {
		var tr trace
		l := memory(t)
		return workflowtest.Scenario{
			Journal: l.journal,
			Engine: func(o workflow.Options) (*workflow.Engine, error) {
				o.Log = logger(t)
				return l.engine([]workflow.Kind{voyage(&tr, forever, insteadOf(&tr))}, o)
			},
			Begin: func(ctx context.Context, e *workflow.Engine) (string, error) {
				op, err := e.Enqueue(ctx, workflow.New{Kind: "voyage", ServerID: "s1"})
				return op.ID, err
			},
			Person: func(ctx context.Context, e *workflow.Engine, op fleet.Operation) {
				if _, err := e.Skippable(op); err == nil {
					_ = e.SkipStep(ctx, op.ID, "hang", "anna") // refused if it was done meanwhile
				}
			},
			Within: 15 * time.Second,
			Check:  func(t *testing.T, op fleet.Operation) { checkSkipped(t, l, op, tr.all()) },
		}
	})
}
