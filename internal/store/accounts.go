package store

import (
	"context"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

const accountColumns = `id, name, provider, token, login, password, created_at, checked_at, synced_at, problem`

func (s *Store) scanAccount(r row) (a fleet.Account, err error) {
	return a, r.Scan(&a.ID, &a.Name, &a.Provider,
		s.sealedText(&a.Token, "accounts", "token", &a.ID), s.sealedText(&a.User, "accounts", "login", &a.ID),
		s.sealedText(&a.Password, "accounts", "password", &a.ID),
		moment{&a.CreatedAt}, moment{&a.CheckedAt}, moment{&a.SyncedAt}, &a.Problem)
}

// CreateAccount writes a new account; it fills in ID and CreatedAt where they are empty. fleet.Conflict when the
// name is taken.
func (s *Store) CreateAccount(ctx context.Context, a fleet.Account) (fleet.Account, error) {
	s.stamp(&a.ID, &a.CreatedAt)
	err := s.write(ctx, "add account "+a.Name, func(t *tx) error {
		_, err := t.ExecContext(ctx, `
			INSERT INTO accounts (id, name, provider, token, login, password, created_at, checked_at, synced_at, problem)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
			a.ID, a.Name, a.Provider, s.seal([]byte(a.Token), "accounts", "token", a.ID), s.seal([]byte(a.User), "accounts", "login", a.ID),
			s.seal([]byte(a.Password), "accounts", "password", a.ID), micros(a.CreatedAt), micros(a.CheckedAt), micros(a.SyncedAt), text(a.Problem))
		t.changed("accounts", a.ID)
		return err
	})
	return a, taken(err, "account", a.Name)
}

// UpdateAccount writes name and credentials.
func (s *Store) UpdateAccount(ctx context.Context, a fleet.Account) error {
	err := s.write(ctx, "change account "+a.Name, func(t *tx) error {
		n, err := affected(t.ExecContext(ctx, `
			UPDATE accounts SET name = $2, token = $3, login = $4, password = $5 WHERE id = $1`,
			a.ID, a.Name, s.seal([]byte(a.Token), "accounts", "token", a.ID), s.seal([]byte(a.User), "accounts", "login", a.ID),
			s.seal([]byte(a.Password), "accounts", "password", a.ID)))
		t.changed("accounts", a.ID)
		return one(n, err, "account", a.ID)
	})
	return taken(err, "account", a.Name)
}

// AccountChecked notes the result of asking the provider: problem is empty when all was well.
func (s *Store) AccountChecked(ctx context.Context, id string, at time.Time, problem string) error {
	return s.write(ctx, "note the check of account "+id, func(t *tx) error {
		n, err := affected(t.ExecContext(ctx, `UPDATE accounts SET checked_at = $2, problem = $3 WHERE id = $1`,
			id, micros(at), text(problem)))
		t.changed("accounts", id)
		return one(n, err, "account", id)
	})
}

// Account reads one by id or name.
func (s *Store) Account(ctx context.Context, ref string) (fleet.Account, error) {
	return lookUp(ctx, s, "account", ref, s.scanAccount,
		`SELECT `+accountColumns+` FROM accounts WHERE id = $1 OR name = $1`)
}

// Accounts lists all by name.
func (s *Store) Accounts(ctx context.Context) ([]fleet.Account, error) {
	all, err := list(ctx, s.reader, s.scanAccount, `SELECT `+accountColumns+` FROM accounts ORDER BY name`)
	return all, s.explain("list accounts", err)
}

// RemoveAccount forgets an account with its servers and vSwitches; nothing happens at the provider. fleet.Conflict
// while one of its servers is assigned to a cluster or has an active operation.
func (s *Store) RemoveAccount(ctx context.Context, id string) error {
	return s.write(ctx, "remove account "+id, func(t *tx) error {
		// Whoever assigns one of these servers now waits for us, and finds it gone; or was first, and is found below.
		if _, err := t.ExecContext(ctx, `
			DELETE FROM servers WHERE account_id = $1 AND cluster_id IS NULL AND id NOT IN (
				SELECT server_id FROM operations WHERE state NOT IN ('succeeded', 'failed', 'cancelled'))`, id); err != nil {
			return err
		}
		names, err := list(ctx, t, scanName, `SELECT name FROM servers WHERE account_id = $1 ORDER BY name`, id)
		if err != nil {
			return err
		}
		if len(names) > 0 {
			return fleet.Errorf(fleet.Conflict, "account %s still has servers in use: %s", id, some(names)).
				WithHint("reset these servers or take them out of their clusters first, and let their operations end")
		}
		if _, err := t.ExecContext(ctx, `DELETE FROM vswitches WHERE account_id = $1`, id); err != nil {
			if dangling(err) {
				return fleet.Errorf(fleet.Conflict, "a vSwitch of account %s is in use by a cluster", id).
					WithHint("choose another vSwitch for the cluster first")
			}
			return err
		}
		n, err := affected(t.ExecContext(ctx, `DELETE FROM accounts WHERE id = $1`, id))
		t.changed("accounts", id)
		t.changed("servers", "")
		t.changed("vswitches", "")
		return one(n, err, "account", id)
	})
}
