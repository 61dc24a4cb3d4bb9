package operation

import (
	"context"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

// vswitchInput is where a server is to be.
type vswitchInput struct {
	VSwitchID string `json:"vswitchID,omitempty"` // "": in none
}

// SetVSwitch moves a dedicated server into a vSwitch and out of all others; "" only takes it out.
func (o *Operations) SetVSwitch(ctx context.Context, actor, ref, vswitchID string) (fleet.Operation, error) {
	s, err := o.Store.Server(ctx, ref)
	if err != nil {
		return fleet.Operation{}, err
	}
	if err := o.mayMove(ctx, s, vswitchID); err != nil {
		return fleet.Operation{}, err
	}
	op, err := o.engine.Enqueue(ctx, workflow.New{Kind: KindVSwitch, ServerID: s.ID, ClusterID: s.Assignment.ClusterID, Actor: actor, Input: vswitchInput{vswitchID}})
	if err != nil {
		return op, err
	}
	return op, o.audit(ctx, actor, KindVSwitch, "server", s.ID, "move "+s.Name+" to another vSwitch")
}

// mayMove refuses what Robot would, and to cut a node off from the private network of its cluster.
func (o *Operations) mayMove(ctx context.Context, s fleet.Server, vswitchID string) error {
	v, err := fleet.VSwitch{AccountID: s.AccountID}, error(nil)
	if vswitchID != "" {
		if v, err = o.Store.VSwitch(ctx, vswitchID); err != nil {
			return err
		}
	}
	switch {
	case s.Provider != fleet.HetznerRobot:
		return fleet.Errorf(fleet.Invalid, "cloud server %s cannot be in a vSwitch", s.Name).
			WithHint("attach it to a Cloud network that is coupled with the vSwitch")
	case v.AccountID != s.AccountID:
		return fleet.Errorf(fleet.Invalid, "vSwitch %s is of another account than server %s", v.Name, s.Name).
			WithHint("talos-manager vswitch list shows whose each is")
	}
	if !s.Assignment.Assigned() || s.State == fleet.Known || s.State == fleet.Broken {
		return nil
	}
	c, err := o.Store.Cluster(ctx, s.Assignment.ClusterID)
	if err != nil || c.VSwitchID == "" || c.VSwitchID == vswitchID {
		return err
	}
	return fleet.Errorf(fleet.Refused, "server %s is a node of cluster %s, whose private network is another vSwitch", s.Name, c.Name).
		WithHint("take it out of its cluster first: talos-manager server assign %s --cluster ''", s.Name)
}

func (o *Operations) vswitchKind() workflow.Kind {
	return workflow.Kind{Name: KindVSwitch, Steps: func(*workflow.Run) ([]workflow.Step, error) {
		return []workflow.Step{{Name: "change the vSwitch", Do: o.changeVSwitch}}, nil
	}}
}

// changeVSwitch asks Robot until nothing is left to change: it makes one change at a time, each takes 10 to 120 s.
func (o *Operations) changeVSwitch(ctx context.Context, run *workflow.Run) error {
	s, driver, err := o.server(ctx, run)
	if err != nil {
		return err
	}
	var in vswitchInput
	if err := run.Input(&in); err != nil {
		return err
	}
	providerID, name := "", "none"
	if in.VSwitchID != "" {
		v, err := o.Store.VSwitch(ctx, in.VSwitchID)
		if err != nil {
			return err
		}
		providerID, name = v.ProviderID, v.Name
	}
	if err := driver.SetVSwitch(ctx, s.ProviderID, providerID); err != nil {
		return o.busy(err, "Robot to move server "+s.Name)
	}
	run.Log(ctx, "vSwitch of %s: %s", s.Name, name)
	return o.Store.SetVSwitch(ctx, s.ID, in.VSwitchID)
}
