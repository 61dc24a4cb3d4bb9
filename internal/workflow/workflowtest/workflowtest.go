// Package workflowtest tries operations as the world will: KillEverywhere runs one to its end again and again, and
// kills the program once after every step and once before every write. For tests without a database it has a Journal
// in memory, and for River a database of its own.
package workflowtest

import (
	"context"
	"database/sql"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

// Driver gives River a database of its own, for a journal that is in none.
func Driver(t testing.TB) riverdriver.Driver[*sql.Tx] {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "river.db")+"?_txlock=immediate"+
		"&_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(OFF)")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = db.Close() })
	driver := riversqlite.New(db)
	m, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Migrate(t.Context(), rivermigrate.DirectionUp, nil); err != nil {
		t.Fatal(err)
	}
	return driver
}

// Await polls until an operation is as wanted, and gives it; the test fails when it is not within the time.
func Await(t testing.TB, j workflow.Journal, id string, within time.Duration, want func(fleet.Operation) bool) fleet.Operation {
	t.Helper()
	op, ok := await(t.Context(), j, id, within, want)
	if !ok {
		t.Fatalf("operation %s (%s) is %s at step %q, waiting for %q, error %q, after %s", id, op.Kind, op.State, op.Step, op.WaitingFor, op.Error, within)
	}
	return op
}

// Final is for Await: the operation is over.
func Final(op fleet.Operation) bool { return op.State.Final() }

// In is for Await: the operation is in this state.
func In(s fleet.OperationState) func(fleet.Operation) bool {
	return func(op fleet.Operation) bool { return op.State == s }
}

func await(ctx context.Context, j workflow.Journal, id string, within time.Duration, want func(fleet.Operation) bool) (op fleet.Operation, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		now, err := j.Operation(ctx, id)
		if err == nil {
			op = now
		}
		if err == nil && want(op) {
			return op, true
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return op, false
		}
	}
}
