package api

import (
	"context"
	"errors"

	"github.com/talos-manager/talos-manager/client"
	"github.com/talos-manager/talos-manager/internal/access"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
	"github.com/talos-manager/talos-manager/internal/store"
)

type serverQuery struct {
	Account    string        `query:"account" doc:"name or id"`
	Cluster    string        `query:"cluster" doc:"name or id"`
	Unassigned bool          `query:"unassigned" doc:"only servers without a cluster"`
	State      []fleet.State `query:"state" doc:"any of these, comma-separated" enum:"known,installing,configured,ready,unhealthy,broken"`
	Role       fleet.Role    `query:"role" enum:"controlplane,worker"`
	Location   string        `query:"location" doc:"FSN1-DC8, fsn1, …"`
	Problem    fleet.Problem `query:"problem" enum:"uuid,gone,draft" doc:"uuid: it is missing, a placeholder, or that of another server, too; gone: missing or cancelled, and in a cluster; draft: what it is to be is kept as one"`
	Search     string        `query:"search" doc:"part of name, hostname, address, product, location or provider id, in any case"`
	Missing    bool          `query:"missing" doc:"also those that their accounts do not list any more"`
	Sort       string        `query:"sort" doc:"name (default), hostname, product, location, state, power, role, private, cores, memory, disks, seen or created; with - in front for backwards"`
	Limit      int           `query:"limit" minimum:"0" doc:"0: all"`
	Offset     int           `query:"offset" minimum:"0"`
}

func (a *api) listServers(ctx context.Context, in *serverQuery) (*body[client.List[client.Server]], error) {
	f := store.ServerFilter{
		Unassigned: in.Unassigned, Role: in.Role, States: in.State, Location: in.Location, Problem: in.Problem, Search: in.Search, IncludeMissing: in.Missing,
		Sort: in.Sort, Limit: in.Limit, Offset: in.Offset, WithoutFacts: true,
	}
	var err error
	if f.AccountID, err = a.accountID(ctx, in.Account); err != nil {
		return nil, err
	}
	if f.ClusterID, err = a.clusterID(ctx, in.Cluster); err != nil {
		return nil, err
	}
	all, err := a.store.Servers(ctx, f)
	if err != nil {
		return nil, err
	}
	total, err := a.store.CountServers(ctx, f)
	if err != nil {
		return nil, err
	}
	n, err := a.names(ctx)
	if err != nil {
		return nil, err
	}
	active, err := a.active(ctx, store.OperationFilter{ClusterID: f.ClusterID})
	list := items(all, func(s fleet.Server) client.Server { return server(s, n, active[s.ID]) })
	list.Total = total
	return answer(list, err)
}

func (a *api) accountID(ctx context.Context, ref string) (string, error) {
	if ref == "" {
		return "", nil
	}
	v, err := a.store.Account(ctx, ref)
	return v.ID, err
}

func (a *api) clusterID(ctx context.Context, ref string) (string, error) {
	if ref == "" {
		return "", nil
	}
	v, err := a.store.Cluster(ctx, ref)
	return v.ID, err
}

func (a *api) serverID(ctx context.Context, ref string) (string, error) {
	if ref == "" {
		return "", nil
	}
	v, err := a.store.Server(ctx, ref)
	return v.ID, err
}

func (a *api) showServer(ctx context.Context, in *ByRef) (*body[client.Server], error) {
	s, err := a.store.Server(ctx, in.Ref)
	if err != nil {
		return nil, err
	}
	return answer(a.whole(ctx, s))
}

// whole converts a server with everything that is known of it.
func (a *api) whole(ctx context.Context, s fleet.Server) (client.Server, error) {
	n, err := a.names(ctx)
	if err != nil {
		return client.Server{}, err
	}
	active, err := a.active(ctx, store.OperationFilter{ServerID: s.ID})
	if err != nil {
		return client.Server{}, err
	}
	out := server(s, n, active[s.ID])
	if out.Assignment != nil {
		own, err := a.store.Layer(ctx, fleet.ScopeServer, s.ID)
		if err != nil {
			return out, err
		}
		if _, err := a.Manager.Hide(ctx, &own.Contents); err != nil {
			return out, err
		}
		out.Assignment.Patch = own.Text(fleet.PatchOwn)
	}
	if err := a.installed(ctx, s, &out); err != nil || s.Facts.At.IsZero() {
		return out, err
	}
	out.Facts = facts(s.Facts)
	if err := fleet.CheckUUID(s.Name, s.NodeUUID()); err != nil {
		out.UUIDProblem, out.UUIDMail = err.Error(), fleet.UUIDMail(s.Facts)
	}
	return out, nil
}

func (a *api) changeServer(ctx context.Context, in *struct {
	ByRef
	Body client.ServerChange
},
) (*body[client.Server], error) {
	s, err := a.store.Server(ctx, in.Ref)
	if err != nil {
		return nil, err
	}
	actor := access.Actor(ctx)
	if name := in.Body.Name; name != nil && *name != s.Name {
		if _, err := a.Manager.RenameServer(ctx, actor, s.ID, *name); err != nil {
			return nil, err
		}
	}
	if v := in.Body.VSwitch; v != nil && *v != s.VSwitchID {
		if _, err := a.Operations.SetVSwitch(ctx, actor, s.ID, *v); err != nil {
			return nil, err
		}
	}
	if in.Body.UUID != nil && *in.Body.UUID != s.UUIDOverride {
		if _, err := a.Operations.OverrideUUID(ctx, actor, s.ID, *in.Body.UUID); err != nil {
			return nil, err
		}
	}
	if in.Body.Address != nil || in.Body.HostKey != nil {
		change := manage.AddressChange{Address: in.Body.Address, HostKey: in.Body.HostKey}
		if _, err := a.Manager.ChangeServerAddress(ctx, actor, s.ID, change); err != nil {
			return nil, err
		}
	}
	if s, err = a.store.Server(ctx, s.ID); err != nil {
		return nil, err
	}
	return answer(a.whole(ctx, s))
}

func (a *api) addServer(ctx context.Context, in *body[client.NewServer]) (*body[client.Server], error) {
	n := in.Body
	s, err := a.Manager.AddServer(ctx, access.Actor(ctx), manage.NewServer{
		Name: n.Name, Address: n.Address, HostKey: n.HostKey, Architecture: fleet.Architecture(n.Architecture), Account: n.Account,
	})
	if err != nil {
		return nil, err
	}
	return answer(a.whole(ctx, s))
}

func (a *api) removeServer(ctx context.Context, in *ByRef) (*nothing, error) {
	return nil, a.Manager.RemoveServer(ctx, access.Actor(ctx), in.Ref)
}

func (a *api) probeServer(ctx context.Context, in *ByRef) (*body[client.Probed], error) {
	p, err := a.Operations.Probe(ctx, access.Actor(ctx), in.Ref)
	out := client.Probed{Found: string(p.Found), Text: p.Text, Hint: p.Hint, HostKey: p.HostKey, Certificate: p.Certificate}
	if !p.Facts.At.IsZero() {
		out.Facts = facts(p.Facts)
	}
	return answer(out, err)
}

func (a *api) assignServer(ctx context.Context, in *struct {
	ByRef
	Body client.AssignmentChange
},
) (*body[client.Server], error) {
	s, err := a.Manager.Assign(ctx, access.Actor(ctx), in.Ref, assignmentFrom(in.Body))
	if err != nil {
		return nil, err
	}
	return answer(a.whole(ctx, s))
}

func assignmentFrom(c client.AssignmentChange) manage.AssignmentChange {
	return manage.AssignmentChange{
		Cluster: c.Cluster, Config: c.Config, Schematic: c.Schematic, Role: (*fleet.Role)(c.Role), Hostname: c.Hostname, PrivateIP: c.PrivateIP,
		InstallDisk: c.InstallDisk, DiskPolicy: (*fleet.DiskPolicy)(c.DiskPolicy), EphemeralDisk: c.EphemeralDisk, Patch: c.Patch, Force: c.Force, Draft: c.Draft,
	}
}

func (a *api) recoverUUID(ctx context.Context, in *struct {
	ByRef
	Body *client.UUIDRecovery
},
) (*body[client.Operation], error) {
	uuid := ""
	if in.Body != nil {
		uuid = in.Body.UUID
	}
	o, err := a.Operations.RecoverUUID(ctx, access.Actor(ctx), in.Ref, uuid)
	return a.started(ctx, o, err)
}

func (a *api) rescueServer(ctx context.Context, in *ByRef) (*body[client.Operation], error) {
	o, err := a.Operations.Rescue(ctx, access.Actor(ctx), in.Ref)
	return a.started(ctx, o, err)
}

// started answers with an operation that was just asked for.
func (a *api) started(ctx context.Context, o fleet.Operation, err error) (*body[client.Operation], error) {
	if err != nil {
		if o.ID != "" && !errors.Is(err, context.Canceled) { // it runs; only what came after failed
			a.Log.Error("operation was started, but not all that belongs to it", "operation", o.ID, "error", err)
		}
		return nil, err
	}
	n, err := a.namesOf(ctx, o)
	return answer(a.wholeOperation(o, n), err)
}

// server converts a server without its facts and its patch.
func server(s fleet.Server, n names, active *client.Active) client.Server {
	out := client.Server{
		ID: s.ID, Name: s.Name, Account: n.ref(s.AccountID), Provider: string(s.Provider), ProviderID: s.ProviderID,
		Product: s.Product, Location: s.Location, Architecture: string(s.Architecture), State: string(s.State), Status: s.Status,
		Power: string(s.Power), Locked: s.Locked, IPv4: s.IPv4, IPv6: s.IPv6, IPv6Network: s.IPv6Net, VSwitch: n.some(s.VSwitchID),
		Cancelled: s.Cancelled, Operation: active, CreatedAt: s.CreatedAt, SeenAt: s.SeenAt, MissingSince: s.MissingAt,
	}
	if out.Power == "" {
		out.Power = string(fleet.PowerUnknown)
	}
	if a := s.Assignment; a.Assigned() {
		out.Assignment = &client.Assignment{
			Cluster: n.ref(a.ClusterID), Role: string(a.Role), Hostname: s.Hostname(), Config: n.some(a.ConfigID),
			Schematic: n.some(a.SchematicID), PrivateIP: a.PrivateIP, InstallDisk: a.InstallDisk, DiskPolicy: string(a.DiskPolicy), EphemeralDisk: a.EphemeralDisk, Draft: a.Draft,
		}
	}
	return out
}
