package operation

import (
	"context"
	"slices"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

// Of all steps only the last ones may be left out: a machine that runs as the node it is to be is waited for and labelled
// by them, and package reconcile looks after both from then on. What wipes, writes, boots, delivers, bootstraps, or tells
// machines apart is never left out.

const (
	stepWaitKubernetes = "wait for Kubernetes"
	stepLabel          = "label the node"
)

// nodeSkips are for the last steps of what makes a server a node.
func (o *Operations) nodeSkips() map[string]workflow.Skipping {
	return map[string]workflow.Skipping{
		stepWaitKubernetes: {
			NotDone: "Nobody waits for the node to be Ready. The server counts as not Ready, until its node is seen to be.",
			Instead: o.leaveUnready,
		},
		stepLabel: {
			NotDone: "The node gets none of its labels and taints now. They are put on once it is seen to be Ready; until then its taints keep no pods away.",
			Instead: o.leaveUnlabelled,
		},
	}
}

// bootstrapSkips are for the last step of a bootstrap: etcd runs, and that was looked at.
func bootstrapSkips() map[string]workflow.Skipping {
	return map[string]workflow.Skipping{"wait for the Kubernetes API": {
		NotDone: "Nobody waits for the Kubernetes API to answer at the cluster's endpoint. Which Kubernetes the cluster runs is noted once one of its nodes is Ready.",
	}}
}

// leaveUnready is instead of waitKubernetes: the server may be broken, and tried again.
func (o *Operations) leaveUnready(ctx context.Context, run *workflow.Run) error {
	s, _, err := o.server(ctx, run)
	if err != nil {
		return err
	}
	return o.becomes(ctx, s, fleet.Configured)
}

// leaveUnlabelled is instead of labelNode.
func (o *Operations) leaveUnlabelled(ctx context.Context, run *workflow.Run) error {
	s, _, err := o.server(ctx, run)
	if err != nil {
		return err
	}
	if err := o.Store.Disarm(ctx, s.ID); err != nil { // as labelNode does
		return err
	}
	return o.becomes(ctx, s, joinedAs(run))
}

// joinedAs is what a server is at the end of what makes it a node: nobody knows that it is Ready if that was skipped.
// Package reconcile looks after both.
func joinedAs(run *workflow.Run) fleet.State {
	unseen := slices.ContainsFunc(run.Operation().Steps, func(s fleet.OperationStep) bool {
		return s.Name == stepWaitKubernetes && s.State == fleet.Skipped
	})
	if unseen {
		return fleet.Unhealthy
	}
	return fleet.Ready
}

// SkipStep has an operation go on after the step that it waits, or failed, at. Only some may be left out: see Skippable.
func (o *Operations) SkipStep(ctx context.Context, actor, id, step string) error {
	op, err := o.Store.Operation(ctx, id)
	if err != nil {
		return err
	}
	notDone := ""
	if op.Step == step {
		notDone = o.Skippable(op)
	}
	if op.State == fleet.Failed && notDone != "" {
		if err := o.mayGoOn(ctx, op); err != nil {
			return err
		}
	}
	if err := o.engine.SkipStep(ctx, id, step, actor); err != nil {
		return err
	}
	return o.audit(ctx, actor, "operation.skip", "operation", id, "skipped "+step+". "+notDone)
}

// Skippable says what is not done if the step that an operation stands at is skipped now, "" if it cannot be.
func (o *Operations) Skippable(op fleet.Operation) string {
	skip, err := o.engine.Skippable(op)
	if err != nil {
		return ""
	}
	return skip.NotDone
}

// mayGoOn refuses to take a failed operation up behind the step it failed at, if something else was done to its server
// meanwhile: what its earlier steps saw is not so any more.
func (o *Operations) mayGoOn(ctx context.Context, op fleet.Operation) error {
	if op.ServerID == "" {
		return nil
	}
	s, err := o.Store.Server(ctx, op.ServerID)
	if err != nil {
		return err
	}
	if err := sameCluster(op, s); err != nil {
		return err
	}
	all, err := o.Store.Operations(ctx, store.OperationFilter{ServerID: s.ID})
	if err != nil {
		return err
	}
	for _, later := range all {
		if later.ID == op.ID {
			break
		}
		if later.Kind != KindVSwitch {
			return fleet.Errorf(fleet.Refused, "something else was done to server %s after operation %s: %s", s.Name, op.ID, later.Kind).
				WithHint("talos-manager operation show %s", later.ID)
		}
	}
	if op.Kind == KindInstall {
		return o.installable(s)
	}
	return nil
}
