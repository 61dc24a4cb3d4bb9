package web

import (
	"context"
	"net/http"

	"github.com/a-h/templ"

	"github.com/talos-manager/talos-manager/internal/access"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
	"github.com/talos-manager/talos-manager/internal/store"
)

// clusterData is the page of one cluster. It never holds the cluster's secrets.
type clusterData struct {
	Row           clusterRow
	Nodes         []serverRow
	History       []operationRow
	Config        string
	Schematic     string
	VSwitch       string
	Bootstrap     string // server that bootstrapped, or is chosen to; "" for none
	Bootstrapped  bool
	Bootstrapping string // operation that is at it, "" for none
}

// cluster is the page of one cluster.
func (s *site) cluster(r *http.Request) (view, error) {
	d, err := s.clusterData(r.Context(), r.PathValue("ref"))
	if err != nil {
		return view{}, err
	}
	return view{
		title: d.Row.Name, section: "/clusters", crumbs: []crumb{{"Clusters", "/clusters"}}, address: "/clusters/" + d.Row.ID,
		body: func([]fleet.LogLine) templ.Component { return clusterPage(d) },
		parts: []part{
			{id: "cluster-head", key: keyOf(d.Row), piece: clusterHead(d)},
			{id: "cluster-facts", key: keyOf([]any{d.Row, d.Config, d.Schematic, d.VSwitch, d.Bootstrap, d.Bootstrapped}), piece: clusterFacts(d)},
			partOf("cluster-nodes", d.Nodes, clusterNodes),
			partOf("cluster-history", d.History, clusterHistory),
			{id: "cluster-actions", key: keyOf([]any{d.Row.Name, d.Bootstrapped, d.Bootstrapping, d.Row.Planes, len(d.Nodes)}), piece: clusterActions(d)},
		},
		wants: changeOf("clusters", "servers"),
	}, nil
}

func (s *site) clusterData(ctx context.Context, ref string) (d clusterData, err error) {
	c, err := s.store.Cluster(ctx, ref)
	if err != nil {
		return d, err
	}
	nodes, err := s.store.Servers(ctx, store.ServerFilter{ClusterID: c.ID, IncludeMissing: true, WithoutFacts: true})
	if err != nil {
		return d, err
	}
	active, err := s.activeByServer(ctx, store.OperationFilter{ClusterID: c.ID})
	if err != nil {
		return d, err
	}
	d.Row, d.Nodes = clusterRowOf(c, nodes), serverRows(nodes, names{c.ID: c.Name}, active)
	d.Bootstrapped = !c.BootstrappedAt.IsZero()
	known := names{}
	for _, v := range nodes {
		known[v.ID] = v.Name
	}
	d.Bootstrap = known[c.BootstrapServerID]
	if err := s.clusterReferences(ctx, c, &d); err != nil {
		return d, err
	}
	history, err := s.store.Operations(ctx, store.OperationFilter{ClusterID: c.ID, Limit: historyLength})
	if err != nil {
		return d, err
	}
	boot, err := s.store.Operations(ctx, store.OperationFilter{ClusterID: c.ID, Kind: "cluster.bootstrap", Active: true, Limit: 1})
	if err != nil {
		return d, err
	}
	if len(boot) > 0 {
		d.Bootstrapping = boot[0].ID
	}
	d.History, err = s.operationRows(ctx, history, known)
	return d, err
}

// clusterReferences reads what the cluster's config, schematic and vSwitch are called.
func (s *site) clusterReferences(ctx context.Context, c fleet.Cluster, d *clusterData) error {
	if c.ConfigID != "" {
		v, err := s.store.Config(ctx, c.ConfigID)
		if err != nil {
			return err
		}
		d.Config = v.Name
	}
	if c.SchematicID != "" {
		v, err := s.store.Schematic(ctx, c.SchematicID)
		if err != nil {
			return err
		}
		d.Schematic = v.Name
	}
	if c.VSwitchID != "" {
		v, err := s.store.VSwitch(ctx, c.VSwitchID)
		if err != nil {
			return err
		}
		d.VSwitch = v.Name
	}
	return nil
}

// bootstrapCluster starts etcd of a new cluster.
func (s *site) bootstrapCluster(w http.ResponseWriter, r *http.Request) error {
	op, err := s.Operations.Bootstrap(r.Context(), access.Actor(r.Context()), r.PathValue("ref"))
	if err != nil {
		return s.again(w, r, s.cluster, err)
	}
	return s.done(w, r, "/operations/"+op.ID, "Bootstrapping etcd")
}

// talosconfig hands out an admin talosconfig. It is asked for by POST: it is written to the audit log, and no
// browser fetches it ahead.
func (s *site) talosconfig(w http.ResponseWriter, r *http.Request) error {
	c, err := s.store.Cluster(r.Context(), r.PathValue("ref"))
	if err != nil {
		return err
	}
	config, err := s.Manager.Talosconfig(r.Context(), access.Actor(r.Context()), c.ID)
	if err != nil {
		return s.again(w, r, s.cluster, err)
	}
	download(w, "text/yaml; charset=utf-8", c.Name+"-talosconfig.yaml", config)
	return nil
}

// kubeconfig hands out an admin kubeconfig, which a control plane makes.
func (s *site) kubeconfig(w http.ResponseWriter, r *http.Request) error {
	c, err := s.store.Cluster(r.Context(), r.PathValue("ref"))
	if err != nil {
		return err
	}
	config, err := s.Operations.Kubeconfig(r.Context(), c.ID)
	if err != nil {
		return s.again(w, r, s.cluster, err)
	}
	if err := manage.Audit(r.Context(), s.store, access.Actor(r.Context()), "cluster.kubeconfig", "cluster", c.ID, "admin kubeconfig of "+c.Name+" handed out"); err != nil {
		return err
	}
	download(w, "text/yaml; charset=utf-8", c.Name+"-kubeconfig.yaml", config)
	return nil
}

// deleteCluster forgets a cluster and its secrets.
func (s *site) deleteCluster(w http.ResponseWriter, r *http.Request) error {
	c, err := s.store.Cluster(r.Context(), r.PathValue("ref"))
	if err != nil {
		return err
	}
	if err := insist(r, "forget cluster "+c.Name, c.Name); err != nil {
		return s.again(w, r, s.cluster, err)
	}
	if err := s.Manager.DeleteCluster(r.Context(), access.Actor(r.Context()), c.ID); err != nil {
		return s.again(w, r, s.cluster, err)
	}
	return s.done(w, r, "/clusters", "Forgot cluster "+c.Name)
}
