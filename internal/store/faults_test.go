package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
	"github.com/talos-manager/talos-manager/internal/store/storetest"
	"github.com/talos-manager/talos-manager/internal/wait"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

// fill writes log lines to an operation until the disk is full, and returns the last number that was reported as
// written, and the error.
func fill(t *testing.T, s *store.Store, c workflow.Claim) (written int64, err error) {
	t.Helper()
	line := string(bytes.Repeat([]byte("x"), 10_000))
	for written < 20_000 {
		err := s.WriteOperation(t.Context(), c.Operation.ID, c.Revision, workflow.Change{Log: []fleet.LogLine{{Text: line}}, Done: ptr(written + 1)})
		if err != nil {
			return written, err
		}
		written++
	}
	t.Fatal("the disk was never full")
	return 0, nil
}

func expectFull(t *testing.T, s *store.Store, id string, written int64, err error) {
	t.Helper()
	want(t, err, fleet.Unavailable, "disk full", store.FileName, "make room")
	op := must(s.Operation(t.Context(), id))(t) // reading goes on
	lines := must(s.OperationLog(t.Context(), id, 0, 0))(t)
	if op.Done != written || int64(len(lines)) != written {
		t.Errorf("%d writes were reported; the record says %d, the log has %d lines", written, op.Done, len(lines))
	}
	var sound string
	must(0, s.SQLite().QueryRowContext(t.Context(), `PRAGMA integrity_check`).Scan(&sound))(t)
	if sound != "ok" {
		t.Errorf("integrity: %s", sound)
	}
}

func TestFullDatabase(t *testing.T) {
	d := storetest.SQLite(t)
	s := d.Open(t)
	op := mustCreate(t, s, operation("s1", "", "server.install"))
	c := mustClaim(t, s, op.ID, "r", noon)
	exec(t, s, `PRAGMA max_page_count = 400`) // 1.6 MB
	written, err := fill(t, s, c)
	expectFull(t, s, op.ID, written, err)
	exec(t, s, `PRAGMA max_page_count = 1073741823`)
	mustWrite(t, s, c, workflow.Change{State: fleet.Succeeded}) // with room it goes on
}

// TestFullDisk fills a real file system.
func TestFullDisk(t *testing.T) {
	dir := smallDisk(t, 16<<20)
	d := storetest.SQLite(t)
	d.Options.DataDir = dir
	s := d.Open(t)
	t.Cleanup(func() { s.Close() })
	op := mustCreate(t, s, operation("s1", "", "server.install"))
	ballast := dir + "/ballast"
	must(0, os.WriteFile(ballast, make([]byte, 8<<20), 0o600))(t)
	c := mustClaim(t, s, op.ID, "r", noon)
	written, err := fill(t, s, c)
	expectFull(t, s, op.ID, written, err)
	must(0, os.Remove(ballast))(t)
	mustWrite(t, s, c, workflow.Change{State: fleet.Succeeded})
	must(0, s.Close())(t)
	if got := must(d.Open(t).Operation(t.Context(), op.ID))(t); got.State != fleet.Succeeded || got.Done != written {
		t.Errorf("opened again: %s, %d of %d", got.State, got.Done, written)
	}
}

func TestPostgresRestartedUnderLoad(t *testing.T) {
	server := storetest.OwnServer(t)
	s := storetest.PostgresOn(t, server).Open(t)
	heard := besides(s.Changes(t.Context()), "operations")
	await(t, heard, store.Change{}) // it listens
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var load sync.WaitGroup
	refused := make(chan error, 1)
	for i := range 4 {
		op := mustCreate(t, s, operation(fmt.Sprint("s", i), "", "server.install"))
		c := mustClaim(t, s, op.ID, "r", noon)
		load.Go(func() { keepWriting(ctx, t, s, c, refused) })
	}
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	want(t, <-refused, fleet.Unavailable, "does not answer", "by itself")
	want(t, s.Ping(t.Context()), fleet.Unavailable)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	err := wait.Until(t.Context(), "the store to work again", 20*time.Millisecond, func(ctx context.Context) (bool, error) {
		return s.SetSetting(ctx, "after", "restart") == nil, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	stop()
	load.Wait()
	again, after := false, false // it listens again and says that it may have missed something; and hears what comes
	for !again || !after {
		switch next(t, heard) {
		case store.Change{}:
			again = true
		case store.Change{Table: "settings", ID: "after"}:
			after = true
		}
	}
}

// besides reads all changes and passes on those of other tables.
func besides(changes <-chan store.Change, table string) <-chan store.Change {
	rest := make(chan store.Change, 1000)
	go func() {
		defer close(rest)
		for c := range changes {
			if c.Table != table {
				rest <- c
			}
		}
	}()
	return rest
}

// keepWriting writes a line after the other; every write that was reported has to be there in the end.
func keepWriting(ctx context.Context, t *testing.T, s *store.Store, c workflow.Claim, refused chan<- error) {
	id := c.Operation.ID
	reported := map[string]bool{}
	for n := 0; ctx.Err() == nil; n++ {
		text := fmt.Sprint(n)
		err := s.WriteOperation(ctx, id, c.Revision, workflow.Change{Log: []fleet.LogLine{{Text: text}}})
		switch {
		case err == nil:
			reported[text] = true
		case fleet.KindOf(err) == fleet.Unavailable:
			select {
			case refused <- err:
			default:
			}
		case ctx.Err() == nil:
			t.Errorf("a write during the restart: %v (%s), want Unavailable", err, fleet.KindOf(err))
		}
	}
	lines, err := s.OperationLog(context.WithoutCancel(ctx), id, 0, 0)
	if err != nil {
		t.Error(err)
	}
	for _, l := range lines {
		delete(reported, l.Text)
	}
	if len(reported) > 0 {
		t.Errorf("%d reported writes are lost", len(reported))
	}
}

func TestEndedContextIsNotTheDatabasesFault(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := s.SetSetting(ctx, "a", "b")
		if !errors.Is(err, context.Canceled) || fleet.KindOf(err) == fleet.Unavailable {
			t.Errorf("a write with an ended context = %v (%s)", err, fleet.KindOf(err))
		}
		if _, err := s.Accounts(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("a read with an ended context = %v", err)
		}
		must(0, s.SetSetting(t.Context(), "a", "b"))(t)
	})
}
