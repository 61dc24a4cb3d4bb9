package store

import (
	"context"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Token is an API token. Only its hash is kept.
type Token struct {
	ID        string
	Name      string
	Hash      string // sha256 of the token, hex
	Actor     string // whose it is
	CreatedAt time.Time
	UsedAt    time.Time // to the minute; zero: never
	ExpiresAt time.Time // zero: never
}

// tokenUse is how exact UsedAt is: a request does not write every time.
const tokenUse = time.Minute

const tokenColumns = `id, name, hash, actor, created_at, used_at, expires_at`

func scanToken(r row) (k Token, err error) {
	return k, r.Scan(&k.ID, &k.Name, &k.Hash, &k.Actor, moment{&k.CreatedAt}, moment{&k.UsedAt}, moment{&k.ExpiresAt})
}

// CreateToken writes a new token. fleet.Conflict when the name is taken.
func (s *Store) CreateToken(ctx context.Context, k Token) (Token, error) {
	s.stamp(&k.ID, &k.CreatedAt)
	err := s.write(ctx, "create token "+k.Name, func(t *tx) error {
		_, err := t.ExecContext(ctx, `INSERT INTO tokens (id, name, hash, actor, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)`,
			k.ID, k.Name, k.Hash, text(k.Actor), micros(k.CreatedAt), micros(k.ExpiresAt))
		t.changed("tokens", k.ID)
		return err
	})
	return k, taken(err, "token", k.Name)
}

// UseToken finds the token of the hash and notes its use. fleet.Unauthorized when there is none, or it expired.
func (s *Store) UseToken(ctx context.Context, hash string, now time.Time) (Token, error) {
	all, err := list(ctx, s.reader, scanToken, `SELECT `+tokenColumns+` FROM tokens WHERE hash = $1`, hash)
	if err != nil {
		return Token{}, s.explain("look for a token", err)
	}
	if len(all) == 0 {
		return Token{}, fleet.Errorf(fleet.Unauthorized, "unknown token")
	}
	k := all[0]
	if !k.ExpiresAt.IsZero() && !k.ExpiresAt.After(now) {
		return Token{}, fleet.Errorf(fleet.Unauthorized, "token %s has expired", k.Name)
	}
	if now.Sub(k.UsedAt) < tokenUse {
		return k, nil
	}
	k.UsedAt = now.UTC().Truncate(time.Microsecond)
	return k, s.write(ctx, "note the use of token "+k.Name, func(t *tx) error {
		_, err := t.ExecContext(ctx, `UPDATE tokens SET used_at = $2 WHERE id = $1 AND used_at < $2`, k.ID, micros(now))
		return err
	})
}

// Tokens lists all by name.
func (s *Store) Tokens(ctx context.Context) ([]Token, error) {
	all, err := list(ctx, s.reader, scanToken, `SELECT `+tokenColumns+` FROM tokens ORDER BY name`)
	return all, s.explain("list tokens", err)
}

// RemoveToken removes one by id or name: from now on it opens nothing.
func (s *Store) RemoveToken(ctx context.Context, ref string) error {
	return s.write(ctx, "remove token "+ref, func(t *tx) error {
		n, err := affected(t.ExecContext(ctx, `DELETE FROM tokens WHERE id = $1 OR name = $1`, ref))
		t.changed("tokens", ref)
		return one(n, err, "token", ref)
	})
}
