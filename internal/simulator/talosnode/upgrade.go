package talosnode

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// installerName takes an installer image apart: factory.talos.dev/metal-installer/SCHEMATIC:v1.14.1 or, from before
// 1.14, ghcr.io/siderolabs/installer:v1.13.9.
var installerName = regexp.MustCompile(`^(\S+)/(?:([a-z]+)-)?installer(?:-secureboot)?(?:/([0-9a-f]{64}))?:(v\d+\.\d+\.\d+\S*)$`)

// vanilla is the schematic without anything.
const vanilla = "376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba"

// installer says what an installer image installs on this node.
func (n *node) installer(ref string) (world.ImageSpec, error) {
	if strings.ContainsAny(ref, " \t") || ref == "" {
		return world.ImageSpec{}, fmt.Errorf("failed to parse image reference %q: invalid reference format", ref)
	}
	absent := fmt.Errorf("failed to pull image %q: failed to resolve reference %q: %s: not found", ref, ref, ref)
	if !n.imageExists(ref) {
		return world.ImageSpec{}, absent
	}
	m := installerName.FindStringSubmatch(ref)
	if m == nil {
		return world.ImageSpec{}, absent
	}
	spec := world.ImageSpec{Version: m[4], Arch: n.info.Arch, Platform: m[2], Schematic: m[3]}
	if spec.Platform == "" {
		spec.Platform = n.info.Platform
	}
	if spec.Schematic == "" {
		spec.Schematic = vanilla
	}
	if n.env.Schematic != nil {
		s, ok := n.env.Schematic(spec.Schematic)
		if !ok && spec.Schematic != vanilla {
			return world.ImageSpec{}, absent
		}
		spec.Extensions, spec.KernelArgs = s.Extensions, s.KernelArgs
	}
	return spec, nil
}

func (n *node) imageExists(ref string) bool {
	if n.env.ImageExists != nil {
		return n.env.ImageExists(ref)
	}
	return !strings.HasSuffix(ref, ":nosuch") && !strings.HasSuffix(ref, ":v9.9.9")
}

// upgradeTask is the installer's work in the legacy upgrade.
func (n *node) upgradeTask(ctx context.Context, ref string) error {
	spec, err := n.installer(ref)
	if err != nil {
		return err
	}
	if err := n.pass(ctx, upgradeTime); err != nil {
		return err
	}
	return n.install(spec)
}

// Upgrade implements machine.MachineServiceServer: check, then the sequence that installs and reboots.
func (v *server) Upgrade(ctx context.Context, in *machine.UpgradeRequest) (*machine.UpgradeResponse, error) {
	n := v.node
	if _, err := n.installer(in.GetImage()); err != nil {
		return nil, fmt.Errorf("error validating installer image %q: %w", in.GetImage(), err)
	}
	if n.controlPlane() && !in.GetForce() && !in.GetPreserve() {
		if err := v.etcdAllows(ctx); err != nil {
			return nil, fmt.Errorf("error validating etcd for upgrade: %w", err)
		}
	}
	if in.GetStage() {
		value := in.GetImage()
		if err := n.setMeta(world.MetaStagedUpgradeImage, &value); err != nil {
			return nil, fmt.Errorf("error adding staged upgrade image ref tag: %w", err)
		}
	}
	id := v.start(func(ctx context.Context) {
		if in.GetStage() {
			_ = n.sequencer.run(ctx, "stageUpgrade", false, func() []phase { return n.reboot(machine.RebootRequest_POWERCYCLE) })
			return
		}
		_ = n.sequencer.run(ctx, "upgrade", false, func() []phase { return n.legacyUpgrade(in.GetImage(), in.GetRebootMode()) })
	})
	return &machine.UpgradeResponse{Messages: []*machine.Upgrade{{Ack: "Upgrade request received", ActorId: id}}}, nil
}

// etcdAllows is Talos' check that an etcd survives the reboot of one member.
func (v *server) etcdAllows(ctx context.Context) error {
	e, err := v.anyEtcd(ctx, "upgrade")
	if err != nil {
		return err
	}
	v.node.env.Clusters.with(func() {
		switch {
		case !e.quorum():
			err = errNoLeader
		case len(e.members) == 2:
			err = fmt.Errorf("etcd member count(%d) is insufficient to maintain quorum if upgrade commences", len(e.members))
		}
		for _, m := range e.members {
			switch {
			case err != nil:
			case m.name == "":
				err = fmt.Errorf("etcd member %016x is not started, all members must be running to perform an upgrade", m.id)
			case !m.up():
				err = fmt.Errorf("etcd member %016x is not healthy; all members must be healthy to perform an upgrade: context deadline exceeded", m.id)
			}
		}
	})
	return err
}

// Rollback implements machine.MachineServiceServer: the system before the last upgrade boots again.
func (v *server) Rollback(context.Context, *machine.RollbackRequest) (*machine.RollbackResponse, error) {
	n := v.node
	before, ok := n.previous()
	if !ok {
		return nil, errors.New("cannot rollback to the previous version: no fallback entry")
	}
	if err := n.install(before); err != nil {
		return nil, err
	}
	n.spawn(func() { n.sequencer.reboot(n.ctx, machine.RebootRequest_POWERCYCLE, true) })
	return &machine.RollbackResponse{Messages: []*machine.Rollback{{}}}, nil
}

// finishStaged installs what an upgrade staged before the reboot, as the install sequence does.
func (n *node) finishStaged() []phase {
	ref := n.metaValue(world.MetaStagedUpgradeImage)
	if ref == "" {
		return nil
	}
	return []phase{
		one("install", "install", func(ctx context.Context) error {
			if err := n.setMeta(world.MetaStagedUpgradeImage, nil); err != nil {
				return err
			}
			return n.upgradeTask(ctx, ref)
		}),
		one("meta", "reloadMeta", instant),
		one("saveMeta", "flushMeta", instant),
		one("stopEverything", "stopAllServices", n.stopAllServices),
		one("kexec", "kexecPrepare", n.step),
		one("reboot", "reboot", n.end(kexecs)),
	}
}

// lifecycle is machine.LifecycleService, new in 1.13: it installs; the reboot is the client's.
type lifecycle struct {
	machine.UnimplementedLifecycleServiceServer
	server *server
}

// Install implements machine.LifecycleServiceServer. A booted disk image is installed already.
func (l *lifecycle) Install(*machine.LifecycleServiceInstallRequest, grpc.ServerStreamingServer[machine.LifecycleServiceInstallResponse]) error {
	if err := l.exists("Install"); err != nil {
		return err
	}
	return status.Error(codes.AlreadyExists, "machine is already installed")
}

// Upgrade implements machine.LifecycleServiceServer.
func (l *lifecycle) Upgrade(in *machine.LifecycleServiceUpgradeRequest, out grpc.ServerStreamingServer[machine.LifecycleServiceUpgradeResponse]) error {
	if err := l.exists("Upgrade"); err != nil {
		return err
	}
	n := l.server.node
	if !l.server.installing.TryLock() {
		return status.Error(codes.FailedPrecondition, "another installation/upgrade is already in progress")
	}
	defer l.server.installing.Unlock()
	ref := in.GetSource().GetImageName()
	if ref == "" {
		return status.Error(codes.InvalidArgument, "installer image name is required")
	}
	spec, err := n.installer(ref)
	if err != nil {
		return status.Errorf(codes.Internal, "upgrade failed: %v", err)
	}
	for _, line := range installerLines(spec, n.disk()) {
		if err := out.Send(progress(line)); err != nil {
			return err
		}
		if err := n.pass(out.Context(), upgradeTime/4); err != nil {
			return status.FromContextError(err).Err()
		}
	}
	if err := n.install(spec); err != nil {
		return status.Errorf(codes.Internal, "upgrade failed: %v", err)
	}
	return out.Send(&machine.LifecycleServiceUpgradeResponse{Progress: &machine.LifecycleServiceInstallProgress{
		Response: &machine.LifecycleServiceInstallProgress_ExitCode{},
	}})
}

// exists refuses the service on versions that do not have it.
func (l *lifecycle) exists(string) error {
	if minor(l.server.node.info.Version) < 13 {
		return status.Error(codes.Unimplemented, "unknown service machine.LifecycleService")
	}
	return nil
}

func progress(line string) *machine.LifecycleServiceUpgradeResponse {
	return &machine.LifecycleServiceUpgradeResponse{Progress: &machine.LifecycleServiceInstallProgress{
		Response: &machine.LifecycleServiceInstallProgress_Message{Message: line},
	}}
}

func installerLines(spec world.ImageSpec, d *world.Disk) []string {
	name := "the system disk"
	if d != nil {
		name = "/dev/" + d.Name
	}
	return []string{"running Talos installer " + spec.Version, "installing Talos to " + name, "installation of " + spec.Version + " complete"}
}
