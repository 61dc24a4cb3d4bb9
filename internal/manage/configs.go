package manage

import (
	"context"
	"fmt"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig"
	"github.com/talos-manager/talos-manager/internal/store"
)

// SaveConfig keeps a new config (no ID) or changes one. It is refused if it would break a server that uses it, or
// could work for none.
func (m *Manager) SaveConfig(ctx context.Context, actor string, c fleet.Config) (fleet.Config, error) {
	if err := fleet.CheckName("config", c.Name); err != nil {
		return c, err
	}
	if err := c.Validate("config "+c.Name, fleet.ScopeConfig); err != nil {
		return c, err
	}
	if err := m.checkConfig(ctx, c); err != nil {
		return c, err
	}
	verb, save := "config.update", m.Store.UpdateConfig
	if c.ID == "" {
		verb, save = "config.create", m.Store.CreateConfig
	}
	c, err := save(ctx, c, actor)
	if err != nil {
		return c, err
	}
	return c, m.audit(ctx, actor, verb, "config", c.ID, fmt.Sprintf("%s, revision %.12s", c.Name, c.Revision))
}

// checkConfig renders the config for every server that uses it, or for a pretend one if none does yet.
func (m *Manager) checkConfig(ctx context.Context, c fleet.Config) error {
	users, err := m.usersOf(ctx, c.ID)
	if err != nil {
		return err
	}
	now, _, err := m.Renderer.now(ctx)
	if err != nil {
		return err
	}
	try := *now
	try.changes = map[layerKey]fleet.Contents{{fleet.ScopeConfig, c.ID}: c.Contents}
	for _, s := range users {
		made, err := try.compose(s)
		if err != nil {
			return err
		}
		if _, err := m.Renderer.render(made.Input); err != nil {
			return err
		}
	}
	if len(users) > 0 {
		return nil
	}
	return m.checkPretend(c)
}

// usersOf lists the servers that are configured by a config, their own or their cluster's.
func (m *Manager) usersOf(ctx context.Context, configID string) ([]fleet.Server, error) {
	if configID == "" {
		return nil, nil // a config that is not kept yet; servers without one have "" too
	}
	all, err := m.Store.Servers(ctx, store.ServerFilter{IncludeMissing: true})
	if err != nil {
		return nil, err
	}
	clusters, err := m.Store.Clusters(ctx)
	if err != nil {
		return nil, err
	}
	uses := map[string]bool{}
	for _, c := range clusters {
		uses[c.ID] = c.ConfigID == configID
	}
	var out []fleet.Server
	for _, s := range all {
		if s.Assignment.ConfigID == configID || s.Assignment.ConfigID == "" && s.Assignment.Assigned() && uses[s.Assignment.ClusterID] {
			out = append(out, s)
		}
	}
	return out, nil
}

// checkPretend renders a config for a pretend control plane and worker of the newest Talos.
func (m *Manager) checkPretend(c fleet.Config) error {
	version := machineconfig.NewestTalos()
	secrets, err := m.pretend.get(version, m.Now())
	if err != nil {
		return err
	}
	c.ID = first(c.ID, "example")
	for _, role := range []fleet.Role{fleet.ControlPlane, fleet.Worker} {
		s := fleet.Server{Name: "example", Provider: fleet.HetznerRobot, IPv4: "203.0.113.1", Assignment: fleet.Assignment{ClusterID: "example", Role: role, PrivateIP: "10.0.0.1", InstallDisk: "eui.0000000000000000"}}
		made := Made{Config: c, Cluster: fleet.Cluster{
			ID: "example", Name: "example", Endpoint: "https://203.0.113.1:6443", TalosVersion: version,
			KubernetesVersion: machineconfig.DefaultKubernetes(), Secrets: secrets, VSwitchID: "example",
		}}
		try := snapshot{Records: &store.Records{VSwitches: map[string]fleet.VSwitch{"example": {VLAN: 4000}}}, changes: map[layerKey]fleet.Contents{{fleet.ScopeConfig, c.ID}: c.Contents}}
		if err := try.fill(&made, s); err != nil {
			return err
		}
		if _, err := machineconfig.Render(made.Input); err != nil {
			return fleet.Errorf(fleet.Invalid, "config %s: %w", c.Name, err).WithHint("%s", fleet.HintOf(err))
		}
	}
	return nil
}

// DeleteConfig forgets a config that nobody uses. Its revisions are kept.
func (m *Manager) DeleteConfig(ctx context.Context, actor, ref string) error {
	c, err := m.Store.Config(ctx, ref)
	if err != nil {
		return err
	}
	users, err := m.usersOf(ctx, c.ID)
	if err != nil {
		return err
	}
	if len(users) > 0 {
		return fleet.Errorf(fleet.Refused, "config %s is used by %d servers, %s among them", c.Name, len(users), users[0].Name).
			WithHint("give them another one first: talos-manager server assign %s --config NAME", users[0].Name)
	}
	if err := m.Store.RemoveConfig(ctx, c.ID); err != nil {
		return err
	}
	return m.audit(ctx, actor, "config.delete", "config", c.ID, "deleted "+c.Name)
}
