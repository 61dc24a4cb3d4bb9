package web

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/operation"
	"github.com/talos-manager/talos-manager/internal/store"
)

// operationsData is the page of all operations.
type operationsData struct {
	Query    operationQuery
	Rows     []operationRow
	Total    int
	Clusters []option
	Actors   []string
	Lately   []latelyData
	Server   string // name of the one that is asked for, "" if none is
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

// operationQuery is the address of the page: what is chosen, in which order, which page of it.
type operationQuery struct {
	State, Kind, Server, Cluster, Actor, Search string
	From, To                                    string // days, in UTC
	Sort                                        string
	Page                                        int // from 1; 0 is all of them
}

func operationQueryOf(q url.Values) operationQuery {
	o := operationQuery{
		State: q.Get("state"), Kind: q.Get("kind"), Server: strings.TrimSpace(q.Get("server")), Cluster: q.Get("cluster"), Actor: strings.TrimSpace(q.Get("actor")),
		Search: strings.TrimSpace(q.Get("search")), From: q.Get("from"), To: q.Get("to"), Sort: q.Get("sort"), Page: 1,
	}
	if n, err := strconv.Atoi(q.Get("page")); err == nil && n > 1 {
		o.Page = n
	}
	return o
}

// fields are what the address holds, besides the page.
func (o operationQuery) fields() url.Values {
	q := url.Values{}
	for name, value := range map[string]string{
		"state": o.State, "kind": o.Kind, "server": o.Server, "cluster": o.Cluster, "actor": o.Actor, "search": o.Search, "from": o.From, "to": o.To, "sort": o.Sort,
	} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return q
}

func (o operationQuery) address() string {
	q := o.fields()
	if o.Page > 1 {
		q.Set("page", strconv.Itoa(o.Page))
	}
	if len(q) == 0 {
		return "/operations"
	}
	return "/operations?" + q.Encode()
}

// with is the address with another value for one field, from the first page on.
func (o operationQuery) with(name, value string) string {
	q := o.fields()
	q.Set(name, value)
	return operationQueryOf(q).address()
}

func (o operationQuery) at(page int) string {
	o.Page = page
	return o.address()
}

// narrow says that the page does not show all.
func (o operationQuery) narrow() bool {
	q := o.fields()
	q.Del("sort")
	return len(q) > 0
}

// sorted is the address with another order: backwards if it is the column's already.
func (o operationQuery) sorted(column string) string {
	if o.Sort == column {
		column = "-" + column
	}
	return o.with("sort", column)
}

// direction is what a column's header tells people who cannot see arrows.
func (o operationQuery) direction(column string) string {
	switch cmp.Or(o.Sort, "-begun") {
	case column:
		return "ascending"
	case "-" + column:
		return "descending"
	}
	return "none"
}

// operationStates are what the page can be narrowed to.
func operationStates() []option {
	return []option{
		{"", "Any state"},
		{"active", "Not over"},
		{"asking", "Asks"},
		{"failed", "Failed"},
		{"running", "Running"},
		{"waiting", "Waiting"},
		{"pending", "Queued"},
		{"succeeded", "Done"},
		{"cancelled", "Cancelled"},
	}
}

func operationKinds() []string {
	return []string{operation.KindInstall, operation.KindRescue, operation.KindBootstrap, operation.KindRecoverUUID, operation.KindVSwitch}
}

func kindOptions() []option {
	return options([]option{{"", "Any kind"}}, operationKinds(), func(kind string) option { return option{kind, kindTitle(kind)} })
}

func (o operationQuery) states() []fleet.OperationState {
	switch o.State {
	case "":
		return nil
	case "active":
		return []fleet.OperationState{fleet.Pending, fleet.Running, fleet.Waiting, fleet.Asking}
	}
	return []fleet.OperationState{fleet.OperationState(o.State)}
}

// dayOf reads a day as a form gives it, in UTC; the zero time if it is none.
func dayOf(text string) time.Time {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return time.Time{}
	}
	return t
}

// dayAfter is the end of the day, the zero time if it is none.
func dayAfter(text string) time.Time {
	t := dayOf(text)
	if t.IsZero() {
		return t
	}
	return t.AddDate(0, 0, 1)
}

// operations is the page of all operations, newest first.
func (s *site) operations(r *http.Request) (view, error) {
	q := operationQueryOf(r.URL.Query())
	if exporting(r) != "" {
		q.Page = 0
	}
	d, err := s.operationsData(r.Context(), q)
	if err != nil {
		return view{}, err
	}
	return view{
		title: "Operations", section: "/operations", address: q.address(),
		body: func([]fleet.LogLine) templ.Component { return operationsPage(d) },
		parts: []part{
			{id: "operations-table", key: keyOf([]any{d.Rows, d.Total, d.Query}), piece: operationsTable(d)},
			{id: "operations-lately", key: keyOf(d.Lately), piece: latelyCard(d.Lately)},
		},
		wants: changeOf("operations"),
		sheet: func() (sheet, error) { return operationsSheet(d.Rows), nil }, same: operationsCommands(q),
	}, nil
}

func (s *site) operationsData(ctx context.Context, q operationQuery) (d operationsData, err error) {
	d.Query = q
	find := store.OperationQuery{
		States: q.states(), Kind: q.Kind, ClusterID: q.Cluster, Actor: q.Actor, Search: q.Search, Since: dayOf(q.From), Until: dayAfter(q.To), Sort: q.Sort,
	}
	if q.Page > 0 {
		find.Limit, find.Offset = perPage, (q.Page-1)*perPage
	}
	if q.Server != "" {
		server, err := s.store.Server(ctx, q.Server)
		if err != nil && fleet.KindOf(err) != fleet.NotFound {
			return d, err
		}
		find.ServerID, d.Server = cmp.Or(server.ID, q.Server), cmp.Or(server.Name, q.Server)
	}
	all, total, err := s.store.OperationPage(ctx, find)
	if err != nil {
		return d, err
	}
	d.Total = total
	if d.Rows, err = s.operationRows(ctx, all, names{}); err != nil {
		return d, err
	}
	if d.Clusters, err = s.clusterOptions(ctx, option{"", "Any cluster"}); err != nil {
		return d, err
	}
	if d.Actors, err = s.store.OperationActors(ctx); err != nil {
		return d, err
	}
	d.Lately, err = s.lately(ctx, all)
	return d, err
}

func operationsCommands(q operationQuery) []command {
	return listCommands("List these operations", "operation list", "GET /api/v1/operations", option{"state", q.State}, option{"kind", q.Kind}, option{"server", q.Server}, option{"cluster", q.Cluster})
}

func operationsSheet(rows []operationRow) sheet {
	out := sheet{name: "operations", columns: []string{"id", "kind", "state", "server", "cluster", "actor", "begun", "finished", "seconds", "detail"}}
	for _, r := range rows {
		out.rows = append(out.rows, []string{
			r.ID, r.Kind, r.Status.Word, r.Server, r.Cluster, r.Actor, sheetTime(r.Created), sheetTime(r.Finished), sheetSeconds(r.Created, r.Finished), r.Status.Detail,
		})
	}
	return out
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

// latelyData is how long operations of one kind took lately.
type latelyData struct {
	Kind                    string
	Runs                    int
	Fastest, Usual, Slowest string
	Points                  string // of the line, oldest first
	LastX, LastY            string
}

const (
	latelyRuns   = 30
	latelyLeast  = 2 // fewer are no line
	latelyWidth  = 120.0
	latelyHeight = 24.0
)

// lately reads how long the kinds that are among these operations took, in the order of their list.
func (s *site) lately(ctx context.Context, among []fleet.Operation) ([]latelyData, error) {
	var all []latelyData
	for _, kind := range operationKinds() {
		if !slices.ContainsFunc(among, func(op fleet.Operation) bool { return op.Kind == kind }) {
			continue
		}
		runs, err := s.store.RunTimes(ctx, kind, latelyRuns)
		if err != nil {
			return nil, err
		}
		if len(runs) >= latelyLeast {
			all = append(all, latelyOf(kind, runs))
		}
	}
	return all, nil
}

func latelyOf(kind string, runs []store.RunTime) latelyData {
	var took []time.Duration
	for _, r := range runs {
		took = append(took, r.Took)
	}
	sorted := slices.Sorted(slices.Values(took))
	d := latelyData{
		Kind: kind, Runs: len(runs), Fastest: span(sorted[0]), Usual: span(sorted[len(sorted)/2]), Slowest: span(sorted[len(sorted)-1]),
	}
	top := max(sorted[len(sorted)-1], time.Second)
	var points []string
	for i, t := range took {
		x := 2 + (latelyWidth-4)*float64(i)/float64(len(took)-1)
		y := latelyHeight - 3 - (latelyHeight-6)*float64(t)/float64(top)
		d.LastX, d.LastY = coordinate(x), coordinate(y)
		points = append(points, d.LastX+","+d.LastY)
	}
	d.Points = strings.Join(points, " ")
	return d
}

func coordinate(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) }
