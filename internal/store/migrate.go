package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/wait"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// migrationLock is the key of Postgres' advisory lock: "talosmgr" in ASCII.
const migrationLock = 0x74616c6f736d6772

const lockTimeout = 2 * time.Minute

// migrate brings the tables up to this program's version, ours and River's under one lock. Our own runner instead
// of goose: some forty lines, because the one lock has to span both and a newer database has to be refused.
func (s *Store) migrate(ctx context.Context) error {
	unlock, err := s.lockMigrations(ctx)
	if err != nil {
		return s.explain("lock the database for its migration", err)
	}
	defer unlock()
	if err := s.migrateOurs(ctx); err != nil {
		return err
	}
	if s.pool != nil {
		return migrateRiver[pgx.Tx](ctx, s, riverpgxv5.New(s.pool))
	}
	return migrateRiver[*sql.Tx](ctx, s, riversqlite.New(s.writer))
}

// lockMigrations waits until no other program migrates.
func (s *Store) lockMigrations(ctx context.Context) (unlock func(), err error) {
	if s.pool == nil {
		return lockFile(ctx, s.place+".lock", lockTimeout)
	}
	ctx, cancel := context.WithTimeout(ctx, lockTimeout)
	defer cancel()
	return s.lockPostgres(ctx)
}

// lockPostgres polls instead of waiting inside Postgres: a waiting statement holds a snapshot, which would block
// a migration that builds an index concurrently. The lock is the connection's and dies with it.
func (s *Store) lockPostgres(ctx context.Context) (func(), error) {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	err = wait.Until(ctx, "another talos-manager to migrate the database", 50*time.Millisecond, func(ctx context.Context) (got bool, err error) {
		err = conn.QueryRow(ctx, `SELECT pg_try_advisory_lock($1)`, int64(migrationLock)).Scan(&got)
		return got, err
	})
	if err != nil {
		conn.Release()
		return nil, err
	}
	return func() {
		_ = conn.Conn().Close(context.WithoutCancel(ctx)) // ends the session, and its lock with it
		conn.Release()
	}, nil
}

// lockFile holds an exclusive transaction on a small database beside ours: a lock that every platform has and
// that a killed program does not leave behind.
func lockFile(ctx context.Context, path string, patience time.Duration) (func(), error) {
	if err := makeFile(path); err != nil {
		return nil, err
	}
	uri := fmt.Sprintf("%s?_txlock=exclusive&_pragma=busy_timeout(%d)", fileURI(path), patience.Milliseconds())
	db, err := sql.Open("sqlite", uri)
	if err != nil {
		return nil, err
	}
	lock, err := db.BeginTx(ctx, nil) // ends with ctx
	if err != nil {
		db.Close()
		return nil, err
	}
	return func() {
		_ = lock.Rollback()
		db.Close()
	}, nil
}

// migrateOurs runs every migration that was not run yet, each in a transaction of its own.
func (s *Store) migrateOurs(ctx context.Context) error {
	files, err := fs.Glob(migrationFiles, "migrations/*.sql") // sorted; the first is version 1
	if err != nil {
		return err
	}
	at, err := s.schemaVersion(ctx)
	if err != nil {
		return err
	}
	if at > len(files) {
		return s.newer(fmt.Sprintf("version %d of its tables, this program knows %d", at, len(files)))
	}
	for version := at + 1; version <= len(files); version++ {
		if err := s.runMigration(ctx, version, files[version-1]); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) schemaVersion(ctx context.Context) (version int, err error) {
	err = s.write(ctx, "read the database's version", func(t *tx) error {
		_, err := t.ExecContext(ctx, `
			CREATE TABLE IF NOT EXISTS schema_versions (version BIGINT PRIMARY KEY, name TEXT NOT NULL, applied_at BIGINT NOT NULL)`)
		if err != nil {
			return err
		}
		return t.QueryRowContext(ctx, `SELECT COALESCE(MAX(version), 0) FROM schema_versions`).Scan(&version)
	})
	return version, err
}

func (s *Store) runMigration(ctx context.Context, version int, file string) error {
	text, err := migrationFiles.ReadFile(file)
	if err != nil {
		return err
	}
	name := strings.TrimSuffix(strings.TrimPrefix(file, "migrations/"), ".sql")
	return s.write(ctx, "migrate the database to "+name, func(t *tx) error {
		if name == "0003_server_patches" { // what is sealed cannot be moved by SQL
			if err := s.moveServerPatches(ctx, t); err != nil {
				return err
			}
		}
		if _, err := t.ExecContext(ctx, string(text)); err != nil {
			return err
		}
		if after := map[string]func(context.Context, *tx) error{"0009_capacity": s.fillCapacity, "0010_serials": s.fillSerials}[name]; after != nil {
			if err := after(ctx, t); err != nil {
				return err
			}
		}
		clear(t.revised) // servers may have no revision yet
		_, err := t.ExecContext(ctx, `INSERT INTO schema_versions (version, name, applied_at) VALUES ($1, $2, $3)`,
			version, name, micros(s.now()))
		return err
	})
}

func migrateRiver[TTx any](ctx context.Context, s *Store, driver riverdriver.Driver[TTx]) error {
	m, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return fmt.Errorf("migrate the queue: %w", err)
	}
	if _, err := m.ExistingVersions(ctx); err != nil {
		if strings.Contains(err.Error(), "not found in migrator bundle") {
			return s.newer("queue tables that this program does not know: " + err.Error())
		}
		return s.explain("read the queue's version", err)
	}
	done, err := m.Migrate(ctx, rivermigrate.DirectionUp, nil)
	if err != nil {
		return s.explain("migrate the queue", err)
	}
	for _, v := range done.Versions {
		s.log.Debug("queue migrated", "version", v.Version)
	}
	return nil
}

func (s *Store) newer(why string) error {
	return fleet.Errorf(fleet.Refused, "database %s was made by a newer talos-manager: it has %s", s.place, why).
		WithHint("run the newer program again, or restore the backup from before the upgrade")
}
