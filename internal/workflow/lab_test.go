package workflow_test

import (
	"context"
	"testing"
	"time"

	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/riverdriver/riversqlite"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
	"github.com/talos-manager/talos-manager/internal/store/storetest"
	"github.com/talos-manager/talos-manager/internal/workflow"
	"github.com/talos-manager/talos-manager/internal/workflow/workflowtest"
)

// lab is a journal and a way to build engines on it.
type lab struct {
	journal interface {
		workflow.Journal
		OperationLog(ctx context.Context, id string, after int64, limit int) ([]fleet.LogLine, error)
	}
	engine func(kinds []workflow.Kind, o workflow.Options) (*workflow.Engine, error)
}

// start starts an engine that is stopped when the test ends.
func (l lab) start(t *testing.T, o workflow.Options, kinds ...workflow.Kind) *workflow.Engine {
	t.Helper()
	if o.Log == nil {
		o.Log = logger(t)
	}
	e, err := l.engine(kinds, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := e.Stop(ctx); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return e
}

// log is an operation's log, a line each.
func (l lab) log(t *testing.T, id string) (out []string) {
	t.Helper()
	lines, err := l.journal.OperationLog(t.Context(), id, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		out = append(out, line.Level+" "+line.Step+": "+line.Text)
	}
	return out
}

// each runs a test in memory, on SQLite and on Postgres.
func each(t *testing.T, test func(t *testing.T, l lab)) {
	t.Helper()
	t.Parallel()
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		test(t, memory(t))
	})
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, onStore(storetest.SQLite(t).Open(t)))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, onStore(storetest.Postgres(t).Open(t)))
	})
}

func memory(t testing.TB) lab {
	j, driver := workflowtest.NewJournal(), workflowtest.Driver(t)
	return lab{journal: j, engine: func(kinds []workflow.Kind, o workflow.Options) (*workflow.Engine, error) {
		return workflow.NewEngine(driver, j, kinds, o)
	}}
}

func onStore(s *store.Store) lab {
	return lab{journal: s, engine: func(kinds []workflow.Kind, o workflow.Options) (*workflow.Engine, error) {
		if db := s.SQLite(); db != nil {
			return workflow.NewEngine(riversqlite.New(db), s, kinds, o)
		}
		return workflow.NewEngine(riverpgxv5.New(s.Postgres()), s, kinds, o)
	}}
}
