package web

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/talos-manager/talos-manager/internal/access"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
)

// configsData is the page of all configs, and of the layers of clusters, roles and servers.
type configsData struct {
	Configs []configRow
	Layers  []configRow
	Drafts  []configRow
}

// configRow is one layer in a table.
type configRow struct {
	Href      string
	Name      string
	Kind      string   // "Config", "Cluster", "Workers", "Server"
	Patches   []string // names
	Off       int
	Variables int
	Servers   int
	Clusters  []string // that give it to their servers
	SavedAt   time.Time
	Draft     string
	Behind    bool
}

// configList is the page of all configs.
func (s *site) configList(r *http.Request) (view, error) {
	all, err := s.Manager.LayerList(r.Context())
	if err != nil {
		return view{}, err
	}
	clusters, err := s.store.Clusters(r.Context())
	if err != nil {
		return view{}, err
	}
	var d configsData
	for _, l := range all {
		row := configRowOf(l)
		for _, c := range clusters {
			if l.Scope == fleet.ScopeConfig && c.ConfigID == l.Owner {
				row.Clusters = append(row.Clusters, c.Name)
			}
		}
		if l.Scope == fleet.ScopeConfig {
			d.Configs = append(d.Configs, row)
		} else {
			d.Layers = append(d.Layers, row)
		}
		if row.Draft != "" {
			d.Drafts = append(d.Drafts, row)
		}
	}
	return view{
		title: "Configs", section: "/configs", address: "/configs",
		body:  func([]fleet.LogLine) templ.Component { return configsPage(d) },
		sheet: func() (sheet, error) { return configsSheet(d), nil },
		same: []command{
			{"List the configs", "config list", "GET /api/v1/configs"},
			{"List the drafts", "layer drafts", "GET /api/v1/drafts"},
			{"Create a config", "config create NAME", `POST /api/v1/configs {"name": "NAME"}`},
		},
	}.live(partOf("configs-drafts", d.Drafts, configsDrafts), partOf("configs-table", d.Configs, configsTable), partOf("configs-layers", d.Layers, configsLayers)), nil
}

func configRowOf(l manage.LayerSummary) configRow {
	row := configRow{
		Href: layerPage(l.LayerRef, "", nil), Name: l.Name, Kind: layerKind(l.LayerRef), Patches: l.Patches, Off: l.Off, Variables: l.Variables,
		Servers: l.Servers, SavedAt: l.SavedAt, Draft: l.Draft, Behind: l.DraftIsBehind,
	}
	return row
}

// layerKind says what a layer is for.
func layerKind(ref manage.LayerRef) string {
	switch ref.Scope {
	case fleet.ScopeCluster:
		return "Cluster"
	case fleet.ScopeRole:
		return upper(roleWords(ref.Role))
	case fleet.ScopeServer:
		return "Server"
	}
	return "Config"
}

// holds says in words what a layer has.
func (row configRow) holds() string {
	var all []string
	if n := len(row.Patches); n == 1 {
		all = append(all, "1 patch")
	} else if n > 1 {
		all = append(all, strconv.Itoa(n)+" patches")
	}
	if row.Off > 0 {
		all = append(all, strconv.Itoa(row.Off)+" switched off")
	}
	if row.Variables > 0 {
		all = append(all, count(row.Variables, "variable"))
	}
	return strings.Join(all, ", ")
}

func configsSheet(d configsData) sheet {
	out := sheet{name: "configs", columns: []string{"kind", "name", "patches", "variables", "servers", "saved", "draft"}}
	for _, rows := range [][]configRow{d.Configs, d.Layers} {
		for _, row := range rows {
			saved := ""
			if !row.SavedAt.IsZero() {
				saved = row.SavedAt.UTC().Format(time.RFC3339)
			}
			out.rows = append(out.rows, []string{row.Kind, row.Name, strings.Join(row.Patches, " "), strconv.Itoa(row.Variables), strconv.Itoa(row.Servers), saved, row.Draft})
		}
	}
	return out
}

// createConfig keeps a new config, empty.
func (s *site) createConfig(w http.ResponseWriter, r *http.Request) error {
	c, err := s.Manager.SaveConfig(r.Context(), access.Actor(r.Context()), fleet.Config{Name: strings.TrimSpace(r.PostFormValue("name"))})
	if err != nil {
		return s.again(w, r, s.configList, err)
	}
	return s.done(w, r, "/configs/"+c.ID, "Created "+c.Name+": add patches to it, then give it to a cluster or to servers")
}
