package web

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/a-h/templ"

	"github.com/talos-manager/talos-manager/internal/access"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig"
	"github.com/talos-manager/talos-manager/internal/manage"
	"github.com/talos-manager/talos-manager/internal/store"
)

// wizardClusterData is the first step: which servers, of which cluster, as what.
type wizardClusterData struct {
	wizardData

	Free       []serverRow // to choose from, as long as none is chosen
	Chosen     fleet.Cluster
	Proposals  []manage.Proposal // for each server, if a cluster is chosen
	Clusters   []option
	Schematics []option
	Schematic  string // of the chosen cluster, its name
	New        clusterProposal
	Several    bool // they belong to different clusters
}

// clusterProposal is what the form for a new cluster offers.
type clusterProposal struct {
	Talos, Kubernetes string // the newest version known, and its default
	Suggested         string // endpoint
	Schematics        []option
}

// wizardCluster is the first step.
func (s *site) wizardCluster(r *http.Request) (view, error) {
	ctx := r.Context()
	d := wizardClusterData{}
	var err error
	if d.wizardData, err = s.wizardServers(ctx, wizardOf(r), "/install"); err != nil {
		return view{}, err
	}
	if len(d.Servers) == 0 {
		if d.Free, err = s.freeServers(ctx); err != nil {
			return view{}, err
		}
	} else if err := s.wizardClusters(ctx, &d); err != nil {
		return view{}, err
	}
	same := []command{}
	if d.Chosen.ID != "" {
		same = append(same, command{
			What: "Say what they are to be", CLI: "server assign " + d.names() + " --cluster " + d.Chosen.Name,
			API: "PATCH /api/v1/servers/" + d.Servers[0].ID + `/assignment {"cluster": "` + d.Chosen.Name + `", "role": "` + string(d.Proposals[0].Role) + `"}`,
		})
	}
	return d.view(view{
		body: func([]fleet.LogLine) templ.Component { return wizardClusterPage(d) },
		same: append(same, command{What: "List servers", CLI: "server list", API: "GET /api/v1/servers"}),
	}), nil
}

// freeServers are those that Talos can be installed on now: without a cluster first.
func (s *site) freeServers(ctx context.Context) ([]serverRow, error) {
	all, err := s.store.Servers(ctx, store.ServerFilter{States: []fleet.State{fleet.Known, fleet.Broken}, WithoutFacts: true})
	if err != nil {
		return nil, err
	}
	active, err := s.activeByServer(ctx, store.OperationFilter{})
	if err != nil {
		return nil, err
	}
	n, err := s.clusterNames(ctx)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(v fleet.Server) bool { return active[v.ID] != nil })
	slices.SortStableFunc(all, func(a, b fleet.Server) int {
		return cmp.Compare(len(a.Assignment.ClusterID), len(b.Assignment.ClusterID))
	})
	return serverRows(all, n, active), nil
}

// wizardClusters chooses the cluster, if that was not done, and says what the servers could be in it.
func (s *site) wizardClusters(ctx context.Context, d *wizardClusterData) error {
	all, err := s.store.Clusters(ctx)
	if err != nil {
		return err
	}
	d.Clusters = options(nil, all, func(c fleet.Cluster) option { return option{c.ID, c.Name} })
	if d.Schematics, err = s.schematicOptions(ctx, option{"", "The cluster’s"}); err != nil {
		return err
	}
	d.New.Talos, d.New.Kubernetes, d.New.Suggested = machineconfig.NewestTalos(), machineconfig.DefaultKubernetes(), suggestEndpoint(d.Servers)
	if d.New.Suggested == "" && d.Servers[0].IPv4 != "" {
		d.New.Suggested = "https://" + d.Servers[0].IPv4 + ":6443"
	}
	if d.New.Schematics, err = s.schematicOptions(ctx, option{"", "Plain Talos"}); err != nil {
		return err
	}
	if d.Cluster == "" {
		d.Cluster, d.Several = commonCluster(d.Servers, all)
	}
	i := slices.IndexFunc(all, func(c fleet.Cluster) bool { return c.ID == d.Cluster || c.Name == d.Cluster })
	if i < 0 {
		return nil
	}
	d.Chosen = all[i]
	d.Schematic = cmp.Or(namesOf(d.New.Schematics)[d.Chosen.SchematicID], "Plain Talos")
	members, err := s.store.Servers(ctx, store.ServerFilter{ClusterID: d.Chosen.ID, IncludeMissing: true, WithoutFacts: true})
	d.Proposals = manage.Propose(d.Chosen, members, d.Servers)
	return err
}

// commonCluster is the one that servers belong to, or the only one there is.
func commonCluster(servers []fleet.Server, all []fleet.Cluster) (id string, several bool) {
	for _, v := range servers {
		switch of := v.Assignment.ClusterID; {
		case of == "" || of == id:
		case id != "":
			return "", true
		default:
			id = of
		}
	}
	if id == "" && len(all) == 1 {
		return all[0].ID, false
	}
	return id, false
}

// wizardNewCluster creates a cluster, and goes on with it.
func (s *site) wizardNewCluster(w http.ResponseWriter, r *http.Request) error {
	value := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	next := wizardOf(r)
	c, err := s.Manager.CreateCluster(r.Context(), access.Actor(r.Context()), manage.NewCluster{
		Name: value("name"), Endpoint: value("endpoint"), TalosVersion: value("talos"), KubernetesVersion: value("kubernetes"),
		Schematic: value("schematic"), PrivateNetwork: value("privateNetwork"),
	})
	if err != nil {
		return s.again(w, r, s.wizardCluster, err)
	}
	next.Cluster = c.ID
	return s.done(w, r, next.address("/install"), "Created "+c.Name)
}

// wizardAssign says what the servers are to be. One that is refused does not keep the others from it.
func (s *site) wizardAssign(w http.ResponseWriter, r *http.Request) error {
	next := wizardOf(r)
	if len(next.Refs) == 0 {
		return s.again(w, r, s.wizardCluster, fleet.Errorf(fleet.Invalid, "no server was chosen").WithHint("tick those that Talos is to be installed on"))
	}
	refused := s.each(r, next.Refs, func(v fleet.Server) error {
		value := func(name string) *string {
			text := strings.TrimSpace(r.PostFormValue(name + "-" + v.ID))
			return &text
		}
		role := fleet.Role(*value("role"))
		_, err := s.Manager.Assign(r.Context(), access.Actor(r.Context()), v.ID, manage.AssignmentChange{
			Cluster: &next.Cluster, Role: &role, Hostname: value("hostname"), PrivateIP: value("privateIP"), Schematic: value("schematic"),
		})
		return err
	})
	if refused.why != nil {
		return s.again(w, withRefusals(r, refused.rows), s.wizardCluster, refused.why)
	}
	next.Cluster = ""
	return s.done(w, r, next.address("/install/disks"), "Kept the assignment of "+count(len(next.Refs), "server")+"; no machine was touched")
}

// refusedRows are what of an action on several servers was refused.
type refusedRows struct {
	rows map[string]notice // by server
	why  error             // nil if nothing was
	done []fleet.Server
}

// each does something to each of several servers.
func (s *site) each(r *http.Request, refs []string, do func(fleet.Server) error) refusedRows {
	out := refusedRows{rows: map[string]notice{}}
	var problems []error
	var names []string
	for _, ref := range refs {
		v, err := s.store.Server(r.Context(), ref)
		if err == nil {
			err = do(v)
		}
		if err == nil {
			out.done = append(out.done, v)
			continue
		}
		out.rows[cmp.Or(v.ID, ref)] = noticeOf(err)
		problems, names = append(problems, err), append(names, cmp.Or(v.Name, ref))
	}
	if len(problems) == 0 {
		return out
	}
	first := fleet.Errorf(fleet.KindOf(problems[0]), "%s", strings.ReplaceAll(errors.Join(problems...).Error(), "\n", "; ")).WithHint("%s", fleet.HintOf(problems[0]))
	if len(out.done) > 0 {
		first.Text = strconv.Itoa(len(out.done)) + " of " + count(len(refs), "server") + " accepted; " + strings.Join(names, " and ") + " refused: " + first.Text
	}
	out.why = first
	return out
}
