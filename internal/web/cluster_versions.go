package web

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/a-h/templ"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
)

// versionsData is the page of a cluster's versions: what it runs, what could be changed, what another version would make
// of its patches, and what waits as a draft.
type versionsData struct {
	Row        clusterRow
	Begun      string // why its versions are what it runs; "" while they may be changed
	Offers     manage.Offers
	Talos      string // as the form has them
	Kubernetes string
	Schematic  string // id
	Named      string // name of the recorded schematic, "" for the plain one
	Schematics []option
	Drafts     []draftRow
	Plan       *clusterPlan
	LintFor    string // version that the form of the lint has
	Lint       *manage.UpgradeLint
	LintNotice *notice // why it could not be looked at
}

// draftRow is something that is kept and not in effect.
type draftRow struct {
	What string
	Why  string
	Href string
}

// clusterVersions is the page of a cluster's versions.
func (s *site) clusterVersions(r *http.Request) (view, error) {
	ctx := r.Context()
	b, err := s.clusterBase(ctx, r.PathValue("ref"))
	if err != nil {
		return view{}, err
	}
	d := versionsData{
		Row: b.Row, Offers: s.Manager.Offers(ctx), Talos: proposed(r, "talos", b.Cluster.TalosVersion),
		Kubernetes: proposed(r, "kubernetes", b.Cluster.KubernetesVersion), Schematic: proposed(r, "schematic", b.Cluster.SchematicID),
	}
	if d.Begun, err = s.Manager.Begun(ctx, b.Cluster); err != nil {
		return view{}, err
	}
	if d.Schematics, err = s.schematicOptions(ctx, option{"", "Plain Talos"}); err != nil {
		return view{}, err
	}
	d.Named = nameOf(d.Schematics[1:], b.Cluster.SchematicID)
	if d.Drafts, err = s.draftsOf(ctx, b); err != nil {
		return view{}, err
	}
	d.Plan = s.planOf(r, b.Cluster)
	s.lint(r, &d)
	v := clusterView(b, "/versions")
	if d.Plan != nil || r.URL.Query().Has("lint") {
		v.address, v.wants = v.address+"?"+r.URL.RawQuery, nil
	}
	v.body = func([]fleet.LogLine) templ.Component { return versionsTab(d) }
	v.parts = []part{
		{id: "cluster-head", key: keyOf(d.Row), piece: clusterHead(d.Row)},
		{id: "cluster-versions", key: keyOf([]any{d.Row.Talos, d.Row.Kubernetes, d.Begun, d.Named, d.Schematics}), piece: versionsCard(d)},
		partOf("cluster-drafts", d.Drafts, draftsCard),
	}
	v.same = versionCommands(b.Row.Name, d.LintFor)
	return v, nil
}

func versionCommands(name, version string) []command {
	at := "/api/v1/clusters/" + name
	return []command{
		{"Change what is recorded", "cluster update " + name + " --talos-version " + version + " --dry-run", "PATCH " + at + ` {"talosVersion": "` + version + `"}`},
		{"Say what another version makes of its patches", "cluster lint " + name + " --talos-version " + version, "GET " + at + "/lint?talosVersion=" + version},
		{"List the drafts of all layers", "layer drafts", "GET /api/v1/drafts"},
	}
}

// lint looks at the cluster's patches with the eyes of the version that the page was asked about.
func (s *site) lint(r *http.Request, d *versionsData) {
	d.LintFor = d.Row.Talos
	if len(d.Offers.Talos) > 0 {
		d.LintFor = d.Offers.Talos[0]
	}
	q := r.URL.Query()
	if !q.Has("lint") {
		return
	}
	d.LintFor = strings.TrimSpace(q.Get("lint"))
	l, err := s.Manager.LintUpgrade(r.Context(), d.Row.ID, d.LintFor)
	if err != nil {
		n := noticeOf(err)
		d.LintNotice = &n
		return
	}
	l.Cluster = fleet.Cluster{Name: l.Cluster.Name} // without its secrets
	d.Lint = &l
}

// draftsOf lists what is kept for a cluster and not in effect: drafts of layers that its servers get, and servers that were
// assigned for later.
func (s *site) draftsOf(ctx context.Context, b clusterBase) ([]draftRow, error) {
	all, err := s.Manager.Drafts(ctx)
	if err != nil {
		return nil, err
	}
	config := ""
	if b.Cluster.ConfigID != "" {
		c, err := s.store.Config(ctx, b.Cluster.ConfigID)
		if err != nil {
			return nil, err
		}
		config = c.Name
	}
	var rows []draftRow
	for _, l := range all {
		own := (l.Scope == fleet.ScopeCluster || l.Scope == fleet.ScopeRole) && l.Owner == b.Cluster.Name
		shared := l.Scope == fleet.ScopeConfig && l.Owner == config
		server := l.Scope == fleet.ScopeServer && slices.ContainsFunc(b.Nodes, func(v fleet.Server) bool { return v.ID == l.Owner })
		if own || shared || server {
			rows = append(rows, draftOf(l))
		}
	}
	for _, v := range b.Nodes {
		if v.Assignment.Draft {
			rows = append(rows, draftRow{What: "server " + v.Name, Why: "It is assigned, but gets no config yet", Href: "/servers/" + v.ID})
		}
	}
	return rows, nil
}

func draftOf(l manage.Draft) draftRow {
	row := draftRow{What: l.What, Why: "Saved, and in effect nowhere until it is published", Href: layerPage(l.LayerRef, "", nil)}
	if l.Stale {
		row.Why = "What it was made on was changed since: save it again before it is published"
	}
	return row
}

// nameOf is what the option with a value is called, "" if there is none.
func nameOf(all []option, value string) string {
	for _, o := range all {
		if o.Value == value {
			return o.Name
		}
	}
	return ""
}
