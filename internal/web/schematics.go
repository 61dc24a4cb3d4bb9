package web

import (
	"net/http"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
)

// schematicRow is a schematic in the list.
type schematicRow struct {
	ID, Name   string
	FactoryID  string // "" for one that cannot be read
	Extensions []string
	KernelArgs []string
	Overlay    string
	Clusters   []string
	Servers    int
	SameAs     []string
	Created    time.Time
}

// schematics is the page of all schematics.
func (s *site) schematics(r *http.Request) (view, error) {
	rows, err := s.schematicRows(r)
	if err != nil {
		return view{}, err
	}
	return view{
		title: "Schematics", section: "/configs", crumbs: []crumb{{"Configs", "/configs"}}, address: "/schematics",
		body:  func([]fleet.LogLine) templ.Component { return schematicsPage(rows) },
		parts: []part{partOf("schematics-table", rows, schematicsTable)}, wants: changeOf("schematics", "clusters", "servers"),
		sheet: func() (sheet, error) { return schematicsSheet(rows), nil },
		same: []command{
			{What: "List the schematics", CLI: "schematic list", API: "GET /api/v1/schematics"},
			{What: "Create one", CLI: "schematic create NAME --extension EXTENSION", API: `POST /api/v1/schematics {"name":"NAME","parts":{"extensions":["EXTENSION"]}}`},
		},
	}, nil
}

func (s *site) schematicRows(r *http.Request) ([]schematicRow, error) {
	all, err := s.store.Schematics(r.Context())
	if err != nil {
		return nil, err
	}
	twins, err := s.Manager.SchematicTwins(r.Context())
	if err != nil {
		return nil, err
	}
	uses, err := s.Manager.SchematicUses(r.Context())
	if err != nil {
		return nil, err
	}
	rows := make([]schematicRow, 0, len(all))
	for _, v := range all {
		rows = append(rows, s.schematicRow(v, uses[v.ID], twins[v.ID]))
	}
	return rows, nil
}

func (s *site) schematicRow(v fleet.Schematic, use manage.SchematicUse, twins []string) schematicRow {
	row := schematicRow{ID: v.ID, Name: v.Name, Servers: len(use.Servers), SameAs: twins, Created: v.CreatedAt}
	for _, c := range use.Clusters {
		row.Clusters = append(row.Clusters, c.Name)
	}
	if id, err := s.Manager.Factory.SchematicID(v.YAML); err == nil {
		row.FactoryID = id
	}
	if c, err := s.Manager.Customization(v); err == nil {
		row.Extensions, row.KernelArgs, row.Overlay = c.Extensions, c.KernelArgs, c.Overlay.Name
	}
	return row
}

func schematicsSheet(rows []schematicRow) sheet {
	out := sheet{name: "schematics", columns: []string{"name", "factory id", "extensions", "kernel arguments", "overlay", "clusters", "servers", "created"}}
	for _, v := range rows {
		out.rows = append(out.rows, []string{
			v.Name, v.FactoryID, strings.Join(v.Extensions, " "), strings.Join(v.KernelArgs, " "), v.Overlay, strings.Join(v.Clusters, " "), count(v.Servers, "server"), exact(v.Created),
		})
	}
	return out
}

// short is the name of an official extension without the folder that all of them are in.
func shortExtension(name string) string { return strings.TrimPrefix(name, "siderolabs/") }

func shortExtensions(names []string) []string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = shortExtension(name)
	}
	return out
}

// usedBy says who uses a schematic.
func (v schematicRow) usedBy() string {
	var parts []string
	if len(v.Clusters) > 0 {
		parts = append(parts, some(v.Clusters, 3))
	}
	if v.Servers > 0 {
		parts = append(parts, count(v.Servers, "server"))
	}
	return strings.Join(parts, ", ")
}
