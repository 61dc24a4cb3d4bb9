package store

import (
	"context"
	"database/sql"
	"database/sql/driver"

	"modernc.org/sqlite"
)

// SQLite compiles a statement's text each time it is run, which took a third of the engine's time. Connections here
// keep what they compiled; SQLite itself compiles anew when the tables have changed. pgx does the same for Postgres.

// keptStatements is how many statements a connection keeps. The program has fewer; lists with filters may have more.
const keptStatements = 400

// openKept is sql.Open("sqlite", name) with connections that keep compiled statements.
func openKept(name string) (*sql.DB, error) {
	c, err := sqlite.NewConnector(name)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(keeper{c}), nil
}

type keeper struct{ driver.Connector }

// Connect is for package sql.
func (k keeper) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := k.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &keptConn{sqliteConn: c.(sqliteConn), kept: map[string]*keptStatement{}}, nil
}

// sqliteConn is everything that package sql asks of the driver's connection.
type sqliteConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

// keptConn is a connection, which package sql lets one goroutine use at a time.
type keptConn struct {
	sqliteConn
	kept map[string]*keptStatement
}

// sqliteStatement is a statement of the driver.
type sqliteStatement interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

type keptStatement struct {
	run  sqliteStatement
	busy bool // its rows are being read
}

// statement compiles query, or finds it compiled; nil while its rows are being read.
func (c *keptConn) statement(ctx context.Context, query string) (*keptStatement, error) {
	if s, ok := c.kept[query]; ok {
		if s.busy {
			return nil, nil
		}
		return s, nil
	}
	if len(c.kept) >= keptStatements {
		if err := c.forget(); err != nil {
			return nil, err
		}
	}
	prepared, err := c.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	s := &keptStatement{run: prepared.(sqliteStatement)}
	c.kept[query] = s
	return s, nil
}

// forget drops all statements whose rows nobody reads.
func (c *keptConn) forget() error {
	for query, s := range c.kept {
		if s.busy {
			continue
		}
		delete(c.kept, query)
		if err := s.run.Close(); err != nil {
			return err
		}
	}
	return nil
}

// ExecContext is for package sql.
func (c *keptConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	s, err := c.statement(ctx, query)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return c.sqliteConn.ExecContext(ctx, query, args)
	}
	return s.run.ExecContext(ctx, args)
}

// QueryContext is for package sql.
func (c *keptConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	s, err := c.statement(ctx, query)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return c.sqliteConn.QueryContext(ctx, query, args)
	}
	rows, err := s.run.QueryContext(ctx, args)
	if err != nil {
		return nil, err
	}
	s.busy = true
	return keptRows{rows, s}, nil
}

// Close is for package sql.
func (c *keptConn) Close() error {
	for _, s := range c.kept {
		_ = s.run.Close() // closing the connection says what is wrong
	}
	return c.sqliteConn.Close()
}

// keptRows gives the statement back when they are closed.
type keptRows struct {
	driver.Rows
	statement *keptStatement
}

// Close is for package sql.
func (r keptRows) Close() error {
	r.statement.busy = false
	return r.Rows.Close()
}
