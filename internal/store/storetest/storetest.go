// Package storetest opens stores for tests, on SQLite and on Postgres, so that what is promised of one is tested
// on both. It starts a private Postgres of its own (unix socket, no fsync) unless TALOS_MANAGER_TEST_DATABASE_URL
// names one; each test has a database for itself.
//
// It is for tests only, and refuses to touch any database that it did not make.
package storetest

import (
	"testing"

	"github.com/talos-manager/talos-manager/internal/seal"
	"github.com/talos-manager/talos-manager/internal/store"
)

// Each runs the test on SQLite and on Postgres, each time with a fresh store.
func Each(t *testing.T, run func(t *testing.T, s *store.Store)) {
	t.Helper()
	EachDatabase(t, func(t *testing.T, d Database) { run(t, d.Open(t)) })
}

// Database is a database that may be opened several times, by replicas, or again after a crash.
type Database struct {
	Options store.Options
}

// EachDatabase runs the test on a database of either sort without records.
func EachDatabase(t *testing.T, run func(t *testing.T, d Database)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { run(t, SQLite(t)) })
	t.Run("postgres", func(t *testing.T) { run(t, Postgres(t)) })
}

// EachEmpty is EachDatabase, on databases that no store was opened on yet.
func EachEmpty(t *testing.T, run func(t *testing.T, d Database)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { run(t, SQLite(t)) })
	t.Run("postgres", func(t *testing.T) { run(t, EmptyPostgres(t)) })
}

// SQLite is a database in the test's temporary directory.
func SQLite(t testing.TB) Database {
	t.Helper()
	return Database{Options: store.Options{DataDir: t.TempDir(), Box: Box(t)}}
}

// Open opens the database and closes the store when the test ends.
func (d Database) Open(t testing.TB) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), d.Options)
	if err != nil {
		t.Fatalf("open the store: %v", err)
	}
	t.Cleanup(func() { _ = s.Close() }) // a test may have closed it, or its server, already
	return s
}

// Box seals with a fixed key, so that a database opened twice opens.
func Box(t testing.TB) *seal.Box {
	t.Helper()
	key, err := seal.ParseKey("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")
	if err != nil {
		t.Fatal(err)
	}
	return seal.NewBox(key)
}
