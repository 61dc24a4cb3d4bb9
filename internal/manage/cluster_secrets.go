package manage

import (
	"bytes"
	"context"

	"go.yaml.in/yaml/v4"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig"
	"github.com/talos-manager/talos-manager/internal/store"
)

// BundleOf makes a secrets bundle of what somebody has of a cluster that exists: the bundle itself (talosctl gen secrets),
// or the machine config of one of its control planes.
func (m *Manager) BundleOf(text []byte) ([]byte, error) {
	text = append(bytes.TrimSpace(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))), '\n')
	var is struct {
		Machine any `yaml:"machine"`
	}
	// The first document decides; of what is no YAML, the reader of bundles says why.
	if err := yaml.Unmarshal(text, &is); err == nil && is.Machine != nil {
		return machineconfig.SecretsFromConfig(text, m.Now())
	}
	return text, nil
}

// ReplaceSecrets gives a cluster other secrets than those it was made with. It is refused as soon as a machine may have the
// old ones: nobody could log in to it any more.
func (m *Manager) ReplaceSecrets(ctx context.Context, actor, ref string, bundle []byte) error {
	return m.save(ctx, func(now *snapshot) (*edited, error) {
		c, err := now.clusterOf(ref)
		if err != nil {
			return nil, err
		}
		why, err := m.Begun(ctx, c)
		if err != nil {
			return nil, err
		}
		if why != "" {
			return nil, fleet.Errorf(fleet.Refused, "cluster %s: %s", c.Name, why).
				WithHint("its machines have the secrets it was made with. Make another cluster with the secrets that you have: talos-manager cluster create NAME --secrets @secrets.yaml")
		}
		if err := machineconfig.CheckSecrets(bundle, c.TalosVersion); err != nil {
			return nil, err
		}
		c.Secrets = bundle
		t := now.try("these secrets for cluster " + c.Name)
		t.final = true
		t.setCluster(c)
		if err := m.touch(ctx, t); err != nil {
			return nil, err
		}
		if err := m.check(ctx, t); err != nil {
			return nil, err
		}
		return &edited{doing: "replace the secrets of cluster " + c.Name, write: func(e *store.Edit) error {
			if err := e.ReplaceSecrets(ctx, c.ID, bundle); err != nil {
				return err
			}
			return e.Event(ctx, m.event(actor, "cluster.secrets", "cluster", c.ID, "replaced the secrets of "+c.Name))
		}}, nil
	})
}
