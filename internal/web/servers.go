package web

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
)

// perPage is how many rows a table has.
const perPage = 50

// serversData is the page of all servers.
type serversData struct {
	Filter    serverFilter
	Columns   []column
	Rows      []serverRow
	Edit      *serverEdit // the open panel of one of them
	Total     int         // that the filter chooses
	All       int         // whatever the filter
	Accounts  int
	Clusters  []option
	Owners    []option // accounts to choose from
	Locations []option
}

// serverRow is one server in a table.
type serverRow struct {
	ID, Name, Hostname string // Hostname only where it differs
	Status             status
	OperationID        string // that has it now
	Power              fleet.Power
	Rescue             time.Time // when it was booted into the rescue system, if nothing else was done since
	Provider           fleet.Provider
	Product, Location  string
	Address            string
	ClusterID, Cluster string
	Role               fleet.Role
	PrivateIP, VSwitch string
	Config             string // its own
	Cancelled          bool   // at its provider
	Account, Number    string // Number is the provider's
	Seen               time.Time
	Cores              int
	Memory, Disks      int64
	UUID               string
}

// servers is the page of all servers.
func (s *site) servers(r *http.Request) (view, error) {
	f := serverFilterOf(r.URL.Query())
	if exporting(r) != "" {
		f.Page, f.Edit = 0, ""
	}
	d, err := s.serversData(r, f)
	if err != nil {
		return view{}, err
	}
	return view{
		title: "Servers", section: "/servers", address: f.address(), scripts: []string{"servers.js"},
		body:  func([]fleet.LogLine) templ.Component { return serversPage(d) },
		parts: serverParts(d), wants: changeOf("servers", "clusters", "accounts", "vswitches"),
		sheet: func() (sheet, error) { return serversSheet(d.Rows), nil },
		same:  d.commands(),
	}, nil
}

func (s *site) serversData(r *http.Request, f serverFilter) (d serversData, err error) {
	ctx := r.Context()
	d.Filter, d.Columns = f, columnsOf(r)
	chosen := f.store()
	chosen.WithoutFacts = exporting(r) == "" && !slices.ContainsFunc(d.Columns, column.ofFacts)
	all, err := s.store.Servers(ctx, chosen)
	if err != nil {
		return d, err
	}
	if d.Total, err = s.store.CountServers(ctx, chosen); err != nil {
		return d, err
	}
	if d.All, err = s.store.CountServers(ctx, store.ServerFilter{IncludeMissing: true}); err != nil {
		return d, err
	}
	if err := s.filterChoices(ctx, &d); err != nil {
		return d, err
	}
	if d.Rows, err = s.serverTable(ctx, all, d); err != nil {
		return d, err
	}
	d.Edit, err = s.serverEdit(ctx, f, all)
	return d, err
}

// filterChoices reads what the filter offers.
func (s *site) filterChoices(ctx context.Context, d *serversData) error {
	accounts, err := s.store.Accounts(ctx)
	if err != nil {
		return err
	}
	d.Accounts = len(accounts)
	d.Owners = options([]option{{"", "Any account"}}, accounts, func(a fleet.Account) option { return option{a.ID, a.Name} })
	locations, err := s.store.ServerLocations(ctx)
	if err != nil {
		return err
	}
	d.Locations = options([]option{{"", "Any location"}}, locations, func(l string) option { return option{l, l} })
	d.Clusters, err = s.clusterOptions(ctx, option{"", "Any cluster"}, option{unassigned, "No cluster"})
	return err
}

// serverTable is what the table says of servers, whatever columns it has.
func (s *site) serverTable(ctx context.Context, all []fleet.Server, d serversData) ([]serverRow, error) {
	ids := make([]string, len(all))
	for i, v := range all {
		ids[i] = v.ID
	}
	latest, err := s.store.LatestOperations(ctx, ids...)
	if err != nil {
		return nil, err
	}
	configs, err := s.configOptions(ctx)
	if err != nil {
		return nil, err
	}
	vswitches, err := s.store.VSwitches(ctx, "")
	if err != nil {
		return nil, err
	}
	owners, own, lans := namesOf(d.Owners), namesOf(configs), names{}
	for _, v := range vswitches {
		lans[v.ID] = v.Name
	}
	rows := serverRows(all, namesOf(d.Clusters), latest)
	for i, v := range all {
		row := &rows[i]
		row.Account, row.Config, row.VSwitch = owners[v.AccountID], own[v.Assignment.ConfigID], lans[v.VSwitchID]
	}
	return rows, nil
}

func namesOf(all []option) names {
	n := names{}
	for _, o := range all {
		n[o.Value] = o.Name
	}
	return n
}

// serverRows are servers with the newest operation of each, or the one that has it now.
func serverRows(all []fleet.Server, clusters names, newest map[string]*fleet.Operation) []serverRow {
	rows := make([]serverRow, 0, len(all))
	for _, v := range all {
		row := serverRow{
			ID: v.ID, Name: v.Name, Status: serverStatus(v, newest[v.ID]), Power: v.Power, Provider: v.Provider, Product: v.Product,
			Location: v.Location, Address: v.Address(), ClusterID: v.Assignment.ClusterID, Role: v.Assignment.Role, PrivateIP: v.Assignment.PrivateIP,
			Cancelled: v.Cancelled, Number: v.ProviderID, Seen: v.SeenAt.UTC(), Cores: v.Facts.Cores, Memory: v.Facts.MemoryBytes, UUID: v.NodeUUID(),
		}
		for _, disk := range v.Facts.Disks {
			row.Disks += disk.SizeBytes
		}
		if row.ClusterID != "" {
			row.Cluster = clusters[row.ClusterID]
		}
		if v.Hostname() != v.Name {
			row.Hostname = v.Hostname()
		}
		if op := newest[v.ID]; op != nil {
			row.last(*op)
		}
		rows = append(rows, row)
	}
	return rows
}

// last notes the newest operation of a server.
func (r *serverRow) last(op fleet.Operation) {
	if !op.State.Final() {
		r.OperationID = op.ID
		return
	}
	if op.Kind == "server.rescue" && op.State == fleet.Succeeded {
		r.Rescue = op.FinishedAt
	}
}

// serverParts are the rows, and around them the table for when other servers come into it.
func serverParts(d serversData) []part {
	ids := make([]string, 0, len(d.Rows))
	for _, row := range d.Rows {
		ids = append(ids, row.ID)
	}
	edited := ""
	if d.Edit != nil {
		edited = d.Edit.Row.ID
	}
	table := part{id: "servers-table", key: keyOf([]any{ids, d.Total, d.All, d.Accounts, d.Filter, edited}), piece: serversTable(d)}
	parts := []part{table}
	for _, row := range d.Rows {
		parts = append(parts, part{id: rowID(row), key: keyOf(row), within: "servers-table", piece: serverLine(d, row)})
	}
	if d.Edit != nil {
		parts = append(parts, part{id: "server-edit", key: keyOf(d.Edit), within: "servers-table", piece: serverEditRow(d)})
	}
	return parts
}

// serversSheet has every column, whatever the page shows.
func serversSheet(rows []serverRow) sheet {
	more := []column{
		{Name: "hostname", text: func(r serverRow) string { return cmp.Or(r.Hostname, r.Name) }},
		{Name: "provider", text: func(r serverRow) string { return string(r.Provider) }},
		{Name: "vswitch", text: func(r serverRow) string { return r.VSwitch }},
		{Name: "rescue_since", text: func(r serverRow) string { return instant(r.Rescue) }},
		{Name: "cancelled", text: func(r serverRow) string { return strconv.FormatBool(r.Cancelled) }},
		{Name: "id", text: func(r serverRow) string { return r.ID }},
	}
	columns := slices.Concat([]column{{Name: "name", text: func(r serverRow) string { return r.Name }}}, serverColumns(), more)
	out := sheet{name: "servers"}
	for _, c := range columns {
		out.columns = append(out.columns, c.Name)
	}
	for _, r := range rows {
		line := make([]string, len(columns))
		for i, c := range columns {
			line[i] = c.text(r)
		}
		out.rows = append(out.rows, line)
	}
	return out
}

func rowID(row serverRow) string { return "server-" + row.ID }

// pages is how many pages a table has.
func pages(total int) int { return max(1, (total+perPage-1)/perPage) }

// syncServers lists accounts at their providers: those of the chosen servers, or all.
func (s *site) syncServers(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	ids, err := s.chosenOrAll(r)
	if err != nil {
		return err
	}
	if len(ids) == 0 {
		if err := s.Reconciler.SyncAll(ctx); err != nil {
			return s.again(w, r, s.servers, err)
		}
		n, err := s.store.CountServers(ctx, store.ServerFilter{})
		if err != nil {
			return err
		}
		return s.done(w, r, "/servers", "Synced all accounts: "+count(n, "server")+" listed")
	}
	all, err := s.store.Servers(ctx, store.ServerFilter{IDs: ids, IncludeMissing: true, WithoutFacts: true})
	if err != nil {
		return err
	}
	var synced []string
	for _, v := range all {
		if slices.Contains(synced, v.AccountID) {
			continue
		}
		if _, err := s.Reconciler.Sync(ctx, v.AccountID); err != nil {
			return s.again(w, r, s.servers, err)
		}
		synced = append(synced, v.AccountID)
	}
	return s.done(w, r, "/servers", "Synced "+count(len(synced), "account")+" of "+count(len(all), "chosen server"))
}

// breakable is an address that may break after a colon, without a space that a copy of it would hold.
func breakable(address string) templ.Component {
	return templ.Raw(strings.ReplaceAll(templ.EscapeString(address), ":", ":<wbr>"))
}
