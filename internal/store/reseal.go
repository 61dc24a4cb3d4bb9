package store

import (
	"context"
	"fmt"
)

// sealedColumn is a column of sealed values; key is the expression that, with table and column, names the place
// that a value is bound to.
type sealedColumn struct{ table, column, key string }

// sealedColumns lists all of them; a test holds it to the migrations.
func sealedColumns() []sealedColumn {
	return []sealedColumn{
		{"accounts", "token", "id"},
		{"accounts", "login", "id"},
		{"accounts", "password", "id"},
		{"clusters", "secrets", "id"},
		{"config_contents", "body", "revision"},
		{"ssh_keys", "private", "name"},
		{"operations", "input", "id"},
		{"operation_values", "value", "operation_id || '/' || name"},
	}
}

// Reseal seals anew, with the first key, every value that was sealed with an older one, and says how many. When it
// has returned without error, the older keys can be taken away. Replicas that write with an older key meanwhile
// make another run necessary.
func (s *Store) Reseal(ctx context.Context) (resealed int, err error) {
	for _, c := range sealedColumns() {
		n, err := s.resealColumn(ctx, c)
		resealed += n
		if err != nil {
			return resealed, err
		}
	}
	return resealed, s.resealCheck(ctx)
}

func (s *Store) resealColumn(ctx context.Context, c sealedColumn) (resealed int, err error) {
	type value struct {
		key    string
		sealed []byte
	}
	err = s.write(ctx, fmt.Sprintf("seal %s of %s anew", c.column, c.table), func(t *tx) error {
		resealed = 0
		all, err := list(ctx, t, func(r row) (v value, err error) { return v, r.Scan(&v.key, &v.sealed) },
			`SELECT `+c.key+`, `+c.column+` FROM `+c.table+` WHERE `+c.column+` IS NOT NULL`)
		if err != nil {
			return err
		}
		for _, v := range all {
			if s.box.Current(v.sealed) {
				continue
			}
			plain, err := s.box.Open(v.sealed, place(c.table, c.column, v.key))
			if err != nil {
				return err
			}
			_, err = t.ExecContext(ctx, `UPDATE `+c.table+` SET `+c.column+` = $1 WHERE `+c.key+` = $2 AND `+c.column+` = $3`,
				s.seal(plain, c.table, c.column, v.key), v.key, v.sealed)
			if err != nil {
				return err
			}
			resealed++
		}
		return nil
	})
	return resealed, err
}

// The value that shows at start whether the key is the right one.
const (
	checkName  = "seal.check"
	checkPlace = "settings/seal.check"
	checkWord  = "sealed"
)

// checkKey opens a value that was sealed when the database was made: a wrong key shows at start instead of in the
// middle of an install.
func (s *Store) checkKey(ctx context.Context) error {
	text, err := s.EnsureSetting(ctx, checkName, encodeHex(s.box.Seal([]byte(checkWord), checkPlace)))
	if err != nil {
		return err
	}
	sealed, err := decodeHex(text)
	if err != nil {
		return err
	}
	_, err = s.box.Open(sealed, checkPlace)
	return err
}

func (s *Store) resealCheck(ctx context.Context) error {
	return s.SetSetting(ctx, checkName, encodeHex(s.box.Seal([]byte(checkWord), checkPlace)))
}
