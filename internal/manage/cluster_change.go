package manage

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
)

// ClusterChange is what to change of a cluster's record; nil leaves a field as it is.
type ClusterChange struct {
	TalosVersion, KubernetesVersion *string
	Config, Schematic               *string // names or ids; "" is none
	VSwitch                         *string // id; "" is none
	PrivateNetwork                  *string
	PrivateMTU                      *int
	DiskPolicy                      *fleet.DiskPolicy // of installs; "" is fleet.CleanOnly
	Why                             string
}

// UpdateCluster changes a cluster's record; machines keep what they have. Every server of it is checked. The versions
// of a cluster that runs, or is about to, are what it runs: they change by an upgrade.
func (m *Manager) UpdateCluster(ctx context.Context, actor, ref string, change ClusterChange) (c fleet.Cluster, err error) {
	if err := m.offeredToCluster(ctx, ref, change); err != nil { // asks the factory, so before anything is locked
		return c, err
	}
	err = m.save(ctx, func(now *snapshot) (*edited, error) {
		var t *trial
		if c, t, err = m.tryCluster(ctx, now, ref, change); err != nil {
			return nil, err
		}
		was := now.Clusters[c.ID]
		what := describeCluster(now, was, c)
		if why := t.hideText(change.Why); why != "" {
			what += " (" + why + ")"
		}
		return &edited{doing: "change cluster " + c.Name, write: func(e *store.Edit) error {
			if err := e.UpdateCluster(ctx, c); err != nil {
				return err
			}
			return e.Event(ctx, m.event(actor, "cluster.update", "cluster", c.ID, c.Name+": "+what))
		}}, nil
	})
	return c, err
}

// tryCluster checks a change of a cluster.
func (m *Manager) tryCluster(ctx context.Context, now *snapshot, ref string, change ClusterChange) (fleet.Cluster, *trial, error) {
	was, err := now.clusterOf(ref)
	if err != nil {
		return was, nil, err
	}
	c, err := changedCluster(now, was, change)
	if err != nil {
		return c, nil, err
	}
	if c.TalosVersion != was.TalosVersion || c.KubernetesVersion != was.KubernetesVersion {
		if err := m.mayChangeVersions(ctx, was); err != nil {
			return c, nil, err
		}
	}
	t := now.try("this change of cluster " + c.Name)
	t.final = true
	t.setCluster(c)
	if err := m.touch(ctx, t); err != nil {
		return c, t, err
	}
	for _, s := range t.servers {
		if err := checkPrivateIP(s.is, s.is.Assignment.PrivateIP, c); err != nil {
			return c, t, err
		}
	}
	return c, t, m.check(ctx, t)
}

func changedCluster(now *snapshot, c fleet.Cluster, change ClusterChange) (fleet.Cluster, error) {
	for _, f := range []struct{ to, from *string }{
		{&c.TalosVersion, change.TalosVersion}, {&c.KubernetesVersion, change.KubernetesVersion}, {&c.PrivateNetwork, change.PrivateNetwork},
	} {
		if f.from != nil {
			*f.to = strings.TrimSpace(*f.from)
		}
	}
	if change.DiskPolicy != nil {
		c.DiskPolicy = *change.DiskPolicy
	}
	if change.PrivateMTU != nil {
		c.PrivateMTU = *change.PrivateMTU
	}
	if change.Config != nil {
		config, err := now.configOf(*change.Config)
		if err != nil {
			return c, err
		}
		c.ConfigID = config.ID
	}
	if change.Schematic != nil {
		schematic, err := now.schematicOf(*change.Schematic)
		if err != nil {
			return c, err
		}
		c.SchematicID = schematic.ID
	}
	if change.VSwitch != nil {
		if _, known := now.VSwitches[*change.VSwitch]; !known && *change.VSwitch != "" {
			return c, fleet.Errorf(fleet.NotFound, "no vSwitch %q", *change.VSwitch).WithHint("`talos-manager vswitch list` shows all")
		}
		c.VSwitchID = *change.VSwitch
	}
	return c, checkCluster(c)
}

// mayChangeVersions refuses a cluster that runs, or has begun to.
func (m *Manager) mayChangeVersions(ctx context.Context, c fleet.Cluster) error {
	why, err := m.Begun(ctx, c)
	if err != nil || why == "" {
		return err
	}
	return fleet.Errorf(fleet.Refused, "cluster %s: %s", c.Name, why).
		WithHint("its versions are what it runs; they change by an upgrade of its nodes")
}

// Begun says why a cluster counts as one that runs: "" while nothing of it is on any machine.
func (m *Manager) Begun(ctx context.Context, c fleet.Cluster) (why string, err error) {
	if !c.BootstrappedAt.IsZero() {
		return "it runs already", nil
	}
	if c.BootstrapServerID != "" {
		return "its first control plane is chosen already", nil
	}
	servers, err := m.Store.Servers(ctx, store.ServerFilter{ClusterID: c.ID, IncludeMissing: true, WithoutFacts: true})
	for _, s := range servers {
		if isNode(s) || s.State == fleet.Installing {
			return fmt.Sprintf("server %s is %s", s.Name, s.State), err
		}
	}
	return "", err
}

func describeCluster(now *snapshot, was, c fleet.Cluster) string {
	var all []string
	for _, f := range []struct{ name, was, is string }{
		{"Talos", was.TalosVersion, c.TalosVersion},
		{"Kubernetes", was.KubernetesVersion, c.KubernetesVersion},
		{"config", now.Configs[was.ConfigID].Name, now.Configs[c.ConfigID].Name},
		{"schematic", now.Schematics[was.SchematicID].Name, now.Schematics[c.SchematicID].Name},
		{"vSwitch", now.VSwitches[was.VSwitchID].Name, now.VSwitches[c.VSwitchID].Name},
		{"private network", was.PrivateNetwork, c.PrivateNetwork},
		{"disk policy", string(cmp.Or(was.DiskPolicy, fleet.CleanOnly)), string(cmp.Or(c.DiskPolicy, fleet.CleanOnly))},
		{"private MTU", fmt.Sprint(was.PrivateMTU), fmt.Sprint(c.PrivateMTU)},
	} {
		if f.was != f.is {
			all = append(all, fmt.Sprintf("%s %s -> %s", f.name, orNone(f.was), orNone(f.is)))
		}
	}
	if len(all) == 0 {
		return "nothing changed"
	}
	return strings.Join(all, ", ")
}

func orNone(s string) string {
	if s == "" || s == "0" {
		return "none"
	}
	return s
}
