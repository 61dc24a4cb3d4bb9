package store_test

import (
	"bytes"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/stdlib"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/seal"
	"github.com/talos-manager/talos-manager/internal/store"
	"github.com/talos-manager/talos-manager/internal/store/storetest"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

// hush is in every secret that writeSecrets writes.
const hush = "hush-hush"

// writeSecrets writes one of every secret there is, and returns how to read them all back.
func writeSecrets(t testing.TB, s *store.Store) (read func(t testing.TB, s *store.Store) []string) {
	ctx := t.Context()
	a := must(s.CreateAccount(ctx, fleet.Account{Name: "a", Provider: fleet.HetznerRobot, Token: hush + " 1", User: hush + " 2", Password: hush + " 3"}))(t)
	a.Token = hush + " 1b"
	must(0, s.UpdateAccount(ctx, a))(t)
	must(s.CreateCluster(ctx, fleet.Cluster{Name: "c", Secrets: []byte(hush + " 4")}))(t)
	cfg := must(s.CreateConfig(ctx, fleet.Config{Name: "base", Contents: patched(hush + " 5")}, "ada"))(t)
	v := mustSync(t, s, a.ID, "x").Added[0]
	mustEdit(t, s, func(e *store.Edit) error {
		_, err := e.Layer(ctx, store.LayerEdit{Scope: fleet.ScopeServer, OwnerID: v.ID, Verb: store.VerbSave, Contents: patched(hush + " 6")})
		return err
	})
	key := func() (store.SSHKey, error) { return store.SSHKey{Public: "public", Private: []byte(hush + " 7")}, nil }
	must(s.EnsureSSHKey(ctx, key))(t)
	op := operation(v.ID, "", "server.install")
	must(0, s.CreateOperation(ctx, op, []byte(`"`+hush+` 8"`)))(t)
	mustWrite(t, s, mustClaim(t, s, op.ID, "r", noon), workflow.Change{Values: map[string][]byte{"code": []byte(`"` + hush + ` 9"`)}, Release: true})
	return func(t testing.TB, s *store.Store) []string {
		account, cluster, config := must(s.Account(ctx, "a"))(t), must(s.Cluster(ctx, "c"))(t), must(s.Config(ctx, cfg.ID))(t)
		server, sshKey := must(s.Layer(ctx, fleet.ScopeServer, v.ID))(t), must(s.EnsureSSHKey(ctx, key))(t)
		claim := mustClaim(t, s, op.ID, "r", noon)
		mustWrite(t, s, claim, workflow.Change{Release: true})
		return []string{
			account.Token, account.User, account.Password, string(cluster.Secrets), config.Text("all"), server.Text("all"),
			string(sshKey.Private), string(claim.Input), string(claim.Values["code"]),
		}
	}
}

func patched(text string) fleet.Contents {
	return fleet.Contents{Patches: []fleet.Patch{{Name: "all", Text: text}}}
}

func mustEdit(t testing.TB, s *store.Store, fn func(*store.Edit) error) {
	t.Helper()
	must(0, s.Edit(t.Context(), "edit", nil, fn))(t)
}

func TestNoSecretStandsInTheDatabase(t *testing.T) {
	storetest.EachDatabase(t, func(t *testing.T, d storetest.Database) {
		s := d.Open(t)
		read := writeSecrets(t, s)
		for _, secret := range read(t, s) {
			if !strings.Contains(secret, hush) {
				t.Fatalf("a secret came back as %q", secret)
			}
		}
		cells := 0
		for _, table := range tables(t, s) {
			for _, row := range rows(t, s, table) {
				for _, cell := range row {
					cells++
					if said := fmt.Sprintf("%s", cell); strings.Contains(said, hush) || strings.Contains(said, fmt.Sprintf("%x", hush)) {
						t.Errorf("table %s has a secret in clear: %.80q", table, said)
					}
				}
			}
		}
		if cells < 100 {
			t.Errorf("looked at %d cells only", cells)
		}
		if d.Options.DataDir == "" {
			return
		}
		files, _ := filepath.Glob(filepath.Join(d.Options.DataDir, "*"))
		for _, file := range files {
			if content := must(os.ReadFile(file))(t); bytes.Contains(content, []byte(hush)) {
				t.Errorf("%s has a secret in clear", filepath.Base(file))
			}
			if info := must(os.Stat(file))(t); info.Mode().Perm()&0o077 != 0 {
				t.Errorf("others may read %s: %s", filepath.Base(file), info.Mode())
			}
		}
	})
}

func TestSecretMovedToAnotherRecordDoesNotOpen(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		a, b := mustAccount(t, s, "a"), mustAccount(t, s, "b")
		exec(t, s, `UPDATE accounts SET token = (SELECT token FROM accounts WHERE id = '`+a.ID+`') WHERE id = '`+b.ID+`'`)
		_, err := s.Account(t.Context(), "b")
		want(t, err, fleet.Internal, "accounts/token/"+b.ID, "another place")
	})
}

func TestKeysAreRotated(t *testing.T) {
	storetest.EachDatabase(t, func(t *testing.T, d storetest.Database) {
		first := d.Open(t)
		read := writeSecrets(t, first)
		before := read(t, first)
		first.Close()

		old := must(seal.ParseKey("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"))(t)
		fresh := seal.NewKey()
		d.Options.Box = seal.NewBox(fresh, old)
		both := d.Open(t)
		if n := must(both.Reseal(t.Context()))(t); n != len(before) {
			t.Errorf("sealed %d values anew, want %d", n, len(before))
		}
		if n := must(both.Reseal(t.Context()))(t); n != 0 {
			t.Errorf("a second run sealed %d values anew", n)
		}
		both.Close()

		d.Options.Box = seal.NewBox(fresh)
		after := read(t, d.Open(t))
		if strings.Join(before, "|") != strings.Join(after, "|") {
			t.Errorf("read %q before and %q after", before, after)
		}
		d.Options.Box = seal.NewBox(old)
		_, err := store.Open(t.Context(), d.Options)
		want(t, err, fleet.Invalid, fresh.ID())
	})
}

func TestEverySealedColumnIsResealed(t *testing.T) {
	var schema strings.Builder
	for _, file := range must(filepath.Glob("migrations/*.sql"))(t) {
		schema.Write(must(os.ReadFile(file))(t))
	}
	code := string(must(os.ReadFile("reseal.go"))(t))
	found := 0
	for _, table := range regexp.MustCompile(`(?s)CREATE TABLE (\w+) \((.*?)\n\);`).FindAllStringSubmatch(schema.String(), -1) {
		for _, column := range regexp.MustCompile(`(?m)^\s+(\w+)\s+BYTEA`).FindAllStringSubmatch(table[2], -1) {
			found++
			if strings.Contains(schema.String(), "ALTER TABLE "+table[1]+" DROP COLUMN "+column[1]+";") {
				continue
			}
			if !strings.Contains(code, fmt.Sprintf("{%q, %q, ", table[1], column[1])) {
				t.Errorf("column %s of %s is sealed, but not in sealedColumns", column[1], table[1])
			}
		}
	}
	if found < 5 {
		t.Errorf("found %d sealed columns in the migrations", found)
	}
}

// raw is a handle past the store.
func raw(t testing.TB, s *store.Store) *sql.DB {
	if db := s.SQLite(); db != nil {
		return db
	}
	db := stdlib.OpenDBFromPool(s.Postgres())
	t.Cleanup(func() { db.Close() })
	return db
}

func tables(t testing.TB, s *store.Store) (names []string) {
	t.Helper()
	query := `SELECT tablename FROM pg_tables WHERE schemaname = 'public'`
	if s.Adapter() == store.SQLite {
		query = `SELECT name FROM sqlite_master WHERE type = 'table'`
	}
	r := must(raw(t, s).QueryContext(t.Context(), query))(t)
	defer r.Close()
	for r.Next() {
		var name string
		must(0, r.Scan(&name))(t)
		names = append(names, name)
	}
	return names
}

func rows(t testing.TB, s *store.Store, table string) (all [][]any) {
	t.Helper()
	r := must(raw(t, s).QueryContext(t.Context(), `SELECT * FROM `+table))(t)
	defer r.Close()
	columns := must(r.Columns())(t)
	for r.Next() {
		row, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range row {
			into[i] = &row[i]
		}
		must(0, r.Scan(into...))(t)
		all = append(all, row)
	}
	return all
}
