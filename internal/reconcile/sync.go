package reconcile

import (
	"context"
	"errors"
	"net/netip"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/provider"
	"github.com/talos-manager/talos-manager/internal/store"
)

// SyncAll lists every account. One that fails does not keep the others from being listed.
func (r *Reconciler) SyncAll(ctx context.Context) error {
	accounts, err := r.Store.Accounts(ctx)
	if err != nil {
		return err
	}
	var problems []error
	for _, a := range accounts {
		if _, err := r.Sync(ctx, a.ID); err != nil {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

// SyncDue lists the accounts that nobody listed for an interval: a program that starts again, or beside another
// replica, does not spend the budget of listings.
func (r *Reconciler) SyncDue(ctx context.Context) error {
	accounts, err := r.Store.Accounts(ctx)
	if err != nil {
		return err
	}
	var problems []error
	for _, a := range accounts {
		last := a.SyncedAt
		if a.Problem != "" {
			last = a.CheckedAt
		}
		if r.Now().Sub(last) < r.SyncEvery*9/10 {
			continue
		}
		if _, err := r.Sync(ctx, a.ID); err != nil {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

// Sync lists one account and brings our records up to what it says. Servers it does not list any more are marked as
// missing, never removed; an account that suddenly lists nothing changes nothing.
func (r *Reconciler) Sync(ctx context.Context, accountRef string) (store.Sync, error) {
	a, err := r.Store.Account(ctx, accountRef)
	if err != nil {
		return store.Sync{}, err
	}
	done, err := r.sync(ctx, a)
	problem := ""
	if err != nil {
		problem = err.Error()
	}
	return done, errors.Join(err, r.Store.AccountChecked(ctx, a.ID, r.Now(), problem))
}

func (r *Reconciler) sync(ctx context.Context, a fleet.Account) (store.Sync, error) {
	if a.Provider == fleet.Manual {
		return store.Sync{}, nil // nobody lists these servers: none is new, none is missing
	}
	driver, err := r.Drivers.Driver(ctx, a.ID)
	if err != nil {
		return store.Sync{}, err
	}
	listing, err := driver.List(ctx)
	if err != nil {
		return store.Sync{}, fleet.Errorf(fleet.KindOf(err), "list account %s: %w", a.Name, err).WithHint("%s", fleet.HintOf(err))
	}
	if err := r.notAnothers(ctx, a, listing); err != nil {
		return store.Sync{}, err
	}
	if listing.NoVSwitches { // the login may not see them: what is known stays
		if listing.VSwitches, err = r.Store.VSwitches(ctx, a.ID); err != nil {
			return store.Sync{}, err
		}
	}
	done, err := r.Store.SyncServers(ctx, a.ID, servers(a, listing), listing.VSwitches, r.Now())
	if err == nil && done.Empty {
		err = fleet.Errorf(fleet.Refused, "account %s lists no servers, though some are known: nothing was changed", a.Name).
			WithHint("if they were really all given back, remove them one by one; else look at the account's rights, and sync again")
	}
	return done, err
}

// notAnothers refuses a listing with servers of another account, two tokens of one project for instance: each machine
// would be there twice, and two operations could work on it.
func (r *Reconciler) notAnothers(ctx context.Context, a fleet.Account, l provider.Listing) error {
	known, err := r.Store.Servers(ctx, store.ServerFilter{WithoutFacts: true})
	if err != nil {
		return err
	}
	others := map[string]fleet.Server{}
	for _, s := range known {
		if s.AccountID != a.ID && s.Provider == a.Provider {
			others[s.ProviderID] = s
		}
	}
	for _, s := range l.Servers {
		if other, ok := others[s.ProviderID]; ok {
			owner, err := r.Store.Account(ctx, other.AccountID)
			if err != nil {
				return err
			}
			return fleet.Errorf(fleet.Conflict, "account %s lists server %s, which is account %s's: nothing was changed", a.Name, other.Name, owner.Name).
				WithHint("if both are the same login or project, remove one: talos-manager account remove %s; if the server was moved, sync %s first", a.Name, owner.Name)
		}
	}
	return nil
}

func servers(a fleet.Account, l provider.Listing) []fleet.Server {
	out := make([]fleet.Server, 0, len(l.Servers))
	for _, s := range l.Servers {
		out = append(out, fleet.Server{
			Provider: a.Provider, ProviderID: s.ProviderID, Name: s.Name, Product: s.Product, Location: s.Location,
			Architecture: s.Architecture, Status: s.Status, Power: s.Power, Locked: s.Locked, Cancelled: s.Cancelled,
			IPv4: s.IPv4, IPv6: hostIn(a.Provider, s.IPv6Net), IPv6Net: s.IPv6Net, VSwitchID: s.VSwitch, CreatedAt: s.CreatedAt,
		})
	}
	return out
}

// hostIn is the address a server has in its /64: ::1 at the Cloud, ::2 in Robot's rescue system and by Robot's own
// installations.
func hostIn(p fleet.Provider, network string) string {
	prefix, err := netip.ParsePrefix(network)
	if err != nil {
		return ""
	}
	host := prefix.Masked().Addr().Next()
	if p == fleet.HetznerRobot {
		host = host.Next()
	}
	return host.String()
}
