package web

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/talos-manager/talos-manager/internal/access"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
)

// rulesData is the page of all label and taint rules.
type rulesData struct {
	Rows     []ruleRow
	Clusters []option
	Draft    ruleDraft
}

// ruleRow is a rule with the servers it is for now.
type ruleRow struct {
	ID, Match          string
	ClusterID, Cluster string
	Labels             []string
	Taints             []string
	Servers            ruleServers
	Created            time.Time
}

// ruleServers are the servers that a rule is for.
type ruleServers struct {
	Names []string // by name, all
	Loose int      // those of them that are in no cluster: nodes they are not yet
}

// ruleDraft is a rule that somebody is writing: what of the form is in the address, and whom it would be for.
type ruleDraft struct {
	Match, Cluster, Labels, Taints string
	Servers                        ruleServers
	Puts                           string // what it would put on them
	Problem                        string // what is wrong with its labels or taints
	Asked                          bool
}

// ruleForm names the form of a rule.
const ruleForm = "rule"

// rules is the page of all rules.
func (s *site) rules(r *http.Request) (view, error) {
	ctx := r.Context()
	servers, err := s.store.Servers(ctx, store.ServerFilter{IncludeMissing: true, WithoutFacts: true})
	if err != nil {
		return view{}, err
	}
	written := r.URL.Query()
	if r.Method == http.MethodPost {
		written = r.PostForm
	}
	d := rulesData{Draft: ruleDraftOf(written, servers)}
	if d.Rows, err = s.ruleRows(ctx, servers); err != nil {
		return view{}, err
	}
	if d.Clusters, err = s.clusterOptions(ctx, option{"", "Every cluster"}); err != nil {
		return view{}, err
	}
	return view{
		title: "Rules", section: "/configs", crumbs: []crumb{{"Configs", "/configs"}}, address: d.Draft.address(),
		body:  func([]fleet.LogLine) templ.Component { return rulesPage(d) },
		parts: []part{partOf("rules-table", d.Rows, rulesTable), partOf("rule-preview", d.Draft, rulePreview)}, wants: changeOf("rules", "servers", "clusters"),
		sheet: func() (sheet, error) { return rulesSheet(d.Rows), nil },
		same: []command{
			{What: "List the rules", CLI: "rule list", API: "GET /api/v1/rules"},
			d.Draft.command(),
			{What: "Delete one", CLI: "rule delete ID", API: "DELETE /api/v1/rules/ID"},
		},
	}, nil
}

func (s *site) ruleRows(ctx context.Context, servers []fleet.Server) ([]ruleRow, error) {
	all, err := s.store.Rules(ctx, "")
	if err != nil {
		return nil, err
	}
	clusters, err := s.clusterNames(ctx)
	rows := make([]ruleRow, 0, len(all))
	for _, v := range all {
		rows = append(rows, ruleRow{
			ID: v.ID, Match: v.Match, ClusterID: v.ClusterID, Cluster: clusters[v.ClusterID], Labels: labelLines(v.Labels), Taints: taintLines(v.Taints),
			Servers: serversOf(v, servers), Created: v.CreatedAt,
		})
	}
	return rows, err
}

// serversOf are the servers that a rule is for.
func serversOf(v fleet.Rule, servers []fleet.Server) (out ruleServers) {
	for i := range servers {
		if v.For(&servers[i]) {
			out.Names = append(out.Names, servers[i].Name)
			if !servers[i].Assignment.Assigned() {
				out.Loose++
			}
		}
	}
	return out
}

func labelLines(labels map[string]string) []string {
	if len(labels) == 0 {
		return nil
	}
	return strings.Split(fleet.FormatLabels(labels), ",")
}

func taintLines(taints []fleet.Taint) []string {
	var out []string
	for _, t := range taints {
		out = append(out, t.String())
	}
	return out
}

func rulesSheet(rows []ruleRow) sheet {
	out := sheet{name: "rules", columns: []string{"id", "match", "cluster", "labels", "taints", "servers", "created"}}
	for _, v := range rows {
		out.rows = append(out.rows, []string{v.ID, v.Match, v.Cluster, strings.Join(v.Labels, " "), strings.Join(v.Taints, " "), strings.Join(v.Servers.Names, " "), exact(v.Created)})
	}
	return out
}

// ruleDraftOf reads what is being written.
func ruleDraftOf(q url.Values, servers []fleet.Server) ruleDraft {
	d := ruleDraft{Match: strings.TrimSpace(q.Get("match")), Cluster: q.Get("cluster"), Labels: q.Get("labels"), Taints: q.Get("taints")}
	if d.Match == "" {
		return d
	}
	d.Asked = true
	d.Servers = serversOf(fleet.Rule{Match: d.Match, ClusterID: d.Cluster}, servers)
	v, err := d.rule()
	if err != nil {
		d.Problem = upper(err.Error())
		return d
	}
	d.Puts = strings.Join(append(labelLines(v.Labels), taintLines(v.Taints)...), ", ")
	return d
}

// rule is what is written, as a rule.
func (d *ruleDraft) rule() (v fleet.Rule, err error) {
	v = fleet.Rule{Match: d.Match, ClusterID: d.Cluster}
	if v.Labels, err = fleet.ParseLabels(d.Labels); err != nil {
		return v, err
	}
	v.Taints, err = fleet.ParseTaints(d.Taints)
	return v, err
}

func (d *ruleDraft) address() string {
	if !d.Asked {
		return "/rules"
	}
	q := url.Values{"match": {d.Match}}
	for name, value := range map[string]string{"cluster": d.Cluster, "labels": d.Labels, "taints": d.Taints} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return "/rules?" + q.Encode()
}

// command is what creates the rule in a shell.
func (d *ruleDraft) command() command {
	v, err := d.rule()
	if err != nil || !d.Asked {
		return command{What: "Create one", CLI: "rule create --match TEXT --label KEY=VALUE --taint KEY=VALUE:NoSchedule", API: `POST /api/v1/rules {"match":"TEXT","labels":{"KEY":"VALUE"}}`}
	}
	cli, body := "rule create --match "+shellWord(v.Match), map[string]any{"match": v.Match}
	if v.ClusterID != "" {
		cli += " --cluster " + shellWord(v.ClusterID)
		body["cluster"] = v.ClusterID
	}
	for _, l := range labelLines(v.Labels) {
		cli += " --label " + shellWord(l)
		body["labels"] = v.Labels
	}
	for _, t := range v.Taints {
		cli += " --taint " + shellWord(t.String())
		body["taints"] = v.Taints
	}
	return command{What: "Create it like this", CLI: cli, API: "POST /api/v1/rules " + jsonOf(body)}
}

// createRule keeps a rule.
func (s *site) createRule(w http.ResponseWriter, r *http.Request) error {
	d := ruleDraft{Match: strings.TrimSpace(r.PostFormValue("match")), Cluster: r.PostFormValue("cluster"), Labels: r.PostFormValue("labels"), Taints: r.PostFormValue("taints")}
	v, err := d.rule()
	if err == nil {
		v, err = s.Manager.AddRule(r.Context(), access.Actor(r.Context()), v)
	}
	if err != nil {
		return s.again(w, r, s.rules, err)
	}
	servers, err := s.store.Servers(r.Context(), store.ServerFilter{IncludeMissing: true, WithoutFacts: true})
	if err != nil {
		return err
	}
	return s.done(w, r, "/rules", "Created the rule for “"+v.Match+"”: it is for "+count(len(serversOf(v, servers).Names), "server")+" now")
}

// deleteRule forgets a rule.
func (s *site) deleteRule(w http.ResponseWriter, r *http.Request) error {
	v, err := s.store.Rule(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	if err := s.Manager.DeleteRule(r.Context(), access.Actor(r.Context()), v.ID); err != nil {
		return s.again(w, r, s.rules, err)
	}
	return s.done(w, r, "/rules", "Deleted the rule for “"+v.Match+"”; what it put on nodes stays")
}
