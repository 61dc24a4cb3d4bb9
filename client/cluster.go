package client

import (
	"context"
	"net/http"
	"time"
)

// Cluster is a Talos and Kubernetes cluster.
type Cluster struct {
	ID                string       `json:"id"`
	Name              string       `json:"name"`
	Endpoint          string       `json:"endpoint" doc:"https://HOST:PORT of the Kubernetes API"`
	TalosVersion      string       `json:"talosVersion"`
	KubernetesVersion string       `json:"kubernetesVersion"`
	Config            *Ref         `json:"config,omitempty" doc:"default of its servers"`
	Schematic         *Ref         `json:"schematic,omitempty" doc:"default of its servers; absent: the plain one"`
	VSwitch           *Ref         `json:"vSwitch,omitempty"`
	PrivateNetwork    string       `json:"privateNetwork,omitempty" doc:"of its servers: 10.0.0.0/16"`
	PrivateMTU        int          `json:"privateMTU,omitempty" doc:"absent: what the provider has"`
	DiskPolicy        string       `json:"diskPolicy,omitempty" enum:"clean-only,wipe-ours,wipe-all" doc:"what installs of its servers may overwrite without asking; absent: clean-only"`
	Servers           ServerCounts `json:"servers"`
	CreatedAt         time.Time    `json:"createdAt"`
	BootstrapServer   *Ref         `json:"bootstrapServer,omitempty" doc:"control plane that was chosen to bootstrap etcd"`
	BootstrappedAt    time.Time    `json:"bootstrappedAt,omitzero" doc:"absent: not yet"`
}

// ServerCounts says how many servers a cluster has.
type ServerCounts struct {
	ControlPlanes      int `json:"controlPlanes"`
	ReadyControlPlanes int `json:"readyControlPlanes"`
	Workers            int `json:"workers"`
	ReadyWorkers       int `json:"readyWorkers"`
}

// NewCluster is what a cluster is made from.
type NewCluster struct {
	Name              string `json:"name" doc:"1 to 63 of a-z, 0-9 and '-'"`
	Endpoint          string `json:"endpoint" doc:"https://HOST:6443, where HOST is a load balancer, a DNS name or the first control plane"`
	TalosVersion      string `json:"talosVersion,omitempty" doc:"v1.14.1; absent: the newest known"`
	KubernetesVersion string `json:"kubernetesVersion,omitempty" doc:"v1.36.3; absent: the one that the Talos version brings"`
	Config            string `json:"config,omitempty" doc:"name or id"`
	Schematic         string `json:"schematic,omitempty" doc:"name or id"`
	VSwitch           string `json:"vSwitch,omitempty" doc:"id"`
	PrivateNetwork    string `json:"privateNetwork,omitempty" doc:"of its servers: 10.0.0.0/16"`
	PrivateMTU        int    `json:"privateMTU,omitempty" doc:"absent: what the provider has"`
	DiskPolicy        string `json:"diskPolicy,omitempty" enum:"clean-only,wipe-ours,wipe-all" doc:"what installs of its servers may overwrite without asking; absent: clean-only"`
	Secrets           string `json:"secrets,omitempty" writeOnly:"true" doc:"of a cluster that exists, to take over: secrets.yaml of talosctl gen secrets, or the machine config of one of its control planes; absent: made"`
}

// ClusterChange changes a cluster's record; what is absent stays. The versions of a cluster that runs change by an upgrade.
type ClusterChange struct {
	TalosVersion      *string `json:"talosVersion,omitempty"`
	KubernetesVersion *string `json:"kubernetesVersion,omitempty"`
	Config            *string `json:"config,omitempty" doc:"name or id; \"\" for none"`
	Schematic         *string `json:"schematic,omitempty" doc:"name or id; \"\" for the plain one"`
	VSwitch           *string `json:"vSwitch,omitempty" doc:"id; \"\" for none"`
	PrivateNetwork    *string `json:"privateNetwork,omitempty" doc:"10.0.0.0/16"`
	PrivateMTU        *int    `json:"privateMTU,omitempty" doc:"0: what the provider has"`
	DiskPolicy        *string `json:"diskPolicy,omitempty" doc:"clean-only, wipe-ours or wipe-all; empty: clean-only"`
	Why               string  `json:"why,omitempty" doc:"for those who read the events"`
}

// UpdateCluster changes a cluster's record. It is refused if that would break a server. Machines keep what they have.
func (c *Client) UpdateCluster(ctx context.Context, ref string, change ClusterChange) (v Cluster, err error) {
	return v, c.call(ctx, http.MethodPatch, at("/clusters/%s", ref), nil, change, &v)
}

// Clusters lists the clusters.
func (c *Client) Clusters(ctx context.Context) (l List[Cluster], err error) {
	return l, c.call(ctx, http.MethodGet, at("/clusters"), nil, nil, &l)
}

// Cluster reads one by id or name.
func (c *Client) Cluster(ctx context.Context, ref string) (v Cluster, err error) {
	return v, c.call(ctx, http.MethodGet, at("/clusters/%s", ref), nil, nil, &v)
}

// CreateCluster keeps a new cluster; no machine is touched.
func (c *Client) CreateCluster(ctx context.Context, n NewCluster) (v Cluster, err error) {
	return v, c.call(ctx, http.MethodPost, at("/clusters"), nil, n, &v)
}

// Secrets are those of a cluster that exists.
type Secrets struct {
	Secrets string `json:"secrets" minLength:"1" writeOnly:"true" doc:"secrets.yaml of talosctl gen secrets, or the machine config of a control plane"`
}

// ReplaceSecrets gives a cluster other secrets. It is refused as soon as a machine may have those that it was made with.
func (c *Client) ReplaceSecrets(ctx context.Context, ref, secrets string) (v Cluster, err error) {
	return v, c.call(ctx, http.MethodPut, at("/clusters/%s/secrets", ref), nil, Secrets{secrets}, &v)
}

// DeleteCluster forgets a cluster and its secrets. It is refused while servers belong to it.
func (c *Client) DeleteCluster(ctx context.Context, ref string) error {
	return c.call(ctx, http.MethodDelete, at("/clusters/%s", ref), nil, nil, nil)
}

// BootstrapCluster starts etcd of a new cluster, which is done once in its life.
func (c *Client) BootstrapCluster(ctx context.Context, ref string) (o Operation, err error) {
	return o, c.call(ctx, http.MethodPost, at("/clusters/%s/bootstrap", ref), nil, nil, &o)
}

// Talosconfig makes an admin talosconfig, YAML. This is noted in the events.
func (c *Client) Talosconfig(ctx context.Context, ref string) ([]byte, error) {
	return c.text(ctx, at("/clusters/%s/talosconfig", ref), nil)
}

// Kubeconfig fetches an admin kubeconfig from a control plane, YAML. This is noted in the events.
func (c *Client) Kubeconfig(ctx context.Context, ref string) ([]byte, error) {
	return c.text(ctx, at("/clusters/%s/kubeconfig", ref), nil)
}
