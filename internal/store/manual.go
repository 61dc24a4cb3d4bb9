package store

import (
	"context"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// AddServer writes a server that no listing names: somebody added it by hand. It fills in ID, CreatedAt, SeenAt and
// State. fleet.Conflict when the account has one with its ProviderID.
func (s *Store) AddServer(ctx context.Context, v fleet.Server) (fleet.Server, error) {
	s.stamp(&v.ID, &v.CreatedAt)
	v.SeenAt, v.State = v.CreatedAt, fleet.Known
	err := s.write(ctx, "add server "+v.Name, func(t *tx) error {
		t.changed("servers", v.ID)
		_, err := t.ExecContext(ctx, `
			INSERT INTO servers (id, account_id, provider, provider_id, name, product, location, architecture, status, power, locked,
				ipv4, ipv6, ipv6_net, cancelled, created_at, seen_at, state, host_key)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, FALSE, $11, $12, $13, FALSE, $14, $15, $16, $17)`,
			v.ID, v.AccountID, v.Provider, v.ProviderID, text(v.Name), text(v.Product), text(v.Location), v.Architecture, text(v.Status), v.Power,
			v.IPv4, v.IPv6, v.IPv6Net, micros(v.CreatedAt), micros(v.SeenAt), v.State, v.HostKey)
		return err
	})
	return v, taken(err, "server at", v.ProviderID)
}

// SetAddress writes where a server is that somebody added by hand, and its host keys. fleet.Conflict when another is
// there, or while an operation works on it.
func (s *Store) SetAddress(ctx context.Context, v fleet.Server) error {
	err := s.write(ctx, "change the address of server "+v.Name, func(t *tx) error {
		n, err := affected(t.ExecContext(ctx, `
			UPDATE servers SET provider_id = $2, ipv4 = $3, ipv6 = $4, host_key = $5 WHERE id = $1 AND provider = $6 AND id NOT IN (
				SELECT server_id FROM operations WHERE state NOT IN ('succeeded', 'failed', 'cancelled'))`,
			v.ID, v.ProviderID, v.IPv4, v.IPv6, v.HostKey, fleet.Manual))
		if err != nil || n > 0 {
			t.changed("servers", v.ID)
			return err
		}
		if _, err := s.server(ctx, t, v.ID); err != nil {
			return err
		}
		return fleet.Errorf(fleet.Conflict, "server %s has an operation that is not finished", v.Name).WithHint("wait for it, or cancel it")
	})
	return taken(err, "server at", v.ProviderID)
}
