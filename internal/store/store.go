// Package store keeps everything the program knows, in SQLite (one replica) or Postgres (several): every SQL
// statement of the program is here, one text for both databases. It gives the records of package fleet, the
// journal of package workflow, budgets of calls shared by replicas, and a stream of what changed.
//
// Promises: every method is one transaction; what it returned nil for is on disk; secrets are sealed before they
// are written; a sync never deletes a server; a state changes only from the state the caller saw. Errors are
// *fleet.Error: NotFound says what was looked for, Conflict who was faster, Unavailable that the database does
// not answer or its disk is full (the call may be tried again; nothing is half written).
//
// It refuses to decide: whether an operator may do something, or whether it is wise, is asked above.
package store

import (
	"context"
	"database/sql"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/seal"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

// The adapters, as the setting DB_ADAPTER names them.
const (
	SQLite   = "sqlite"
	Postgres = "postgresql"
)

// Options say which database to open.
type Options struct {
	DataDir     string           // of SQLite: FileName is made in it. Ignored when DatabaseURL is given
	DatabaseURL string           // postgres://…; empty: SQLite
	Box         *seal.Box        // seals secrets; required
	Logger      *slog.Logger     // nil: slog.Default
	Now         func() time.Time // nil: time.Now
	// Exclusive keeps other exclusive programs off a SQLite database until Close: fleet.Conflict. Whoever runs
	// operations sets it, since a second engine would take the first one for dead. On Postgres it does nothing.
	Exclusive bool
}

// FileName is the name of the SQLite database in the data directory.
const FileName = "talos-manager.db"

// Store is an open database. It is safe for concurrent use.
type Store struct {
	writer *sql.DB // SQLite: one connection. Postgres: the pool
	reader *sql.DB // SQLite: several connections that cannot write. Postgres: the pool
	pool   *pgxpool.Pool
	box    *seal.Box
	log    *slog.Logger
	now    func() time.Time
	place  string // what errors call the database; no password
	hub    *hub
	stop   func() // ends and awaits the goroutines of Postgres' notifications
	unlock func() // gives up exclusive use

	handOvers handOvers
}

var _ workflow.Journal = (*Store)(nil)

// Open opens the database, makes it when it is not there, and brings its tables up to this program's version.
// Several programs may open one database at once. A database that a newer program has migrated is refused with
// fleet.Refused, one sealed with another key with fleet.Invalid naming the key.
func Open(ctx context.Context, o Options) (*Store, error) {
	s := &Store{box: o.Box, log: o.Logger, now: o.Now, hub: newHub(), stop: func() {}, unlock: func() {}}
	if s.box == nil {
		return nil, fleet.Errorf(fleet.Invalid, "no key to seal secrets with")
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	if s.now == nil {
		s.now = time.Now
	}
	if err := s.connect(ctx, o); err != nil {
		s.unlock()
		return nil, err
	}
	if err := s.prepare(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Store) connect(ctx context.Context, o Options) error {
	switch {
	case o.DatabaseURL == "" && o.DataDir == "":
		return fleet.Errorf(fleet.Invalid, "neither a data directory nor a database address is given")
	case o.DatabaseURL == "":
		return s.openSQLite(ctx, o)
	case strings.HasPrefix(o.DatabaseURL, "postgres://"), strings.HasPrefix(o.DatabaseURL, "postgresql://"):
		return s.openPostgres(ctx, o.DatabaseURL)
	}
	return fleet.Errorf(fleet.Invalid, "the database address does not begin with postgres://").
		WithHint("set DATABASE_URL to postgres://USER:PASSWORD@HOST:5432/DATABASE, or unset it to use SQLite")
}

func (s *Store) prepare(ctx context.Context) error {
	if err := s.migrate(ctx); err != nil {
		return err
	}
	if err := s.checkKey(ctx); err != nil {
		return err
	}
	if s.pool != nil {
		s.startNotifications()
	}
	return nil
}

// Close ends everything. Channels from Changes are closed.
func (s *Store) Close() error {
	s.stop()
	s.hub.close()
	err := s.writer.Close()
	if s.reader != s.writer {
		if e := s.reader.Close(); err == nil {
			err = e
		}
	}
	if s.pool != nil {
		s.pool.Close()
	}
	s.unlock()
	return err
}

// Adapter is SQLite or Postgres.
func (s *Store) Adapter() string {
	if s.pool != nil {
		return Postgres
	}
	return SQLite
}

// SQLite is the writing connection, nil on Postgres. It is a single one: who holds a transaction of it must not
// call the store.
func (s *Store) SQLite() *sql.DB {
	if s.pool != nil {
		return nil
	}
	return s.writer
}

// Postgres is the pool, nil on SQLite.
func (s *Store) Postgres() *pgxpool.Pool { return s.pool }

// Ping proves that the database answers.
func (s *Store) Ping(ctx context.Context) error {
	return s.explain("ask the database", s.reader.PingContext(ctx))
}
