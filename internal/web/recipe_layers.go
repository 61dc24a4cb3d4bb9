package web

import (
	"context"
	"net/url"
	"strings"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
)

// Layers in addresses and forms are written as commands write them: config/NAME, cluster/NAME, role/CLUSTER/worker,
// server/NAME.

func writeLayer(l manage.LayerRef) string {
	text := string(l.Scope) + "/" + l.Owner
	if l.Role != "" {
		text += "/" + string(l.Role)
	}
	return text
}

// readLayer reads what writeLayer wrote; what it names may not be there.
func readLayer(text string) (manage.LayerRef, error) {
	scope, owner, _ := strings.Cut(text, "/")
	l := manage.LayerRef{Scope: fleet.Scope(scope), Owner: owner}
	if l.Scope == fleet.ScopeRole {
		name, role, _ := strings.Cut(owner, "/")
		l.Owner, l.Role = name, fleet.Role(role)
	}
	if l.Owner == "" {
		return l, fleet.Errorf(fleet.Invalid, "layer %q names no config, cluster or server", text).
			WithHint("write config/NAME, cluster/NAME, role/CLUSTER/worker or server/NAME")
	}
	return l, nil
}

// sayLayer names a layer in a sentence.
func sayLayer(l manage.LayerRef) string {
	if l.Scope == fleet.ScopeRole {
		return strings.ToLower(roleTitle(l.Role)) + "s of " + l.Owner
	}
	return string(l.Scope) + " " + l.Owner
}

// layerAPI is the address of a layer in the REST API, before what is done with it, and its query.
func layerAPI(l manage.LayerRef) (path, query string) {
	path = "/api/v1/layers/" + string(l.Scope) + "/" + url.PathEscape(l.Owner)
	if l.Role != "" {
		query = "?role=" + url.QueryEscape(string(l.Role))
	}
	return path, query
}

// layerOptions are the layers of all configs and clusters; chosen is another one that belongs among them.
func (s *site) layerOptions(ctx context.Context, chosen string) ([]option, error) {
	out := []option{{"", "Nowhere: only show it"}}
	configs, err := s.store.Configs(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range configs {
		out = append(out, option{"config/" + c.Name, "Config " + c.Name})
	}
	clusters, err := s.store.Clusters(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range clusters {
		out = append(out, option{"cluster/" + c.Name, "Cluster " + c.Name + ": all servers"},
			option{"role/" + c.Name + "/controlplane", "Cluster " + c.Name + ": control planes"},
			option{"role/" + c.Name + "/worker", "Cluster " + c.Name + ": workers"})
	}
	known := false
	for _, o := range out {
		known = known || o.Value == chosen
	}
	if l, err := readLayer(chosen); err == nil && !known {
		out = append(out, option{chosen, upper(sayLayer(l))})
	}
	return append(out, option{ofServer, "One server, by its name…"}), nil
}

// ofServer is the choice of a server that is named in a field of its own.
const ofServer = "server/"
