package operation

import (
	"context"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/provider"
)

// InstallPlan says how installs of some servers would go if they were ordered now, in this order, with these options.
// It is a forecast: times are typical ones, or the median of what was measured here.
type InstallPlan struct {
	At      time.Time        // when it was made
	End     time.Time        // of the last install; zero if none can end. Those of which we cannot say are left out
	Servers []PlannedInstall // in the order they are to be ordered in
	Budgets []PlannedBudget  // that the installs draw on
	Phases  []PhaseTime      // what the plan reckons with
	// AtOnce is how many steps the engine works on at the same time. An install that waits takes no place.
	AtOnce int
	// Shorter lists ways that would be over earlier, the best first.
	Shorter []ShorterPlan
}

// Total is how long all of it takes; 0 if it never ends.
func (p *InstallPlan) Total() time.Duration {
	if p.End.IsZero() {
		return 0
	}
	return p.End.Sub(p.At)
}

// PlannedInstall is the forecast for one server.
type PlannedInstall struct {
	ServerID string
	Server   string // its name
	Cluster  string
	Role     fleet.Role
	Account  string // its name
	Start    time.Time
	End      time.Time // zero: it would not end by itself, Problems or Questions say why
	Restarts int       // that it takes from its account's budget, if all goes well
	Phases   []PlannedPhase
	// Problems would have it refused, or fail. None: it can be ordered now.
	Problems []Problem
	// Questions are what it would ask a person, by what the machine said of itself last. The plan goes on as if they
	// were answered at once.
	Questions []string
}

// Problem is what stands in the way of an install, and what to do about it.
type Problem struct{ Text, Hint string }

// PlannedPhase is a stretch of an install. First it waits, then it works.
type PlannedPhase struct {
	Name     string    // one of the phases below
	Start    time.Time // of its waiting, or of its work if there is none
	Works    time.Time // when the waiting is over
	End      time.Time
	WaitsFor string // "the restart budget of account robot"; "" if it does not wait
}

// The phases of an install, in order.
const (
	PhasePrepare   = "prepare"                // the records are checked, the rescue system is armed
	PhaseRescue    = "boot the rescue system" // from the restart until the facts are read. Waits for the budget
	PhaseWrite     = "write the image"        // the disk is chosen, image and boot data are written
	PhaseBoot      = "boot Talos"             // until it has its config
	PhaseNode      = "start the node"         // until it answers with its cluster's certificates. Workers wait for the bootstrap
	PhaseJoin      = "join Kubernetes"        // until the node is Ready. Waits for the Kubernetes API
	PhaseBootstrap = "bootstrap etcd"         // of the cluster, once its first control plane has started: not one of an install
	PhaseAPI       = "start Kubernetes' API"  // of the cluster, after that
)

// PlannedBudget is what the plan takes from a budget of calls.
type PlannedBudget struct {
	Account string // its name
	Group   string // of endpoints, as the driver calls it
	Limit   provider.Limit
	Used    int       // now
	Back    time.Time // when what is used now is back; zero if nothing is
	Needed  int       // by the plan
	Last    time.Time // when the plan takes the last of it
}

// PhaseTime is how long a phase is reckoned to take.
type PhaseTime struct {
	Provider fleet.Provider
	Phase    string
	Takes    time.Duration
	// Measured is the number of past operations it is the median of; 0: the typical time.
	Measured int
}

// ShorterPlan is a way to be done earlier.
type ShorterPlan struct {
	What  string        // "order the control planes first"
	How   string        // "talos-manager server install cp-1 …", or what to do
	Saves time.Duration // until all are done
	Each  time.Duration // until one of them is done, on the average
	End   time.Time
	Order []string         // ids of the servers, in the order to install them in; nil: as they were given
	Boot  fleet.BootMethod // to be asked for; "": as it was
}

// PlanInstalls forecasts installs of these servers, by name or id, in this order. Nothing is changed, and no machine or
// provider is asked. What would refuse an install is told with it and is no error; fleet.NotFound for an unknown server.
func (o *Operations) PlanInstalls(ctx context.Context, refs []string, options InstallOptions) (InstallPlan, error) {
	if err := options.Check(); err != nil {
		return InstallPlan{}, err
	}
	in, err := o.planInput(ctx, refs, options)
	if err != nil {
		return InstallPlan{}, err
	}
	p := in.forecast()
	p.Shorter = in.shorter(p)
	return p, nil
}
