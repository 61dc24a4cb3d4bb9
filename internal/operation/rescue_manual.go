package operation

import (
	"context"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

// A server that was added by hand has nobody who arms its rescue system or restarts it. Its rescue system is found up,
// or a person is asked to boot it. A Talos in maintenance mode does instead: it takes its config by push, and tells what
// machine it is.

const (
	manualLook   = 10 * time.Second
	manualRarely = 30 * time.Second // where another system answers, or does not let us in: sshd penalises that
	manualGiveUp = 24 * time.Hour   // a person has to come
)

func (o *Operations) askManual(ctx context.Context, run *workflow.Run, s fleet.Server) error {
	run.Log(ctx, "%s was added by hand: its rescue system, or a Talos in maintenance mode, is to be found at %s", s.Name, s.ProviderID)
	return ctx.Err()
}

// bootManual waits for a person, unless the server is ready already.
func (o *Operations) bootManual(ctx context.Context, run *workflow.Run, s fleet.Server) error {
	p, err := o.look(ctx, s, false)
	if err != nil {
		return err
	}
	switch p.Found {
	case FoundRescue:
		run.Log(ctx, "%s", p.Text)
		return run.Set(ctx, bootKey, boot{Ordered: o.Now()})
	case FoundMaintenance:
		run.Log(ctx, "%s, with certificate %s", p.Text, p.Certificate)
		return run.Set(ctx, bootKey, boot{Ordered: o.Now(), Maintenance: p.Certificate})
	}
	return o.manualNotYet(run, s, p)
}

// manualNotYet says what a person is waited for to do.
func (o *Operations) manualNotYet(run *workflow.Run, s fleet.Server, p Probed) error {
	again := manualLook
	if p.Found != FoundNothing {
		again = manualRarely
	}
	return workflow.Wait("somebody to boot the rescue system of "+s.Name+": "+p.Text, o.pace(again)).Within(o.pace(manualGiveUp)).
		WithHint("%s. Then: talos-manager operation retry %s", p.Hint, run.ID())
}

// reachManual pins the host key of the rescue system: one that the operator gave, or the first that answers.
func (o *Operations) reachManual(ctx context.Context, run *workflow.Run, s fleet.Server) error {
	var b boot
	if _, err := run.Get(bootKey, &b); err != nil || b.Maintenance != "" {
		return err
	}
	p := o.lookSSH(ctx, s)
	if p.Found != FoundRescue {
		return o.manualNotYet(run, s, p)
	}
	if s.HostKey == "" {
		run.Warn(ctx, "nobody gave a host key of %s: the first that answers is trusted", s.Name)
	}
	run.Log(ctx, "rescue system answers at %s with host key %s", s.ProviderID, p.HostKey)
	b.Pins = []string{p.HostKey}
	return run.Set(ctx, bootKey, b)
}
