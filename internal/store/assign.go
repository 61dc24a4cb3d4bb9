package store

import (
	"context"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Assign writes what a server is to be; the zero assignment takes it out of its cluster. fleet.Conflict names the
// server of the cluster that has the node name or the private address already; fleet.NotFound the cluster,
// config or schematic that does not exist.
func (s *Store) Assign(ctx context.Context, id string, a fleet.Assignment) (fleet.Server, error) {
	var v fleet.Server
	doing := "assign server " + id
	err := s.write(ctx, doing, func(t *tx) error {
		var err error
		if err = s.lockAssignment(ctx, t, a); err != nil {
			return err
		}
		if v, err = s.server(ctx, t, id); err != nil {
			return err
		}
		if err = s.checkAssignment(ctx, t, v, a); err != nil {
			return err
		}
		var patch any
		if a.Patch != "" {
			patch = s.seal([]byte(a.Patch), "servers", "patch", v.ID)
		}
		n, err := affected(t.ExecContext(ctx, `
			UPDATE servers SET cluster_id = $2, role = $3, config_id = $4, hostname = $5, private_ip = $6,
				install_disk = $7, ephemeral_disk = $8, patch = $9, schematic_id = $10
			WHERE id = $1`,
			v.ID, ref(a.ClusterID), a.Role, ref(a.ConfigID), a.Hostname, a.PrivateIP, text(a.InstallDisk), text(a.EphemeralDisk), patch, ref(a.SchematicID)))
		v.Assignment = a
		t.changed("servers", v.ID)
		return one(n, err, "server", id)
	})
	if duplicate(err) { // two at once, and the lock did not order them: the index did
		err = fleet.Errorf(fleet.Conflict, "%s: its hostname or private address was taken this moment", doing).WithHint("try again")
	}
	return v, err
}

// lockAssignment makes sure that the records exist and, on Postgres, that assignments to one cluster come one
// after the other.
func (s *Store) lockAssignment(ctx context.Context, t *tx, a fleet.Assignment) error {
	for _, r := range []struct{ what, id, statement string }{
		{"cluster", a.ClusterID, `UPDATE clusters SET name = name WHERE id = $1`},
		{"config", a.ConfigID, `UPDATE configs SET name = name WHERE id = $1`},
		{"schematic", a.SchematicID, `UPDATE schematics SET name = name WHERE id = $1`},
	} {
		if r.id == "" {
			continue
		}
		n, err := affected(t.ExecContext(ctx, r.statement, r.id))
		if err := one(n, err, r.what, r.id); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) checkAssignment(ctx context.Context, t *tx, v fleet.Server, a fleet.Assignment) error {
	if !a.Assigned() {
		return nil
	}
	v.Assignment = a
	others, err := list(ctx, t, s.scanServer, `
		SELECT `+serverColumns+`, '' FROM servers WHERE cluster_id = $1 AND id <> $2
			AND ((hostname = '' AND name = $3) OR hostname = $3 OR (private_ip <> '' AND private_ip = $4))
		ORDER BY id`, a.ClusterID, v.ID, v.Hostname(), a.PrivateIP)
	if err != nil || len(others) == 0 {
		return err
	}
	other := others[0]
	if other.Hostname() == v.Hostname() {
		return fleet.Errorf(fleet.Conflict, "server %s: the node name %q is that of server %s (%s) in the same cluster",
			v.Name, v.Hostname(), other.Name, other.ID).WithHint("choose another hostname")
	}
	return fleet.Errorf(fleet.Conflict, "server %s: the private address %s is that of server %s (%s) in the same cluster",
		v.Name, a.PrivateIP, other.Name, other.ID).WithHint("choose another private address")
}
