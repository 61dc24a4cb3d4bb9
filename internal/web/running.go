package web

import (
	"context"
	"net/http"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
)

// running is how much is going on, for the top of every page.
type running struct {
	Active int    // operations that are not final
	Asking int    // those of them that ask a person
	Key    string // differs when the drawer has something else to show
}

const (
	drawerShown  = 20 // operations of a kind in the drawer
	drawerLately = 5
)

// drawerData is what the drawer shows.
type drawerData struct {
	Asking, Active []operationRow
	Lately         []operationRow
	More           int // that ask or run, and are not shown
}

// underWay reads what asks and what runs, the newest of each; nothing is read when counts say that there is nothing.
func (s *site) underWay(ctx context.Context, r running) (asking, active []fleet.Operation, err error) {
	if r.Asking > 0 {
		asking, err = s.store.Operations(ctx, store.OperationFilter{States: []fleet.OperationState{fleet.Asking}, Limit: drawerShown})
	}
	if err == nil && r.Active > r.Asking {
		active, err = s.store.Operations(ctx, store.OperationFilter{
			States: []fleet.OperationState{fleet.Pending, fleet.Running, fleet.Waiting}, Limit: drawerShown,
		})
	}
	return asking, active, err
}

// running reads how much is going on.
func (s *site) running(ctx context.Context) (running, error) {
	counts, err := s.store.OperationCounts(ctx)
	if err != nil {
		return running{}, err
	}
	r := runningOf(counts)
	asking, active, err := s.underWay(ctx, r)
	key := []any{counts}
	for _, op := range append(asking, active...) {
		key = append(key, op.ID, op.State, stepDetail(op))
	}
	r.Key = keyOf(key)
	return r, err
}

func runningOf(counts map[fleet.OperationState]int) running {
	r := running{Asking: counts[fleet.Asking]}
	for state, n := range counts {
		if !state.Final() {
			r.Active += n
		}
	}
	return r
}

func runningPart(r running) part { return partOf("running", r, runningBadge) }

// runningList answers the drawer with what is going on.
func (s *site) runningList(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	counts, err := s.store.OperationCounts(ctx)
	if err != nil {
		return err
	}
	sum := runningOf(counts)
	asking, active, err := s.underWay(ctx, sum)
	if err != nil {
		return err
	}
	lately, err := s.store.Operations(ctx, store.OperationFilter{
		States: []fleet.OperationState{fleet.Succeeded, fleet.Failed, fleet.Cancelled}, Limit: drawerLately,
	})
	if err != nil {
		return err
	}
	rows, err := s.operationRows(ctx, append(append(asking, active...), lately...), names{})
	if err != nil {
		return err
	}
	a, b := len(asking), len(asking)+len(active)
	d := drawerData{Asking: rows[:a], Active: rows[a:b], Lately: rows[b:], More: sum.Active - b}
	return write(ctx, w, http.StatusOK, drawerList(d))
}
