package api

import (
	"cmp"
	"context"

	"github.com/talos-manager/talos-manager/client"
	"github.com/talos-manager/talos-manager/internal/access"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
	"github.com/talos-manager/talos-manager/internal/store"
)

func (a *api) listAccounts(ctx context.Context, _ *nothing) (*body[client.List[client.Account]], error) {
	all, err := a.store.Accounts(ctx)
	if err != nil {
		return nil, err
	}
	list := client.List[client.Account]{Items: []client.Account{}}
	for _, v := range all {
		account, err := a.account(ctx, v)
		if err != nil {
			return nil, err
		}
		list.Items = append(list.Items, account)
	}
	return answer(list, nil)
}

// account leaves out everything that opens something.
func (a *api) account(ctx context.Context, v fleet.Account) (client.Account, error) {
	n, err := a.store.CountServers(ctx, store.ServerFilter{AccountID: v.ID})
	return client.Account{
		ID: v.ID, Name: v.Name, Provider: string(v.Provider), User: v.User, Servers: n, Problem: v.Problem,
		CreatedAt: v.CreatedAt, CheckedAt: v.CheckedAt, SyncedAt: v.SyncedAt,
	}, err
}

func (a *api) addAccount(ctx context.Context, in *body[client.NewAccount]) (*body[client.Account], error) {
	n := in.Body
	v, err := a.Manager.AddAccount(ctx, access.Actor(ctx), fleet.Account{Name: n.Name, Provider: fleet.Provider(n.Provider), Token: n.Token, User: n.User, Password: n.Password})
	if err != nil {
		return nil, err
	}
	return answer(a.account(ctx, v))
}

func (a *api) showAccount(ctx context.Context, in *ByRef) (*body[client.Account], error) {
	v, err := a.store.Account(ctx, in.Ref)
	if err != nil {
		return nil, err
	}
	return answer(a.account(ctx, v))
}

func (a *api) removeAccount(ctx context.Context, in *ByRef) (*nothing, error) {
	return nil, a.Manager.RemoveAccount(ctx, access.Actor(ctx), in.Ref)
}

func (a *api) checkAccount(ctx context.Context, in *ByRef) (*body[client.Account], error) {
	v, err := a.Manager.CheckAccount(ctx, in.Ref)
	if err != nil {
		return nil, err
	}
	return answer(a.account(ctx, v))
}

// rotateAccount keeps the user that the account has, unless another is given.
func (a *api) rotateAccount(ctx context.Context, in *struct {
	ByRef
	Body client.Credentials
},
) (*body[client.Account], error) {
	v, err := a.store.Account(ctx, in.Ref)
	if err != nil {
		return nil, err
	}
	to := manage.Credentials{Token: in.Body.Token, User: cmp.Or(in.Body.User, v.User), Password: in.Body.Password}
	if v, err = a.Manager.RotateAccount(ctx, access.Actor(ctx), v.ID, to); err != nil {
		return nil, err
	}
	return answer(a.account(ctx, v))
}

func (a *api) accountBudgets(ctx context.Context, in *ByRef) (*body[client.List[client.Budget]], error) {
	v, err := a.store.Account(ctx, in.Ref)
	if err != nil {
		return nil, err
	}
	all, err := a.Manager.Budgets(ctx, v.ID)
	return answer(items(all, func(b manage.Budget) client.Budget {
		return client.Budget{
			Account: client.Ref{ID: v.ID, Name: v.Name}, Group: b.Group, What: b.What, Calls: b.Limit.Calls, WindowSeconds: int(b.Limit.Window.Seconds()),
			Left: b.Left(), Evenly: b.Limit.Refill, BackAt: b.Back,
		}
	}), err)
}

func (a *api) syncAccount(ctx context.Context, in *ByRef) (*body[client.Synced], error) {
	v, err := a.store.Account(ctx, in.Ref)
	if err != nil {
		return nil, err
	}
	done, err := a.Reconciler.Sync(ctx, v.ID)
	return answer(synced(v, done), err)
}

// syncServers syncs one account after the other: their budgets are their own, but one answer waits for all.
func (a *api) syncServers(ctx context.Context, _ *nothing) (*body[client.List[client.Synced]], error) {
	all, err := a.store.Accounts(ctx)
	if err != nil {
		return nil, err
	}
	return answer(items(all, func(v fleet.Account) client.Synced {
		done, err := a.Reconciler.Sync(ctx, v.ID)
		s := synced(v, done)
		if err != nil {
			s.Error = &shape(err).Body
		}
		return s
	}), ctx.Err())
}

func synced(v fleet.Account, s store.Sync) client.Synced {
	return client.Synced{
		Account: client.Ref{ID: v.ID, Name: v.Name}, Added: serverNames(s.Added), Changed: serverNames(s.Changed),
		Back: serverNames(s.Back), Missing: serverNames(s.Missing),
	}
}

func serverNames(all []fleet.Server) []string {
	var out []string
	for _, s := range all {
		out = append(out, s.Name)
	}
	return out
}
