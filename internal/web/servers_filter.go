package web

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
)

// serverFilter is the address of the page of servers: what is chosen, in which order, which page of it.
type serverFilter struct {
	Search, State, Cluster, Account, Role, Location, Problem, Sort string
	Missing                                                        bool
	Page                                                           int    // from 1; 0 is all of them
	Edit                                                           string // id of the server whose panel is open
}

// unassigned is what the filter calls servers without a cluster; no id looks like it.
const unassigned = "none"

func serverFilterOf(q url.Values) serverFilter {
	f := serverFilter{
		Search: strings.TrimSpace(q.Get("search")), State: q.Get("state"), Cluster: q.Get("cluster"), Account: q.Get("account"),
		Role: q.Get("role"), Location: q.Get("location"), Problem: q.Get("problem"), Sort: q.Get("sort"), Missing: q.Get("missing") == "true", Page: 1, Edit: q.Get("edit"),
	}
	if n, err := strconv.Atoi(q.Get("page")); err == nil && n > 1 {
		f.Page = n
	}
	return f
}

func (f serverFilter) store() store.ServerFilter {
	o := store.ServerFilter{
		Search: f.Search, AccountID: f.Account, Role: fleet.Role(f.Role), Location: f.Location, Problem: fleet.Problem(f.Problem), Sort: f.Sort, IncludeMissing: f.Missing,
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

// query is what chooses servers, without the place in their list.
func (f serverFilter) query() url.Values {
	q := url.Values{}
	for name, value := range map[string]string{
		"search": f.Search, "state": f.State, "cluster": f.Cluster, "account": f.Account, "role": f.Role, "location": f.Location, "problem": f.Problem,
	} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if f.Missing {
		q.Set("missing", "true")
	}
	return q
}

// address is where the page with this filter is; what is not set is not in it.
func (f serverFilter) address() string {
	q := f.query()
	for name, value := range map[string]string{"sort": f.Sort, "edit": f.Edit} {
		if value != "" {
			q.Set(name, value)
		}
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
	f.Page, f.Edit = n, ""
	return f.address()
}

// edit is the page with the panel of a server open; "" closes it.
func (f serverFilter) edit(id string) string {
	f.Edit = id
	return f.address()
}

// sorted is the address with another order: backwards if it is the column's already.
func (f serverFilter) sorted(column string) string {
	if f.Sort == column || f.Sort == "" && column == "name" {
		column = "-" + column
	}
	f.Sort, f.Page, f.Edit = column, 1, ""
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

// chip is one condition of a filter, and the address without it.
type chip struct{ Name, Value, Without string }

// chips are the conditions of the page's filter, each to be taken away by itself.
func (d serversData) chips() []chip {
	f := d.Filter
	f.Page, f.Edit = 1, ""
	word := func(all []option, value string) string {
		if i := slices.IndexFunc(all, func(o option) bool { return o.Value == value }); i >= 0 {
			return all[i].Name
		}
		return value
	}
	var out []chip
	for _, c := range []struct {
		name, value string
		field       *string
	}{
		{"Search", f.Search, &f.Search},
		{"State", word(stateOptions(), f.State), &f.State},
		{"Cluster", word(d.Clusters, f.Cluster), &f.Cluster},
		{"Role", word(roleOptions(), f.Role), &f.Role},
		{"Location", f.Location, &f.Location},
		{"Account", word(d.Owners, f.Account), &f.Account},
		{"Problem", word(problemOptions(), f.Problem), &f.Problem},
	} {
		was := *c.field
		if was == "" {
			continue
		}
		*c.field = ""
		out = append(out, chip{c.name, c.value, f.address()})
		*c.field = was
	}
	if f.Missing {
		f.Missing = false
		out = append(out, chip{"Missing", "shown too", f.address()})
	}
	return out
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

func problemOptions() []option {
	return []option{
		{"", "Any or none"},
		{string(fleet.ProblemUUID), "Bad UUID"},
		{string(fleet.ProblemGone), "Missing or cancelled"},
		{string(fleet.ProblemDraft), "Draft"},
	}
}

func roleOptions() []option {
	return []option{{"", "Any role"}, {string(fleet.ControlPlane), "Control plane"}, {string(fleet.Worker), "Worker"}}
}

// chosen are the servers that a request names, each once.
func chosen(r *http.Request) []string {
	refs := r.URL.Query()["server"]
	if r.Method == http.MethodPost {
		refs = append(r.PostForm["server"], strings.Fields(r.PostFormValue("servers"))...)
	}
	seen := map[string]bool{"": true}
	var out []string
	for _, ref := range refs {
		if !seen[ref] {
			seen[ref] = true
			out = append(out, ref)
		}
	}
	return out
}

// chosenOrAll are the servers that a request names, or, if it says so, all that the filter of its page chooses.
func (s *site) chosenOrAll(r *http.Request) ([]string, error) {
	if r.Method == http.MethodPost && r.PostFormValue("all") != "true" || r.Method != http.MethodPost && r.URL.Query().Get("all") != "true" {
		return chosen(r), nil
	}
	q, err := url.ParseQuery(r.FormValue("of"))
	if err != nil {
		return nil, fleet.Errorf(fleet.Invalid, "the filter of servers: %w", err)
	}
	f := serverFilterOf(q)
	f.Page = 0
	o := f.store()
	o.WithoutFacts = true
	all, err := s.store.Servers(r.Context(), o)
	ids := make([]string, len(all))
	for i, v := range all {
		ids[i] = v.ID
	}
	return ids, err
}
