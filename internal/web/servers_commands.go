package web

import (
	"net/url"
	"strings"
)

// listing is what the filter of the page is called from a shell: as flags, and as a query.
func (d serversData) listing() (flags []string, query url.Values) {
	query = url.Values{}
	add := func(name, value string) {
		if value != "" {
			flags = append(flags, "--"+name+"="+shellWord(value))
			query.Set(name, value)
		}
	}
	f := d.Filter
	add("search", f.Search)
	add("state", f.State)
	add("role", f.Role)
	add("location", f.Location)
	add("problem", f.Problem)
	switch f.Cluster {
	case "":
	case unassigned:
		flags = append(flags, "--unassigned")
		query.Set("unassigned", "true")
	default:
		add("cluster", namesOf(d.Clusters)[f.Cluster])
	}
	if f.Account != "" {
		add("account", namesOf(d.Owners)[f.Account])
	}
	if f.Missing {
		flags = append(flags, "--missing")
		query.Set("missing", "true")
	}
	add("sort", f.Sort)
	return flags, query
}

// commands are what does the same as the page.
func (d serversData) commands() []command {
	flags, query := d.listing()
	address := "GET /api/v1/servers"
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	return []command{
		{What: "List these servers", CLI: strings.Join(append([]string{"server list"}, flags...), " "), API: address},
		{What: "Ask the accounts now which servers they have", CLI: "server sync", API: "POST /api/v1/servers/sync"},
		{What: "Rename a server", CLI: "server rename SERVER NAME", API: `PATCH /api/v1/servers/SERVER {"name": "NAME"}`},
		{What: "Say what servers are to be", CLI: "server assign SERVER --cluster CLUSTER --role worker", API: `PATCH /api/v1/servers/SERVER/assignment {"cluster": "CLUSTER", "role": "worker"}`},
		{What: "Move a dedicated server into a vSwitch", CLI: "server vswitch SERVER VSWITCH", API: `PATCH /api/v1/servers/SERVER {"vSwitch": "VSWITCH-ID"}`},
		{What: "Boot servers into the rescue system", CLI: "server rescue SERVER", API: "POST /api/v1/servers/SERVER/rescue"},
	}
}
