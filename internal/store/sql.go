package store

import (
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// queryer is a transaction, or a pool outside of one.
type queryer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// row is one row: of *sql.Rows or *sql.Row.
type row interface{ Scan(into ...any) error }

// tx is a transaction that writes, and what it changed.
type tx struct {
	*sql.Tx
	changes              []Change
	records, assignments bool            // see Version
	revised              map[string]bool // servers, see revise
}

// changed notes a change, to be told once the transaction is committed.
func (t *tx) changed(table, id string) {
	t.changes = append(t.changes, Change{Table: table, ID: id})
	switch table {
	case "clusters", "configs", "schematics", "vswitches":
		t.records = true
	case "servers":
		t.revised[id] = true
	}
}

// attempts of a transaction that the database itself gave up, to let another one through.
const attempts = 5

// write runs fn in a transaction and tells what it changed. fn may run more than once. doing says for errors what
// was being done, to whom.
func (s *Store) write(ctx context.Context, doing string, fn func(*tx) error) error {
	for attempt := 1; ; attempt++ {
		t, err := s.once(ctx, fn)
		if err == nil {
			s.publish(t.changes)
			return nil
		}
		if attempt == attempts || !lostRace(err) || ctx.Err() != nil {
			return s.explain(doing, err)
		}
	}
}

func (s *Store) once(ctx context.Context, fn func(*tx) error) (*tx, error) {
	begun, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	t := &tx{Tx: begun, revised: map[string]bool{}}
	if err := fn(t); err != nil {
		_ = begun.Rollback() // whatever it says, err is why
		return nil, err
	}
	if err := t.settle(ctx); err != nil {
		_ = begun.Rollback()
		return nil, err
	}
	return t, begun.Commit()
}

// list reads all rows of a query.
func list[T any](ctx context.Context, q queryer, scan func(row) (T, error), query string, args ...any) ([]T, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}

// affected is how many rows a statement changed.
func affected(r sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// filter collects the conditions of a list; every $? becomes the next number.
type filter struct {
	conditions []string
	args       []any
}

// and adds a condition with its arguments.
func (f *filter) and(condition string, args ...any) {
	for _, a := range args {
		f.args = append(f.args, a)
		condition = strings.Replace(condition, "$?", fmt.Sprintf("$%d", len(f.args)), 1)
	}
	f.conditions = append(f.conditions, condition)
}

// in adds: column is one of values. No values: no condition.
func in[T ~string](f *filter, column string, values []T) {
	if len(values) == 0 {
		return
	}
	args := make([]any, len(values))
	for i, v := range values {
		args[i] = string(v)
	}
	f.and(column+" IN ("+strings.TrimSuffix(strings.Repeat("$?, ", len(values)), ", ")+")", args...)
}

// where is the clause, empty without conditions.
func (f *filter) where() string {
	if len(f.conditions) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(f.conditions, " AND ")
}

// page is LIMIT and OFFSET; a limit of 0 means all.
func (f *filter) page(limit, offset int) string {
	if limit <= 0 {
		limit = 1 << 30
	}
	f.args = append(f.args, limit, offset)
	return fmt.Sprintf(" LIMIT $%d OFFSET $%d", len(f.args)-1, len(f.args))
}

// micros is how a time is stored: Unix microseconds, 0 for the zero time.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// moment reads what micros wrote.
type moment struct{ t *time.Time }

// Scan is for package sql.
func (m moment) Scan(v any) error {
	n, ok := v.(int64)
	if !ok {
		return fmt.Errorf("a time is stored as %T", v)
	}
	*m.t = time.Time{}
	if n != 0 {
		*m.t = time.UnixMicro(n).UTC()
	}
	return nil
}

// ref writes a reference to another record: NULL when it is empty.
func ref(id string) any {
	if id == "" {
		return nil
	}
	return id
}

// optional reads a text that may be NULL.
type optional struct{ s *string }

// Scan is for package sql.
func (o optional) Scan(v any) error {
	var n sql.NullString
	if err := n.Scan(v); err != nil {
		return err
	}
	*o.s = n.String
	return nil
}

// document reads JSON; an empty text leaves the zero value.
type document struct{ into any }

// Scan is for package sql.
func (d document) Scan(v any) error {
	var n sql.NullString
	if err := n.Scan(v); err != nil || n.String == "" {
		return err
	}
	return json.Unmarshal([]byte(n.String), d.into)
}

// encode writes JSON of our own types, which always can be.
func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// text makes what machines and foreign systems print storable: Postgres refuses zero bytes and broken UTF-8.
func text(s string) string {
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "\uFFFD")
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// textRef is text for an optional value.
func textRef(s *string) *string {
	if s == nil {
		return nil
	}
	clean := text(*s)
	return &clean
}

// microsRef is micros for an optional time.
func microsRef(t *time.Time) *int64 {
	if t == nil {
		return nil
	}
	n := micros(*t)
	return &n
}

// like is a pattern that finds the words anywhere, for LIKE … ESCAPE '!'.
func like(words string) string {
	return "%" + strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(strings.ToLower(text(words))) + "%"
}

func encodeHex(b []byte) string          { return hex.EncodeToString(b) }
func decodeHex(s string) ([]byte, error) { return hex.DecodeString(s) }

// secret reads a sealed value for the place it stands in; NULL leaves it empty.
type secret struct {
	s     *Store
	place func() string // asked after the row's id was read
	into  *[]byte
}

// Scan is for package sql.
func (x secret) Scan(v any) error {
	if v == nil {
		*x.into = nil
		return nil
	}
	sealed, ok := v.([]byte)
	if !ok {
		return fmt.Errorf("a sealed value is stored as %T", v)
	}
	plain, err := x.s.box.Open(sealed, x.place())
	*x.into = plain
	return err
}

// seal seals a value for the column of the record.
func (s *Store) seal(plain []byte, table, column, id string) []byte {
	return s.box.Seal(plain, place(table, column, id))
}

// sealed reads what seal wrote for the record whose id stands earlier in the row.
func (s *Store) sealed(into *[]byte, table, column string, id *string) secret {
	return secret{s: s, into: into, place: func() string { return place(table, column, *id) }}
}

// sealedText is sealed for a string.
func (s *Store) sealedText(into *string, table, column string, id *string) sql.Scanner {
	return textSecret{secret: s.sealed(new([]byte), table, column, id), text: into}
}

type textSecret struct {
	secret
	text *string
}

// Scan is for package sql.
func (x textSecret) Scan(v any) error {
	err := x.secret.Scan(v)
	*x.text = string(*x.into)
	return err
}

func place(table, column, id string) string { return table + "/" + column + "/" + id }
