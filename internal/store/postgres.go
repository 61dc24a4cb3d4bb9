package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// postgresConns is the pool's size unless the address says pool_max_conns; the engine's own queries share it.
const postgresConns = 16

func (s *Store) openPostgres(ctx context.Context, address string) error {
	config, err := pgxpool.ParseConfig(address)
	if err != nil {
		return badAddress(err)
	}
	if !strings.Contains(address, "pool_max_conns") {
		config.MaxConns = postgresConns
	}
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = 5 * time.Second
	}
	if config.ConnConfig.RuntimeParams["application_name"] == "" {
		config.ConnConfig.RuntimeParams["application_name"] = "talos-manager"
	}
	c := config.ConnConfig
	s.place = fmt.Sprintf("%s on %s:%d", c.Database, c.Host, c.Port)
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return s.explain("open the database", err)
	}
	s.pool = pool
	s.writer = stdlib.OpenDBFromPool(pool)
	s.reader = s.writer
	if err := s.Ping(ctx); err != nil {
		s.writer.Close()
		pool.Close()
		return err
	}
	return nil
}

// badAddress keeps the parser's words to itself: they may repeat a password.
func badAddress(error) error {
	return fleet.Errorf(fleet.Invalid, "the database address cannot be read").
		WithHint("set DATABASE_URL to postgres://USER:PASSWORD@HOST:5432/DATABASE; write special characters of the password as %%40 and so on")
}
