// Package manage is what an operator does to records: accounts, servers' assignments, clusters, configs, rules,
// schematics. Everything is checked before it is written and noted in the audit log after. It touches no machine;
// of the outside world it asks only what a check needs: whether credentials work, whether a name was taken over.
package manage

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/imagefactory"
	"github.com/talos-manager/talos-manager/internal/machineconfig"
	"github.com/talos-manager/talos-manager/internal/provider"
	"github.com/talos-manager/talos-manager/internal/store"
)

// Manager changes records.
type Manager struct {
	Store   *store.Store
	Drivers Drivers
	Factory *imagefactory.Client
	// Renderer is the program's one; whoever makes machine configs uses it too.
	Renderer *Renderer
	Log      *slog.Logger
	Now      func() time.Time
	// Sync lists a new account at once, so that its servers are there when its owner looks; nil: the next sync does.
	Sync func(ctx context.Context, accountID string) error

	saving  sync.Mutex // one change after the other: see save
	pretend pretend
	offers  offers
}

// pretend keeps the secrets that configs are tried with: making some takes a second of looking for RSA primes.
type pretend struct {
	mu      sync.Mutex
	secrets []byte
}

func (p *pretend) get(version string, now time.Time) (secrets []byte, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.secrets == nil {
		p.secrets, err = machineconfig.NewSecrets(version, now)
	}
	return p.secrets, err
}

// InstallKind is the kind of the operation that installs a server, as stored: while one runs, the server's records
// are not changed.
const InstallKind = "server.install"

// Drivers gives the driver of an account.
type Drivers interface {
	// Driver of a stored account, with its shared budget.
	Driver(ctx context.Context, accountID string) (provider.Driver, error)
	// New makes a driver for credentials that are not stored yet.
	New(a fleet.Account) (provider.Driver, error)
}

// Audit notes who did what.
func Audit(ctx context.Context, s *store.Store, actor, verb, subject, id, text string) error {
	_, err := s.AddEvent(ctx, fleet.Event{ID: fleet.NewID(), At: time.Now(), Actor: actor, Verb: verb, Subject: subject, TargetID: id, Text: text})
	return err
}

// event is a line of the audit log that is written together with what it tells.
func (m *Manager) event(actor, verb, subject, id, text string) fleet.Event {
	return fleet.Event{ID: fleet.NewID(), At: m.Now(), Actor: actor, Verb: verb, Subject: subject, TargetID: id, Text: text}
}

func (m *Manager) audit(ctx context.Context, actor, verb, subject, id, text string) error {
	return Audit(ctx, m.Store, actor, verb, subject, id, text)
}
