package api

import (
	"context"

	"github.com/talos-manager/talos-manager/client"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
)

func (a *api) listEvents(ctx context.Context, in *struct {
	Subject string `query:"subject" doc:"server, cluster, account, …"`
	Target  string `query:"target" doc:"id of the subject; of a server, cluster or account its name will do if subject says which"`
	Limit   int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	Before  string `query:"before" doc:"id of the last event of the page before"`
},
) (*body[client.List[client.AuditEvent]], error) {
	f := store.EventFilter{Subject: in.Subject, Limit: in.Limit, Before: in.Before}
	var err error
	if f.TargetID, err = a.target(ctx, in.Subject, in.Target); err != nil {
		return nil, err
	}
	all, err := a.store.Events(ctx, f)
	return answer(items(all, func(e fleet.Event) client.AuditEvent {
		return client.AuditEvent{ID: e.ID, At: e.At, Actor: e.Actor, Verb: e.Verb, Subject: e.Subject, Target: e.TargetID, Text: e.Text}
	}), err)
}

// target finds the id of a subject. What was removed has events still: a name that nobody has stays as it is.
func (a *api) target(ctx context.Context, subject, ref string) (string, error) {
	find, ok := map[string]func(context.Context, string) (string, error){"server": a.serverID, "cluster": a.clusterID, "account": a.accountID}[subject]
	if !ok {
		return ref, nil
	}
	id, err := find(ctx, ref)
	if fleet.KindOf(err) == fleet.NotFound && err != nil {
		return ref, nil
	}
	return id, err
}
