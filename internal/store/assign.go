package store

import (
	"context"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Assign writes what a server is to be; the zero assignment takes it out of its cluster. fleet.Conflict names the
// server of the cluster that has the node name or the private address already; fleet.NotFound the cluster,
// config or schematic that does not exist.
func (s *Store) Assign(ctx context.Context, id string, a fleet.Assignment) (v fleet.Server, err error) {
	err = s.Edit(ctx, "assign server "+id, nil, func(e *Edit) error {
		v, err = e.Assign(ctx, id, a)
		return err
	})
	return v, err
}

// Assign is Store.Assign as a part of an edit.
func (e *Edit) Assign(ctx context.Context, id string, a fleet.Assignment) (v fleet.Server, err error) {
	if err = lockAssignment(ctx, e.t, a); err != nil {
		return v, err
	}
	if v, err = e.s.server(ctx, e.t, id); err != nil {
		return v, err
	}
	if err = checkAssignment(ctx, e.t, v, a); err != nil {
		return v, err
	}
	n, err := affected(e.t.ExecContext(ctx, `
		UPDATE servers SET cluster_id = $2, role = $3, config_id = $4, hostname = $5, private_ip = $6,
			install_disk = $7, ephemeral_disk = $8, schematic_id = $9, draft = $10, disk_policy = $11
		WHERE id = $1`,
		v.ID, ref(a.ClusterID), a.Role, ref(a.ConfigID), a.Hostname, a.PrivateIP, text(a.InstallDisk), text(a.EphemeralDisk), ref(a.SchematicID), a.Draft, a.DiskPolicy))
	if duplicate(err) { // two at once, and the lock did not order them: the index did
		return v, fleet.Errorf(fleet.Conflict, "assign server %s: its hostname or private address was taken this moment", v.Name).WithHint("try again")
	}
	v.Assignment = a
	e.t.changed("servers", v.ID)
	e.t.assignments = true
	return v, one(n, err, "server", id)
}

// lockAssignment makes sure that the records exist and, on Postgres, that assignments to one cluster come one
// after the other.
func lockAssignment(ctx context.Context, t *tx, a fleet.Assignment) error {
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

func checkAssignment(ctx context.Context, t *tx, v fleet.Server, a fleet.Assignment) error {
	if !a.Assigned() {
		return nil
	}
	v.Assignment = a
	others, err := list(ctx, t, scanServer, `
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
