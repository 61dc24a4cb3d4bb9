package web

import (
	"context"
	"net/http"

	"github.com/a-h/templ"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
)

// overviewData is the first page: what there is, what runs, what needs a person.
type overviewData struct {
	Counts   []tally
	Clusters []clusterRow
	Needs    []need
	Active   []operationRow
	More     int // active operations that are not in Active
	Guide    guide
	Key      sshKey
}

// tally is a number with where to look at what it counts.
type tally struct {
	Name, Href string
	Number     int
	Status     tone // "" for a number that needs no judgement
}

// need is something that needs a person.
type need struct {
	Status status
	Title  string
	Href   string
	Next   string // what to do
}

// guide is how far a new user has come; it shows until the first cluster is made of servers.
type guide struct {
	Accounts, Servers, Clusters, Assigned, Ready int
	Installing                                   int // servers on the way
}

// step is the first one that is not done, counted from 1; 0 when all are.
func (g guide) step() int {
	for i, done := range []bool{g.Accounts > 0, g.Servers > 0, g.Clusters > 0, g.Assigned > 0, g.Ready > 0} {
		if !done {
			return i + 1
		}
	}
	return 0
}

const (
	overviewActive = 10 // operations on the first page
	overviewNeeds  = 20 // things of each kind that need a person
)

// overview is the first page.
func (s *site) overview(r *http.Request) (view, error) {
	ctx := r.Context()
	d := overviewData{Key: sshKeyOf(s.Key)}
	for _, read := range []func(context.Context, *overviewData) error{s.tallies, s.needs, s.active} {
		if err := read(ctx, &d); err != nil {
			return view{}, err
		}
	}
	clusters, err := s.store.Clusters(ctx)
	if err != nil {
		return view{}, err
	}
	if d.Clusters, err = s.clusterRows(r, clusters); err != nil {
		return view{}, err
	}
	d.Guide.Clusters = len(clusters)
	for _, c := range d.Clusters {
		d.Guide.Assigned += c.Planes + c.Workers
	}
	return view{
		title: "Overview", section: "/", address: "/",
		body: func([]fleet.LogLine) templ.Component { return overviewPage(d) },
		parts: []part{
			{id: "overview-guide", key: keyOf([]any{d.Guide, d.Key}), piece: guideCard(d)},
			partOf("overview-counts", d.Counts, countsCard),
			partOf("overview-needs", d.Needs, needsCard),
			{id: "overview-active", key: keyOf([]any{d.Active, d.More}), piece: activeCard(d)},
			partOf("overview-clusters", d.Clusters, overviewClusters),
		},
		wants: changeOf("servers", "clusters", "accounts"),
	}, nil
}

// tallies counts servers by state.
func (s *site) tallies(ctx context.Context, d *overviewData) error {
	for _, t := range []struct {
		tally
		states     []fleet.State
		unassigned bool
	}{
		{tally: tally{"Servers", "/servers", 0, ""}},
		{tally{"Ready", "/servers?state=ready", 0, ok}, []fleet.State{fleet.Ready}, false},
		{tally{"Installing", "/servers?state=installing", 0, working}, []fleet.State{fleet.Installing}, false},
		{tally{"Joining", "/servers?state=configured", 0, working}, []fleet.State{fleet.Configured}, false},
		{tally{"Not Ready", "/servers?state=unhealthy", 0, broken}, []fleet.State{fleet.Unhealthy}, false},
		{tally{"Install stopped", "/servers?state=broken", 0, broken}, []fleet.State{fleet.Broken}, false},
		{tally{"Free", "/servers?cluster=none", 0, ""}, nil, true},
	} {
		n, err := s.store.CountServers(ctx, store.ServerFilter{States: t.states, Unassigned: t.unassigned})
		if err != nil {
			return err
		}
		t.Number = n
		d.Counts = append(d.Counts, t.tally)
	}
	d.Guide.Servers, d.Guide.Ready = d.Counts[0].Number, d.Counts[1].Number
	d.Guide.Installing = d.Counts[2].Number + d.Counts[3].Number
	return nil
}

// needs gathers what waits for a person: questions, failures nobody has dealt with, lost nodes, accounts with
// problems.
func (s *site) needs(ctx context.Context, d *overviewData) error {
	asking, err := s.store.Operations(ctx, store.OperationFilter{States: []fleet.OperationState{fleet.Asking}, Limit: overviewNeeds})
	if err != nil {
		return err
	}
	failed, err := s.unresolved(ctx)
	if err != nil {
		return err
	}
	rows, err := s.operationRows(ctx, append(asking, failed...), names{})
	if err != nil {
		return err
	}
	for _, row := range rows {
		next := "Answer the question, or cancel"
		if row.Status.Tone == broken {
			next = "Look at the step it stopped at, then retry"
		}
		d.Needs = append(d.Needs, need{Status: row.Status, Title: about(row), Href: "/operations/" + row.ID, Next: next})
	}
	lost, err := s.store.Servers(ctx, store.ServerFilter{States: []fleet.State{fleet.Unhealthy}, IncludeMissing: true, WithoutFacts: true, Limit: overviewNeeds})
	if err != nil {
		return err
	}
	for _, v := range lost {
		d.Needs = append(d.Needs, need{Status: serverStatus(v, nil), Title: v.Name, Href: "/servers/" + v.ID, Next: "Look at the node"})
	}
	accounts, err := s.store.Accounts(ctx)
	if err != nil {
		return err
	}
	d.Guide.Accounts = len(accounts)
	for _, a := range accounts {
		if a.Problem != "" {
			d.Needs = append(d.Needs, need{Status: accountStatus(a), Title: "Account " + a.Name, Href: "/accounts", Next: "Check the credentials"})
		}
	}
	return nil
}

// unresolved are failures after which nothing else was begun on the same server or cluster.
func (s *site) unresolved(ctx context.Context) ([]fleet.Operation, error) {
	failed, err := s.store.Operations(ctx, store.OperationFilter{States: []fleet.OperationState{fleet.Failed}, Limit: overviewNeeds})
	if err != nil {
		return nil, err
	}
	var out []fleet.Operation
	for _, op := range failed {
		f := store.OperationFilter{ServerID: op.ServerID, Limit: 1}
		if op.ServerID == "" {
			f = store.OperationFilter{ClusterID: op.ClusterID, Kind: op.Kind, Limit: 1}
		}
		newest, err := s.store.Operations(ctx, f)
		if err != nil {
			return nil, err
		}
		if len(newest) > 0 && newest[0].ID == op.ID {
			out = append(out, op)
		}
	}
	return out, nil
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

// clusterLine is a cluster in one line.
func clusterLine(row clusterRow) string {
	return "Control planes " + readyOf(row.ReadyPlanes, row.Planes) + ", workers " + readyOf(row.ReadyWorkers, row.Workers) +
		", Talos " + row.Talos + ", Kubernetes " + row.Kubernetes
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
