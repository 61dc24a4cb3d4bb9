package web

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/a-h/templ"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
)

// operationsData is the page of all operations.
type operationsData struct {
	State string // all, active, asking, failed
	Rows  []operationRow
	Older string // address of the next page, "" if this is the last
	First bool   // nothing newer is before it
}

// operationRow is one operation in a table.
type operationRow struct {
	ID, Kind           string
	Status             status
	ServerID, Server   string
	ClusterID, Cluster string
	Actor              string
	Created, Finished  time.Time
}

// operationStates are what the page can be narrowed to.
func operationStates() []option {
	return []option{{"", "All"}, {"active", "Running"}, {"asking", "Questions"}, {"failed", "Failed"}}
}

func operationFilter(state, before string) store.OperationFilter {
	f := store.OperationFilter{Before: before, Limit: perPage + 1} // one more tells whether there is a next page
	switch state {
	case "active":
		f.Active = true
	case "asking":
		f.States = []fleet.OperationState{fleet.Asking}
	case "failed":
		f.States = []fleet.OperationState{fleet.Failed}
	}
	return f
}

func operationsAddress(state, before string) string {
	q := url.Values{}
	if state != "" {
		q.Set("state", state)
	}
	if before != "" {
		q.Set("before", before)
	}
	if len(q) == 0 {
		return "/operations"
	}
	return "/operations?" + q.Encode()
}

// operations is the page of all operations, newest first.
func (s *site) operations(r *http.Request) (view, error) {
	state, before := r.URL.Query().Get("state"), r.URL.Query().Get("before")
	all, err := s.store.Operations(r.Context(), operationFilter(state, before))
	if err != nil {
		return view{}, err
	}
	d := operationsData{State: state, First: before == ""}
	if len(all) > perPage {
		all = all[:perPage]
		d.Older = operationsAddress(state, all[perPage-1].ID)
	}
	if d.Rows, err = s.operationRows(r.Context(), all, names{}); err != nil {
		return view{}, err
	}
	return view{
		title: "Operations", section: "/operations", address: operationsAddress(state, before),
		body:  func([]fleet.LogLine) templ.Component { return operationsPage(d) },
		parts: []part{partOf("operations-table", d, operationsTable)}, wants: changeOf("operations"),
	}, nil
}

// operationRows names what operations are about; known are servers whose names are at hand.
func (s *site) operationRows(ctx context.Context, all []fleet.Operation, known names) ([]operationRow, error) {
	clusters, err := s.clusterNames(ctx)
	if err != nil {
		return nil, err
	}
	var unknown []string
	for _, op := range all {
		if _, there := known[op.ServerID]; !there {
			unknown = append(unknown, op.ServerID)
		}
	}
	servers, err := s.serverNames(ctx, unknown...)
	if err != nil {
		return nil, err
	}
	rows := make([]operationRow, 0, len(all))
	for _, op := range all {
		row := operationRow{
			ID: op.ID, Kind: op.Kind, Status: rowStatus(op), ServerID: op.ServerID, Server: known[op.ServerID],
			ClusterID: op.ClusterID, Cluster: clusters[op.ClusterID], Actor: op.Actor, Created: op.CreatedAt, Finished: op.FinishedAt,
		}
		if row.Server == "" {
			row.Server = servers[op.ServerID]
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// rowStatus adds to an operation's status the step it stands at.
func rowStatus(op fleet.Operation) status {
	st := operationStatus(op)
	if op.State == fleet.Running || op.State == fleet.Waiting {
		st.Detail = stepDetail(op)
	}
	return st
}
