package talosnode

import (
	"context"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/api/machine"
)

// boot runs the three sequences every boot begins with.
func (q *sequencer) boot() {
	n := q.node
	if q.run(n.ctx, "initialize", false, n.initialize) != nil {
		return
	}
	if q.run(n.ctx, "install", false, n.installPhases) != nil {
		return
	}
	_ = q.run(n.ctx, "boot", false, n.bootPhases)
}

func (q *sequencer) reboot(ctx context.Context, mode machine.RebootRequest_Mode, force bool) {
	_ = q.run(ctx, "reboot", force, func() []phase { return q.node.reboot(mode) })
}

func (q *sequencer) shutdown(ctx context.Context, force bool) {
	_ = q.run(ctx, "shutdown", true, func() []phase { return q.node.shutdown(force) })
}

func one(name, taskName string, run func(context.Context) error) phase {
	return phase{name, []task{{taskName, run}}}
}

// initialize gets the node to where it has a config.
func (n *node) initialize() []phase {
	early := phase{name: "earlyServices"}
	for _, d := range n.earlyServices() {
		early.tasks = append(early.tasks, task{startTask(d.id), func(ctx context.Context) error { return n.startService(ctx, d) }})
	}
	n.spawn(n.network)
	return []phase{
		one("systemRequirements", "enforceKSPPRequirements", n.step),
		early,
		one("usb", "waitForUSB", n.step),
		one("meta", "reloadMeta", n.reloadMeta),
		one("dashboard", "startDashboard", func(ctx context.Context) error { n.services.start(dashboard()); return nil }),
		one("config", "loadConfig", n.loadConfig),
	}
}

// bootPhases make a configured node what it shall be.
func (n *node) bootPhases() []phase {
	return []phase{
		one("memorySizeCheck", "memorySizeCheck", instant),
		one("diskSizeCheck", "diskSizeCheck", instant),
		{"env", []task{{"waitForCARoots", instant}, {"setUserEnvVars", instant}}},
		one("dbus", "startDBus", instant),
		one("ephemeral", "mountEphemeralPartition", n.mountEphemeral),
		one("udevSetup", "writeUdevRules", instant),
		one("userDisks", "mountUserDisks", instant),
		one("userSetup", "writeUserFiles", instant),
		one("startEverything", "startAllServices", n.startAllServices),
	}
}

// reboot; FORCE leaves out everything polite.
func (n *node) reboot(mode machine.RebootRequest_Mode) []phase {
	if mode == machine.RebootRequest_FORCE {
		return []phase{one("reboot", "reboot", n.end(reboots))}
	}
	kexec := mode == machine.RebootRequest_DEFAULT
	n.goingDown()
	return append(append([]phase{
		one("cleanup", "stopAllPods", n.stopAllPods),
		one("dbus", "stopDBus", instant),
	}, n.stopList(kexec)...), one("reboot", "reboot", n.end(kexecOr(kexec))))
}

// shutdown; forced is also what the power button does.
func (n *node) shutdown(force bool) []phase {
	n.goingDown()
	list := []phase{one("storeShutdown", "storeShutdownEmergency", instant)}
	if !force {
		list = append(list, one("drain", "cordonAndDrainNode", n.drain))
	}
	list = append(list, one("cleanup", "stopAllPods", n.stopAllPods), one("dbus", "stopDBus", instant))
	list = append(list, n.stopList(false)...)
	return append(list, one("shutdown", "shutdown", n.end(powersOff)))
}

// legacyUpgrade is MachineService.Upgrade: drain, install, reboot.
func (n *node) legacyUpgrade(image string, mode machine.UpgradeRequest_RebootMode) []phase {
	n.goingDown()
	kexec := mode == machine.UpgradeRequest_DEFAULT
	list := []phase{
		one("drain", "cordonAndDrainNode", n.drain),
		one("cleanup", "stopAllPods", n.stopAllPods),
		one("dbus", "stopDBus", instant),
		one("stopServices", "stopServicesForUpgrade", n.stopServices),
		one("unmount", "unmountPodMounts", instant),
		one("unmountBind", "unmountSystemDiskBindMounts", instant),
		one("unmountSystem", "unmountEphemeralPartition", instant),
		one("volumeFinalize", "teardownLifecycle", instant),
		one("upgrade", "upgrade", func(ctx context.Context) error { return n.upgradeTask(ctx, image) }),
		one("meta", "reloadMeta", instant),
	}
	if kexec {
		list = append(list, one("kexec", "kexecPrepare", n.step))
	}
	return append(list, one("stopEverything", "stopAllServices", n.stopAllServices), one("reboot", "reboot", n.end(kexecOr(kexec))))
}

// reset wipes the system disk, or partitions of it.
func (n *node) reset(r *machine.ResetRequest, labels []string) []phase {
	n.goingDown()
	var list []phase
	if r.GetGraceful() {
		list = append(list, one("drain", "cordonAndDrainNode", logged(n.drain)), one("cleanup", "removeAllPods", logged(n.stopAllPods)))
	} else {
		list = append(list, one("cleanup", "stopAllPods", logged(n.stopAllPods)))
	}
	list = append(list, one("dbus", "stopDBus", instant))
	if r.GetGraceful() && n.controlPlane() {
		list = append(list, one("leave", "leaveEtcd", n.etcd.leaveForGood))
	}
	list = append(list, one("preReset", "sendResetSignal", instant))
	kexec := len(labels) > 0
	list = append(list, n.stopList(kexec)...)
	list = append(list, one("forceCleanup", "forceCleanup", n.step))
	if r.GetMode() != machine.ResetRequest_USER_DISKS {
		wipe := one("reset", "resetSystemDisk", n.wipe())
		if len(labels) > 0 {
			wipe = one("resetSpec", "resetSystemDiskSpec", n.wipe(labels...))
		}
		list = append(list, wipe)
	}
	if len(r.GetUserDisksToWipe()) > 0 && r.GetMode() != machine.ResetRequest_SYSTEM_DISK {
		list = append(list, one("resetUserDisks", "resetUserDisks", n.wipeUserDisks(r.GetUserDisksToWipe())))
	}
	if r.GetReboot() {
		return append(list, one("reboot", "reboot", n.end(kexecOr(kexec))))
	}
	return append(list, one("shutdown", "shutdown", n.end(powersOff)))
}

// stopList is the end of every sequence that goes down.
func (n *node) stopList(kexec bool) []phase {
	list := []phase{
		one("stopServices", "stopServicesForUpgrade", n.stopServices),
		one("umount", "unmountPodMounts", instant),
		one("unmountBind", "unmountSystemDiskBindMounts", instant),
		one("unmountSystem", "unmountEphemeralPartition", instant),
		one("volumeFinalize", "teardownLifecycle", instant),
	}
	if kexec {
		list = append(list, one("kexec", "kexecPrepare", n.step))
	}
	return append(list, one("stopEverything", "stopAllServices", n.stopAllServices))
}

func kexecOr(kexec bool) outcome {
	if kexec {
		return kexecs
	}
	return reboots
}

func instant(context.Context) error { return nil }

func (n *node) step(ctx context.Context) error { return n.pass(ctx, stepTime) }

// pass lets time pass; it fails when the sequence is cancelled.
func (n *node) pass(ctx context.Context, d time.Duration) error {
	n.sleep(ctx, d)
	return ctx.Err()
}

// logged runs a task whose failure does not matter.
func logged(run func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		_ = run(ctx)
		return ctx.Err()
	}
}
