package web

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/a-h/templ"

	"github.com/talos-manager/talos-manager/internal/access"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/operation"
)

// bulkData is the page that asks before several servers are touched.
type bulkData struct {
	Path   string // /install or /rescue
	Rows   []bulkRow
	Refuse int // rows that cannot be done
}

// bulkRow is one server: what will happen to it, or why not.
type bulkRow struct {
	ID, Name, Cluster string
	Role              fleet.Role
	Loss              string
	Problem           string // "" if it can be done
}

func (d bulkData) can() int { return len(d.Rows) - d.Refuse }

func (d bulkData) verb() string {
	if d.Path == "/install" {
		return "Install Talos on " + count(d.can(), "server")
	}
	return "Boot the rescue system on " + count(d.can(), "server")
}

func (s *site) bulkInstall(r *http.Request) (view, error) {
	return s.bulk(r, "/install", "Install Talos", installProblem)
}

// bulk asks: it lists the chosen servers with what each loses.
func (s *site) bulk(r *http.Request, path, title string, problem func(serverData) string) (view, error) {
	d := bulkData{Path: path}
	refs := chosen(r)
	for _, ref := range refs {
		v, err := s.serverData(r.Context(), ref)
		if err != nil {
			return view{}, err
		}
		row := bulkRow{ID: v.Server.ID, Name: v.Server.Name, Cluster: v.Row.Cluster, Role: v.Server.Assignment.Role, Problem: problem(v)}
		if row.Loss = "What runs on it now stops without warning. Its disks are only looked at."; path == "/install" {
			row.Loss = upper(loss(v))
		}
		if row.Problem != "" {
			d.Refuse++
		}
		d.Rows = append(d.Rows, row)
	}
	return view{
		title: title, section: "/servers", crumbs: []crumb{{"Servers", "/servers"}}, address: path + "?" + url.Values{"server": refs}.Encode(),
		body: func([]fleet.LogLine) templ.Component { return bulkPage(d, title) },
	}, nil
}

func installProblem(d serverData) string {
	switch {
	case d.busy():
		return kindTitle(d.Active.Kind) + " has it now"
	case d.node():
		return "It is a node already; take it out of its cluster first"
	case !d.Server.Assignment.Assigned():
		return "It belongs to no cluster; assign it first"
	case !d.Server.MissingAt.IsZero():
		return "Its account does not list it any more"
	}
	return ""
}

// installServers installs Talos on each chosen server. Disks that are not blank are asked about one by one.
func (s *site) installServers(w http.ResponseWriter, r *http.Request) error {
	return s.forEach(w, r, s.bulkInstall, "Installing Talos on ", func(actor, id string) error {
		_, err := s.Operations.Install(r.Context(), actor, id, operation.InstallOptions{})
		return err
	})
}

// forEach does something to each chosen server; one that is refused does not keep the others from it.
func (s *site) forEach(w http.ResponseWriter, r *http.Request, ask loader, said string, do func(actor, id string) error) error {
	refs := chosen(r)
	if len(refs) == 0 {
		return s.again(w, r, ask, fleet.Errorf(fleet.Invalid, "no server was chosen").WithHint("tick some in the table of servers"))
	}
	begun := 0
	var refused []string
	var problems []error
	for _, id := range refs {
		if err := do(access.Actor(r.Context()), id); err != nil {
			refused, problems = append(refused, id), append(problems, err)
			continue
		}
		begun++
	}
	if len(problems) == 0 {
		return s.done(w, r, "/operations?state=active", said+count(begun, "server"))
	}
	why := errors.Join(problems...)
	r.PostForm["server"] = refused // the page shows those that are left
	first := fleet.Errorf(fleet.KindOf(problems[0]), "%s", strings.ReplaceAll(why.Error(), "\n", "; ")).WithHint("%s", fleet.HintOf(problems[0]))
	if begun > 0 {
		first.Text = said + count(begun, "server") + "; " + count(len(refused), "server") + " refused: " + first.Text
	}
	return s.again(w, r, ask, first)
}
