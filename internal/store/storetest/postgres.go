package storetest

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/skip"
	"github.com/talos-manager/talos-manager/internal/store"
)

// AddressVariable names a Postgres to use instead of a private one: postgres://…, a user who may create databases.
const AddressVariable = "TALOS_MANAGER_TEST_DATABASE_URL"

// farm is the private Postgres of a test binary, with databases that tests gave back.
type farm struct {
	server *Server
	mu     sync.Mutex
	free   []string
}

// shared gives the one farm of the test binary, started at its first use.
var shared = sync.OnceValues(func() (*farm, error) {
	server, err := StartServer()
	return &farm{server: server}, err
})

// Postgres is a database without records. On the private server it may be one that an earlier test has used,
// emptied: making a new one takes 200 ms. Without any Postgres the test is skipped, and fails in CI.
func Postgres(t testing.TB) Database {
	t.Helper()
	if address := os.Getenv(AddressVariable); address != "" {
		return fresh(t, address)
	}
	f, err := shared()
	if err != nil {
		without(t, err)
	}
	return f.database(t)
}

// EmptyPostgres is Postgres, but no store was ever opened on it, and it is dropped when the test ends.
func EmptyPostgres(t testing.TB) Database {
	t.Helper()
	if address := os.Getenv(AddressVariable); address != "" {
		return fresh(t, address)
	}
	f, err := shared()
	if err != nil {
		without(t, err)
	}
	return PostgresOn(t, f.server)
}

// OwnServer starts a Postgres for one test, to stop it or restart it, or with settings of its own; see Postgres for
// where there is none.
func OwnServer(t testing.TB, settings ...string) *Server {
	t.Helper()
	server, err := StartServer(settings...)
	if err != nil {
		without(t, err)
	}
	t.Cleanup(func() {
		if err := server.Remove(); err != nil {
			t.Error(err)
		}
	})
	return server
}

// PostgresOn is an empty database on a server that the test started.
func PostgresOn(t testing.TB, server *Server) Database {
	t.Helper()
	return fresh(t, server.Address("postgres"))
}

// without ends a test that needs Postgres where there is none.
func without(t testing.TB, err error) {
	t.Helper()
	skip.UnlessCI(t, "no Postgres to test on: %v\ninstall it (apt-get install postgresql), or set %s", err, AddressVariable)
}

func fresh(t testing.TB, address string) Database {
	t.Helper()
	name := newName()
	execute(t, address, "CREATE DATABASE "+name)
	t.Cleanup(func() { execute(t, address, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") })
	u, err := url.Parse(address)
	if err != nil {
		t.Fatalf("%s is not an address", AddressVariable)
	}
	u.Path = "/" + name
	return database(t, u.String())
}

func (f *farm) database(t testing.TB) Database {
	t.Helper()
	name := f.take()
	if name == "" {
		name = newName()
		execute(t, f.server.Address("postgres"), "CREATE DATABASE "+name)
	}
	address := f.server.Address(name)
	t.Cleanup(func() {
		execute(t, address, emptyAll)
		f.mu.Lock()
		defer f.mu.Unlock()
		f.free = append(f.free, name)
	})
	return database(t, address)
}

func (f *farm) take() (name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := len(f.free); n > 0 {
		name, f.free = f.free[n-1], f.free[:n-1]
	}
	return name
}

// emptyAll ends what a test has left connected and empties every table but those that say how they were made.
// DELETE without foreign keys checked, not TRUNCATE: that makes a hundred new files.
const emptyAll = `
DO $$ DECLARE name TEXT; BEGIN
	PERFORM pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid();
	SET session_replication_role = replica;
	FOR name IN SELECT tablename FROM pg_tables
		WHERE schemaname = 'public' AND tablename NOT IN ('schema_versions', 'river_migration')
	LOOP
		EXECUTE 'DELETE FROM ' || quote_ident(name);
	END LOOP;
END $$`

func newName() string { return "test_" + fleet.NewID() }

// database keeps the pools of many stores within the server's connections.
func database(t testing.TB, address string) Database {
	t.Helper()
	if !strings.Contains(address, "pool_max_conns") {
		separator := "?"
		if strings.Contains(address, "?") {
			separator = "&"
		}
		address += separator + "pool_max_conns=8"
	}
	return Database{Options: store.Options{DatabaseURL: address, Box: Box(t)}}
}

func execute(t testing.TB, address, statement string) {
	t.Helper()
	ctx := context.Background() // also after the test's own context ended
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		t.Fatalf("connect to the Postgres for tests: %v", err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, statement); err != nil {
		t.Fatal(fmt.Errorf("%s: %w", statement, err))
	}
}
