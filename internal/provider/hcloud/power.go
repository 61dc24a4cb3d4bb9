package hcloud

import (
	"context"
	"errors"
	"slices"

	"github.com/hetznercloud/hcloud-go/v2/hcloud"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/provider"
)

func power(status hcloud.ServerStatus) fleet.Power {
	switch status {
	case hcloud.ServerStatusRunning, hcloud.ServerStatusStarting:
		return fleet.PowerOn
	case hcloud.ServerStatusOff:
		return fleet.PowerOff
	}
	return fleet.PowerUnknown
}

// Power implements provider.Driver.
func (d *Driver) Power(ctx context.Context, id string) (fleet.Power, error) {
	s, err := d.server(ctx, id)
	if err != nil {
		return fleet.PowerUnknown, err
	}
	return power(s.Status), nil
}

// resets are what does no harm to a server in its status.
func resets(s *hcloud.Server) ([]provider.Reset, error) {
	switch s.Status {
	case hcloud.ServerStatusOff:
		return []provider.Reset{provider.PowerOn}, nil
	case hcloud.ServerStatusDeleting:
		return nil, fleet.Errorf(fleet.NotFound, "hcloud: server %s is being deleted", s.Name).
			WithHint("look at https://console.hetzner.cloud who deletes it")
	case hcloud.ServerStatusInitializing, hcloud.ServerStatusRebuilding, hcloud.ServerStatusMigrating, hcloud.ServerStatusStopping:
		return nil, fleet.Errorf(fleet.Conflict, "hcloud: server %s is %s", s.Name, s.Status).
			WithHint("wait until Hetzner is done with it: https://console.hetzner.cloud")
	}
	return []provider.Reset{provider.SoftReset, provider.HardReset}, nil
}

// Resets implements provider.Driver. A hard reset cuts the power there.
func (d *Driver) Resets(ctx context.Context, id string) ([]provider.Reset, error) {
	s, err := d.server(ctx, id)
	if err != nil {
		return nil, err
	}
	return resets(s)
}

// Reset implements provider.Driver. Once the API has accepted the order, it is not given up for an impatient caller: a
// second reset would boot the server out of the rescue system that the first one began.
func (d *Driver) Reset(ctx context.Context, id string, kind provider.Reset) error {
	s, err := d.server(ctx, id)
	if err != nil {
		return err
	}
	offered, err := resets(s)
	if err != nil {
		return err
	}
	doing := string(kind) + " of server " + id
	if !slices.Contains(offered, kind) {
		return fleet.Errorf(fleet.Conflict, "hcloud: %s: it is %s", doing, s.Status).WithHint("look again")
	}
	button := map[provider.Reset]func(context.Context, *hcloud.Server) (*hcloud.Action, *hcloud.Response, error){
		provider.PowerOn: d.api.Server.Poweron, provider.SoftReset: d.api.Server.Reboot, provider.HardReset: d.api.Server.Reset,
	}[kind]
	accepted, err := d.act(ctx, doing, func() (*hcloud.Action, error) {
		a, _, err := button(ctx, s)
		return a, err
	})
	if _, failed := errors.AsType[hcloud.ActionError](err); accepted && !failed {
		return nil
	}
	return err
}
