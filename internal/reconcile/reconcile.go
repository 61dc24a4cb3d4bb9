// Package reconcile is what happens on its own: accounts are synced, the health of nodes is looked at, labels and
// taints are kept. One file per loop. Loops change records and labels only; nothing here reboots or wipes.
package reconcile

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/talos-manager/talos-manager/internal/manage"
	"github.com/talos-manager/talos-manager/internal/operation"
	"github.com/talos-manager/talos-manager/internal/store"
)

// Reconciler runs the loops.
type Reconciler struct {
	Store      *store.Store
	Drivers    manage.Drivers
	Operations *operation.Operations
	Log        *slog.Logger
	Now        func() time.Time
	SyncEvery  time.Duration // how often each account is listed; Robot allows 200 listings an hour
	LookEvery  time.Duration // how often nodes are looked at

	mu     sync.Mutex
	silent map[string]int // rounds in a row in which a cluster's API did not answer
}

// Run runs until ctx ends. The first rounds come at once.
func (r *Reconciler) Run(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.every(ctx, r.SyncEvery, "sync", r.SyncDue)
	}()
	r.every(ctx, r.LookEvery, "look at nodes", r.LookAtNodes)
	<-done
}

// every calls f again and again, an interval apart. A failure is logged and the next round comes anyway.
func (r *Reconciler) every(ctx context.Context, interval time.Duration, what string, f func(context.Context) error) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for ctx.Err() == nil {
		if err := f(ctx); err != nil && ctx.Err() == nil {
			r.Log.Warn("reconcile", "loop", what, "error", err)
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}
