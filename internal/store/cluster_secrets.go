package store

import (
	"context"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// ReplaceSecrets writes other secrets for a cluster of which none runs yet: fleet.Conflict once its first control plane is
// chosen.
func (e *Edit) ReplaceSecrets(ctx context.Context, clusterID string, secrets []byte) error {
	n, err := affected(e.t.ExecContext(ctx, `
		UPDATE clusters SET secrets = $2 WHERE id = $1 AND bootstrap_server_id = '' AND bootstrapped_at = 0`,
		clusterID, e.s.seal(secrets, "clusters", "secrets", clusterID)))
	e.t.changed("clusters", clusterID)
	if err == nil && n == 0 {
		return fleet.Errorf(fleet.Conflict, "cluster %s has begun to run this moment, or is gone", clusterID).WithHint("look at it again")
	}
	return err
}
