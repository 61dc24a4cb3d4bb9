package manage

import (
	"context"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/provider"
)

// AddAccount checks the credentials by using them, keeps the account and lists its servers. A listing that fails is
// the account's problem, shown with it; the account is kept.
func (m *Manager) AddAccount(ctx context.Context, actor string, a fleet.Account) (fleet.Account, error) {
	if err := a.Validate(); err != nil {
		return a, err
	}
	if err := m.notTwice(ctx, a); err != nil {
		return a, err
	}
	driver, err := m.Drivers.New(a)
	if err != nil {
		return a, err
	}
	if err := driver.Check(ctx); err != nil {
		return a, fleet.Errorf(fleet.KindOf(err), "account %s: %w", a.Name, err).WithHint("%s", fleet.HintOf(err))
	}
	a.ID, a.CreatedAt, a.CheckedAt = fleet.NewID(), m.Now(), m.Now()
	if a, err = m.Store.CreateAccount(ctx, a); err != nil {
		return a, err
	}
	if err := m.audit(ctx, actor, "account.add", "account", a.ID, "added "+a.Name+" ("+string(a.Provider)+")"); err != nil || m.Sync == nil {
		return a, err
	}
	if err := m.Sync(ctx, a.ID); err != nil {
		m.Log.Warn("sync a new account", "account", a.Name, "error", err)
	}
	return m.Store.Account(ctx, a.ID)
}

// notTwice refuses credentials that another account has: every server of theirs would be there twice, and two
// operations could work on one machine.
func (m *Manager) notTwice(ctx context.Context, a fleet.Account) error {
	if a.Provider == fleet.Manual {
		return nil // it has none
	}
	all, err := m.Store.Accounts(ctx)
	if err != nil {
		return err
	}
	for _, other := range all {
		if other.Name != a.Name && other.Provider == a.Provider && other.Token == a.Token && other.User == a.User {
			return fleet.Errorf(fleet.Conflict, "account %s has the credentials of account %s", a.Name, other.Name).
				WithHint("nothing is to be done: %s lists these servers", other.Name)
		}
	}
	return nil
}

// CheckAccount uses the credentials once more and notes what came of it.
func (m *Manager) CheckAccount(ctx context.Context, ref string) (fleet.Account, error) {
	a, err := m.Store.Account(ctx, ref)
	if err != nil {
		return a, err
	}
	driver, err := m.Drivers.New(a)
	if err != nil {
		return a, err
	}
	problem := ""
	checkErr := driver.Check(ctx)
	if checkErr != nil {
		problem = checkErr.Error()
	}
	if err := m.Store.AccountChecked(ctx, a.ID, m.Now(), problem); err != nil {
		return a, err
	}
	a.CheckedAt, a.Problem = m.Now(), problem
	return a, checkErr
}

// RemoveAccount forgets an account; it is refused while servers of it belong to a cluster.
func (m *Manager) RemoveAccount(ctx context.Context, actor, ref string) error {
	a, err := m.Store.Account(ctx, ref)
	if err != nil {
		return err
	}
	if err := m.Store.RemoveAccount(ctx, a.ID); err != nil {
		return err
	}
	return m.audit(ctx, actor, "account.remove", "account", a.ID, "removed "+a.Name)
}

// driverOf gives a server and the driver of its account.
func (m *Manager) driverOf(ctx context.Context, ref string) (fleet.Server, provider.Driver, error) {
	s, err := m.Store.Server(ctx, ref)
	if err != nil {
		return s, nil, err
	}
	d, err := m.Drivers.Driver(ctx, s.AccountID)
	return s, d, err
}
