package manage

import (
	"context"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/provider"
	"github.com/talos-manager/talos-manager/internal/store"
)

// Credentials are what opens an account: a token of the Cloud, or a login of Robot.
type Credentials struct {
	Token, User, Password string
}

// RotateAccount gives an account other credentials. They are tried first; those of another project or login, which list
// none of the account's servers, are refused: all its servers would count as missing.
func (m *Manager) RotateAccount(ctx context.Context, actor, ref string, to Credentials) (fleet.Account, error) {
	a, err := m.Store.Account(ctx, ref)
	if err != nil {
		return a, err
	}
	if a.Provider == fleet.Manual {
		return a, fleet.Errorf(fleet.Invalid, "account %s has no credentials: its servers were added by hand", a.Name)
	}
	a.Token, a.User, a.Password = to.Token, to.User, to.Password
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
		return a, fleet.Errorf(fleet.KindOf(err), "the new credentials of account %s: %w", a.Name, err).WithHint("%s", fleet.HintOf(err))
	}
	if err := m.sameServers(ctx, a, driver); err != nil {
		return a, err
	}
	if err := m.Store.UpdateAccount(ctx, a); err != nil {
		return a, err
	}
	if err := m.Store.AccountChecked(ctx, a.ID, m.Now(), ""); err != nil {
		return a, err
	}
	a.CheckedAt, a.Problem = m.Now(), ""
	return a, m.audit(ctx, actor, "account.rotate", "account", a.ID, "gave "+a.Name+" other credentials")
}

// sameServers refuses credentials that list none of the servers that the account had at its last listing.
func (m *Manager) sameServers(ctx context.Context, a fleet.Account, driver provider.Driver) error {
	had, err := m.Store.Servers(ctx, store.ServerFilter{AccountID: a.ID, WithoutFacts: true})
	if err != nil || len(had) == 0 {
		return err
	}
	listing, err := driver.List(ctx)
	if err != nil {
		return fleet.Errorf(fleet.KindOf(err), "list the servers of account %s by its new credentials: %w", a.Name, err).WithHint("%s", fleet.HintOf(err))
	}
	listed := map[string]bool{}
	for _, s := range listing.Servers {
		listed[s.ProviderID] = true
	}
	for _, s := range had {
		if listed[s.ProviderID] {
			return nil
		}
	}
	return fleet.Errorf(fleet.Refused, "the new credentials of account %s list none of its %d servers: they are of another project or login", a.Name, len(had)).
		WithHint("add them as an account of their own, and remove this one when its servers are gone")
}
