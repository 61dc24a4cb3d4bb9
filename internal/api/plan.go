package api

import (
	"context"

	"github.com/talos-manager/talos-manager/client"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig"
	"github.com/talos-manager/talos-manager/internal/machineconfig/diff"
	"github.com/talos-manager/talos-manager/internal/manage"
)

func (a *api) plan(ctx context.Context, in *body[client.PlanRequest]) (*body[client.Plan], error) {
	var change manage.Change
	for _, l := range in.Body.Layers {
		change.Layers = append(change.Layers, manage.LayerChange{LayerRef: layerFrom(l.LayerRef), Contents: contentsFrom(l.ConfigContents)})
	}
	for _, l := range in.Body.Publish {
		change.Publish = append(change.Publish, layerFrom(l))
	}
	for _, s := range in.Body.Assign {
		change.Assign = append(change.Assign, manage.ServerAssign{Server: s.Server, AssignmentChange: assignmentFrom(s.AssignmentChange)})
	}
	if c := in.Body.Cluster; c != nil {
		change.Cluster = &manage.ClusterUpdate{Cluster: c.Cluster, ClusterChange: clusterChangeFrom(c.ClusterChange)}
	}
	o := manage.PlanOptions{Servers: in.Body.Servers}
	if in.Body.Running {
		o.Running = a.Operations.RunningConfig
	}
	p, err := a.Manager.Plan(ctx, change, o)
	return answer(planOf(p), err)
}

func layerFrom(l client.LayerRef) manage.LayerRef {
	return manage.LayerRef{Scope: fleet.Scope(l.Scope), Owner: l.Owner, Role: fleet.Role(l.Role)}
}

func planOf(p manage.Plan) client.Plan {
	out := client.Plan{
		Groups: []client.PlanGroup{}, Unchanged: convert(p.Unchanged, planServer), Broken: convert(p.Broken, brokenOf), Silent: convert(p.Silent, brokenOf),
	}
	for _, g := range p.Groups {
		out.Groups = append(out.Groups, client.PlanGroup{Servers: convert(g.Servers, planServer), From: string(g.From), ConfigDiff: diffOf(g.Diff, g.Verdict)})
	}
	return out
}

func planServer(s manage.PlanServer) client.PlanServer {
	return client.PlanServer{Ref: client.Ref{ID: s.ID, Name: s.Name}, Node: s.Node}
}

func brokenOf(b manage.BrokenGroup) client.BrokenServers { return client.BrokenServers(b) }

func convert[T, U any](all []T, f func(T) U) []U { return items(all, f).Items }

func diffOf(d *diff.Diff, v *diff.Verdict) client.ConfigDiff {
	out := client.ConfigDiff{Text: diff.Text(d, v), Documents: convert(d.Documents, func(doc diff.Document) client.DocumentDiff {
		return client.DocumentDiff{Kind: doc.Kind, APIVersion: doc.APIVersion, Name: doc.Name, Op: string(doc.Op), Changes: convert(doc.Changes, changeOf)}
	})}
	if v != nil {
		out.Verdict = &client.Verdict{
			TalosVersion: v.TalosVersion, Effect: string(v.Effect), Reboots: v.Reboots, Pending: v.Pending, Refused: v.Refused, Services: v.Services, Summary: v.Summary(),
		}
	}
	return out
}

func changeOf(c diff.Change) client.ConfigChange {
	return client.ConfigChange{Op: string(c.Op), Path: c.Path, Old: c.Old, New: c.New, Secret: c.Secret}
}

func (a *api) diffMachineConfigs(ctx context.Context, in *struct {
	ByRef
	With string `query:"with" required:"true" doc:"another server, by name or id"`
},
) (*body[client.ConfigDiff], error) {
	d, err := a.Manager.DiffServers(ctx, in.Ref, in.With)
	if err != nil {
		return nil, err
	}
	return answer(diffOf(d, nil), nil)
}

// explainMachineConfig says who set each line of the config that the records give a server.
func (a *api) explainMachineConfig(ctx context.Context, in *ByRef) (*body[client.ExplainedConfig], error) {
	s, err := a.store.Server(ctx, in.Ref)
	if err != nil {
		return nil, err
	}
	made, err := a.Manager.Renderer.MachineConfig(ctx, s)
	if err != nil {
		return nil, err
	}
	e, err := machineconfig.Explain(made.Input)
	if err != nil {
		return nil, err
	}
	text, lines, err := e.Redacted()
	return answer(client.ExplainedConfig{
		YAML: string(manage.HideConfig(e.YAML, text)), Lines: lines, Idle: e.Idle,
		Removed: convert(e.Removed, func(o machineconfig.Origin) string { return o.By + ": " + o.Kind + " " + o.Path }),
	}, err)
}
