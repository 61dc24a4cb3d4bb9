package api

import (
	"context"

	"github.com/talos-manager/talos-manager/client"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
)

// names are what records are called, by id.
type names map[string]string

// ref names a record that must be there; one that was removed has no name.
func (n names) ref(id string) client.Ref { return client.Ref{ID: id, Name: n[id]} }

// some is nil for no record.
func (n names) some(id string) *client.Ref {
	if id == "" {
		return nil
	}
	r := n.ref(id)
	return &r
}

// names reads what accounts, clusters, configs, schematics and vSwitches are called. Ids of different kinds of
// records never meet.
func (a *api) names(ctx context.Context) (names, error) {
	n := names{}
	accounts, err := a.store.Accounts(ctx)
	if err != nil {
		return nil, err
	}
	for _, v := range accounts {
		n[v.ID] = v.Name
	}
	clusters, err := a.store.Clusters(ctx)
	if err != nil {
		return nil, err
	}
	for _, v := range clusters {
		n[v.ID] = v.Name
	}
	configs, err := a.store.Configs(ctx)
	if err != nil {
		return nil, err
	}
	for _, v := range configs {
		n[v.ID] = v.Name
	}
	schematics, err := a.store.Schematics(ctx)
	if err != nil {
		return nil, err
	}
	for _, v := range schematics {
		n[v.ID] = v.Name
	}
	vswitches, err := a.store.VSwitches(ctx, "")
	for _, v := range vswitches {
		n[v.ID] = v.Name
	}
	return n, err
}

// namesOf reads what the servers and clusters of operations are called.
func (a *api) namesOf(ctx context.Context, all ...fleet.Operation) (names, error) {
	n := names{}
	clusters, err := a.store.Clusters(ctx)
	if err != nil {
		return nil, err
	}
	for _, v := range clusters {
		n[v.ID] = v.Name
	}
	for _, o := range all {
		if _, known := n[o.ServerID]; known || o.ServerID == "" {
			continue
		}
		s, err := a.store.Server(ctx, o.ServerID)
		if err != nil && fleet.KindOf(err) != fleet.NotFound {
			return nil, err
		}
		n[o.ServerID] = s.Name
	}
	return n, nil
}

// active reads the operation that is not over of each server.
func (a *api) active(ctx context.Context, f store.OperationFilter) (map[string]*client.Active, error) {
	f.Active = true
	all, err := a.store.Operations(ctx, f)
	out := map[string]*client.Active{}
	for _, o := range all {
		if o.ServerID != "" {
			out[o.ServerID] = &client.Active{ID: o.ID, Kind: o.Kind, State: string(o.State), Step: o.Step}
		}
	}
	return out, err
}
