package store_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
	"github.com/talos-manager/talos-manager/internal/store/storetest"
)

// formerVersion makes the tables of a former version, and leaves the handle open.
func formerVersion(t *testing.T, d storetest.Database, version int) *sql.DB {
	t.Helper()
	var db *sql.DB
	if d.Options.DataDir != "" {
		db = must(sql.Open("sqlite", filepath.Join(d.Options.DataDir, store.FileName)))(t)
	} else {
		u := must(url.Parse(d.Options.DatabaseURL))(t)
		query := u.Query()
		query.Del("pool_max_conns") // for pools only
		u.RawQuery = query.Encode()
		db = stdlib.OpenDB(*must(pgx.ParseConfig(u.String()))(t))
	}
	statements := []string{`CREATE TABLE schema_versions (version BIGINT PRIMARY KEY, name TEXT NOT NULL, applied_at BIGINT NOT NULL)`}
	files := must(filepath.Glob("migrations/*.sql"))(t)
	for i, file := range files[:version] {
		name := strings.TrimSuffix(filepath.Base(file), ".sql")
		statements = append(statements, string(must(os.ReadFile(file))(t)), fmt.Sprintf(`INSERT INTO schema_versions (version, name, applied_at) VALUES (%d, '%s', 1)`, i+1, name))
	}
	for _, statement := range statements {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	return db
}

// What machines said before there were columns for it is in them after: what they have since version 9, their serial
// numbers and whether their UUID is a bad one since version 10.
func TestColumnsAreFilledFromFactsOfBefore(t *testing.T) {
	for _, version := range []int{8, 9} {
		t.Run(fmt.Sprint("from version ", version), func(t *testing.T) {
			storetest.EachEmpty(t, func(t *testing.T, d storetest.Database) {
				db, box := formerVersion(t, d, version), d.Options.Box
				run := func(statement string, args ...any) {
					t.Helper()
					if _, err := db.ExecContext(t.Context(), statement, args...); err != nil {
						t.Fatal(err)
					}
				}
				run(`INSERT INTO accounts (id, name, provider, token, login, password, created_at) VALUES ('a', 'a', 'manual', $1, $1, $1, 1)`, box.Seal(nil, "accounts/token/a"))
				for name, facts := range map[string]string{
					"unseen": "",
					"big":    told(t, fleet.Facts{UUID: "4c4c4544-0051-3610-8052-b4c04f4a0001", Serial: "BOARD-1", Cores: 8, MemoryBytes: 64, Disks: []fleet.Disk{{SizeBytes: 5, Serial: "S4X"}, {SizeBytes: 7, Serial: "S4X"}}}),
					"small":  told(t, fleet.Facts{UUID: "03000200-0400-0500-0006-000700080009", Cores: 2}),
				} {
					run(`INSERT INTO servers (id, account_id, provider, provider_id, name, product, location, architecture, status, power, locked, ipv4, ipv6, ipv6_net, cancelled, created_at, seen_at, state, facts)
						VALUES ($1, 'a', 'manual', $1, $1, '', '', 'amd64', '', 'on', FALSE, '', '', '', FALSE, 1, 1, 'known', $2)`, name, facts)
				}
				if version >= 9 { // which filled its columns
					run(`UPDATE servers SET cores = 8, memory_bytes = 64, disk_bytes = 12 WHERE id = 'big'`)
					run(`UPDATE servers SET cores = 2 WHERE id = 'small'`)
				}
				db.Close()

				s := d.Open(t)
				for _, b := range must(s.ServerBriefs(t.Context()))(t) {
					got, want := fmt.Sprint(b.Cores, b.MemoryBytes, b.DiskBytes), map[string]string{"unseen": "0 0 0", "big": "8 64 12", "small": "2 0 0"}[b.Name]
					if got != want {
						t.Errorf("%s has %s, want %s", b.Name, got, want)
					}
				}
				for serial, want := range map[string]string{"s4": "big", "board": "big", "nothing": ""} {
					if got := names(must(s.ServersBySerial(t.Context(), serial, 9))(t)); got != want {
						t.Errorf("serial number %s is of %q, want %q", serial, got, want)
					}
				}
				if got := names(must(s.Servers(t.Context(), store.ServerFilter{Problem: fleet.ProblemUUID}))(t)); got != "small" {
					t.Errorf("a bad UUID have %q", got)
				}
			})
		})
	}
}

// told is how facts were stored.
func told(t *testing.T, f fleet.Facts) string {
	t.Helper()
	return string(must(json.Marshal(f))(t))
}
