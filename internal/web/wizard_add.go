package web

import (
	"net/http"
	"strings"

	"github.com/a-h/templ"

	"github.com/talos-manager/talos-manager/internal/access"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
	"github.com/talos-manager/talos-manager/internal/operation"
)

// addServerData is the page that adds a server by hand.
type addServerData struct {
	Key    sshKey
	Server fleet.Server // that was added, to look at; zero: none yet
}

// addServerPage adds a server by hand, or looks at what answers at one.
func (s *site) addServerPage(r *http.Request) (view, error) {
	d := addServerData{Key: sshKeyOf(s.Parts.Key)}
	address := "/servers/add"
	if ref := r.FormValue("server"); ref != "" {
		var err error
		if d.Server, err = s.store.Server(r.Context(), ref); err != nil {
			return view{}, err
		}
		if d.Server.Provider != fleet.Manual {
			return view{}, fleet.Errorf(fleet.Invalid, "server %s was not added by hand", d.Server.Name).WithHint("its rescue system is booted by its provider")
		}
		address += "?server=" + d.Server.ID
	}
	return view{
		title: "Add a server by hand", section: "/servers", crumbs: []crumb{{"Servers", "/servers"}}, address: address,
		body: func([]fleet.LogLine) templ.Component { return addServerPage(d) },
		same: []command{
			{What: "Add a server by hand", CLI: "server add rack-7 198.51.100.7 --probe", API: `POST /api/v1/servers {"name": "rack-7", "address": "198.51.100.7"}`},
			{What: "Look at what answers there", CLI: "server probe rack-7", API: "POST /api/v1/servers/rack-7/probe"},
			{What: "Show the key to let in", CLI: "ssh-key show"},
		},
	}, nil
}

// addServer notes a server of any make, and looks at what answers there.
func (s *site) addServer(w http.ResponseWriter, r *http.Request) error {
	value := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	v, err := s.Manager.AddServer(r.Context(), access.Actor(r.Context()), manage.NewServer{
		Name: value("name"), Address: value("address"), HostKey: value("hostKey"), Architecture: fleet.Architecture(value("architecture")), Account: value("account"),
	})
	if err != nil {
		return s.again(w, r, s.addServerPage, err)
	}
	return s.probed(w, r, v, "Added "+v.Name+". ")
}

// probeAdded looks once more at what answers at a server that was added by hand.
func (s *site) probeAdded(w http.ResponseWriter, r *http.Request) error {
	v, err := s.store.Server(r.Context(), r.PostFormValue("server"))
	if err != nil {
		return err
	}
	return s.probed(w, r, v, "")
}

// probed looks at a server: one that can be installed on leads to its page, any other to what is to be done first.
func (s *site) probed(w http.ResponseWriter, r *http.Request, v fleet.Server, said string) error {
	found, err := s.Operations.Probe(r.Context(), access.Actor(r.Context()), v.ID)
	if err != nil {
		return s.again(w, r, s.addServerPage, err)
	}
	text := said + upper(byForm.String(found.Text))
	if found.Found == operation.FoundRescue || found.Found == operation.FoundMaintenance {
		return s.done(w, r, "/servers/"+v.ID, text+": "+count(len(found.Facts.Disks), "disk")+" known now")
	}
	if found.Hint != "" {
		text += ": " + found.Hint
	}
	return s.done(w, r, "/servers/add?server="+v.ID, text)
}
