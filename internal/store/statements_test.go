package store_test

import (
	"fmt"
	"testing"

	"github.com/talos-manager/talos-manager/internal/store/storetest"
)

// SQLite's connections keep compiled statements: nobody may notice.
func TestKeptStatementsBehaveLikeNewOnes(t *testing.T) {
	db := storetest.SQLite(t).Open(t).SQLite()
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	exec := func(query string, args ...any) {
		t.Helper()
		if _, err := tx.ExecContext(t.Context(), query, args...); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
	}
	names := func(query string, then func(name string)) (all []string) {
		t.Helper()
		rows, err := tx.QueryContext(t.Context(), query, "b")
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		defer rows.Close()
		for rows.Next() {
			columns, err := rows.Columns()
			if err != nil {
				t.Fatal(err)
			}
			values := make([]any, len(columns))
			var name string
			values[0] = &name
			for i := range columns[1:] {
				values[i+1] = new(string)
			}
			if err := rows.Scan(values...); err != nil {
				t.Fatal(err)
			}
			all = append(all, fmt.Sprint(name, len(columns)))
			then(name)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		return all
	}
	exec(`CREATE TABLE kept (name TEXT PRIMARY KEY)`)
	for _, name := range []string{"a", "b", "c"} {
		exec(`INSERT INTO kept (name) VALUES ($1)`, name)
	}
	const query = `SELECT * FROM kept WHERE name >= $1 ORDER BY name`
	nested := 0
	outer := names(query, func(string) { nested += len(names(query, func(string) {})) })
	if fmt.Sprint(outer) != "[b1 c1]" || nested != 4 {
		t.Errorf("a query within the same query: %v and %d", outer, nested)
	}
	if _, err := tx.ExecContext(t.Context(), `INSERT INTO kept (name) VALUES ($1)`, "a"); err == nil {
		t.Error("the same name twice")
	}
	exec(`INSERT INTO kept (name) VALUES ($1)`, "d") // after a failure
	exec(`ALTER TABLE kept ADD COLUMN more TEXT NOT NULL DEFAULT ''`)
	if got := names(query, func(string) {}); fmt.Sprint(got) != "[b2 c2 d2]" {
		t.Errorf("after the table changed: %v", got)
	}
	names(query, func(name string) { // more statements than are kept, while one is being read
		for i := range 1000 {
			exec(fmt.Sprintf(`UPDATE kept SET more = $1 || '%s%d' WHERE name = 'a'`, name, i), "x")
		}
	})
	var more string
	if err := tx.QueryRowContext(t.Context(), `SELECT more FROM kept WHERE name = 'a'`).Scan(&more); err != nil || more != "xd999" {
		t.Errorf("the last of many statements wrote %q, %v", more, err)
	}
}
