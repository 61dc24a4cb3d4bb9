package web

import (
	"net/http"

	"github.com/a-h/templ"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
)

// accessData is the page of how to get at a cluster.
type accessData struct {
	Row          clusterRow
	Bootstrapped bool
	Planes       []string // addresses of control planes: the endpoints of a talosconfig
	Handed       []fleet.Event
}

// clusterAccess is the page of how to get at a cluster.
func (s *site) clusterAccess(r *http.Request) (view, error) {
	b, err := s.clusterBase(r.Context(), r.PathValue("ref"))
	if err != nil {
		return view{}, err
	}
	d := accessData{Row: b.Row, Bootstrapped: !b.Cluster.BootstrappedAt.IsZero()}
	for _, v := range b.Nodes {
		if v.Assignment.Role == fleet.ControlPlane && v.Address() != "" {
			d.Planes = append(d.Planes, v.Address())
		}
	}
	all, err := s.store.Events(r.Context(), store.EventFilter{Subject: "cluster", TargetID: b.Cluster.ID, Verb: "cluster.", Limit: 200})
	if err != nil {
		return view{}, err
	}
	for _, e := range all {
		if (e.Verb == "cluster.talosconfig" || e.Verb == "cluster.kubeconfig") && len(d.Handed) < historyLength {
			d.Handed = append(d.Handed, e)
		}
	}
	v := clusterView(b, "/access")
	v.wants = changeOf("clusters", "servers", "events")
	v.body = func([]fleet.LogLine) templ.Component { return accessTab(d) }
	v.parts = []part{
		{id: "cluster-head", key: keyOf(d.Row), piece: clusterHead(d.Row)},
		{id: "cluster-access", key: keyOf([]any{d.Bootstrapped, d.Planes}), piece: accessCards(d)},
		partOf("cluster-handed", d.Handed, handedCard),
	}
	at := "/api/v1/clusters/" + b.Row.Name
	v.same = []command{
		{"Make an admin talosconfig", "cluster talosconfig " + b.Row.Name + " -f talosconfig", "GET " + at + "/talosconfig"},
		{"Fetch an admin kubeconfig", "cluster kubeconfig " + b.Row.Name + " -f kubeconfig", "GET " + at + "/kubeconfig"},
	}
	return v, nil
}

// firstPlane is an address to put into examples.
func (d accessData) firstPlane() string {
	if len(d.Planes) == 0 {
		return "ADDRESS"
	}
	return d.Planes[0]
}
