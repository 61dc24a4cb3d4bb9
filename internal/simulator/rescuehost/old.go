package rescuehost

import "github.com/talos-manager/talos-manager/internal/simulator/world"

// NewOld makes the system that an earlier owner installed, a Debian: sshd with host keys of its own, another
// hostname, no password or key of ours. It is what answers when a machine with OldSystem boots its disk.
func NewOld(m *world.Machine, o Options) world.System {
	h := newHost(m, world.Rescue{Keys: o.OldKeys}, o)
	h.name, h.old = "debian", true
	return h
}
