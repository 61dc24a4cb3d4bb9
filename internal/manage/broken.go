package manage

import (
	"context"

	"github.com/talos-manager/talos-manager/internal/store"
)

// BrokenConfigs groups the servers whose machine configs cannot be made from the records as they are now: saves that
// would do that are refused, but what a machine says of itself may change under them, and so may this program. All of
// them are made, those that nothing changed for out of what is kept.
func (m *Manager) BrokenConfigs(ctx context.Context) ([]BrokenGroup, error) {
	now, _, err := m.Renderer.now(ctx)
	if err != nil {
		return nil, err
	}
	all, err := m.Store.Servers(ctx, store.ServerFilter{IncludeMissing: true})
	if err != nil {
		return nil, err
	}
	t := now.try("nothing")
	for _, s := range all {
		if s.Assignment.Assigned() && !s.Assignment.Draft {
			t.servers = append(t.servers, tried{s, s})
		}
	}
	return m.wouldBreak(ctx, t)
}
