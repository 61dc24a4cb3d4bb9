package web

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/a-h/templ"

	"github.com/talos-manager/talos-manager/internal/access"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
	"github.com/talos-manager/talos-manager/internal/store"
)

// clusterBase is what all tabs of a cluster have. It never holds the cluster's secrets.
type clusterBase struct {
	Cluster fleet.Cluster
	Nodes   []fleet.Server // of its assignments
	Row     clusterRow
}

func (s *site) clusterBase(ctx context.Context, ref string) (b clusterBase, err error) {
	if b.Cluster, err = s.store.Cluster(ctx, ref); err != nil {
		return b, err
	}
	b.Cluster.Secrets = nil
	b.Nodes, err = s.store.Servers(ctx, store.ServerFilter{ClusterID: b.Cluster.ID, IncludeMissing: true, WithoutFacts: true})
	slices.SortStableFunc(b.Nodes, byRole)
	b.Row = clusterRowOf(b.Cluster, b.Nodes)
	return b, err
}

// byRole puts control planes first, and counts in names: worker-2 is before worker-10.
func byRole(a, b fleet.Server) int {
	if a.Assignment.Role != b.Assignment.Role {
		return cmp.Compare(string(a.Assignment.Role), string(b.Assignment.Role)) // "controlplane" is before "worker"
	}
	return cmp.Compare(counted(a.Hostname()), counted(b.Hostname()))
}

var digits = regexp.MustCompile(`[0-9]+`)

// counted is a name whose numbers have the same length, to sort by.
func counted(name string) string {
	return digits.ReplaceAllStringFunc(name, func(n string) string { return strings.Repeat("0", max(0, 12-len(n))) + n })
}

// clusterTab is one of the pages of a cluster.
type clusterTab struct{ path, name string }

func clusterTabs() []clusterTab {
	return []clusterTab{{"", "Overview"}, {"/nodes", "Nodes"}, {"/versions", "Versions"}, {"/access", "Access"}, {"/settings", "Settings"}, {"/secrets", "Secrets"}}
}

// clusterView is the view of a tab, but for its body.
func clusterView(b clusterBase, path string) view {
	v := view{title: b.Row.Name, section: "/clusters", crumbs: []crumb{{"Clusters", "/clusters"}}, address: "/clusters/" + b.Row.ID + path, wants: changeOf("clusters", "servers")}
	for _, tab := range clusterTabs() {
		if path != "" && tab.path == path {
			v.title, v.crumbs = tab.name, append(v.crumbs, crumb{b.Row.Name, "/clusters/" + b.Row.ID})
		}
	}
	return v
}

// clusterData is the first page of one cluster.
type clusterData struct {
	clusterBase
	Rows          []serverRow
	History       []operationRow
	Config        string
	Schematic     string
	VSwitch       string
	Bootstrap     string // server that bootstrapped, or is chosen to; "" for none
	Bootstrapped  bool
	Bootstrapping string // operation that is at it, "" for none
	Topology      topology
	Lost          string // what goes with the cluster when it is forgotten
}

// cluster is the first page of one cluster.
func (s *site) cluster(r *http.Request) (view, error) {
	d, err := s.clusterData(r.Context(), r.PathValue("ref"))
	if err != nil {
		return view{}, err
	}
	v := clusterView(d.clusterBase, "")
	v.body = func([]fleet.LogLine) templ.Component { return clusterPage(d) }
	v.parts = []part{
		{id: "cluster-head", key: keyOf(d.Row), piece: clusterHead(d.Row)},
		{id: "cluster-facts", key: keyOf([]any{d.Row, d.Config, d.Schematic, d.VSwitch, d.Bootstrap, d.Bootstrapped}), piece: clusterFacts(d)},
		partOf("cluster-topology", d.Topology, topologyCard),
		{id: "cluster-nodes", key: keyOf([]any{len(d.Rows), d.Rows[:min(len(d.Rows), clusterServers)]}), piece: clusterNodes(d.Cluster.ID, d.Rows)},
		partOf("cluster-history", d.History, clusterHistory),
		{id: "cluster-actions", key: keyOf([]any{d.Row.Name, d.Bootstrapped, d.Bootstrapping, d.Row.Planes, len(d.Nodes), d.Lost}), piece: clusterActions(d)},
	}
	v.sheet = func() (sheet, error) { return nodeSheet(d), nil }
	at := "/api/v1/clusters/" + d.Row.Name
	v.same = []command{
		{"Show it and its servers", "cluster show " + d.Row.Name, "GET " + at},
		{"Start etcd of a new cluster", "cluster bootstrap " + d.Row.Name + " --wait", "POST " + at + "/bootstrap"},
		{"Forget it and its secrets", "cluster delete " + d.Row.Name, "DELETE " + at},
	}
	return v, nil
}

// nodeSheet is the table of a cluster's servers for other programs.
func nodeSheet(d clusterData) sheet {
	out := sheet{name: d.Row.Name + "-servers", columns: []string{"name", "node", "state", "role", "location", "address", "private address", "product"}}
	for i, row := range d.Rows {
		v := d.Nodes[i]
		out.rows = append(out.rows, []string{row.Name, v.Hostname(), row.Status.Word, string(row.Role), row.Location, row.Address, v.Assignment.PrivateIP, row.Product})
	}
	return out
}

func (s *site) clusterData(ctx context.Context, ref string) (d clusterData, err error) {
	if d.clusterBase, err = s.clusterBase(ctx, ref); err != nil {
		return d, err
	}
	c := d.Cluster
	active, err := s.activeByServer(ctx, store.OperationFilter{ClusterID: c.ID})
	if err != nil {
		return d, err
	}
	d.Rows = serverRows(d.Nodes, names{c.ID: c.Name}, active)
	d.Topology = topologyOf(c, d.Rows, addressesOf(d.Nodes))
	d.Bootstrapped = !c.BootstrappedAt.IsZero()
	known := names{}
	for _, v := range d.Nodes {
		known[v.ID] = v.Name
	}
	d.Bootstrap = known[c.BootstrapServerID]
	if err := s.clusterReferences(ctx, c, &d); err != nil {
		return d, err
	}
	if d.Lost, err = s.lostWith(ctx, c); err != nil {
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

// lostWith says what goes with a cluster when it is forgotten.
func (s *site) lostWith(ctx context.Context, c fleet.Cluster) (string, error) {
	lost := []string{"the secrets of " + c.Name}
	patches := 0
	for _, of := range clusterLayers(c.ID) {
		l, draft, err := s.Manager.Layer(ctx, of)
		if err != nil {
			return "", err
		}
		patches += max(len(l.Patches), len(draft.Patches))
	}
	if patches > 0 {
		lost = append(lost, fmt.Sprintf("its own patches (%d) with their history", patches))
	}
	rules, err := s.store.Rules(ctx, c.ID)
	own := 0
	for _, r := range rules {
		if r.ClusterID == c.ID {
			own++
		}
	}
	if own > 0 {
		lost = append(lost, count(own, "rule")+" for labels and taints")
	}
	return strings.Join(lost, ", "), err
}

// clusterLayers are the layers of patches that a cluster has of its own.
func clusterLayers(cluster string) []manage.LayerRef {
	return []manage.LayerRef{
		{Scope: fleet.ScopeCluster, Owner: cluster}, {Scope: fleet.ScopeRole, Owner: cluster, Role: fleet.ControlPlane}, {Scope: fleet.ScopeRole, Owner: cluster, Role: fleet.Worker},
	}
}

func addressesOf(nodes []fleet.Server) map[string][]string {
	all := map[string][]string{}
	for _, v := range nodes {
		all[v.ID] = []string{v.IPv4, v.IPv6, v.Assignment.PrivateIP}
	}
	return all
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
		return s.again(w, r, s.clusterAccess, err)
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
		return s.again(w, r, s.clusterAccess, err)
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
