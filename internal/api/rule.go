package api

import (
	"context"

	"github.com/talos-manager/talos-manager/client"
	"github.com/talos-manager/talos-manager/internal/access"
	"github.com/talos-manager/talos-manager/internal/fleet"
)

func (a *api) listRules(ctx context.Context, _ *nothing) (*body[client.List[client.Rule]], error) {
	all, err := a.store.Rules(ctx, "")
	if err != nil {
		return nil, err
	}
	n, err := a.names(ctx)
	return answer(items(all, func(r fleet.Rule) client.Rule { return rule(r, n) }), err)
}

func (a *api) createRule(ctx context.Context, in *body[client.NewRule]) (*body[client.Rule], error) {
	r := fleet.Rule{ClusterID: in.Body.Cluster, Match: in.Body.Match, Labels: in.Body.Labels}
	for _, t := range in.Body.Taints {
		r.Taints = append(r.Taints, fleet.Taint(t))
	}
	if err := r.Validate(); err != nil {
		return nil, err
	}
	r, err := a.Manager.AddRule(ctx, access.Actor(ctx), r)
	if err != nil {
		return nil, err
	}
	n, err := a.names(ctx)
	return answer(rule(r, n), err)
}

func (a *api) deleteRule(ctx context.Context, in *ByID) (*nothing, error) {
	return nil, a.Manager.DeleteRule(ctx, access.Actor(ctx), in.ID)
}

func rule(r fleet.Rule, n names) client.Rule {
	out := client.Rule{ID: r.ID, Cluster: n.some(r.ClusterID), Match: r.Match, Labels: r.Labels, CreatedAt: r.CreatedAt}
	for _, t := range r.Taints {
		out.Taints = append(out.Taints, client.Taint(t))
	}
	return out
}
