package store

import "context"

// Setting reads a setting, "" when it was never set.
func (s *Store) Setting(ctx context.Context, name string) (string, error) {
	all, err := list(ctx, s.reader, scanName, `SELECT value FROM settings WHERE name = $1`, name)
	if err != nil || len(all) == 0 {
		return "", s.explain("read setting "+name, err)
	}
	return all[0], nil
}

// SetSetting writes a setting. It is no place for secrets.
func (s *Store) SetSetting(ctx context.Context, name, value string) error {
	return s.write(ctx, "write setting "+name, func(t *tx) error {
		_, err := t.ExecContext(ctx, `
			INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value`, name, text(value))
		t.changed("settings", name)
		return err
	})
}

// EnsureSetting reads a setting, and sets it first if it never was: whoever is first decides for all.
func (s *Store) EnsureSetting(ctx context.Context, name, value string) (set string, err error) {
	err = s.write(ctx, "write setting "+name, func(t *tx) error {
		n, err := affected(t.ExecContext(ctx, `INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING`, name, text(value)))
		if err != nil {
			return err
		}
		if n > 0 {
			t.changed("settings", name)
		}
		return t.QueryRowContext(ctx, `SELECT value FROM settings WHERE name = $1`, name).Scan(&set)
	})
	return set, err
}
