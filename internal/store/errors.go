package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

// explain turns an error of the database into one for people. Errors that are ours already, and those of an ended
// context, keep their kind.
func (s *Store) explain(doing string, err error) error {
	if err == nil {
		return nil
	}
	ours, known := errors.AsType[*fleet.Error](err)
	switch {
	case known && strings.HasPrefix(err.Error(), "sql: Scan error"):
		return ours // package sql's words say nothing to a person
	case known:
		return err
	case errors.Is(err, workflow.ErrFenced), errors.Is(err, workflow.ErrNotDue):
		return err
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: %w", doing, err)
	}
	if why, hint := s.unavailable(err); why != "" {
		e := fleet.Errorf(fleet.Unavailable, "%s: database %s %s: %w", doing, s.place, why, err)
		return e.WithHint("%s", hint)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// unavailable says why the database cannot do anything at the moment, "" if err is of another sort.
func (s *Store) unavailable(err error) (why, hint string) {
	const tryAgain = "it goes on by itself when the database answers again"
	const room = "make room on its disk; nothing that was stored is lost"
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		switch e.Code() & 0xff {
		case sqlite3.SQLITE_FULL:
			return "disk full", room
		case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
			return "is held by another program", "only one talos-manager may use a SQLite database; several need Postgres"
		case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY:
			return "cannot be read or written", "look at its disk and its permissions"
		}
		return "", ""
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch {
		case e.Code == "53100":
			return "disk full", room
		case e.Code == "53300":
			return "has no connection left", "raise max_connections, or lower pool_max_conns in DATABASE_URL"
		case e.Code == "40001", e.Code == "40P01":
			return "is too busy", tryAgain
		case e.Code == "25006":
			return "is read-only", "point DATABASE_URL at the primary"
		case strings.HasPrefix(e.Code, "57P"), strings.HasPrefix(e.Code, "08"), strings.HasPrefix(e.Code, "53"):
			return "does not answer", tryAgain
		case strings.HasPrefix(e.Code, "28"), e.Code == "3D000":
			return "does not let us in", "check user, password and database name in DATABASE_URL"
		}
		return "", ""
	}
	if disconnected(err) {
		return "does not answer", tryAgain
	}
	return "", ""
}

func disconnected(err error) bool {
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	for _, lost := range []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, driver.ErrBadConn, sql.ErrConnDone, pgconn.ErrConnClosed} {
		if errors.Is(err, lost) {
			return true
		}
	}
	return pgconn.SafeToRetry(err) || strings.Contains(err.Error(), "conn closed")
}

// lostRace says that the database undid the transaction to let another through: trying again is right.
func lostRace(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (e.Code == "40001" || e.Code == "40P01")
}

// duplicate says that a unique index refused.
func duplicate(err error) bool {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code == "23505"
	}
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || e.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY
	}
	return false
}

// dangling says that a foreign key refused: what is referred to does not exist, or is still referred to.
func dangling(err error) bool {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code == "23503"
	}
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code() == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY
	}
	return false
}

// missing is a NotFound that says what was looked for.
func missing(what, ref string) error {
	return fleet.Errorf(fleet.NotFound, "no %s %q", what, ref).
		WithHint("`talos-manager %s list` shows all", strings.ReplaceAll(what, " ", "-"))
}
