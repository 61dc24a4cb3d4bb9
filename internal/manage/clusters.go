package manage

import (
	"context"
	"net/netip"
	"net/url"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig"
	"github.com/talos-manager/talos-manager/internal/store"
)

// NewCluster is what a cluster is made from. An empty Talos version is the newest, an empty Kubernetes version the one that
// the Talos version brings.
type NewCluster struct {
	Name              string
	Endpoint          string
	TalosVersion      string
	KubernetesVersion string
	Config            string // name or id, "" for none
	Schematic         string // name or id, "" for the plain one
	VSwitchID         string
	PrivateNetwork    string // of its servers, "10.0.0.0/16"; "" if it is not known
	PrivateMTU        int    // 0: what the provider has
	DiskPolicy        fleet.DiskPolicy
	Secrets           []byte // secrets bundle to take over; nil makes one
}

// CreateCluster keeps a new cluster, with secrets of its own unless some are brought along.
func (m *Manager) CreateCluster(ctx context.Context, actor string, n NewCluster) (fleet.Cluster, error) {
	c := fleet.Cluster{
		ID: fleet.NewID(), Name: n.Name, Endpoint: n.Endpoint, TalosVersion: n.TalosVersion,
		KubernetesVersion: n.KubernetesVersion, VSwitchID: n.VSwitchID, Secrets: n.Secrets, CreatedAt: m.Now(),
		PrivateNetwork: n.PrivateNetwork, PrivateMTU: n.PrivateMTU, DiskPolicy: n.DiskPolicy,
	}
	if c.TalosVersion == "" {
		c.TalosVersion = machineconfig.NewestTalos()
	}
	if c.KubernetesVersion == "" {
		c.KubernetesVersion = machineconfig.KubernetesOf(c.TalosVersion)
	}
	if err := checkCluster(c); err != nil {
		return c, err
	}
	if err := m.clusterReferences(ctx, &c, n); err != nil {
		return c, err
	}
	err := m.offered(ctx, "cluster "+c.Name, c.SchematicID, c.TalosVersion, "")
	if err != nil {
		return c, err
	}
	if c.Secrets == nil {
		c.Secrets, err = machineconfig.NewSecrets(c.TalosVersion, m.Now())
	} else {
		err = machineconfig.CheckSecrets(c.Secrets, c.TalosVersion)
	}
	if err != nil {
		return c, err
	}
	if c, err = m.Store.CreateCluster(ctx, c); err != nil {
		return c, err
	}
	return c, m.audit(ctx, actor, "cluster.create", "cluster", c.ID, "created "+c.Name+" at "+c.Endpoint)
}

func checkCluster(c fleet.Cluster) error {
	if err := fleet.CheckName("cluster", c.Name); err != nil {
		return err
	}
	u, err := url.Parse(c.Endpoint)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.Port() == "" || u.Path != "" && u.Path != "/" {
		return fleet.Errorf(fleet.Invalid, "cluster %s: endpoint %q", c.Name, c.Endpoint).
			WithHint("write it as https://HOST:6443, where HOST is a load balancer, a DNS name or the first control plane")
	}
	if err := c.DiskPolicy.Check(); err != nil {
		return err
	}
	if err := checkPrivateNetwork(c); err != nil {
		return err
	}
	return machineconfig.CheckVersions(c.TalosVersion, c.KubernetesVersion)
}

func checkPrivateNetwork(c fleet.Cluster) error {
	if c.PrivateNetwork != "" {
		if p, err := netip.ParsePrefix(c.PrivateNetwork); err != nil || p != p.Masked() {
			return fleet.Errorf(fleet.Invalid, "cluster %s: private network %q", c.Name, c.PrivateNetwork).WithHint("write it as 10.0.0.0/16")
		}
	}
	if c.PrivateMTU != 0 && (c.PrivateMTU < 576 || c.PrivateMTU > 9000) {
		return fleet.Errorf(fleet.Invalid, "cluster %s: MTU %d", c.Name, c.PrivateMTU).WithHint("a vSwitch has 1400, a Cloud network 1450; 0 means just that")
	}
	return nil
}

func (m *Manager) clusterReferences(ctx context.Context, c *fleet.Cluster, n NewCluster) error {
	if n.Config != "" {
		config, err := m.Store.Config(ctx, n.Config)
		if err != nil {
			return err
		}
		c.ConfigID = config.ID
	}
	if n.Schematic != "" {
		schematic, err := m.Store.Schematic(ctx, n.Schematic)
		if err != nil {
			return err
		}
		c.SchematicID = schematic.ID
	}
	if n.VSwitchID != "" {
		if _, err := m.Store.VSwitch(ctx, n.VSwitchID); err != nil {
			return err
		}
	}
	return nil
}

// DeleteCluster forgets a cluster and its secrets. It is refused while servers belong to it.
func (m *Manager) DeleteCluster(ctx context.Context, actor, ref string) error {
	c, err := m.Store.Cluster(ctx, ref)
	if err != nil {
		return err
	}
	servers, err := m.Store.Servers(ctx, store.ServerFilter{ClusterID: c.ID, IncludeMissing: true})
	if err != nil {
		return err
	}
	if len(servers) > 0 {
		return fleet.Errorf(fleet.Refused, "cluster %s has %d servers", c.Name, len(servers)).
			WithHint("take them out first: talos-manager server assign %s --cluster ''. With the cluster its secrets are lost: nobody can log in to its nodes any more", servers[0].Name)
	}
	if err := m.Store.RemoveCluster(ctx, c.ID); err != nil {
		return err
	}
	return m.audit(ctx, actor, "cluster.delete", "cluster", c.ID, "deleted "+c.Name)
}

// Talosconfig makes an admin talosconfig whose endpoints are the cluster's control planes.
func (m *Manager) Talosconfig(ctx context.Context, actor, ref string) ([]byte, error) {
	c, err := m.Store.Cluster(ctx, ref)
	if err != nil {
		return nil, err
	}
	servers, err := m.Store.Servers(ctx, store.ServerFilter{ClusterID: c.ID, Role: fleet.ControlPlane})
	if err != nil {
		return nil, err
	}
	var endpoints []string
	for _, s := range servers {
		if s.Address() != "" {
			endpoints = append(endpoints, s.Address())
		}
	}
	config, err := AdminTalosconfig(&c, endpoints)
	if err != nil {
		return nil, err
	}
	return config, m.audit(ctx, actor, "cluster.talosconfig", "cluster", c.ID, "admin talosconfig of "+c.Name+" handed out")
}

// AdminTalosconfig makes an admin talosconfig of a cluster.
func AdminTalosconfig(c *fleet.Cluster, endpoints []string) ([]byte, error) {
	return machineconfig.Talosconfig(c, endpoints)
}
