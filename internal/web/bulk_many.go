package web

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/a-h/templ"

	"github.com/talos-manager/talos-manager/internal/access"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
	"github.com/talos-manager/talos-manager/internal/store"
)

// manyData is a page that asks before many servers are touched.
type manyData struct {
	Path, Title string
	Rows        []manyRow // the first of them
	Chosen      int
	Can         []string // ids of those that it can be done to
	Note        string   // about all of them

	Clusters, Configs, Schematics, VSwitches []option // what their forms offer
}

// manyRow is one server: how it is, what will happen to it, or why nothing.
type manyRow struct {
	ID, Name string
	Now      string
	Status   status
	Becomes  string // "" if the form says
	Loss     string
	Problem  string // "" if it can be done
}

const (
	bulkMost  = 1000 // servers that one request touches: more would take minutes
	bulkShown = 100  // rows of the page that asks
	wizardful = 200  // servers that fit into the address of the install wizard
)

// deedOf is what a page does to many: of each server, what happens, or what keeps it from that.
type deedOf func(v fleet.Server, row *manyRow)

// many reads the servers that a request chose.
func (s *site) many(r *http.Request, d *manyData, deed deedOf) error {
	ctx := r.Context()
	ids, err := s.chosenOrAll(r)
	if err != nil || len(ids) == 0 {
		return err
	}
	if len(ids) > bulkMost {
		return fleet.Errorf(fleet.Invalid, "%d servers are chosen, %d at most can be done at once", len(ids), bulkMost).WithHint("filter the table for fewer, as by location or state")
	}
	all, err := s.serversByRef(ctx, ids)
	if err != nil {
		return err
	}
	known := make([]string, len(all))
	for i, v := range all {
		known[i] = v.ID
	}
	latest, err := s.store.LatestOperations(ctx, known...)
	if err != nil {
		return err
	}
	clusters, err := s.clusterNames(ctx)
	if err != nil {
		return err
	}
	d.Chosen = len(all)
	for i, row := range serverRows(all, clusters, latest) {
		out := manyRow{ID: row.ID, Name: row.Name, Status: row.Status, Now: placed(row)}
		if op := latest[row.ID]; op != nil && !op.State.Final() {
			out.Problem = kindTitle(op.Kind) + " has it now"
		} else if !all[i].MissingAt.IsZero() {
			out.Problem = "Its account does not list it any more"
		} else {
			deed(all[i], &out)
		}
		if out.Problem == "" {
			d.Can = append(d.Can, out.ID)
		}
		if len(d.Rows) < bulkShown {
			d.Rows = append(d.Rows, out)
		}
	}
	return nil
}

// serversByRef reads servers by id, in the order of their names. A few may be given by name.
func (s *site) serversByRef(ctx context.Context, refs []string) ([]fleet.Server, error) {
	all, err := s.store.Servers(ctx, store.ServerFilter{IDs: refs, IncludeMissing: true, WithoutFacts: true})
	if err != nil || len(all) == len(refs) {
		return all, err
	}
	byID := map[string]bool{}
	for _, v := range all {
		byID[v.ID] = true
	}
	for _, ref := range refs {
		if byID[ref] {
			continue
		}
		v, err := s.store.Server(ctx, ref)
		if err != nil {
			return nil, err
		}
		if !byID[v.ID] {
			byID[v.ID] = true
			all = append(all, v)
		}
	}
	return all, nil
}

// placed is what a server is to be.
func placed(row serverRow) string {
	if row.ClusterID == "" {
		return "In no cluster"
	}
	text := roleTitle(row.Role) + " of " + row.Cluster
	if row.Hostname != "" {
		text += ", node " + row.Hostname
	}
	return text
}

// manyView is the page.
func (s *site) manyView(r *http.Request, d manyData, body func(manyData) templ.Component, same ...command) view {
	q := url.Values{"server": chosen(r)}
	if r.URL.Query().Get("all") == "true" {
		q = url.Values{"all": {"true"}, "of": {r.URL.Query().Get("of")}}
	}
	return view{
		title: d.Title, section: "/servers", crumbs: []crumb{{"Servers", "/servers"}}, address: d.Path + "?" + q.Encode(),
		body: func([]fleet.LogLine) templ.Component { return body(d) }, same: same,
	}
}

// installMany leads to the install wizard, for the chosen servers or all that the filter chooses.
func (s *site) installMany(w http.ResponseWriter, r *http.Request) error {
	ids, err := s.chosenOrAll(r)
	if err != nil {
		return err
	}
	if len(ids) > wizardful {
		return fleet.Errorf(fleet.Invalid, "%d servers are chosen, the install wizard takes %d at a time", len(ids), wizardful).WithHint("filter the table for fewer, as by location or cluster")
	}
	http.Redirect(w, r, "/install?"+url.Values{"server": ids}.Encode(), http.StatusSeeOther)
	return nil
}

// rescueMany asks before servers are booted into the rescue system.
func (s *site) rescueMany(r *http.Request) (view, error) {
	d := manyData{Path: "/rescue", Title: "Boot the rescue system"}
	err := s.many(r, &d, func(v fleet.Server, row *manyRow) {
		row.Becomes, row.Loss = "Rescue system", "What runs on it now stops without warning. Its disks are only looked at."
		if v.Provider == fleet.Manual {
			row.Loss = "Nothing is restarted: it is waited for until somebody has booted its rescue system. Its disks are only looked at."
		}
		if v.State == fleet.Ready || v.State == fleet.Configured {
			row.Problem = "It is a node; take it out of its cluster first"
		}
	})
	return s.manyView(r, d, rescueManyPage, command{What: "Boot them into the rescue system", CLI: "server rescue SERVER", API: "POST /api/v1/servers/SERVER/rescue"}), err
}

func (s *site) doRescueMany(w http.ResponseWriter, r *http.Request) error {
	return s.forMany(w, r, s.rescueMany, "/operations?state=active", "Booting the rescue system on ", func(actor, id string) error {
		_, err := s.Operations.Rescue(r.Context(), actor, id)
		return err
	})
}

// unchanged is what a choice says that leaves a field of each server as it is; no id looks like it.
const unchanged = "as-it-is"

// assignMany asks what many servers are to be.
func (s *site) assignMany(r *http.Request) (view, error) {
	ctx := r.Context()
	d := manyData{Path: "/servers/assign", Title: "Say what servers are to be"}
	err := s.many(r, &d, func(v fleet.Server, row *manyRow) {
		if runsAsNode(v) {
			row.Problem = "It runs as a node; take it out of its cluster first"
		}
	})
	if err != nil {
		return view{}, err
	}
	asIs := option{unchanged, "As it is"}
	if d.Clusters, err = s.clusterOptions(ctx, asIs); err != nil {
		return view{}, err
	}
	d.Clusters = append(d.Clusters, option{unassigned, "None: take them out"})
	if d.Configs, err = s.configOptions(ctx, asIs, option{"", "The cluster’s"}); err != nil {
		return view{}, err
	}
	if d.Schematics, err = s.schematicOptions(ctx, asIs, option{"", "The cluster’s"}); err != nil {
		return view{}, err
	}
	return s.manyView(r, d, assignManyPage, command{
		What: "Say what servers are to be", CLI: "server assign SERVER SERVER --cluster CLUSTER --role worker", API: `PATCH /api/v1/servers/SERVER/assignment {"cluster": "CLUSTER", "role": "worker"}`,
	}), nil
}

func (s *site) doAssignMany(w http.ResponseWriter, r *http.Request) error {
	change := manage.AssignmentChange{}
	for name, field := range map[string]**string{"cluster": &change.Cluster, "config": &change.Config, "schematic": &change.Schematic} {
		if value := r.PostFormValue(name); value != unchanged && r.PostForm.Has(name) {
			*field = &value
		}
	}
	if role := fleet.Role(r.PostFormValue("role")); role != "" && role != unchanged {
		change.Role = &role
	}
	if change == (manage.AssignmentChange{}) {
		return s.again(w, r, s.assignMany, fleet.Errorf(fleet.Invalid, "nothing is to change").WithHint("choose a cluster, a role, a config or a schematic"))
	}
	said := "Changed what they are to be: "
	if change.Cluster != nil && *change.Cluster == unassigned {
		nothing := ""
		change, said = manage.AssignmentChange{Cluster: &nothing}, "Taken out of their clusters: "
	}
	return s.forMany(w, r, s.assignMany, "/servers", said, func(actor, id string) error {
		_, err := s.Manager.Assign(r.Context(), actor, id, change)
		return err
	})
}

// vswitchMany asks which vSwitch many servers are to be in.
func (s *site) vswitchMany(r *http.Request) (view, error) {
	d := manyData{Path: "/servers/vswitch", Title: "Move servers into a vSwitch"}
	lans, err := s.store.VSwitches(r.Context(), "")
	if err != nil {
		return view{}, err
	}
	called := names{}
	for _, v := range lans {
		called[v.ID] = v.Name
	}
	d.VSwitches = []option{{"", "None: only take them out"}}
	for _, v := range lans {
		if v.MissingAt.IsZero() {
			d.VSwitches = append(d.VSwitches, option{v.ID, fmt.Sprintf("%s, VLAN %d", v.Name, v.VLAN)})
		}
	}
	err = s.many(r, &d, func(v fleet.Server, row *manyRow) {
		row.Now = "In no vSwitch"
		if v.VSwitchID != "" {
			row.Now = "In vSwitch " + called[v.VSwitchID]
		}
		if v.Provider != fleet.HetznerRobot {
			row.Problem = "Only a dedicated server of Robot can be in a vSwitch"
		}
	})
	return s.manyView(r, d, vswitchManyPage, command{What: "Move one of them", CLI: "server vswitch SERVER VSWITCH", API: `PATCH /api/v1/servers/SERVER {"vSwitch": "VSWITCH-ID"}`}), err
}

func (s *site) doVSwitchMany(w http.ResponseWriter, r *http.Request) error {
	to := r.PostFormValue("vswitch")
	return s.forMany(w, r, s.vswitchMany, "/operations?state=active", "Asking Robot to change the vSwitch of ", func(actor, id string) error {
		_, err := s.Operations.SetVSwitch(r.Context(), actor, id, to)
		return err
	})
}

// forMany does something to each chosen server; one that is refused does not keep the others from it.
func (s *site) forMany(w http.ResponseWriter, r *http.Request, ask loader, next, said string, do func(actor, id string) error) error {
	ids := chosen(r)
	if len(ids) == 0 || len(ids) > bulkMost {
		return s.again(w, r, ask, fleet.Errorf(fleet.Invalid, "no server was chosen, or more than %d", bulkMost).WithHint("tick some in the table of servers"))
	}
	var left []string
	var problems []error
	for _, id := range ids {
		err := r.Context().Err()
		if err == nil {
			err = do(access.Actor(r.Context()), id)
		}
		if err != nil {
			left, problems = append(left, id), append(problems, err)
		}
	}
	if len(problems) == 0 {
		return s.done(w, r, next, said+count(len(ids), "server"))
	}
	r.PostForm["server"] = left // the page shows those that are left
	r.PostForm.Del("servers")
	return s.again(w, r, ask, refusals(problems, said, len(ids)-len(problems)))
}

// refusals says why some servers were refused, and how many were not.
func refusals(problems []error, said string, done int) error {
	const most = 5
	var words []string
	for _, p := range problems[:min(most, len(problems))] {
		words = append(words, p.Error())
	}
	if more := len(problems) - most; more > 0 {
		words = append(words, fmt.Sprintf("and %d more", more))
	}
	text := strings.Join(words, "; ")
	if done > 0 {
		text = said + count(done, "server") + "; " + count(len(problems), "server") + " refused: " + text
	}
	return fleet.Errorf(fleet.KindOf(problems[0]), "%s", text).WithHint("%s", fleet.HintOf(problems[0]))
}
