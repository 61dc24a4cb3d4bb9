package talosnode

//lint:file-ignore SA1019 the section machine.install is all that older versions have

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/cel"
	"github.com/siderolabs/talos/pkg/machinery/cel/celenv"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/meta"

	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// A Talos that was started by kexec runs in memory until it has a config that says where to install it: in the section
// machine.install, or since 1.14 in the document UnattendedInstallConfig. Its installer then writes the disk, its config
// goes to STATE, its META values to META, and it starts itself from there by kexec. Source: talos v1alpha1_sequencer.go
// (Install), controllers/runtime/unattended_install.go.

// metaInMemory is what META holds for a system that has no META partition: the values of the kernel's command line
// (talos ReloadMeta).
func (n *node) metaInMemory() (map[uint8]string, error) {
	if n.boot != nil { // of another Talos: it counts
		return world.ReadMeta(n.boot)
	}
	values := map[uint8]string{}
	for arg := range strings.FieldsSeq(n.info.Cmdline) {
		packed, ok := strings.CutPrefix(arg, constants.KernelParamEnvironment+"="+constants.MetaValuesEnvVar+"=")
		if !ok {
			continue
		}
		all, err := meta.DecodeValues(packed)
		if err != nil {
			return nil, fmt.Errorf("error decoding meta values: %w", err)
		}
		for _, v := range all {
			values[v.Key] = v.Value
		}
	}
	return values, nil
}

// reloadMeta fills META for a system that was not started from a disk.
func (n *node) reloadMeta(ctx context.Context) error {
	if n.info.Meta == nil {
		values, err := n.metaInMemory()
		if err != nil {
			return err
		}
		n.mu.Lock()
		n.meta = values
		n.mu.Unlock()
	}
	return n.step(ctx)
}

// installPhases are those of the install sequence, none for a system that is installed and has nothing staged.
func (n *node) installPhases() []phase {
	if n.disk() != nil {
		return n.finishStaged()
	}
	return []phase{
		one("install", "install", n.installToDisk),
		one("meta", "reloadMeta", instant),
		one("saveMeta", "flushMeta", instant),
		one("stopEverything", "stopAllServices", n.stopAllServices),
		one("kexec", "kexecPrepare", n.step),
		one("reboot", "reboot", n.end(kexecs)),
	}
}

// installToDisk waits for ever where the config names no disk, as Talos does: nothing starts before it is installed.
func (n *node) installToDisk(ctx context.Context) error {
	image, disk, err := n.installTarget()
	if errors.Is(err, errNoTarget) {
		n.log("machined", "install: %v", err)
		<-ctx.Done()
		return ctx.Err()
	}
	if err != nil {
		return err
	}
	spec, err := n.installer(image)
	if err != nil {
		return err
	}
	if err := n.pass(ctx, upgradeTime); err != nil {
		return err
	}
	spec.Loader = world.LoaderGRUB
	if n.machine.UEFI || spec.Arch == "arm64" {
		spec.Loader = world.LoaderSDBoot
	}
	if err := world.InstallImage(disk, spec); err != nil {
		return err
	}
	n.mu.Lock()
	n.boot = disk
	values := cloneMeta(n.meta)
	n.mu.Unlock()
	if err := world.WriteMeta(disk, values); err != nil {
		return err
	}
	return n.setPersistent(n.config())
}

// errNoTarget says that the config does not say where to install to.
var errNoTarget = errors.New("no disk matched the selector")

// installTarget is what the config wants installed, and where.
func (n *node) installTarget() (image string, disk *world.Disk, err error) {
	cfg := n.config()
	if cfg == nil {
		return "", nil, errNoTarget
	}
	if doc := cfg.UnattendedInstallConfig(); doc != nil {
		match := doc.VolumeSelector()
		disk, err = n.matching(&match)
		return doc.InstallerImage(), disk, err
	}
	if cfg.RawV1Alpha1() == nil || cfg.RawV1Alpha1().MachineConfig == nil || cfg.RawV1Alpha1().MachineConfig.MachineInstall == nil {
		return "", nil, errNoTarget
	}
	install := cfg.RawV1Alpha1().MachineConfig.MachineInstall
	match, err := install.DiskMatchExpression()
	switch {
	case err != nil:
		return "", nil, err
	case match != nil:
		disk, err = n.matching(match)
	default:
		if disk = n.machine.Disk(trimDev(install.InstallDisk)); disk == nil {
			err = errNoTarget
		}
	}
	return install.InstallImage, disk, err
}

// matching finds the first disk of an expression.
func (n *node) matching(match *cel.Expression) (*world.Disk, error) {
	for _, d := range n.machine.Disks {
		yes, err := match.EvalBool(celenv.DiskLocator(), map[string]any{"disk": diskSpec(d), "system_disk": false})
		if err == nil && yes {
			return d, nil
		}
	}
	return nil, errNoTarget
}
