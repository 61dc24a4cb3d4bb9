package talosnode

import (
	"context"
	"fmt"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/config"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	tryTime  = time.Minute
	without  = "Applied configuration without a reboot"
	with     = "Applied configuration with a reboot"
	staged   = "Staged configuration to be applied after the next reboot"
	notWhole = "the applied machine configuration doesn't contain v1alpha1 config, did you mean to patch the machine config instead?"
	noReboot = "the REBOOT mode is not supported, please use AUTO or NO_REBOOT modes instead"
	pending  = "configuration was already applied and node is rebooting, cannot apply more configuration changes until next reboot"
)

type applyMode = machine.ApplyConfigurationRequest_Mode

// ApplyConfiguration implements machine.MachineServiceServer. Until 1.13 a change may need a reboot; from 1.14 on
// none does, and the mode REBOOT is gone.
func (v *server) ApplyConfiguration(_ context.Context, in *machine.ApplyConfigurationRequest) (*machine.ApplyConfigurationResponse, error) {
	n := v.node
	v.applying.Lock()
	defer v.applying.Unlock()
	if in.GetMode() != machine.ApplyConfigurationRequest_TRY {
		n.endTrial()
	}
	n.mu.Lock()
	rebooting := n.rebooting
	n.mu.Unlock()
	if rebooting {
		return nil, status.Error(codes.FailedPrecondition, pending)
	}
	cfg, err := n.load(in.GetData())
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	if n.configured() && cfg.RawV1Alpha1() == nil {
		return nil, status.Error(codes.InvalidArgument, notWhole)
	}
	if n.configured() && in.GetMode() == machine.ApplyConfigurationRequest_REBOOT && minor(n.info.Version) >= 14 {
		return nil, status.Error(codes.Unimplemented, noReboot)
	}
	warnings, err := n.validate(cfg)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	does, details, err := n.decide(in.GetMode(), cfg)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	if in.GetDryRun() {
		return n.dryRun(does, details, cfg)
	}
	if details, err = n.apply(does, details, in, cfg); err != nil {
		return nil, err
	}
	return applied(does, details, warnings), nil
}

// decide says what will be done and the beginning of the answer's text.
func (n *node) decide(m applyMode, cfg config.Provider) (applyMode, string, error) {
	var needs error
	if n.configured() && minor(n.info.Version) < 14 {
		needs = n.immediate(cfg)
	}
	if !n.configured() && m == machine.ApplyConfigurationRequest_REBOOT {
		m = machine.ApplyConfigurationRequest_NO_REBOOT
	}
	switch m {
	case machine.ApplyConfigurationRequest_STAGED:
		return m, staged, nil
	case machine.ApplyConfigurationRequest_REBOOT:
		return m, with, nil
	case machine.ApplyConfigurationRequest_AUTO:
		if needs != nil {
			return machine.ApplyConfigurationRequest_REBOOT, with + ": " + needs.Error(), nil
		}
		return machine.ApplyConfigurationRequest_NO_REBOOT, without, nil
	case machine.ApplyConfigurationRequest_NO_REBOOT, machine.ApplyConfigurationRequest_TRY:
		return m, without, needs
	}
	return m, "", fmt.Errorf("incorrect mode '%s' specified for the apply config call", m)
}

func (n *node) dryRun(does applyMode, details string, cfg config.Provider) (*machine.ApplyConfigurationResponse, error) {
	diff, err := n.difference(cfg)
	if err != nil {
		return nil, fmt.Errorf("failed to generate diff: %w", err)
	}
	if does == machine.ApplyConfigurationRequest_REBOOT {
		details = with // a dry run leaves the reason out, the difference shows it
	}
	return applied(does, fmt.Sprintf("Dry run summary:\n%s (skipped in dry-run).\n%s", details, diff), nil), nil
}

// apply does it.
func (n *node) apply(does applyMode, details string, in *machine.ApplyConfigurationRequest, cfg config.Provider) (string, error) {
	switch does {
	case machine.ApplyConfigurationRequest_TRY:
		after := tryTime
		if in.GetTryModeTimeout() != nil {
			after = in.GetTryModeTimeout().AsDuration()
		}
		n.try(cfg, after)
		return details + fmt.Sprintf("\nThe config is applied in 'try' mode and will be automatically reverted back in %s", after), nil
	case machine.ApplyConfigurationRequest_STAGED:
		return details, n.setPersistent(cfg)
	case machine.ApplyConfigurationRequest_REBOOT:
		if err := n.setPersistent(cfg); err != nil {
			return "", err
		}
		n.rebootForConfig()
		return details, nil
	}
	if err := n.setPersistent(cfg); err != nil {
		return "", err
	}
	n.setConfig(cfg)
	if cfg.CompleteForBoot() {
		n.configComplete()
	}
	return details, nil
}

// try runs a config until its time is up or another one is applied.
func (n *node) try(cfg config.Provider, after time.Duration) {
	before := n.config()
	n.endTrial()
	n.mu.Lock()
	n.revert = time.AfterFunc(n.w.Real(after), func() {
		if n.ctx.Err() == nil {
			n.setConfig(before)
		}
	})
	n.mu.Unlock()
	n.setConfig(cfg)
}

func applied(m applyMode, details string, warnings []string) *machine.ApplyConfigurationResponse {
	return &machine.ApplyConfigurationResponse{Messages: []*machine.ApplyConfiguration{
		{Mode: m, ModeDetails: details, Warnings: warnings},
	}}
}
