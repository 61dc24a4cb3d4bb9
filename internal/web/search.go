package web

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/a-h/templ"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
)

// searchData is what a search finds, for its page and for the palette.
type searchData struct {
	Words  string
	Groups []hitGroup
}

// hitGroup is what was found of one kind.
type hitGroup struct {
	Name string
	Hits []hit
	More string // address of all of them, "" if these are all
	All  string // words of the link to it
}

// hit is one thing that was found: a page to open, or something to do.
type hit struct {
	Icon, Title, Detail string
	Href                string // of the page
	Post                string // where its form goes, in the place of Href
	Key, Value          string // of the form's field, "" if it has none
	Status              status // Word "" for what has none
}

const (
	hitsShown  = 8   // of a kind
	hitsActive = 200 // operations that are looked through
	lookCloser = 4   // letters that a serial number is searched from
	idLength   = 20  // of our ids
)

// search is the page of what a search finds.
func (s *site) search(r *http.Request) (view, error) {
	words := searchWords(r)
	d, err := s.find(r.Context(), words)
	if err != nil {
		return view{}, err
	}
	title, same := "Search", command{What: "List the servers", CLI: "server list", API: "GET /api/v1/servers"}
	if words != "" {
		title = "Search for " + words
		same = command{What: "Search the servers", CLI: "server list --search " + shellWord(words), API: "GET /api/v1/servers?" + url.Values{"search": {words}}.Encode()}
	}
	return view{
		title: title, address: searchAddress(words),
		body:  func([]fleet.LogLine) templ.Component { return searchPage(d) },
		sheet: func() (sheet, error) { return searchSheet(d), nil },
		same:  []command{same},
	}, nil
}

func searchWords(r *http.Request) string {
	return strings.Join(strings.Fields(r.URL.Query().Get("q")), " ")
}

func searchAddress(words string) string {
	if words == "" {
		return "/search"
	}
	return "/search?" + url.Values{"q": {words}}.Encode()
}

// searchHits answers the palette with what it shows.
func (s *site) searchHits(w http.ResponseWriter, r *http.Request) error {
	d, err := s.find(r.Context(), searchWords(r))
	if err != nil {
		return err
	}
	return write(r.Context(), w, http.StatusOK, paletteHits(d))
}

func searchSheet(d searchData) sheet {
	out := sheet{name: "search", columns: []string{"kind", "name", "detail", "status", "address"}}
	for _, g := range d.Groups {
		for _, h := range g.Hits {
			out.rows = append(out.rows, []string{g.Name, h.Title, h.Detail, h.Status.Word, h.Href})
		}
	}
	return out
}

// find looks for words in everything that has a name. What begins with a verb, as "install db", is about servers.
func (s *site) find(ctx context.Context, words string) (searchData, error) {
	d := searchData{Words: words}
	if words == "" {
		d.add(hitGroup{Name: "Go to", Hits: pageHits()})
		d.add(hitGroup{Name: "Do", Hits: deedHits()})
		return d, nil
	}
	deeds, object := verbsOf(words)
	servers, err := s.findServers(ctx, object)
	if err != nil {
		return d, err
	}
	if len(deeds) > 0 {
		d.add(hitGroup{Name: "Do", Hits: serverDeeds(deeds, servers.found)})
	}
	d.add(servers.group(object))
	if err := s.findNamed(ctx, &d, words); err != nil {
		return d, err
	}
	if err := s.findOperations(ctx, &d, words, servers.found); err != nil {
		return d, err
	}
	d.add(hitGroup{Name: "Go to", Hits: matching(pageHits(), words)})
	some := matching(deedHits(), words)
	if len(deeds) == 0 && len(servers.found) > 0 && len(servers.found) <= 2 {
		some = append(some, serverDeeds(allDeeds(), servers.found)...)
	}
	d.add(hitGroup{Name: "Do", Hits: some})
	return d, nil
}

// add adds a group that has something, to one of its name if there is one.
func (d *searchData) add(g hitGroup) {
	if len(g.Hits) == 0 {
		return
	}
	if i := slices.IndexFunc(d.Groups, func(o hitGroup) bool { return o.Name == g.Name }); i >= 0 {
		d.Groups[i].Hits = append(d.Groups[i].Hits, g.Hits...)
		return
	}
	d.Groups = append(d.Groups, g)
}

// matching are the hits with every word in their title or detail.
func matching(all []hit, words string) []hit {
	var out []hit
	for _, h := range all {
		text := strings.ToLower(h.Title + " " + h.Detail)
		if !slices.ContainsFunc(strings.Fields(strings.ToLower(words)), func(w string) bool { return !strings.Contains(text, w) }) {
			out = append(out, h)
		}
	}
	return out
}

// foundServers are servers with their number, which may be larger.
type foundServers struct {
	found []fleet.Server
	hits  []hit
	total int
}

// findServers looks for servers by what the list is filtered by, then by UUID and serial number.
func (s *site) findServers(ctx context.Context, words string) (f foundServers, err error) {
	if words == "" {
		return f, nil
	}
	filter := store.ServerFilter{Search: words, WithoutFacts: true, IncludeMissing: true, Limit: hitsShown}
	if f.found, err = s.store.Servers(ctx, filter); err != nil {
		return f, err
	}
	f.total = len(f.found)
	if f.total == hitsShown {
		if f.total, err = s.store.CountServers(ctx, filter); err != nil {
			return f, err
		}
	}
	if f.found, err = s.exactFirst(ctx, f.found, words); err == nil && len(f.found) == 0 {
		f.found, err = s.findMachines(ctx, words)
	}
	if err != nil {
		return f, err
	}
	f.total = max(f.total, len(f.found))
	clusters, err := s.clusterNames(ctx)
	if err != nil {
		return f, err
	}
	for _, row := range serverRows(f.found, clusters, nil) {
		f.hits = append(f.hits, serverHit(row))
	}
	return f, nil
}

// exactFirst puts the server that has this very name or id before those that contain the words, whether it was among
// the first of them or not.
func (s *site) exactFirst(ctx context.Context, found []fleet.Server, words string) ([]fleet.Server, error) {
	v, err := s.store.Server(ctx, words)
	if err != nil {
		if kind := fleet.KindOf(err); kind == fleet.NotFound || kind == fleet.Conflict {
			return found, nil
		}
		return nil, err
	}
	all := append([]fleet.Server{v}, slices.DeleteFunc(found, func(o fleet.Server) bool { return o.ID == v.ID })...)
	return all[:min(len(all), hitsShown)], nil
}

// findMachines looks for what machines say of themselves.
func (s *site) findMachines(ctx context.Context, words string) ([]fleet.Server, error) {
	if len(words) < lookCloser || strings.Contains(words, " ") {
		return nil, nil
	}
	all, err := s.store.ServersByUUID(ctx, words)
	if err != nil || len(all) > 0 {
		return all, err
	}
	return s.store.ServersBySerial(ctx, words, hitsShown)
}

func serverHit(row serverRow) hit {
	var detail []string
	for _, text := range []string{row.Hostname, row.Address, row.Cluster, row.Location} {
		if text != "" {
			detail = append(detail, text)
		}
	}
	return hit{Icon: "server", Title: row.Name, Detail: strings.Join(detail, " · "), Href: "/servers/" + row.ID, Status: row.Status}
}

func (f foundServers) group(words string) hitGroup {
	g := hitGroup{Name: "Servers", Hits: f.hits}
	if f.total > len(f.hits) {
		g.More, g.All = serverFilter{Search: words, Missing: true, Page: 1}.address(), "All "+count(f.total, "server")+" like this"
	}
	return g
}

// findNamed looks for accounts, clusters, configs and schematics.
func (s *site) findNamed(ctx context.Context, d *searchData, words string) error {
	all, err := s.store.Named(ctx, words, 3*hitsShown)
	if err != nil {
		return err
	}
	for _, n := range all {
		switch n.Kind {
		case "account":
			d.add(hitGroup{Name: "Accounts", Hits: []hit{{Icon: "account", Title: n.Name, Detail: accountTitle(fleet.Provider(n.Detail)), Href: "/accounts"}}})
		case "cluster":
			d.add(hitGroup{Name: "Clusters", Hits: []hit{{Icon: "cluster", Title: n.Name, Detail: n.Detail, Href: "/clusters/" + n.ID}}})
		case "config":
			d.add(hitGroup{Name: "Configs", Hits: []hit{{Icon: "config", Title: n.Name, Href: "/configs/" + n.ID}}})
		case "schematic":
			d.add(hitGroup{Name: "Schematics", Hits: []hit{{Icon: "schematic", Title: n.Name, Href: "/schematics/" + n.ID}}})
		}
	}
	return nil
}

// findOperations looks through what is under way, for an operation with this id, and for the newest of each server
// that was found, if those are few.
func (s *site) findOperations(ctx context.Context, d *searchData, words string, servers []fleet.Server) error {
	all, err := s.store.Operations(ctx, store.OperationFilter{Active: true, Limit: hitsActive})
	if err != nil {
		return err
	}
	rows, err := s.operationRows(ctx, all, names{})
	if err != nil {
		return err
	}
	found := matching(operationHits(rows), words)
	some, err := s.newestOf(ctx, words, servers)
	if err != nil {
		return err
	}
	if rows, err = s.operationRows(ctx, some, names{}); err != nil {
		return err
	}
	for _, h := range operationHits(rows) {
		if !slices.Contains(found, h) {
			found = append(found, h)
		}
	}
	d.add(hitGroup{Name: "Operations", Hits: found[:min(len(found), hitsShown)]})
	return nil
}

func (s *site) newestOf(ctx context.Context, words string, servers []fleet.Server) ([]fleet.Operation, error) {
	var out []fleet.Operation
	if len(words) == idLength {
		op, err := s.store.Operation(ctx, strings.ToLower(words))
		switch {
		case err == nil:
			out = append(out, op)
		case fleet.KindOf(err) != fleet.NotFound:
			return nil, err
		}
	}
	if len(servers) > 3 {
		return out, nil
	}
	for _, v := range servers {
		newest, err := s.store.Operations(ctx, store.OperationFilter{ServerID: v.ID, Limit: 1})
		if err != nil {
			return nil, err
		}
		out = append(out, newest...)
	}
	return out, nil
}

func operationHits(rows []operationRow) []hit {
	out := make([]hit, 0, len(rows))
	for _, row := range rows {
		out = append(out, hit{Icon: "operation", Title: about(row), Detail: upper(row.Status.Detail), Href: "/operations/" + row.ID, Status: row.Status})
	}
	return out
}
