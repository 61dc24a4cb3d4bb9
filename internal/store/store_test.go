package store_test

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/seal"
	"github.com/talos-manager/talos-manager/internal/store"
	"github.com/talos-manager/talos-manager/internal/store/storetest"
)

func TestOpenTwiceAtOnce(t *testing.T) {
	storetest.EachEmpty(t, func(t *testing.T, d storetest.Database) {
		stores := make([]*store.Store, 4)
		var wg sync.WaitGroup
		for i := range stores {
			wg.Go(func() {
				s, err := store.Open(t.Context(), d.Options)
				if err != nil {
					t.Errorf("replica %d: %v", i, err)
					return
				}
				stores[i] = s
			})
		}
		wg.Wait()
		for _, s := range stores {
			if s == nil {
				continue
			}
			if _, err := s.Accounts(t.Context()); err != nil {
				t.Error(err)
			}
			s.Close()
		}
	})
}

func TestExactlyOneHandleForTheEngine(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		if (s.SQLite() == nil) == (s.Postgres() == nil) {
			t.Errorf("SQLite() = %v and Postgres() = %v; exactly one should be there", s.SQLite(), s.Postgres())
		}
		if (s.Adapter() == store.SQLite) != (s.SQLite() != nil) {
			t.Errorf("Adapter() = %q", s.Adapter())
		}
		if err := s.Ping(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestOpenRefusesANewerDatabase(t *testing.T) {
	for _, test := range []struct{ why, statement string }{
		{"our tables are of a later version", `INSERT INTO schema_versions (version, name, applied_at) VALUES (9999, 'future', 0)`},
		{"the queue's tables are of a later version", `INSERT INTO river_migration (line, version) VALUES ('main', 9999)`},
	} {
		t.Run(test.why, func(t *testing.T) {
			storetest.EachEmpty(t, func(t *testing.T, d storetest.Database) {
				exec(t, d.Open(t), test.statement)
				_, err := store.Open(t.Context(), d.Options)
				if fleet.KindOf(err) != fleet.Refused || !strings.Contains(err.Error(), "newer") {
					t.Errorf("Open = %v, want Refused: made by a newer program", err)
				}
			})
		})
	}
}

func TestOpenRefusesAnotherKey(t *testing.T) {
	storetest.EachDatabase(t, func(t *testing.T, d storetest.Database) {
		d.Open(t)
		needed := d.Options.Box
		d.Options.Box = seal.NewBox(seal.NewKey())
		_, err := store.Open(t.Context(), d.Options)
		if fleet.KindOf(err) != fleet.Invalid || !strings.Contains(err.Error(), needed.KeyID()) {
			t.Errorf("Open with another key = %v, want Invalid naming key %s", err, needed.KeyID())
		}
	})
}

func TestOpenRefusesUnusableOptions(t *testing.T) {
	box := storetest.Box(t)
	for _, test := range []struct {
		why     string
		options store.Options
		kind    fleet.Kind
	}{
		{"no key", store.Options{DataDir: t.TempDir()}, fleet.Invalid},
		{"no database", store.Options{Box: box}, fleet.Invalid},
		{"an address of another database", store.Options{Box: box, DatabaseURL: "mysql://root:hunter2@localhost/x"}, fleet.Invalid},
		{"a broken address", store.Options{Box: box, DatabaseURL: "postgres://root:hunter2@local host:port/x"}, fleet.Invalid},
		{"nobody listens there", store.Options{Box: box, DatabaseURL: "postgres://root:hunter2@127.0.0.1:1/x"}, fleet.Unavailable},
		{"a file where the directory should be", store.Options{Box: box, DataDir: "/dev/null/data"}, fleet.Invalid},
	} {
		_, err := store.Open(t.Context(), test.options)
		if fleet.KindOf(err) != test.kind {
			t.Errorf("%s: Open = %v (%s), want %s", test.why, err, fleet.KindOf(err), test.kind)
		}
		if err != nil && strings.Contains(err.Error()+fleet.HintOf(err), "hunter2") {
			t.Errorf("%s: the error gives the password away: %v", test.why, err)
		}
	}
}

func TestExclusiveUseOfSQLite(t *testing.T) {
	d := storetest.SQLite(t)
	shared := d.Open(t)
	d.Options.Exclusive = true
	first := d.Open(t)
	_, err := store.Open(t.Context(), d.Options)
	want(t, err, fleet.Conflict, "another talos-manager", d.Options.DataDir)
	first.Close()
	d.Open(t)
	must(shared.Accounts(t.Context()))(t)
}

// TestSQLiteInABubble: tests of the simulated world run on fake time, store included.
func TestSQLiteInABubble(t *testing.T) {
	d := storetest.SQLite(t)
	synctest.Test(t, func(t *testing.T) {
		s, err := store.Open(t.Context(), d.Options)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		done := make(chan error, 5)
		for range cap(done) {
			go func() {
				<-time.After(time.Hour)
				_, err := s.AddEvent(t.Context(), fleet.Event{Verb: "test"})
				done <- err
			}()
		}
		for range cap(done) {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		events, err := s.Events(t.Context(), store.EventFilter{})
		if err != nil || len(events) != cap(done) || events[0].At.Year() != 2000 {
			t.Errorf("events = %v, %v", events, err)
		}
	})
}

func TestSQLitePathWithOddCharacters(t *testing.T) {
	d := storetest.SQLite(t)
	d.Options.DataDir += "/a dir?with#odd%20 characters"
	s := d.Open(t)
	if _, err := s.CreateAccount(t.Context(), cloudAccount("a")); err != nil {
		t.Fatal(err)
	}
	if all, err := d.Open(t).Accounts(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("opened again: %d accounts, %v; want 1", len(all), err)
	}
}

// exec runs a statement past the store.
func exec(t testing.TB, s *store.Store, statement string, args ...any) {
	t.Helper()
	var err error
	if db := s.SQLite(); db != nil {
		_, err = db.ExecContext(t.Context(), statement, args...)
	} else {
		_, err = s.Postgres().Exec(t.Context(), statement, args...)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func cloudAccount(name string) fleet.Account {
	return fleet.Account{Name: name, Provider: fleet.HetznerCloud, Token: "token-of-" + name}
}

func mustAccount(t testing.TB, s *store.Store, name string) fleet.Account {
	t.Helper()
	a, err := s.CreateAccount(t.Context(), cloudAccount(name))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// want fails unless the error is of the kind and mentions all the words.
func want(t testing.TB, err error, kind fleet.Kind, words ...string) {
	t.Helper()
	if err == nil || fleet.KindOf(err) != kind {
		t.Errorf("error %v is %s, want %s", err, fleet.KindOf(err), kind)
		return
	}
	for _, w := range words {
		if said := err.Error() + " | " + fleet.HintOf(err); !strings.Contains(said, w) {
			t.Errorf("error %q does not mention %q", said, w)
		}
	}
}

// must gives the value of a call that has to succeed: must(s.Account(ctx, "a"))(t).
func must[T any](v T, err error) func(t testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
