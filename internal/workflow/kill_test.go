package workflow_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store/storetest"
	"github.com/talos-manager/talos-manager/internal/workflow"
	"github.com/talos-manager/talos-manager/internal/workflow/workflowtest"
)

// mission is an operation that does everything an operation can: it saves, waits, asks, starts a child and fails once.
func mission(tr *trace) []workflow.Kind {
	return []workflow.Kind{
		{Name: "child", Steps: steps(step("work", func(ctx context.Context, run *workflow.Run) error {
			tr.add("child")
			return nil
		}))},
		{Name: "mission", Steps: steps(
			step("prepare", func(ctx context.Context, run *workflow.Run) error {
				tr.add("prepare")
				return run.Set(ctx, "token", "t1")
			}),
			step("wait", func(ctx context.Context, run *workflow.Run) error {
				if tr.add("wait"); tr.count("wait") < 3 {
					return workflow.Wait("the world", 20*time.Millisecond).Within(20 * time.Second)
				}
				return nil
			}),
			step("ask", func(ctx context.Context, run *workflow.Run) error {
				answer, ok := run.Answer()
				if !ok {
					return workflow.Ask("go on?")
				}
				tr.add("answer %s", answer)
				return nil
			}),
			step("delegate", func(ctx context.Context, run *workflow.Run) error {
				id, err := run.Start(ctx, workflow.New{Kind: "child", Key: "only"})
				if err != nil {
					return err
				}
				children, err := run.Children(ctx)
				if err != nil {
					return err
				}
				if len(children) != 1 || children[0].ID != id {
					tr.add("not one child")
				}
				if !children[0].State.Final() {
					return workflow.Wait("its child", 50*time.Millisecond)
				}
				return nil
			}),
			step("finish", func(ctx context.Context, run *workflow.Run) error {
				var token string
				if ok, err := run.Get("token", &token); !ok || token != "t1" || err != nil {
					tr.add("the token is lost")
				}
				tr.add("finish")
				return nil
			}),
		)},
	}
}

func TestAnOperationSurvivesADeathAnywhere(t *testing.T) {
	t.Parallel()
	workflowtest.KillEverywhere(t, func(t *testing.T) workflowtest.Scenario {
		var tr trace
		l := memory(t)
		return workflowtest.Scenario{
			Journal: l.journal,
			Engine: func(o workflow.Options) (*workflow.Engine, error) {
				o.Log = logger(t)
				return l.engine(mission(&tr), o)
			},
			Begin: func(ctx context.Context, e *workflow.Engine) (string, error) {
				op, err := e.Enqueue(ctx, workflow.New{Kind: "mission", ServerID: "s1"})
				return op.ID, err
			},
			Answer: func(string) string { return "yes" },
			Within: 15 * time.Second,
			Check:  func(t *testing.T, op fleet.Operation) { checkMission(t, op, tr.all()) },
		}
	})
}

// checkMission wants everything done in order, steps that were cut off done again, and nothing else again.
func checkMission(t *testing.T, op fleet.Operation, did []string) {
	t.Helper()
	if op.State != fleet.Succeeded {
		t.Errorf("operation is %s: %s", op.State, op.Error)
	}
	want := []string{"prepare", "wait", "answer yes", "child", "finish"}
	if got := slices.Compact(slices.Clone(did)); !slices.Equal(got, want) {
		t.Errorf("it did %q, want each of %q, in this order", did, want)
	}
	for _, s := range op.Steps {
		if s.State != fleet.Succeeded || s.Attempts > 2 {
			t.Errorf("step is %+v", s)
		}
	}
}

func TestAnOperationSurvivesADeathInADatabase(t *testing.T) {
	t.Parallel()
	for _, p := range []struct {
		reason string
		after  int64 // writes
	}{{"before the first write", 1}, {"in the middle", 5}} {
		t.Run(p.reason, func(t *testing.T) {
			storetest.EachDatabase(t, func(t *testing.T, d storetest.Database) {
				var tr trace
				l := onStore(d.Open(t))
				var writes atomic.Int64
				o := quick("one")
				o.SingleReplica = true
				dead := make(chan struct{})
				hooked := o
				hooked.BeforeWrite = func(fleet.Operation, string) error {
					n := writes.Add(1)
					if n == p.after {
						close(dead)
					}
					if n >= p.after {
						return context.Canceled
					}
					return nil
				}
				first, err := l.engine(mission(&tr), hooked)
				if err != nil {
					t.Fatal(err)
				}
				if err := first.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
				id := enqueue(t, first, workflow.New{Kind: "mission", ServerID: "s1"})
				<-dead
				if err := first.Stop(t.Context()); err != nil {
					t.Fatal(err)
				}
				second := l.start(t, o, mission(&tr)...)
				workflowtest.Await(t, l.journal, id, slower*10*time.Second, workflowtest.In(fleet.Asking))
				if err := second.Answer(t.Context(), id, "yes", "anna"); err != nil {
					t.Fatal(err)
				}
				checkMission(t, workflowtest.Await(t, l.journal, id, slower*10*time.Second, workflowtest.Final), tr.all())
			})
		})
	}
}
