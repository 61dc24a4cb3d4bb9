package app

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/provider"
	"github.com/talos-manager/talos-manager/internal/provider/hcloud"
	"github.com/talos-manager/talos-manager/internal/provider/manual"
	"github.com/talos-manager/talos-manager/internal/provider/robot"
	"github.com/talos-manager/talos-manager/internal/store"
)

// drivers makes the driver of each account and keeps it while its credentials stay the same.
type drivers struct {
	store    *store.Store
	settings Settings
	http     *http.Client
	pace     float64
	logins   *robot.Logins

	mu   sync.Mutex
	made map[string]made
}

type made struct {
	account fleet.Account // credentials it was made with
	driver  provider.Driver
}

// Driver gives the driver of a stored account, with the budget all replicas share.
func (d *drivers) Driver(ctx context.Context, accountID string) (provider.Driver, error) {
	a, err := d.store.Account(ctx, accountID)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if m, ok := d.made[a.ID]; ok && m.account.Token == a.Token && m.account.User == a.User && m.account.Password == a.Password {
		return m.driver, nil
	}
	driver, err := d.open(a, budget{d.store, a.ID})
	if err != nil {
		return nil, err
	}
	d.made[a.ID] = made{a, driver}
	return driver, nil
}

// New makes a driver for credentials that are not stored yet; its few calls count in memory.
func (d *drivers) New(a fleet.Account) (provider.Driver, error) {
	if a.ID != "" {
		return d.open(a, budget{d.store, a.ID})
	}
	return d.open(a, &provider.MemoryBudget{})
}

func (d *drivers) open(a fleet.Account, b provider.Budget) (provider.Driver, error) {
	pause := time.Duration(float64(time.Second) / d.pace)
	switch a.Provider {
	case fleet.HetznerCloud:
		return hcloud.New(hcloud.Options{Token: a.Token, BaseURL: d.settings.CloudURL, HTTP: d.http, Budget: b, PollEvery: pause}), nil
	case fleet.HetznerRobot:
		return robot.New(robot.Options{User: a.User, Password: a.Password, BaseURL: d.settings.RobotURL, HTTP: d.http, Budget: b, Logins: d.logins, Members: true, RetryEvery: 2 * pause}), nil
	case fleet.Manual:
		return manual.Driver{}, nil
	}
	return nil, fleet.Errorf(fleet.Invalid, "account %s: unknown provider %q", a.Name, a.Provider)
}

// budget is an account's share of the store's budgets.
type budget struct {
	store   *store.Store
	account string
}

// Take implements provider.Budget.
func (b budget) Take(ctx context.Context, group string, l provider.Limit) (time.Time, error) {
	return b.store.TakeCall(ctx, b.account, group, l.Calls, l.Window, l.Refill, time.Now())
}

// Exhaust implements provider.Budget.
func (b budget) Exhaust(ctx context.Context, group string, until time.Time) error {
	return b.store.ExhaustCalls(ctx, b.account, group, until)
}
