package web

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/talos-manager/talos-manager/internal/access"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
)

// serverEdit is the panel of one server in the table: what can be changed without leaving it.
type serverEdit struct {
	Row       serverRow
	Hostname  string // as assigned, "" if it is the server's name
	ConfigID  string
	VSwitchID string
	Node      bool // it runs as a node: what it is to be stays
	Busy      string
	Clusters  []option
	Configs   []option
	VSwitches []option // of its account; none: it cannot be in one
}

// serverEdit reads the panel that the address opens, if its server is on the page.
func (s *site) serverEdit(ctx context.Context, f serverFilter, all []fleet.Server) (*serverEdit, error) {
	i := slices.IndexFunc(all, func(v fleet.Server) bool { return v.ID == f.Edit })
	if i < 0 {
		return nil, nil
	}
	v := all[i]
	e := &serverEdit{Hostname: v.Assignment.Hostname, ConfigID: v.Assignment.ConfigID, VSwitchID: v.VSwitchID, Node: runsAsNode(v)}
	latest, err := s.store.LatestOperations(ctx, v.ID)
	if err != nil {
		return nil, err
	}
	e.Row = serverRows(all[i:i+1], names{}, latest)[0]
	if op := latest[v.ID]; op != nil && !op.State.Final() {
		e.Busy = kindTitle(op.Kind)
	}
	if e.Clusters, err = s.clusterOptions(ctx); err != nil {
		return nil, err
	}
	if !v.Assignment.Assigned() {
		e.Clusters = append([]option{{"", "None"}}, e.Clusters...)
	}
	if e.Configs, err = s.configOptions(ctx, option{"", "The cluster’s"}); err != nil {
		return nil, err
	}
	e.VSwitches, err = s.vswitchesFor(ctx, v)
	return e, err
}

// vswitchesFor are the vSwitches that a server can be moved into, and none; nothing for one that cannot be in any.
func (s *site) vswitchesFor(ctx context.Context, v fleet.Server) ([]option, error) {
	if v.Provider != fleet.HetznerRobot {
		return nil, nil
	}
	all, err := s.store.VSwitches(ctx, v.AccountID)
	out := []option{{"", "None"}}
	for _, lan := range all {
		if lan.MissingAt.IsZero() {
			out = append(out, option{lan.ID, lan.Name})
		}
	}
	return out, err
}

// backToRow is the table as it was, without the panel, at the server's row.
func backToRow(r *http.Request, id string) string {
	return serverFilterOf(r.URL.Query()).edit("") + "#server-" + id
}

// renameRow names a server at its provider.
func (s *site) renameRow(w http.ResponseWriter, r *http.Request) error {
	v, err := s.Manager.RenameServer(r.Context(), access.Actor(r.Context()), r.PathValue("ref"), strings.TrimSpace(r.PostFormValue("name")))
	if err != nil {
		return s.again(w, r, s.servers, err)
	}
	return s.done(w, r, backToRow(r, v.ID), "It is named "+v.Name+" at its provider now")
}

// assignRow says what a server is to be, as far as the panel has it.
func (s *site) assignRow(w http.ResponseWriter, r *http.Request) error {
	value := func(name string) *string {
		v := strings.TrimSpace(r.PostFormValue(name))
		return &v
	}
	role := fleet.Role(r.PostFormValue("role"))
	v, err := s.Manager.Assign(r.Context(), access.Actor(r.Context()), r.PathValue("ref"), manage.AssignmentChange{
		Cluster: value("cluster"), Role: &role, Config: value("config"), Hostname: value("hostname"), PrivateIP: value("privateIP"),
	})
	if err != nil {
		return s.again(w, r, s.servers, err)
	}
	if !v.Assignment.Assigned() {
		return s.done(w, r, backToRow(r, v.ID), v.Name+" belongs to no cluster")
	}
	return s.done(w, r, backToRow(r, v.ID), v.Name+" is to be a "+strings.ToLower(roleTitle(v.Assignment.Role))+" named "+v.Hostname())
}

// moveRow moves a server into a vSwitch, or out of all.
func (s *site) moveRow(w http.ResponseWriter, r *http.Request) error {
	op, err := s.Operations.SetVSwitch(r.Context(), access.Actor(r.Context()), r.PathValue("ref"), r.PostFormValue("vswitch"))
	if err != nil {
		return s.again(w, r, s.servers, err)
	}
	return s.done(w, r, backToRow(r, op.ServerID), "Robot is asked to change its vSwitch")
}
