// Package talosnode is the life of a simulated Talos node, as a system of a world.Machine: it boots from what a
// disk holds, gets its machine config as Talos does, serves the real API, joins etcd, runs a kubelet, and goes
// through Talos' own sequences until it reboots, powers off or loses its power. It is a reading of Talos 1.13 and
// 1.14 of its own, made from recordings of real nodes.
//
//	power on --> initialize --> [maintenance <--> ApplyConfiguration] --> boot --> running
//	                 ^                                                      |
//	                 +------ reboot, upgrade, reset, a fatal error ---------+--> off
//
// It refuses what a real node refuses, in the same words. It has no kernel: nothing that a config would do to
// one (sysctls, modules, routes) has an effect beyond what the API says of it. How long things take is the
// world's time.
package talosnode

import (
	"context"
	"net"

	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// Env is what nodes find outside their machine. Clusters is needed; everything else may be missing.
type Env struct {
	Clusters   *Clusters        // shared by all nodes of a world
	Kubernetes world.Kubernetes // nil: clusters without Kubernetes
	// Outside dials what the world does not know; nil: there is nothing outside.
	Outside func(ctx context.Context, network, addr string) (net.Conn, error)
	// UserData of a Cloud server.
	UserData func(*world.Machine) []byte
	// Schematic is what a factory knows of a schematic id; false: nothing. Nil: every id is one without
	// extensions and kernel arguments.
	Schematic func(id string) (Schematic, bool)
	// ImageExists says whether a registry has an image; nil: any but tags named nosuch or v9.9.9.
	ImageExists func(ref string) bool
}

// Schematic is what an installer image of a schematic installs besides Talos.
type Schematic struct {
	Extensions []string // siderolabs/qemu-guest-agent
	KernelArgs []string
}

// system is a machine's Talos for as long as the machine has power and does not go through its firmware.
type system struct {
	machine *world.Machine
	env     Env
	info    world.BootInfo
	keys    chan struct{} // Ctrl-Alt-Del
}

// New makes the system that the firmware starts, from what it found on a disk (world.FindBoot).
func New(m *world.Machine, boot world.BootInfo, env Env) world.System {
	return &system{machine: m, env: env, info: boot, keys: make(chan struct{}, 1)}
}

// Run implements world.System. A reboot with kexec starts the kernel on the disk without the firmware, so that an
// armed rescue boot is not taken, as on a real machine.
func (s *system) Run(ctx context.Context) world.Halt {
	for {
		if v := s.machine.Faulty().WrongTalosVersion; v != "" {
			s.info.Version = v
		}
		switch newNode(s).run(ctx) {
		case kexecs:
			_, next, err := world.FindBoot(s.machine)
			if err != nil {
				return world.Reboot
			}
			s.info = next
		case powersOff:
			return world.PowerOff
		default:
			return world.Reboot
		}
	}
}

// CtrlAltDel implements world.Keyboard: a forced reboot.
func (s *system) CtrlAltDel() {
	select {
	case s.keys <- struct{}{}:
	default:
	}
}
