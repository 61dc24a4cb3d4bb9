package cli

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/talos-manager/talos-manager/client"
)

// waiting are the flags of commands that start operations.
type waiting struct {
	wait    bool
	timeout time.Duration
	one     bool // the command is about one operation: JSON is that, no list
}

func (w *waiting) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&w.wait, "wait", false, "follow what is done until it is over")
	cmd.Flags().DurationVar(&w.timeout, "timeout", 0, "with --wait: stop following after this long; 0 is never")
}

func (p *program) serverRescue() *cobra.Command {
	var w waiting
	cmd := &cobra.Command{
		Use: "rescue SERVER...", Short: "Boot servers into the rescue system and read their facts",
		Long:    "Boot servers into the rescue system and read what they are: firmware, disks, network cards, UUID. Whatever runs on\nthem is stopped by force; nothing on their disks is touched.",
		Example: "  talos-manager server rescue worker-1 --wait", Args: takes("SERVER..."),
		ValidArgsFunction: p.completeBy(serverNames, true),
		RunE: p.run(func(ctx context.Context, c *client.Client, servers []string) error {
			return p.start(ctx, c, servers, w, c.RescueServer)
		}),
	}
	w.flags(cmd)
	return cmd
}

func (p *program) serverInstall() *cobra.Command {
	var w waiting
	var o client.InstallOptions
	var dry, plan bool
	cmd := &cobra.Command{
		Use: "install SERVER...", Short: "Put Talos on servers and make them nodes of their clusters",
		Long: `Put Talos on servers and make them nodes of their clusters: rescue system, image, config, Kubernetes, labels. What is on
the install disk is lost. What may be overwritten without a question is the disk policy's to say: by default blank disks
only. Else the operation asks, and is answered with the disk's serial number (talos-manager operation approve).

--plan says how long it would take, and who waits for what: Hetzner allows 50 restarts an hour. --dry-run says what would
be done to each machine, and prints the scripts. Neither touches anything.`,
		Example: `  talos-manager server install control-plane-1 control-plane-2 control-plane-3 --wait
  talos-manager server install worker-7 --disk-policy wipe-ours --via-manager --wait --timeout 30m
  talos-manager server install worker-8 --dry-run
  talos-manager server install $(seq -f worker-%g 80) --plan`,
		Args:              takes("SERVER..."),
		ValidArgsFunction: p.completeBy(serverNames, true),
		RunE: p.run(func(ctx context.Context, c *client.Client, servers []string) error {
			switch {
			case dry && plan:
				return &usage{text: "server install: --plan and --dry-run together", hint: "give one after the other"}
			case plan:
				return p.planInstalls(ctx, c, client.InstallPlanRequest{Servers: servers, InstallOptions: o})
			case dry:
				return p.previewInstalls(ctx, c, servers, o)
			}
			return p.start(ctx, c, servers, w, func(ctx context.Context, ref string) (client.Operation, error) { return c.InstallServer(ctx, ref, o) })
		}),
	}
	installFlags(cmd, &o)
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only say what would be done to each machine, and print the scripts")
	cmd.Flags().BoolVar(&plan, "plan", false, "only say how long it would take, and who waits for what")
	w.flags(cmd)
	return cmd
}

func installFlags(cmd *cobra.Command, o *client.InstallOptions) {
	f := cmd.Flags()
	f.BoolVar(&o.Wipe, "wipe", false, "the same as --disk-policy wipe-all")
	f.StringVar(&o.DiskPolicy, "disk-policy", "", "what may be overwritten without asking: clean-only, wipe-ours or wipe-all; the default is the server's, then the cluster's")
	f.StringVar(&o.Delivery, "delivery", "", "how the config gets there: pull (the machine fetches it) or push (for machines that cannot reach this manager)")
	f.StringVar(&o.Boot, "boot", "", "how Talos is started the first time: image, kexec (from the rescue system, without going through the firmware again) or auto")
	f.BoolVar(&o.OverrideUUID, "override-uuid", false, "give a machine without a proper UUID one of its own, for good")
	f.BoolVar(&o.StaticNetwork, "static-network", false, "let the machine keep the addresses of its rescue system, where no DHCP serves it")
	f.BoolVar(&o.ViaManager, "via-manager", false, "let machines fetch the image from this manager, which fetches it once for all")
	f.StringVar(&o.ImageSHA256, "image-sha256", "", "checksum that the image file must have, hex")
	complete(cmd, "disk-policy", client.CleanOnly, client.WipeOurs, client.WipeAll)
	complete(cmd, "delivery", client.Pull, client.Push)
	complete(cmd, "boot", client.BootImage, client.BootKexec, client.BootAuto)
}

// start starts an operation for each of the servers or clusters, and follows them if asked to. One that is refused does
// not keep the others from being started.
func (p *program) start(ctx context.Context, c *client.Client, refs []string, w waiting, f func(context.Context, string) (client.Operation, error)) error {
	var started []watched
	var problems []error
	for _, ref := range refs {
		o, err := f(ctx, ref)
		if err != nil {
			problems = append(problems, explain(err))
			continue
		}
		started = append(started, watched{Operation: o})
	}
	if len(started) == 0 {
		return errors.Join(problems...)
	}
	return errors.Join(append(problems, p.conclude(ctx, c, started, w))...)
}

// resume asks something of an operation that is there already, and follows only what is new.
func (p *program) resume(ctx context.Context, c *client.Client, id string, w waiting, f func(context.Context, string) (client.Operation, error)) error {
	log, err := c.OperationLog(ctx, id, 0)
	if err != nil {
		return err
	}
	o, err := f(ctx, id)
	if err != nil {
		return err
	}
	op := watched{Operation: o}
	if n := len(log.Items); n > 0 {
		op.after = log.Items[n-1].Seq
	}
	return p.conclude(ctx, c, []watched{op}, w)
}

// conclude shows the operations: as they are, or as they ended.
func (p *program) conclude(ctx context.Context, c *client.Client, ops []watched, w waiting) error {
	if !w.wait {
		if p.output == "table" {
			defer p.done("follow it: talos-manager operation logs %s --follow", ops[0].ID)
		}
		return p.showWatched(ops, w.one)
	}
	if w.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, w.timeout, &client.Error{
			Kind: client.Unavailable, Message: "not over after " + w.timeout.String(),
			Hint: "it goes on: talos-manager operation list --state active",
		})
		defer cancel()
	}
	problems := []error{p.watch(ctx, c, ops), p.showWatched(ops, w.one)}
	for _, o := range ops {
		problems = append(problems, o.Err())
	}
	return errors.Join(problems...)
}

func (p *program) showWatched(ops []watched, one bool) error {
	l := client.List[client.Operation]{Items: each(ops, func(w watched) client.Operation { return w.Operation })}
	if one {
		return p.showOperations(l, l.Items[0])
	}
	return p.showOperations(l, l)
}
