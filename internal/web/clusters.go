package web

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/talos-manager/talos-manager/internal/access"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
	"github.com/talos-manager/talos-manager/internal/store"
)

// clustersData is the page of all clusters.
type clustersData struct {
	Rows       []clusterRow
	Configs    []option
	Schematics []option
	VSwitches  []option
	Offers     manage.Offers
	Suggested  string // endpoint of the first server that could be a control plane, "" if there is none
}

// clusterRow is one cluster in a table.
type clusterRow struct {
	ID, Name, Endpoint, Talos, Kubernetes string
	Status                                status
	Planes, ReadyPlanes                   int
	Workers, ReadyWorkers                 int
	Sites                                 []string // FSN1, HEL1
	Created                               time.Time
}

// clusters is the page of all clusters.
func (s *site) clusters(r *http.Request) (view, error) {
	ctx := r.Context()
	d := clustersData{Offers: s.Manager.Offers(ctx)}
	all, err := s.store.Clusters(ctx)
	if err != nil {
		return view{}, err
	}
	if d.Rows, err = s.clusterRows(r, all); err != nil {
		return view{}, err
	}
	if d.Configs, err = s.configOptions(ctx, option{"", "None"}); err != nil {
		return view{}, err
	}
	if d.Schematics, err = s.schematicOptions(ctx, option{"", "Plain Talos"}); err != nil {
		return view{}, err
	}
	if d.VSwitches, err = s.vswitchOptions(r); err != nil {
		return view{}, err
	}
	free, err := s.store.Servers(ctx, store.ServerFilter{Unassigned: true, WithoutFacts: true, Limit: perPage})
	if err != nil {
		return view{}, err
	}
	d.Suggested = suggestEndpoint(free)
	return view{
		title: "Clusters", section: "/clusters", address: "/clusters",
		body:  func([]fleet.LogLine) templ.Component { return clustersPage(d) },
		parts: []part{partOf("clusters-table", d.Rows, clustersTable)}, wants: changeOf("clusters", "servers"),
		sheet: func() (sheet, error) { return clusterSheet(d.Rows), nil },
		same: []command{
			{"List the clusters", "cluster list", "GET /api/v1/clusters"},
			{"Create a cluster", "cluster create NAME --endpoint https://HOST:6443", `POST /api/v1/clusters {"name": "NAME", "endpoint": "https://HOST:6443"}`},
		},
	}, nil
}

// clusterSheet is the table of clusters for other programs.
func clusterSheet(rows []clusterRow) sheet {
	out := sheet{name: "clusters", columns: []string{"name", "endpoint", "state", "detail", "control planes", "ready control planes", "workers", "ready workers", "sites", "talos", "kubernetes", "created"}}
	for _, row := range rows {
		out.rows = append(out.rows, []string{
			row.Name, row.Endpoint, row.Status.Word, row.Status.Detail, strconv.Itoa(row.Planes), strconv.Itoa(row.ReadyPlanes),
			strconv.Itoa(row.Workers), strconv.Itoa(row.ReadyWorkers), strings.Join(row.Sites, " "), row.Talos, row.Kubernetes, row.Created.UTC().Format(time.RFC3339),
		})
	}
	return out
}

func (s *site) vswitchOptions(r *http.Request) ([]option, error) {
	all, err := s.store.VSwitches(r.Context(), "")
	out := []option{{"", "None"}}
	for _, v := range all {
		if v.MissingAt.IsZero() {
			out = append(out, option{v.ID, v.Name})
		}
	}
	return out, err
}

// suggestEndpoint is the address of the first server whose name says control plane, as an endpoint.
func suggestEndpoint(free []fleet.Server) string {
	for _, v := range free {
		if fleet.GuessRole(v.Name) == fleet.ControlPlane && v.IPv4 != "" {
			return "https://" + v.IPv4 + ":6443"
		}
	}
	return ""
}

func (s *site) clusterRows(r *http.Request, all []fleet.Cluster) ([]clusterRow, error) {
	rows := make([]clusterRow, 0, len(all))
	for _, c := range all {
		nodes, err := s.store.Servers(r.Context(), store.ServerFilter{ClusterID: c.ID, IncludeMissing: true, WithoutFacts: true})
		if err != nil {
			return nil, err
		}
		rows = append(rows, clusterRowOf(c, nodes))
	}
	return rows, nil
}

func clusterRowOf(c fleet.Cluster, nodes []fleet.Server) clusterRow {
	row := clusterRow{ID: c.ID, Name: c.Name, Endpoint: c.Endpoint, Talos: c.TalosVersion, Kubernetes: c.KubernetesVersion, Created: c.CreatedAt}
	for _, v := range nodes {
		all, ready := &row.Workers, &row.ReadyWorkers
		if v.Assignment.Role == fleet.ControlPlane {
			all, ready = &row.Planes, &row.ReadyPlanes
		}
		*all++
		if v.State == fleet.Ready {
			*ready++
		}
		if site := siteOf(v.Location); !slices.Contains(row.Sites, site) {
			row.Sites = append(row.Sites, site)
		}
	}
	slices.Sort(row.Sites)
	row.Status = clusterStatus(c, row, nodes)
	return row
}

// clusterStatus says how a cluster does, by its servers. Quorum is more than half of its control planes.
func clusterStatus(c fleet.Cluster, row clusterRow, nodes []fleet.Server) status {
	under := 0
	for _, v := range nodes {
		if v.State == fleet.Installing || v.State == fleet.Configured {
			under++
		}
	}
	switch {
	case len(nodes) == 0:
		return status{attention, "Empty", "Assign servers to it"}
	case row.Planes == 0:
		return status{attention, "No control plane", "Assign a server as control plane"}
	case c.BootstrappedAt.IsZero() && under > 0:
		return status{working, "Being made", count(under, "server") + " under way"}
	case c.BootstrappedAt.IsZero():
		return status{attention, "Not bootstrapped", "Install its control planes"}
	case row.ReadyPlanes*2 <= row.Planes && under > 0:
		return status{working, "Coming up", count(under, "server") + " under way"}
	case row.ReadyPlanes*2 <= row.Planes:
		return status{broken, "No quorum", "Fewer than half of the control planes are Ready"}
	case row.ReadyPlanes+row.ReadyWorkers < len(nodes) && under > 0:
		return status{working, "Growing", count(under, "server") + " under way"}
	case row.ReadyPlanes+row.ReadyWorkers < len(nodes):
		return status{attention, "Degraded", count(len(nodes)-row.ReadyPlanes-row.ReadyWorkers, "server") + " not Ready"}
	}
	return status{ok, "Healthy", ""}
}

// createCluster keeps a new cluster.
func (s *site) createCluster(w http.ResponseWriter, r *http.Request) error {
	secrets, err := s.broughtSecrets(r)
	if err != nil {
		return s.again(w, r, s.clusters, err)
	}
	value := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	c, err := s.Manager.CreateCluster(r.Context(), access.Actor(r.Context()), manage.NewCluster{
		Name: value("name"), Endpoint: value("endpoint"), TalosVersion: value("talos"), KubernetesVersion: value("kubernetes"),
		Config: value("config"), Schematic: value("schematic"), VSwitchID: value("vswitch"), PrivateNetwork: value("network"),
		DiskPolicy: fleet.DiskPolicy(value("disks")), Secrets: secrets,
	})
	if err != nil {
		return s.again(w, r, s.clusters, err)
	}
	return s.done(w, r, "/clusters/"+c.ID, "Created "+c.Name+": assign servers to it now")
}
