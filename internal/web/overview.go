package web

import (
	"context"
	"net/http"
	"strconv"

	"github.com/a-h/templ"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
)

// overviewData is the first page: what there is, what runs, what needs a person.
type overviewData struct {
	Counts   []tally
	Clusters []clusterCapacity
	Free     capacity
	Needs    []need
	Untried  bool // nobody has tried the machine configs since the records changed
	Active   []operationRow
	More     int // active operations that are not in Active
	Map      fleetMap
	Guide    guide
}

// tally is a number with where to look at what it counts.
type tally struct {
	Name, Href string
	Number     int
	Status     tone // "" for a number that needs no judgement
}

// capacity is what servers have together.
type capacity struct {
	Servers, Unknown int // Unknown were never looked at
	Cores            int
	Memory, Disks    int64
}

func (c *capacity) add(v store.ServerBrief) {
	c.Servers++
	if !v.Looked {
		c.Unknown++
	}
	c.Cores, c.Memory, c.Disks = c.Cores+v.Cores, c.Memory+v.MemoryBytes, c.Disks+v.DiskBytes
}

// clusterCapacity is a cluster with what its servers have.
type clusterCapacity struct {
	clusterRow
	capacity
}

const (
	overviewActive = 10 // operations on the first page
	overviewNeeds  = 20 // things of each kind that need a person
)

// overview is the first page.
func (s *site) overview(r *http.Request) (view, error) {
	d, err := s.overviewData(r)
	if err != nil {
		return view{}, err
	}
	return view{
		title: "Overview", section: "/", address: "/",
		body: func([]fleet.LogLine) templ.Component { return overviewPage(d) },
		parts: []part{
			partOf("overview-guide", d.Guide, guideCard),
			partOf("overview-counts", d.Counts, countsCard),
			{id: "overview-needs", key: keyOf([]any{d.Needs, d.Untried}), piece: needsCard(d)},
			{id: "overview-active", key: keyOf([]any{d.Active, d.More}), piece: activeCard(d)},
			{id: "overview-clusters", key: keyOf([]any{d.Clusters, d.Free}), piece: overviewClusters(d)},
			partOf("overview-map", d.Map, mapCard),
		},
		wants: changeOf("servers", "clusters", "accounts", "configs", "layers", "budgets"),
		sheet: func() (sheet, error) { return d.sheet(), nil },
		same: []command{
			{What: "List the clusters", CLI: "cluster list", API: "GET /api/v1/clusters"},
			{What: "List what runs", CLI: "operation list --state active", API: "GET /api/v1/operations?state=pending,running,waiting,asking"},
			{What: "List the free servers", CLI: "server list --unassigned", API: "GET /api/v1/servers?unassigned=true"},
			{What: "Try the machine configs of all servers, against what the nodes run", CLI: "plan --running", API: `POST /api/v1/plan {"running": true}`},
		},
	}, nil
}

func (s *site) overviewData(r *http.Request) (d overviewData, err error) {
	ctx := r.Context()
	servers, err := s.store.ServerBriefs(ctx)
	if err != nil {
		return d, err
	}
	clusters, err := s.store.Clusters(ctx)
	if err != nil {
		return d, err
	}
	accounts, err := s.store.Accounts(ctx)
	if err != nil {
		return d, err
	}
	d.Counts = tallies(servers)
	d.Clusters, d.Free = capacities(servers, clusters)
	d.Map = fleetMapOf(servers, clusters)
	if d.Guide, err = s.guideOf(r, servers, clusters, accounts); err != nil {
		return d, err
	}
	if err := s.needs(r, &d, servers, accounts); err != nil {
		return d, err
	}
	return d, s.active(ctx, &d)
}

// tallies counts servers by state.
func tallies(servers []store.ServerBrief) []tally {
	all := []tally{
		{"Servers", "/servers", 0, ""},
		{"Ready", "/servers?state=ready", 0, ok},
		{"Installing", "/servers?state=installing", 0, working},
		{"Joining", "/servers?state=configured", 0, working},
		{"Not Ready", "/servers?state=unhealthy", 0, broken},
		{"Install stopped", "/servers?state=broken", 0, broken},
		{"Free", "/servers?cluster=none", 0, ""},
	}
	at := map[fleet.State]int{fleet.Ready: 1, fleet.Installing: 2, fleet.Configured: 3, fleet.Unhealthy: 4, fleet.Broken: 5}
	for _, v := range servers {
		if v.Missing {
			continue
		}
		all[0].Number++
		if i, counted := at[v.State]; counted {
			all[i].Number++
		}
		if v.ClusterID == "" {
			all[6].Number++
		}
	}
	return all
}

// capacities are the clusters with what their servers have, and what the servers in none have.
func capacities(servers []store.ServerBrief, clusters []fleet.Cluster) (all []clusterCapacity, free capacity) {
	nodes, sums := map[string][]fleet.Server{}, map[string]*capacity{"": &free}
	for _, c := range clusters {
		sums[c.ID] = &capacity{}
	}
	for _, v := range servers {
		sum, known := sums[v.ClusterID]
		if !known || v.ClusterID == "" && v.Missing {
			continue
		}
		sum.add(v)
		if v.ClusterID != "" {
			nodes[v.ClusterID] = append(nodes[v.ClusterID], fleet.Server{ID: v.ID, Name: v.Name, State: v.State, Assignment: fleet.Assignment{ClusterID: v.ClusterID, Role: v.Role}})
		}
	}
	for _, c := range clusters {
		all = append(all, clusterCapacity{clusterRowOf(c, nodes[c.ID]), *sums[c.ID]})
	}
	return all, free
}

// active reads what runs.
func (s *site) active(ctx context.Context, d *overviewData) error {
	all, err := s.store.Operations(ctx, store.OperationFilter{Active: true})
	if err != nil {
		return err
	}
	if d.More = max(0, len(all)-overviewActive); d.More > 0 {
		all = all[:overviewActive]
	}
	d.Active, err = s.operationRows(ctx, all, names{})
	return err
}

// sheet is the table of clusters, with the free servers at its end.
func (d overviewData) sheet() sheet {
	out := sheet{name: "overview", columns: []string{"cluster", "state", "control_planes", "control_planes_ready", "workers", "workers_ready", "talos", "kubernetes", "servers", "servers_never_looked_at", "cores", "memory_bytes", "disk_bytes"}}
	sums := func(c capacity) []string {
		return []string{strconv.Itoa(c.Servers), strconv.Itoa(c.Unknown), strconv.Itoa(c.Cores), strconv.FormatInt(c.Memory, 10), strconv.FormatInt(c.Disks, 10)}
	}
	for _, c := range d.Clusters {
		out.rows = append(out.rows, append([]string{
			c.Name, c.Status.Word, strconv.Itoa(c.Planes), strconv.Itoa(c.ReadyPlanes), strconv.Itoa(c.Workers), strconv.Itoa(c.ReadyWorkers), c.Talos, c.Kubernetes,
		}, sums(c.capacity)...))
	}
	out.rows = append(out.rows, append([]string{"", "Free", "", "", "", "", "", ""}, sums(d.Free)...))
	return out
}

// about names an operation and what it is done to.
func about(row operationRow) string {
	switch {
	case row.Server != "":
		return kindTitle(row.Kind) + " on " + row.Server
	case row.Cluster != "":
		return kindTitle(row.Kind) + " of " + row.Cluster
	}
	return kindTitle(row.Kind)
}
