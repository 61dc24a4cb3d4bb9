package web

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/a-h/templ"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
)

// perPage is how many rows a table has.
const perPage = 50

// serversData is the page of all servers.
type serversData struct {
	Filter   serverFilter
	Rows     []serverRow
	Total    int // that the filter chooses
	All      int // whatever the filter
	Accounts int
	Clusters []option
	Owners   []option // accounts to choose from
}

// serverRow is one server in a table.
type serverRow struct {
	ID, Name, Hostname string // Hostname only where it differs
	Status             status
	OperationID        string // that has it now
	Power              fleet.Power
	Provider           fleet.Provider
	Product, Location  string
	Address            string
	ClusterID, Cluster string
	Role               fleet.Role
}

// serverFilter is the address of the page: what is chosen, in which order, which page of it.
type serverFilter struct {
	Search, State, Cluster, Account, Role, Sort string
	Missing                                     bool
	Page                                        int // from 1; 0 is all of them
}

func serverFilterOf(q url.Values) serverFilter {
	f := serverFilter{
		Search: strings.TrimSpace(q.Get("search")), State: q.Get("state"), Cluster: q.Get("cluster"), Account: q.Get("account"),
		Role: q.Get("role"), Sort: q.Get("sort"), Missing: q.Get("missing") == "true", Page: 1,
	}
	if n, err := strconv.Atoi(q.Get("page")); err == nil && n > 1 {
		f.Page = n
	}
	return f
}

// unassigned is what the filter calls servers without a cluster; no id looks like it.
const unassigned = "none"

func (f serverFilter) store() store.ServerFilter {
	o := store.ServerFilter{
		Search: f.Search, AccountID: f.Account, Role: fleet.Role(f.Role), Sort: f.Sort, IncludeMissing: f.Missing,
		WithoutFacts: true,
	}
	if f.Page > 0 {
		o.Limit, o.Offset = perPage, (f.Page-1)*perPage
	}
	if f.State != "" {
		o.States = []fleet.State{fleet.State(f.State)}
	}
	if f.Cluster == unassigned {
		o.Unassigned = true
	} else {
		o.ClusterID = f.Cluster
	}
	return o
}

// address is where the page with this filter is; what is not set is not in it.
func (f serverFilter) address() string {
	q := url.Values{}
	for name, value := range map[string]string{
		"search": f.Search, "state": f.State, "cluster": f.Cluster, "account": f.Account, "role": f.Role, "sort": f.Sort,
	} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if f.Missing {
		q.Set("missing", "true")
	}
	if f.Page > 1 {
		q.Set("page", strconv.Itoa(f.Page))
	}
	if len(q) == 0 {
		return "/servers"
	}
	return "/servers?" + q.Encode()
}

func (f serverFilter) page(n int) string {
	f.Page = n
	return f.address()
}

// sorted is the address with another order: backwards if it is the column's already.
func (f serverFilter) sorted(column string) string {
	if f.Sort == column || f.Sort == "" && column == "name" {
		column = "-" + column
	}
	f.Sort, f.Page = column, 1
	return f.address()
}

// direction is what a column's header tells people who cannot see arrows.
func (f serverFilter) direction(column string) string {
	switch {
	case f.Sort == column || f.Sort == "" && column == "name":
		return "ascending"
	case f.Sort == "-"+column:
		return "descending"
	}
	return "none"
}

func stateOptions() []option {
	return []option{
		{"", "Any state"},
		{string(fleet.Known), "Free or not installed"},
		{string(fleet.Installing), "Installing"},
		{string(fleet.Configured), "Joining"},
		{string(fleet.Ready), "Ready"},
		{string(fleet.Unhealthy), "Not Ready"},
		{string(fleet.Broken), "Install stopped"},
	}
}

func roleOptions() []option {
	return []option{{"", "Any role"}, {string(fleet.ControlPlane), "Control plane"}, {string(fleet.Worker), "Worker"}}
}

// servers is the page of all servers.
func (s *site) servers(r *http.Request) (view, error) {
	f := serverFilterOf(r.URL.Query())
	if exporting(r) != "" {
		f.Page = 0
	}
	d, err := s.serversData(r, f)
	if err != nil {
		return view{}, err
	}
	return view{
		title: "Servers", section: "/servers", address: f.address(),
		body:  func([]fleet.LogLine) templ.Component { return serversPage(d) },
		parts: serverParts(d), wants: changeOf("servers", "clusters", "accounts"),
		sheet: func() (sheet, error) { return serversSheet(d.Rows), nil },
		same:  []command{{What: "List these servers", CLI: "server list", API: "GET /api/v1/servers"}, {What: "Sync all accounts", CLI: "server sync", API: "POST /api/v1/servers/sync"}},
	}, nil
}

func (s *site) serversData(r *http.Request, f serverFilter) (d serversData, err error) {
	ctx := r.Context()
	d.Filter = f
	all, err := s.store.Servers(ctx, f.store())
	if err != nil {
		return d, err
	}
	if d.Total, err = s.store.CountServers(ctx, f.store()); err != nil {
		return d, err
	}
	if d.All, err = s.store.CountServers(ctx, store.ServerFilter{IncludeMissing: true}); err != nil {
		return d, err
	}
	accounts, err := s.store.Accounts(ctx)
	if err != nil {
		return d, err
	}
	d.Accounts = len(accounts)
	d.Owners = options([]option{{"", "Any account"}}, accounts, func(a fleet.Account) option { return option{a.ID, a.Name} })
	if d.Clusters, err = s.clusterOptions(ctx, option{"", "Any cluster"}, option{unassigned, "No cluster"}); err != nil {
		return d, err
	}
	active, err := s.activeByServer(ctx, store.OperationFilter{})
	if err != nil {
		return d, err
	}
	d.Rows = serverRows(all, namesOf(d.Clusters), active)
	return d, nil
}

func namesOf(all []option) names {
	n := names{}
	for _, o := range all {
		n[o.Value] = o.Name
	}
	return n
}

func serverRows(all []fleet.Server, clusters names, active map[string]*fleet.Operation) []serverRow {
	rows := make([]serverRow, 0, len(all))
	for _, v := range all {
		row := serverRow{
			ID: v.ID, Name: v.Name, Status: serverStatus(v, active[v.ID]), Power: v.Power, Provider: v.Provider, Product: v.Product,
			Location: v.Location, Address: v.Address(), ClusterID: v.Assignment.ClusterID, Role: v.Assignment.Role,
		}
		if row.ClusterID != "" {
			row.Cluster = clusters[row.ClusterID]
		}
		if v.Hostname() != v.Name {
			row.Hostname = v.Hostname()
		}
		if op := active[v.ID]; op != nil {
			row.OperationID = op.ID
		}
		rows = append(rows, row)
	}
	return rows
}

// serverParts are the rows, and around them the table for when other servers come into it.
func serverParts(d serversData) []part {
	ids := make([]string, 0, len(d.Rows))
	for _, row := range d.Rows {
		ids = append(ids, row.ID)
	}
	table := part{id: "servers-table", key: keyOf([]any{ids, d.Total, d.All, d.Accounts, d.Filter}), piece: serversTable(d)}
	parts := []part{table}
	return append(parts, rowParts(d.Rows, "servers-table", true)...)
}

func rowParts(rows []serverRow, within string, choose bool) []part {
	parts := make([]part, 0, len(rows))
	for _, row := range rows {
		parts = append(parts, part{id: rowID(row), key: keyOf(row), within: within, piece: serverLine(row, choose)})
	}
	return parts
}

func serversSheet(rows []serverRow) sheet {
	out := sheet{name: "servers", columns: []string{"name", "hostname", "status", "power", "provider", "product", "location", "address", "cluster", "role", "id"}}
	for _, r := range rows {
		out.rows = append(out.rows, []string{r.Name, r.Hostname, r.Status.Word, string(r.Power), string(r.Provider), r.Product, r.Location, r.Address, r.Cluster, string(r.Role), r.ID})
	}
	return out
}

func rowID(row serverRow) string { return "server-" + row.ID }

// pages is how many pages a table has.
func pages(total int) int { return max(1, (total+perPage-1)/perPage) }

// syncServers lists all accounts at their providers.
func (s *site) syncServers(w http.ResponseWriter, r *http.Request) error {
	if err := s.Reconciler.SyncAll(r.Context()); err != nil {
		return s.again(w, r, s.servers, err)
	}
	n, err := s.store.CountServers(r.Context(), store.ServerFilter{})
	if err != nil {
		return err
	}
	return s.done(w, r, "/servers", "Synced all accounts: "+count(n, "server")+" listed")
}

// chosen are the servers that a request names, each once.
func chosen(r *http.Request) []string {
	refs := r.URL.Query()["server"]
	if r.Method == http.MethodPost {
		refs = r.PostForm["server"]
	}
	var out []string
	for _, ref := range refs {
		if ref != "" && !slices.Contains(out, ref) {
			out = append(out, ref)
		}
	}
	return out
}

// breakable is an address that may break after a colon, without a space that a copy of it would hold.
func breakable(address string) templ.Component {
	return templ.Raw(strings.ReplaceAll(templ.EscapeString(address), ":", ":<wbr>"))
}
