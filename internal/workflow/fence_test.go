package workflow_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
	"github.com/talos-manager/talos-manager/internal/store/storetest"
	"github.com/talos-manager/talos-manager/internal/workflow"
	"github.com/talos-manager/talos-manager/internal/workflow/workflowtest"
)

// quick are short times that still fit into each other.
func quick(replica string) workflow.Options {
	return workflow.Options{
		Replica: replica, Lease: slower * time.Second, SliceBudget: slower * 200 * time.Millisecond, StepTimeout: slower * 600 * time.Millisecond,
		Revive: 100 * time.Millisecond, Poll: 100 * time.Millisecond,
	}
}

func TestAPausedReplicaIsFencedAndItsStepNotCompletedTwice(t *testing.T) {
	each(t, func(t *testing.T, l lab) {
		var tr trace
		pause := make(chan struct{})
		kind := func(replica string) workflow.Kind {
			return workflow.Kind{Name: "install", Steps: steps(
				step("write", func(ctx context.Context, run *workflow.Run) error {
					tr.add("%s enters", replica)
					if tr.count("a enters") == 1 && replica == "a" {
						<-pause // as if the whole process stood still: it does not even see its context end
						tr.add("a's late write fails: %v", errors.Is(run.Set(context.WithoutCancel(ctx), "who", "a"), workflow.ErrFenced))
						return nil
					}
					return run.Set(ctx, "who", replica)
				}),
				step("check", func(ctx context.Context, run *workflow.Run) error {
					var who string
					_, err := run.Get("who", &who)
					tr.add("written by %s", who)
					return err
				}),
			)}
		}
		a := l.start(t, quick("a"), kind("a"))
		id := enqueue(t, a, workflow.New{Kind: "install", ServerID: "s1"})
		workflowtest.Await(t, l.journal, id, slower*5*time.Second, func(fleet.Operation) bool { return tr.count("a enters") == 1 })
		l.start(t, quick("b"), kind("b"))
		op := workflowtest.Await(t, l.journal, id, slower*10*time.Second, workflowtest.Final)
		close(pause)
		workflowtest.Await(t, l.journal, id, slower*5*time.Second, func(fleet.Operation) bool { return tr.count("a's late write fails: true") == 1 })
		want := []string{"a enters", "b enters", "written by b", "a's late write fails: true"}
		if got := tr.all(); op.State != fleet.Succeeded || !slices.Equal(got, want) {
			t.Errorf("operation is %s, it did %q, want %q", op.State, got, want)
		}
		after, err := l.journal.Operation(t.Context(), id)
		if err != nil || !slices.Equal(after.Steps, op.Steps) || after.Steps[0].Attempts != 2 {
			t.Errorf("steps are %+v, before the late write they were %+v (%v)", after.Steps, op.Steps, err)
		}
		if got := l.log(t, id); len(got) != 1 || !strings.Contains(got[0], "whoever was in it stopped without a word") {
			t.Errorf("log is %q", got)
		}
	})
}

func TestAStepThatIgnoresNothingEndsBeforeTheLease(t *testing.T) {
	each(t, func(t *testing.T, l lab) {
		var tr trace
		kind := workflow.Kind{Name: "slow", Steps: steps(
			step("slow", func(ctx context.Context, run *workflow.Run) error {
				tr.add("enter")
				defer tr.add("leave")
				<-ctx.Done()
				return ctx.Err()
			}),
		)}
		o := quick("a")
		o.MaxAttempts, o.Backoff = 2, 10*time.Millisecond
		e := l.start(t, o, kind)
		o.Replica = "b"
		l.start(t, o, kind)
		op := workflowtest.Await(t, l.journal, enqueue(t, e, workflow.New{Kind: "slow"}), slower*10*time.Second, workflowtest.Final)
		if got := tr.all(); !slices.Equal(got, []string{"enter", "leave", "enter", "leave"}) {
			t.Errorf("two replicas were in one step: %q", got)
		}
		if op.State != fleet.Failed || !strings.HasPrefix(op.Error, "not done within ") {
			t.Errorf("operation is %s: %q", op.State, op.Error)
		}
	})
}

// TestAKilledProcessIsReplaced kills this test's own binary, run a second time, in the middle of a step.
func TestAKilledProcessIsReplaced(t *testing.T) {
	t.Parallel()
	run := func(t *testing.T, d storetest.Database, single bool) {
		s := d.Open(t)
		var tr trace
		parent := onStore(s)
		o := quick("survivor")
		if single {
			o.Replica, o.SingleReplica, o.Lease = "child", true, time.Hour // only ReleaseLeases can free it
		}
		id := startAndKill(t, d.Options, s, o.Lease)
		killed := time.Now()
		parent.start(t, o, victim(func(string) { tr.add("again") }, nil))
		op := workflowtest.Await(t, s, id, slower*30*time.Second, workflowtest.Final)
		t.Logf("done %s after kill -9, with a lease of %s", time.Since(killed).Round(time.Millisecond), o.Lease)
		if op.State != fleet.Succeeded || tr.count("again") != 1 || op.Steps[1].Attempts != 2 || op.Steps[0].Attempts != 1 {
			t.Errorf("operation is %s (%s), steps %+v, survivor did %q", op.State, op.Error, op.Steps, tr.all())
		}
	}
	t.Run("sqlite, started again", func(t *testing.T) { t.Parallel(); run(t, storetest.SQLite(t), true) })
	t.Run("sqlite, by lease", func(t *testing.T) { t.Parallel(); run(t, storetest.SQLite(t), false) })
	t.Run("postgres, another replica", func(t *testing.T) { t.Parallel(); run(t, storetest.Postgres(t), false) })
}

// victim is an operation whose second step calls in; block keeps it there.
func victim(in func(id string), block <-chan struct{}) workflow.Kind {
	return workflow.Kind{Name: "victim", Steps: steps(
		step("first", func(context.Context, *workflow.Run) error { return nil }),
		step("second", func(ctx context.Context, run *workflow.Run) error {
			in(run.ID())
			if block != nil {
				<-block
			}
			return nil
		}),
	)}
}

const childVariable = "WORKFLOW_TEST_CHILD"

// startAndKill has a child process start an operation, and kills it when it is inside the second step.
func startAndKill(t *testing.T, o store.Options, s *store.Store, lease time.Duration) (id string) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestChildProcess$", "-test.v")
	where, err := json.Marshal(childTask{DataDir: o.DataDir, DatabaseURL: o.DatabaseURL, Lease: lease})
	if err != nil {
		t.Fatal(err)
	}
	child.Env = append(os.Environ(), childVariable+"="+string(where))
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer child.Wait()
	defer child.Process.Kill()
	var seen []string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		seen = append(seen, lines.Text())
		if _, id, ok := strings.Cut(lines.Text(), "inside "); ok {
			op, err := s.Operation(t.Context(), id)
			if err != nil || op.State != fleet.Running || op.Step != "second" {
				t.Errorf("before the kill the operation is %s at %q (%v)", op.State, op.Step, err)
			}
			return id
		}
	}
	t.Fatalf("the child ended by itself: %s", strings.Join(seen, "\n"))
	return ""
}

type childTask struct {
	DataDir, DatabaseURL string
	Lease                time.Duration
}

// TestChildProcess is the process that is killed; by itself it has nothing to do.
func TestChildProcess(t *testing.T) {
	text := os.Getenv(childVariable)
	if text == "" {
		return
	}
	var task childTask
	if err := json.Unmarshal([]byte(text), &task); err != nil {
		t.Fatal(err)
	}
	s := storetest.Database{Options: store.Options{DataDir: task.DataDir, DatabaseURL: task.DatabaseURL, Box: storetest.Box(t)}}.Open(t)
	o := quick("child")
	o.Lease = task.Lease
	e, err := onStore(s).engine([]workflow.Kind{victim(func(id string) { fmt.Println("inside " + id) }, make(chan struct{}))}, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Enqueue(t.Context(), workflow.New{Kind: "victim", ServerID: "s1"}); err != nil {
		t.Fatal(err)
	}
	<-t.Context().Done() // never: it is killed
}
