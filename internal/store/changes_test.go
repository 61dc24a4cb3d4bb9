package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/store"
	"github.com/talos-manager/talos-manager/internal/store/storetest"
)

// next reads a change, or fails when there is none for long.
func next(t testing.TB, changes <-chan store.Change) store.Change {
	t.Helper()
	select {
	case c, open := <-changes:
		if !open {
			t.Fatal("the channel is closed")
		}
		return c
	case <-time.After(20 * time.Second):
		t.Fatal("no change came")
		return store.Change{}
	}
}

// await reads changes until the wanted one.
func await(t testing.TB, changes <-chan store.Change, wanted store.Change) {
	t.Helper()
	for next(t, changes) != wanted {
	}
}

func TestChangesAreTold(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx, cancel := context.WithCancel(t.Context())
		changes := s.Changes(ctx)
		a := mustAccount(t, s, "a")
		await(t, changes, store.Change{Table: "accounts", ID: a.ID})
		v := mustSync(t, s, a.ID, "x").Added[0]
		await(t, changes, store.Change{Table: "servers", ID: v.ID})
		op := mustCreate(t, s, operation(v.ID, "", "server.reboot"))
		await(t, changes, store.Change{Table: "operations", ID: op.ID})
		_ = s.CreateOperation(t.Context(), operation(v.ID, "", "refused"), nil)
		c := mustCluster(t, s, "prod")
		await(t, changes, store.Change{Table: "clusters", ID: c.ID})

		cancel()
		for range changes { // ends, because the channel is closed
		}
		open := s.Changes(t.Context())
		s.Close()
		for range open {
		}
		for range s.Changes(t.Context()) {
		}
	})
}

func TestSlowReaderLearnsThatItMissedSomething(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		slow := s.Changes(t.Context())
		for range 400 {
			must(0, s.SetSetting(t.Context(), "x", "y"))(t) // never blocks, though nobody reads
		}
		n := 0
		for next(t, slow) != (store.Change{}) {
			n++
		}
		for len(slow) > 0 && next(t, slow) == (store.Change{}) { // Postgres' listener adds one when it connects
		}
		if n == 400 {
			t.Error("the reader missed nothing: the test proves nothing")
		}
		must(0, s.SetSetting(t.Context(), "later", "y"))(t)
		await(t, slow, store.Change{Table: "settings", ID: "later"})
	})
}

func TestReplicasHearOfEachOthersChanges(t *testing.T) {
	d := storetest.Postgres(t)
	one, two := d.Open(t), d.Open(t)
	here, there := one.Changes(t.Context()), two.Changes(t.Context())
	await(t, there, store.Change{}) // two listens now
	a := mustAccount(t, one, "a")
	await(t, here, store.Change{Table: "accounts", ID: a.ID})
	await(t, there, store.Change{Table: "accounts", ID: a.ID})
}
