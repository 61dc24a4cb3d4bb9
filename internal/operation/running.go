package operation

import (
	"context"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/talos"
)

// RunningConfig reads the machine config that a node runs with now, secrets included. It is what plans compare with;
// see manage.Running.
func (o *Operations) RunningConfig(ctx context.Context, s fleet.Server) ([]byte, error) {
	node, err := o.ownNode(ctx, s)
	if err != nil {
		return nil, err
	}
	defer node.Close()
	var config []byte
	err = talos.Look(ctx, func(ctx context.Context) error {
		config, err = node.MachineConfig(ctx)
		return err
	})
	return config, err
}
