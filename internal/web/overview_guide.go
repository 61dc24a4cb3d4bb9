package web

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/talos-manager/talos-manager/internal/access"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig"
	"github.com/talos-manager/talos-manager/internal/manage"
	"github.com/talos-manager/talos-manager/internal/store"
)

// guide leads a new user from nothing to the first cluster; it is gone when the first node is Ready.
type guide struct {
	Key                                          sshKey
	Accounts, Servers, Clusters, Assigned, Ready int
	Installing                                   int // servers on the way
	Talos, Kubernetes                            string
	Suggested                                    string // endpoint of the first server that could be a control plane
	Cluster                                      option // the first
	Free                                         []guideServer
	Install                                      string // address of the wizard for the assigned servers
}

// guideServer is a server to be given a role.
type guideServer struct {
	ID, Name, Product, Location string
	Role                        fleet.Role // that its name says
}

const guideFree = 12 // servers to choose roles for; the table has all

// step is the first one that is not done, counted from 1; 0 when all are.
func (g guide) step() int {
	if g.Ready > 0 {
		return 0
	}
	for i, done := range []bool{g.Key.Line != "", g.Accounts > 0, g.Servers > 0, g.Clusters > 0, g.Assigned > 0} {
		if !done {
			return i + 1
		}
	}
	return guideSteps
}

const guideSteps = 6

func (s *site) guideOf(r *http.Request, servers []store.ServerBrief, clusters []fleet.Cluster, accounts []fleet.Account) (guide, error) {
	g := guide{Accounts: len(accounts), Clusters: len(clusters), Key: sshKeyOf(s.Key), Talos: machineconfig.NewestTalos(), Kubernetes: machineconfig.DefaultKubernetes()}
	install := url.Values{}
	for _, v := range servers {
		if v.Missing {
			continue
		}
		g.Servers++
		switch v.State {
		case fleet.Ready, fleet.Unhealthy: // it was Ready once
			g.Ready++
		case fleet.Installing, fleet.Configured:
			g.Installing++
		}
		switch {
		case v.ClusterID != "":
			g.Assigned++
			if v.State == fleet.Known && len(install["server"]) < wizardful {
				install.Add("server", v.ID)
			}
		case len(g.Free) < guideFree:
			g.Free = append(g.Free, guideServer{v.ID, v.Name, v.Product, v.Location, fleet.GuessRole(v.Name)})
		}
	}
	if len(install) > 0 {
		g.Install = "/install?" + install.Encode()
	}
	if g.step() == 0 {
		return guide{Ready: g.Ready}, nil
	}
	if len(clusters) > 0 {
		g.Cluster = option{clusters[0].ID, clusters[0].Name}
	}
	free, err := s.store.Servers(r.Context(), store.ServerFilter{Unassigned: true, WithoutFacts: true, Limit: perPage})
	g.Suggested = suggestEndpoint(free)
	return g, err
}

// guideAccount adds the first account.
func (s *site) guideAccount(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	a, err := s.Manager.AddAccount(ctx, access.Actor(ctx), accountOf(r))
	if err != nil {
		return s.again(w, r, s.overview, err)
	}
	n, err := s.store.CountServers(ctx, store.ServerFilter{AccountID: a.ID})
	if err != nil {
		return err
	}
	return s.done(w, r, "/", "Added "+a.Name+": it lists "+count(n, "server"))
}

// guideCluster creates the first cluster.
func (s *site) guideCluster(w http.ResponseWriter, r *http.Request) error {
	value := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	c, err := s.Manager.CreateCluster(r.Context(), access.Actor(r.Context()), manage.NewCluster{Name: value("name"), Endpoint: value("endpoint")})
	if err != nil {
		return s.again(w, r, s.overview, err)
	}
	return s.done(w, r, "/", "Created "+c.Name+": choose its servers now")
}

// guideAssign gives free servers their roles in the first cluster.
func (s *site) guideAssign(w http.ResponseWriter, r *http.Request) error {
	cluster, n := r.PostFormValue("cluster"), 0
	for name := range r.PostForm {
		id, is := strings.CutPrefix(name, "role-")
		role := fleet.Role(r.PostFormValue(name))
		if !is || role == "" {
			continue
		}
		if _, err := s.Manager.Assign(r.Context(), access.Actor(r.Context()), id, manage.AssignmentChange{Cluster: &cluster, Role: &role}); err != nil {
			return s.again(w, r, s.overview, err)
		}
		n++
	}
	if n == 0 {
		return s.again(w, r, s.overview, fleet.Errorf(fleet.Invalid, "no server was given a role").WithHint("a cluster needs one control plane at least; three survive the loss of one"))
	}
	return s.done(w, r, "/", count(n, "server")+" assigned: install Talos on them now")
}
