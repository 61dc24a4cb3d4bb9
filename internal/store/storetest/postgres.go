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
	"github.com/talos-manager/talos-manager/internal/store"
)

// AddressVariable names a Postgres to use instead of a private one: postgres://…, a user who may create databases.
const AddressVariable = "TALOS_MANAGER_TEST_DATABASE_URL"

// shared gives the one private Postgres of the test binary, started at its first use.
var shared = sync.OnceValues(StartServer)

// Postgres is a database of its own on the Postgres of this test binary. Without one the test fails where CI is
// true and is skipped elsewhere.
func Postgres(t testing.TB) Database {
	t.Helper()
	if address := os.Getenv(AddressVariable); address != "" {
		return newDatabase(t, address)
	}
	server, err := shared()
	if err != nil {
		without(t, err)
	}
	return PostgresOn(t, server)
}

// PostgresOn is a database on a server that the test started itself, to stop it or restart it.
func PostgresOn(t testing.TB, server *Server) Database {
	t.Helper()
	return newDatabase(t, server.Address("postgres"))
}

// without ends a test that needs Postgres where there is none.
func without(t testing.TB, err error) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("tests need Postgres: %v", err)
	}
	t.Skipf("no Postgres to test on: %v\ninstall it (apt-get install postgresql), or set %s", err, AddressVariable)
}

func newDatabase(t testing.TB, address string) Database {
	t.Helper()
	name := "test_" + fleet.NewID()
	execute(t, address, "CREATE DATABASE "+name)
	t.Cleanup(func() { execute(t, address, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") })
	u, err := url.Parse(address)
	if err != nil {
		t.Fatalf("%s is not an address", AddressVariable)
	}
	u.Path = "/" + name
	return Database{Options: store.Options{DatabaseURL: limited(u), Box: Box(t)}}
}

// limited keeps the pools of many stores within the server's connections.
func limited(u *url.URL) string {
	address := u.String()
	if strings.Contains(address, "pool_max_conns") {
		return address
	}
	separator := "?"
	if u.RawQuery != "" {
		separator = "&"
	}
	return address + separator + "pool_max_conns=8"
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
