package web

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/a-h/templ"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/operation"
)

// nodesData is the page of a cluster's nodes and of the members of its etcd.
type nodesData struct {
	Row   clusterRow
	Nodes []nodeRow
	Look  *operation.ClusterLook // nil: they were not asked
	Etcd  etcdRow
	Kube  []operation.KubeNode // of Kubernetes, that no server of ours is
}

// nodeRow is one server as our records, its Talos and Kubernetes have it.
type nodeRow struct {
	ID, Name, Hostname string
	Role               fleet.Role
	Recorded           status // what our records say
	Installed          fleet.Installed
	Asked              bool // of the following, whether its Talos and Kubernetes were
	Talos              string
	Says               status // what its Talos says
	Ailing             []string
	Kubelet            string
	Kubernetes         status // what Kubernetes says of it
}

// etcdRow is how etcd does.
type etcdRow struct {
	Status  status
	Members []operation.EtcdMember
}

// asking says whether a page was asked to go and look. A stream never is: it loads its page whenever a record changes.
func asking(r *http.Request) bool {
	return r.URL.Query().Get("ask") == "now" && !strings.HasPrefix(r.URL.Path, livePrefix+"/")
}

// clusterNodesPage is the page of a cluster's nodes. They are asked only when somebody wants it: that takes seconds.
func (s *site) clusterNodesPage(r *http.Request) (view, error) {
	b, err := s.clusterBase(r.Context(), r.PathValue("ref"))
	if err != nil {
		return view{}, err
	}
	d := nodesData{Row: b.Row}
	for _, v := range b.Nodes {
		d.Nodes = append(d.Nodes, nodeRow{
			ID: v.ID, Name: v.Name, Hostname: v.Hostname(), Role: v.Assignment.Role, Recorded: serverStatus(v, nil), Installed: v.Installed,
		})
	}
	v := clusterView(b, "/nodes")
	if asking(r) {
		look, err := s.Operations.LookAtCluster(r.Context(), b.Cluster.ID)
		if err != nil {
			return view{}, err
		}
		d.answered(look)
		v.address, v.wants = v.address+"?ask=now", nil // what was answered is of one moment
	}
	v.body = func([]fleet.LogLine) templ.Component { return clusterNodesTab(d) }
	v.parts = []part{
		{id: "cluster-head", key: keyOf(d.Row), piece: clusterHead(d.Row)},
		partOf("cluster-health", d, clusterHealth),
	}
	v.sheet = func() (sheet, error) { return healthSheet(d), nil }
	v.same = []command{
		{"Ask its nodes, its etcd and its Kubernetes API how they are", "cluster health " + b.Row.Name, "GET /api/v1/clusters/" + b.Row.Name + "/health"},
		{"Show the cluster and its servers", "cluster show " + b.Row.Name, "GET /api/v1/clusters/" + b.Row.Name},
		{"List its servers", "server list --cluster " + b.Row.Name, "GET /api/v1/servers?cluster=" + b.Row.Name},
	}
	return v, nil
}

// answered puts into the rows what was said.
func (d *nodesData) answered(look operation.ClusterLook) {
	d.Look = &look
	d.Etcd = etcdRow{Status: etcdStatus(look), Members: look.Members}
	said := map[string]operation.NodeLook{}
	for _, n := range look.Nodes {
		said[n.Server.ID] = n
	}
	for _, n := range look.Kubernetes.Nodes {
		if n.Server == "" {
			d.Kube = append(d.Kube, n)
		}
	}
	for i := range d.Nodes {
		row := &d.Nodes[i]
		n, asked := said[row.ID]
		if row.Asked = asked; !asked {
			continue
		}
		row.Talos, row.Ailing, row.Says = n.Talos, n.Ailing, talosStatus(n)
		k := look.KubeNodeOf(row.ID)
		row.Kubernetes = kubeStatus(k, look.Kubernetes)
		if k != nil {
			row.Kubelet = k.Kubelet
		}
	}
}

// talosStatus says what Talos of a node says.
func talosStatus(n operation.NodeLook) status {
	switch {
	case n.Problem != "" && n.Talos == "":
		return status{broken, "No answer", n.Problem}
	case n.Problem != "":
		return status{attention, "Answers in part", n.Problem}
	case len(n.Ailing) > 0:
		return status{attention, "Answers", strings.Join(n.Ailing, "; ")}
	}
	return status{ok, "Answers", ""}
}

// kubeStatus says what Kubernetes says of a node.
func kubeStatus(n *operation.KubeNode, all operation.KubernetesLook) status {
	switch {
	case n == nil && all.Problem != "":
		return status{attention, "Unknown", ""}
	case n == nil:
		return status{broken, "No node", "Kubernetes has no node of its name"}
	case !n.Ready:
		return status{broken, "Not Ready", n.Reason}
	case n.Cordoned:
		return status{attention, "Ready, cordoned", "Nothing new is scheduled on it"}
	}
	return status{ok, "Ready", ""}
}

// etcdStatus says how many losses etcd survives.
func etcdStatus(look operation.ClusterLook) status {
	switch h := look.Etcd(); {
	case h.Voters == 0:
		return status{attention, "Unknown", "No control plane told of members"}
	case h.Split:
		return status{broken, "Members differ", "Control planes list different members: etcd may be split. Restore none of them before you know why"}
	case h.Running < h.Quorum:
		return status{broken, "No quorum", fmt.Sprintf("%d of %d members run, %d are needed", h.Running, h.Voters, h.Quorum)}
	case h.Running < h.Voters:
		return status{attention, "Degraded", fmt.Sprintf("%d of %d members run: %s", h.Running, h.Voters, survives(h.Running-h.Quorum))}
	default:
		return status{ok, "Healthy", fmt.Sprintf("%s, %s", count(h.Voters, "member"), survives(h.Running-h.Quorum))}
	}
}

func survives(losses int) string {
	if losses == 0 {
		return "it survives the loss of none"
	}
	return fmt.Sprintf("it survives the loss of %d", losses)
}

// healthSheet is the page's table for other programs.
func healthSheet(d nodesData) sheet {
	out := sheet{name: d.Row.Name + "-nodes", columns: []string{"node", "server", "role", "recorded", "talos answers", "talos", "kubernetes", "kubelet", "problems"}}
	for _, n := range d.Nodes {
		problems := append([]string(nil), n.Ailing...)
		for _, s := range []status{n.Says, n.Kubernetes} {
			if s.Detail != "" {
				problems = append(problems, s.Detail)
			}
		}
		out.rows = append(out.rows, []string{n.Hostname, n.Name, string(n.Role), n.Recorded.Word, n.Says.Word, n.Talos, n.Kubernetes.Word, n.Kubelet, strings.Join(problems, "; ")})
	}
	return out
}
