package store

import (
	"context"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"modernc.org/sqlite" // also the driver "sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

const sqliteReaders = 4

// openSQLite opens the file with one connection that writes and a few that only read: in WAL mode readers never
// wait for the writer, and writers queue in Go, fairly, instead of polling a lock.
//
// synchronous=FULL: a commit that was reported is on disk even when the power fails; the journal's promise "a step
// that was recorded did happen" needs it.
func (s *Store) openSQLite(ctx context.Context, o Options) error {
	path := filepath.Join(o.DataDir, FileName)
	s.place = path
	if err := makeFile(path); err != nil {
		return err
	}
	if o.Exclusive {
		if err := s.lockAlone(ctx); err != nil {
			return err
		}
	}
	writer, err := openKept(sqliteName(path, "_txlock=immediate", "_pragma=synchronous(FULL)",
		"_pragma=cache_size(-32000)",        // kB
		"_pragma=temp_store(MEMORY)",        // what a statement may have to undo is kept in memory, not in a file
		"_pragma=wal_autocheckpoint(4000)")) // pages, 16 MB: pages that are written again and again are copied less often
	if err != nil {
		return s.explain("open the database", err)
	}
	reader, err := openKept(sqliteName(path, "_pragma=query_only(1)"))
	if err != nil {
		return s.explain("open the database", errors.Join(err, writer.Close()))
	}
	writer.SetMaxOpenConns(1)
	reader.SetMaxOpenConns(sqliteReaders)
	reader.SetMaxIdleConns(sqliteReaders)
	s.writer, s.reader = writer, reader
	return nil
}

func (s *Store) lockAlone(ctx context.Context) error {
	unlock, err := lockFile(context.WithoutCancel(ctx), s.place+".running", 0) // longer than the opening lasts
	if e, ok := errors.AsType[*sqlite.Error](err); ok && e.Code()&0xff == sqlite3.SQLITE_BUSY {
		return fleet.Errorf(fleet.Conflict, "another talos-manager runs with the database %s", s.place).
			WithHint("stop it first, or give this one another data directory; several replicas need Postgres")
	}
	if err != nil {
		return s.explain("lock the database", err)
	}
	s.unlock = unlock
	return nil
}

// sqliteName is the URI of the file. Pragmas apply in their order: busy_timeout first, it guards the others.
func sqliteName(path string, more ...string) string {
	options := append([]string{
		"_pragma=busy_timeout(5000)", "_pragma=journal_mode(WAL)", "_pragma=foreign_keys(1)",
		"_pragma=journal_size_limit(67108864)",
	}, more...)
	return fileURI(path) + "?" + strings.Join(options, "&")
}

func fileURI(path string) string {
	return "file:" + (&url.URL{Path: filepath.ToSlash(path)}).EscapedPath()
}

// makeFile makes directory and file for their owner only; SQLite gives its side files the mode of the main one.
func makeFile(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return cannotWrite(path, err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return cannotWrite(path, err)
	}
	return f.Close()
}

func cannotWrite(path string, err error) error {
	e := fleet.Errorf(fleet.Invalid, "open the database: %w", err)
	if errors.Is(err, fs.ErrPermission) {
		return e.WithHint("make %s writable for the user that runs talos-manager, or choose another data directory", filepath.Dir(path))
	}
	return e.WithHint("choose another data directory than %s", filepath.Dir(path))
}
