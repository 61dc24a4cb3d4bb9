package manage

import (
	"context"
	"time"

	"github.com/talos-manager/talos-manager/internal/provider"
)

// Budget is how many calls of a group of endpoints an account has left.
type Budget struct {
	provider.Metered
	Used int
	Back time.Time // when all of them are back; zero while none is used
}

// Left is how many calls can be made now.
func (b Budget) Left() int { return max(0, b.Limit.Calls-b.Used) }

// Budgets reads what an account has used of what its provider allows; none where nobody counts. Nobody is asked.
func (m *Manager) Budgets(ctx context.Context, accountID string) ([]Budget, error) {
	driver, err := m.Drivers.Driver(ctx, accountID)
	if err != nil {
		return nil, err
	}
	metered, ok := driver.(provider.Meter)
	if !ok {
		return nil, nil
	}
	var all []Budget
	for _, g := range metered.Meters() {
		state, err := m.Store.Budget(ctx, accountID, g.Group)
		if err != nil {
			return nil, err
		}
		b := Budget{Metered: g}
		b.Used, b.Back = state.Used(g.Limit.Calls, g.Limit.Window, g.Limit.Refill, m.Now())
		all = append(all, b)
	}
	return all, nil
}
