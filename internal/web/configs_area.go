package web

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/a-h/templ"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
)

// configsArea is configs, patches and variables, with their editor. A config is a layer of patches like those of
// clusters, roles and servers: all have the same pages, at /configs/{ref} and /layers/{scope}/{owner}.
func (s *site) configsArea() area {
	a := area{
		pages:   map[string]loader{"/configs": s.configList},
		actions: map[string]handler{"POST /configs": s.createConfig},
	}
	for _, base := range []string{"/configs/{ref}", "/layers/{scope}/{owner}"} {
		for tab, load := range map[string]loader{
			"": s.configPatches, "/edit": s.configEdit, "/variables": s.configVariables, "/preview": s.configPreview,
			"/history": s.configHistory, "/diff": s.configDiff, "/blame": s.configBlame,
		} {
			a.pages[base+tab] = load
		}
		for verb, h := range map[string]handler{
			"/plan": s.planConfig, "/save": s.saveConfig, "/draft": s.draftConfig, "/edit": s.editAgain, "/secrets": s.showSecrets,
			"/discard": s.discardConfig, "/rebase": s.rebaseConfig, "/complete": s.completeConfig, "/hover": s.hoverConfig, "/check": s.checkConfig,
		} {
			a.actions["POST "+base+verb] = h
		}
	}
	a.pages["/configs/{ref}/settings"] = s.configSettings
	a.actions["POST /configs/{ref}/rename"] = s.renameConfig
	a.actions["POST /configs/{ref}/delete"] = s.deleteConfig
	return a
}

// layerRef is the layer that an address names.
func layerRef(r *http.Request) manage.LayerRef {
	if scope := r.PathValue("scope"); scope != "" {
		return manage.LayerRef{Scope: fleet.Scope(scope), Owner: r.PathValue("owner"), Role: fleet.Role(r.URL.Query().Get("role"))}
	}
	return manage.LayerRef{Scope: fleet.ScopeConfig, Owner: r.PathValue("ref")}
}

// configHead is what all pages of a layer show.
type configHead struct {
	Ref      manage.LayerRef // the owner by id
	Name     string          // of the config, cluster or server
	Tab      string          // "" is patches
	Layer    fleet.Layer     // without secrets
	Draft    fleet.Contents  // without secrets
	Hidden   bool            // something was taken out
	Users    int             // servers that it is a part of
	Some     []option        // the first of them, to choose one
	Versions []string        // of Talos that it is written for, the oldest first
	Clusters []option        // that its servers are in, or that give it to theirs
}

// layer reads what all pages of a layer show.
func (s *site) layer(ctx context.Context, ref manage.LayerRef, tab string) (h configHead, err error) {
	h.Ref, h.Tab = ref, tab
	if h.Layer, h.Draft, err = s.Manager.Layer(ctx, ref); err != nil {
		return h, err
	}
	hidden, err := s.Manager.Hide(ctx, &h.Layer.Contents, &h.Draft)
	if err != nil {
		return h, err
	}
	h.Hidden = hidden[0] || hidden[1]
	if err := s.nameLayer(ctx, &h); err != nil {
		return h, err
	}
	users, versions, err := s.Manager.Users(ctx, ref)
	if err != nil {
		return h, err
	}
	in := map[string]bool{}
	for _, v := range users {
		in[v.Assignment.ClusterID] = true
	}
	h.Versions = versions
	h.Users, h.Some = len(users), options(nil, users[:min(len(users), fewToChoose)], func(v fleet.Server) option { return option{v.ID, v.Name} })
	all, err := s.store.Clusters(ctx)
	for _, c := range all {
		gives := ref.Scope == fleet.ScopeConfig && c.ConfigID == h.Ref.Owner
		if gives || in[c.ID] {
			h.Clusters = append(h.Clusters, option{c.ID, c.Name})
		}
	}
	return h, err
}

// nameLayer looks up whose layer it is.
func (s *site) nameLayer(ctx context.Context, h *configHead) error {
	switch h.Ref.Scope {
	case fleet.ScopeConfig:
		c, err := s.store.Config(ctx, h.Ref.Owner)
		h.Ref.Owner, h.Name = c.ID, c.Name
		return err
	case fleet.ScopeServer:
		v, err := s.store.Server(ctx, h.Ref.Owner)
		h.Ref.Owner, h.Name = v.ID, v.Name
		return err
	}
	c, err := s.store.Cluster(ctx, h.Ref.Owner)
	h.Ref.Owner, h.Name = c.ID, c.Name
	return err
}

// layerPage is where the pages of a layer are: path leads to one of them, as "/history".
func layerPage(ref manage.LayerRef, path string, query url.Values) string {
	address := "/configs/" + url.PathEscape(ref.Owner) + path
	q := url.Values{}
	if ref.Scope != fleet.ScopeConfig {
		address = "/layers/" + string(ref.Scope) + "/" + url.PathEscape(ref.Owner) + path
	}
	if ref.Scope == fleet.ScopeRole {
		q.Set("role", string(ref.Role))
	}
	for name, values := range query {
		q[name] = values
	}
	if len(q) == 0 {
		return address
	}
	return address + "?" + q.Encode()
}

func (h configHead) at(path string) string { return layerPage(h.Ref, path, nil) }

// with is the address of a page with fields of its query, in pairs.
func (h configHead) with(path string, pairs ...string) string {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		q.Set(pairs[i], pairs[i+1])
	}
	return layerPage(h.Ref, path, q)
}

// title is what the pages of the layer are called.
func (h configHead) title() string {
	switch h.Ref.Scope {
	case fleet.ScopeConfig:
		return h.Name
	case fleet.ScopeRole:
		return "Patches of the " + roleWords(h.Ref.Role) + " of " + h.Name
	}
	return "Patches of " + string(h.Ref.Scope) + " " + h.Name
}

func roleWords(role fleet.Role) string {
	if role == fleet.ControlPlane {
		return "control planes"
	}
	return "workers"
}

// what is the layer in errors and plans.
func (h configHead) what() string {
	if h.Ref.Scope == fleet.ScopeRole {
		return "role " + string(h.Ref.Role) + " of " + h.Name
	}
	return string(h.Ref.Scope) + " " + h.Name
}

// cli is the layer as commands name it.
func (h configHead) cli() string {
	name := h.Name
	if h.Ref.Scope == fleet.ScopeServer {
		name = h.Ref.Owner // names of servers need not be unique
	}
	if h.Ref.Scope == fleet.ScopeRole {
		return "role/" + name + "/" + string(h.Ref.Role)
	}
	return string(h.Ref.Scope) + "/" + name
}

// api is the layer's address in the REST API.
func (h configHead) api(path string) string {
	address := "/api/v1/layers/" + string(h.Ref.Scope) + "/" + h.Ref.Owner + path
	if h.Ref.Scope == fleet.ScopeRole {
		address += "?role=" + string(h.Ref.Role)
	}
	return address
}

// behind says that what the draft was made on was changed since.
func (h configHead) behind() bool { return h.Layer.DraftBase != h.Layer.Revision }

// owner is the page of whoever the layer belongs to.
func (h configHead) owner() option {
	switch h.Ref.Scope {
	case fleet.ScopeServer:
		return option{"/servers/" + h.Ref.Owner, "server " + h.Name}
	case fleet.ScopeConfig:
		return option{}
	}
	return option{"/clusters/" + h.Ref.Owner, "cluster " + h.Name}
}

// tabs are the pages of a layer.
func (h configHead) tabs() []option {
	all := []option{{"", "Patches"}, {"/variables", "Variables"}, {"/preview", "Preview"}, {"/history", "History"}, {"/blame", "Blame"}}
	if h.Ref.Scope == fleet.ScopeConfig {
		all = append(all, option{"/settings", "Settings"})
	}
	return all
}

// contents are what a page shows or changes: the draft's where it is asked for.
func (h configHead) contents(draft bool) fleet.Contents {
	if draft && h.Layer.Draft != "" {
		return h.Draft
	}
	return h.Layer.Contents
}

// view is a page of the layer.
func (h configHead) view(title string, body templ.Component, same ...command) view {
	v := view{
		title: cmp.Or(title, h.title()), section: "/configs", crumbs: []crumb{{"Configs", "/configs"}}, address: h.at(h.Tab), same: same,
		body: func([]fleet.LogLine) templ.Component { return body },
	}
	if title != "" {
		v.crumbs = append(v.crumbs, crumb{h.title(), h.at("")})
	}
	return v
}

// live makes a page renew its parts.
func (v view) live(parts ...part) view {
	v.parts, v.wants = parts, changeOf("configs", "clusters", "servers")
	return v
}

// short is a revision as people read it.
func short(revision string) string { return revision[:min(len(revision), 12)] }

// fewToChoose is up to how many servers a field lists, to choose one; of more, one is named.
const fewToChoose = 100

// chosenServer is the one that is asked for, or the first that uses the layer; "" if none does.
func (h configHead) chosenServer(r *http.Request) string {
	if ref := strings.TrimSpace(r.FormValue("server")); ref != "" {
		return ref
	}
	if len(h.Some) > 0 {
		return h.Some[0].Value
	}
	return ""
}

// serverName is what a server of the list is called; one that is not in it stands as it was named.
func (h configHead) serverName(ref string) string { return cmp.Or(nameOf(h.Some, ref), ref) }
