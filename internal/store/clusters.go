package store

import (
	"context"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

const clusterColumns = `id, name, endpoint, talos_version, kubernetes_version, config_id, schematic_id, vswitch_id, secrets,
	created_at, bootstrap_server_id, bootstrapped_at, private_network, private_mtu, disk_policy`

func (s *Store) scanCluster(r row) (c fleet.Cluster, err error) {
	return c, r.Scan(&c.ID, &c.Name, &c.Endpoint, &c.TalosVersion, &c.KubernetesVersion, optional{&c.ConfigID}, optional{&c.SchematicID},
		optional{&c.VSwitchID}, s.sealed(&c.Secrets, "clusters", "secrets", &c.ID), moment{&c.CreatedAt}, &c.BootstrapServerID, moment{&c.BootstrappedAt},
		&c.PrivateNetwork, &c.PrivateMTU, &c.DiskPolicy)
}

// CreateCluster writes a new cluster; it fills in ID and CreatedAt where they are empty. A cluster that was
// bootstrapped elsewhere may say so. fleet.Conflict when the name is taken, fleet.NotFound when it refers to what
// does not exist.
func (s *Store) CreateCluster(ctx context.Context, c fleet.Cluster) (fleet.Cluster, error) {
	s.stamp(&c.ID, &c.CreatedAt)
	err := s.write(ctx, "create cluster "+c.Name, func(t *tx) error {
		_, err := t.ExecContext(ctx, `
			INSERT INTO clusters (id, name, endpoint, talos_version, kubernetes_version, config_id, schematic_id, vswitch_id, secrets,
				created_at, bootstrap_server_id, bootstrapped_at, private_network, private_mtu, disk_policy)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
			c.ID, c.Name, c.Endpoint, c.TalosVersion, c.KubernetesVersion, ref(c.ConfigID), ref(c.SchematicID), ref(c.VSwitchID),
			s.seal(c.Secrets, "clusters", "secrets", c.ID), micros(c.CreatedAt), c.BootstrapServerID, micros(c.BootstrappedAt), c.PrivateNetwork, c.PrivateMTU, c.DiskPolicy)
		t.changed("clusters", c.ID)
		return err
	})
	return c, clusterError(err, c)
}

// UpdateCluster writes everything but the secrets and who bootstraps.
func (s *Store) UpdateCluster(ctx context.Context, c fleet.Cluster) error {
	return s.Edit(ctx, "change cluster "+c.Name, nil, func(e *Edit) error { return e.UpdateCluster(ctx, c) })
}

// UpdateCluster is Store.UpdateCluster as a part of an edit.
func (e *Edit) UpdateCluster(ctx context.Context, c fleet.Cluster) error {
	n, err := affected(e.t.ExecContext(ctx, `
		UPDATE clusters SET name = $2, endpoint = $3, talos_version = $4, kubernetes_version = $5, config_id = $6,
			schematic_id = $7, vswitch_id = $8, private_network = $9, private_mtu = $10, disk_policy = $11
		WHERE id = $1`,
		c.ID, c.Name, c.Endpoint, c.TalosVersion, c.KubernetesVersion, ref(c.ConfigID), ref(c.SchematicID), ref(c.VSwitchID),
		c.PrivateNetwork, c.PrivateMTU, c.DiskPolicy))
	e.t.changed("clusters", c.ID)
	return clusterError(one(n, err, "cluster", c.ID), c)
}

func clusterError(err error, c fleet.Cluster) error {
	if dangling(err) {
		return fleet.Errorf(fleet.NotFound, "cluster %s: no such config (%q), schematic (%q) or vSwitch (%q)", c.Name, c.ConfigID, c.SchematicID, c.VSwitchID)
	}
	return taken(err, "cluster", c.Name)
}

// Cluster reads one by id or name.
func (s *Store) Cluster(ctx context.Context, ref string) (fleet.Cluster, error) {
	return lookUp(ctx, s, "cluster", ref, s.scanCluster, `SELECT `+clusterColumns+` FROM clusters WHERE id = $1 OR name = $1`)
}

// Clusters lists all by name.
func (s *Store) Clusters(ctx context.Context) ([]fleet.Cluster, error) {
	all, err := list(ctx, s.reader, s.scanCluster, `SELECT `+clusterColumns+` FROM clusters ORDER BY name`)
	return all, s.explain("list clusters", err)
}

// RemoveCluster forgets a cluster, its secrets and its rules; nothing happens to machines. fleet.Conflict while it
// has servers or an active operation.
func (s *Store) RemoveCluster(ctx context.Context, id string) error {
	err := s.write(ctx, "remove cluster "+id, func(t *tx) error {
		names, err := list(ctx, t, scanName, `SELECT name FROM servers WHERE cluster_id = $1 ORDER BY name`, id)
		if err != nil {
			return err
		}
		if len(names) > 0 {
			return fleet.Errorf(fleet.Conflict, "cluster %s still has servers: %s", id, some(names)).WithHint("take them out of it first")
		}
		busy, err := list(ctx, t, scanName, `
			SELECT kind || ' (' || id || ')' FROM operations WHERE cluster_id = $1 AND state NOT IN ('succeeded', 'failed', 'cancelled')`, id)
		if err != nil {
			return err
		}
		if len(busy) > 0 {
			return fleet.Errorf(fleet.Conflict, "cluster %s is busy with %s", id, some(busy)).WithHint("wait for it, or cancel it")
		}
		if _, err := t.ExecContext(ctx, `DELETE FROM rules WHERE cluster_id = $1`, id); err != nil {
			return err
		}
		for owner, scope := range map[string]fleet.Scope{id: fleet.ScopeCluster, fleet.RoleOwner(id, fleet.ControlPlane): fleet.ScopeRole, fleet.RoleOwner(id, fleet.Worker): fleet.ScopeRole} {
			if err := removeLayers(ctx, t, scope, owner); err != nil {
				return err
			}
		}
		n, err := affected(t.ExecContext(ctx, `DELETE FROM clusters WHERE id = $1`, id))
		t.changed("clusters", id)
		return one(n, err, "cluster", id)
	})
	if dangling(err) {
		return fleet.Errorf(fleet.Conflict, "cluster %s was given a server or a rule this moment", id).WithHint("try again")
	}
	return err
}

// ClaimBootstrap writes, once in a cluster's life, which server bootstraps its etcd, and returns whoever is
// written: only if that is serverID may it be asked to.
func (s *Store) ClaimBootstrap(ctx context.Context, clusterID, serverID string) (chosen string, err error) {
	err = s.write(ctx, "choose who bootstraps cluster "+clusterID, func(t *tx) error {
		n, err := affected(t.ExecContext(ctx, `
			UPDATE clusters SET bootstrap_server_id = $2 WHERE id = $1 AND bootstrap_server_id = '' AND bootstrapped_at = 0`, clusterID, serverID))
		if err != nil {
			return err
		}
		if n > 0 {
			t.changed("clusters", clusterID)
		}
		chosen, err = bootstrapper(ctx, t, clusterID)
		return err
	})
	return chosen, err
}

// ClaimBootstrapAgain chooses another server to bootstrap a cluster whose etcd was never seen to start, in place of
// one that is lost. It is the answer of a person, never of a program. It returns whoever is written afterwards.
func (s *Store) ClaimBootstrapAgain(ctx context.Context, clusterID, lost, serverID string) (chosen string, err error) {
	err = s.write(ctx, "choose another server to bootstrap cluster "+clusterID, func(t *tx) error {
		n, err := affected(t.ExecContext(ctx, `
			UPDATE clusters SET bootstrap_server_id = $3 WHERE id = $1 AND bootstrap_server_id = $2 AND bootstrapped_at = 0`, clusterID, lost, serverID))
		if err != nil {
			return err
		}
		if n > 0 {
			t.changed("clusters", clusterID)
		}
		chosen, err = bootstrapper(ctx, t, clusterID)
		return err
	})
	return chosen, err
}

func bootstrapper(ctx context.Context, t *tx, clusterID string) (string, error) {
	all, err := list(ctx, t, scanName, `SELECT bootstrap_server_id FROM clusters WHERE id = $1`, clusterID)
	if err != nil {
		return "", err
	}
	if len(all) == 0 {
		return "", missing("cluster", clusterID)
	}
	return all[0], nil
}

// MarkBootstrapped notes that the bootstrap was seen to succeed; the first time stays.
func (s *Store) MarkBootstrapped(ctx context.Context, clusterID string, at time.Time) error {
	return s.write(ctx, "note the bootstrap of cluster "+clusterID, func(t *tx) error {
		n, err := affected(t.ExecContext(ctx, `
			UPDATE clusters SET bootstrapped_at = CASE WHEN bootstrapped_at = 0 THEN $2 ELSE bootstrapped_at END WHERE id = $1`,
			clusterID, micros(at)))
		t.changed("clusters", clusterID)
		return one(n, err, "cluster", clusterID)
	})
}
