package operation

import (
	"context"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
	"github.com/talos-manager/talos-manager/internal/talos"
)

// Retry takes a failed or cancelled operation up again. What the machine was in the middle of is gone by then: the
// rescue system may have ended, the one-time code was taken back. So all that needs them begins anew, and only what
// asks a node that runs goes on where it stopped.
func (o *Operations) Retry(ctx context.Context, actor, id string) error {
	op, err := o.Store.Operation(ctx, id)
	if err != nil {
		return err
	}
	step, forget, err := o.retryFrom(ctx, op)
	if err != nil {
		return err
	}
	if err := o.engine.RetryFrom(ctx, id, actor, step, forget...); err != nil {
		return err
	}
	return o.audit(ctx, actor, "operation.retry", "operation", id, "retried")
}

// retryFrom decides where an operation is taken up again; "" is where it stood.
func (o *Operations) retryFrom(ctx context.Context, op fleet.Operation) (step string, forget []string, err error) {
	if op.State != fleet.Failed && op.State != fleet.Cancelled || op.Step == "" {
		return "", nil, nil // nothing was begun, or the engine refuses it
	}
	if op.Kind == KindBootstrap {
		return "choose the control plane", nil, nil // the one that was chosen may be lost
	}
	s, err := o.Store.Server(ctx, op.ServerID)
	if err != nil {
		return "", nil, err
	}
	switch op.Kind {
	case KindRescue:
		return "ask for the rescue system", []string{bootKey}, mayRescue(s)
	case KindInstall:
		return o.retryInstall(ctx, op, s)
	case KindRecoverUUID:
		return "ask for the rescue system", []string{bootKey, rebootKey, talosOrdersKey}, mayRescue(s)
	}
	return "", nil, nil
}

func (o *Operations) retryInstall(ctx context.Context, op fleet.Operation, s fleet.Server) (step string, forget []string, err error) {
	if err := o.sameInstall(ctx, op, s); err != nil {
		return "", nil, err
	}
	switch op.Step {
	case stepWaitKubernetes, stepLabel:
		return "", nil, o.ensureBootstrap(ctx, op.Actor, s)
	case "hand over the config", "wait for the control plane", "check the node":
		if o.cameUp(ctx, s) {
			return "check the node", nil, o.ensureBootstrap(ctx, op.Actor, s)
		}
	}
	return "check the records", []string{bootKey, rebootKey, talosOrdersKey, pushKey}, nil
}

// sameInstall refuses to go on with an install that another one overtook, or whose server is to be something else now.
func (o *Operations) sameInstall(ctx context.Context, op fleet.Operation, s fleet.Server) error {
	if err := o.installable(s); err != nil {
		return err
	}
	if err := sameCluster(op, s); err != nil {
		return err
	}
	newest, err := o.Store.Operations(ctx, store.OperationFilter{ServerID: s.ID, Kind: KindInstall, Limit: 1})
	if err != nil || len(newest) == 0 || newest[0].ID == op.ID {
		return err
	}
	return fleet.Errorf(fleet.Refused, "server %s was installed once more after operation %s", s.Name, op.ID).
		WithHint("retry the later one: talos-manager operation retry %s", newest[0].ID)
}

func sameCluster(op fleet.Operation, s fleet.Server) error {
	if s.Assignment.ClusterID == op.ClusterID {
		return nil
	}
	return fleet.Errorf(fleet.Refused, "server %s belongs to another cluster than when operation %s was ordered", s.Name, op.ID).
		WithHint("order a new one: talos-manager server install %s", s.Name)
}

// cameUp says whether the server runs Talos with its cluster's certificates after all.
func (o *Operations) cameUp(ctx context.Context, s fleet.Server) bool {
	node, err := o.ownNode(ctx, s)
	if err != nil {
		return false
	}
	defer node.Close()
	return talos.Look(ctx, func(ctx context.Context) error {
		id, err := node.Identity(ctx)
		if err == nil && id.UUID != s.NodeUUID() {
			return fleet.Errorf(fleet.Refused, "another machine answers")
		}
		return err
	}) == nil
}
