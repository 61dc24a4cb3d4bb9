package api

import (
	"context"
	"slices"

	"github.com/talos-manager/talos-manager/client"
	"github.com/talos-manager/talos-manager/internal/access"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
)

type operationQuery struct {
	State   []string `query:"state" doc:"any of these, comma-separated; active stands for all that are not final" enum:"pending,running,waiting,asking,succeeded,failed,cancelled,active"`
	Server  string   `query:"server" doc:"name or id"`
	Cluster string   `query:"cluster" doc:"name or id"`
	Kind    string   `query:"kind" doc:"server.install, …"`
	Limit   int      `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	Before  string   `query:"before" doc:"id of the last operation of the page before"`
}

func (a *api) listOperations(ctx context.Context, in *operationQuery) (*body[client.List[client.Operation]], error) {
	f := store.OperationFilter{States: states(in.State), Kind: in.Kind, Limit: in.Limit, Before: in.Before}
	var err error
	if f.ServerID, err = a.serverID(ctx, in.Server); err != nil {
		return nil, err
	}
	if f.ClusterID, err = a.clusterID(ctx, in.Cluster); err != nil {
		return nil, err
	}
	if in.Before != "" {
		if _, err := a.store.Operation(ctx, in.Before); err != nil {
			return nil, err
		}
	}
	all, err := a.store.Operations(ctx, f)
	if err != nil {
		return nil, err
	}
	n, err := a.namesOf(ctx, all...)
	return answer(items(all, func(o fleet.Operation) client.Operation { return operationOf(o, n) }), err)
}

func states(words []string) (out []fleet.OperationState) {
	for _, w := range words {
		if w == "active" {
			out = append(out, fleet.Pending, fleet.Running, fleet.Waiting, fleet.Asking)
			continue
		}
		out = append(out, fleet.OperationState(w))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (a *api) showOperation(ctx context.Context, in *ByID) (*body[client.Operation], error) {
	o, err := a.store.Operation(ctx, in.ID)
	return a.started(ctx, o, err)
}

func (a *api) operationLog(ctx context.Context, in *struct {
	ByID
	After int64 `query:"after" minimum:"0" doc:"number of the last line that is known"`
},
) (*body[client.List[client.LogLine]], error) {
	if _, err := a.store.Operation(ctx, in.ID); err != nil {
		return nil, err
	}
	all, err := a.store.OperationLog(ctx, in.ID, in.After, 0)
	return answer(items(all, logLine), err)
}

func (a *api) cancelOperation(ctx context.Context, in *ByID) (*body[client.Operation], error) {
	return a.after(ctx, in.ID, a.Operations.Cancel(ctx, access.Actor(ctx), in.ID))
}

func (a *api) retryOperation(ctx context.Context, in *ByID) (*body[client.Operation], error) {
	return a.after(ctx, in.ID, a.Operations.Retry(ctx, access.Actor(ctx), in.ID))
}

func (a *api) skipStep(ctx context.Context, in *struct {
	ByID
	Body client.StepSkip
},
) (*body[client.Operation], error) {
	return a.after(ctx, in.ID, a.Operations.SkipStep(ctx, access.Actor(ctx), in.ID, in.Body.Step))
}

func (a *api) approveOperation(ctx context.Context, in *struct {
	ByID
	Body client.Answer
},
) (*body[client.Operation], error) {
	return a.after(ctx, in.ID, a.Operations.Approve(ctx, access.Actor(ctx), in.ID, in.Body.Answer))
}

// after answers with an operation after something was asked of it.
func (a *api) after(ctx context.Context, id string, err error) (*body[client.Operation], error) {
	if err != nil {
		return nil, err
	}
	return a.showOperation(ctx, &ByID{id})
}

func operationOf(o fleet.Operation, n names) client.Operation {
	out := client.Operation{
		ID: o.ID, Kind: o.Kind, Server: n.some(o.ServerID), Cluster: n.some(o.ClusterID), Parent: o.ParentID, Actor: o.Actor,
		State: string(o.State), Step: o.Step, WaitingFor: o.WaitingFor, Question: o.Question, Error: o.Error, Hint: o.Hint,
		CreatedAt: o.CreatedAt, UpdatedAt: o.UpdatedAt, FinishedAt: o.FinishedAt,
	}
	if o.State == fleet.Waiting {
		out.WaitUntil = o.WaitUntil
	}
	if o.Done > 0 || o.Total > 0 {
		out.Progress = &client.Progress{Done: o.Done, Total: o.Total, Unit: o.Unit}
	}
	for _, s := range o.Steps {
		out.Steps = append(out.Steps, client.Step{
			Name: s.Name, State: string(s.State), Attempts: s.Attempts,
			StartedAt: s.StartedAt, FinishedAt: s.FinishedAt, Error: s.Error,
		})
	}
	return out
}

// wholeOperation converts one that was read with its steps.
func (a *api) wholeOperation(o fleet.Operation, n names) client.Operation {
	out := operationOf(o, n)
	out.Skippable = a.Operations.Skippable(o)
	return out
}

func logLine(l fleet.LogLine) client.LogLine {
	return client.LogLine{Seq: l.Seq, At: l.At, Step: l.Step, Level: l.Level, Text: l.Text}
}
