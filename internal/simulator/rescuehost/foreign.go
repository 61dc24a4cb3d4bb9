package rescuehost

import (
	"strings"

	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// Foreign is a rescue system that is not Hetzner's: of another provider, or a live system that somebody booted. What
// differs is how it shows itself; its tools are the same.
type Foreign struct {
	Hostname string
	Greeting string   // /etc/motd
	Mounts   []string // as in /proc/mounts, the root first
	Port     uint16   // of sshd; 0 is 22
	Used     []string // devices with a file system that the kernel has open, as in /sys/fs/ext4
}

// OVH is the rescue system of another provider: its hostname is that of Hetzner's.
func OVH() *Foreign {
	return &Foreign{
		Hostname: "rescue", Greeting: "rescue mode: your data is on the disks, mount them to look at it\n",
		Mounts: []string{
			"overlay / overlay rw,relatime,lowerdir=/run/rescue/lower,upperdir=/run/rescue/rw/upper,workdir=/run/rescue/rw/work",
			"tmpfs /run/rescue/rw tmpfs rw,relatime",
			"/dev/loop0 /run/rescue/lower squashfs ro,relatime",
		},
	}
}

// DebianLive is a live system from a USB stick or an ISO. Debian's live-boot mounts it so.
func DebianLive() *Foreign {
	return &Foreign{
		Hostname: "debian", Greeting: "The programs included with the Debian GNU/Linux system are free software\n",
		Mounts: []string{
			"overlay / overlay rw,noatime,lowerdir=/run/live/rootfs/filesystem.squashfs/,upperdir=/run/live/overlay/rw,workdir=/run/live/overlay/work",
			"/dev/sr0 /run/live/medium iso9660 ro,noatime",
			"/dev/loop0 /run/live/rootfs/filesystem.squashfs squashfs ro,noatime",
			"tmpfs /run/live/overlay tmpfs rw,noatime,mode=755",
		},
		Used: []string{"features"},
	}
}

// Impermanent is an installed system whose root is in memory, and all that it boots from on a disk.
func Impermanent() *Foreign {
	return &Foreign{
		Hostname: "nixos", Greeting: "Welcome to NixOS\n",
		Mounts: []string{
			"tmpfs / tmpfs rw,relatime,mode=755",
			"/dev/sda2 /nix ext4 rw,relatime",
			"/dev/sda1 /boot vfat rw,relatime",
		},
		Used: []string{"features", "sda2"},
	}
}

// NewForeign makes a rescue system of another make. Who may log in, and with which host keys, is as for New.
func NewForeign(m *world.Machine, r world.Rescue, o Options, f *Foreign) world.System {
	h := newHost(m, r, o)
	h.name, h.foreign = f.Hostname, f
	return h
}

// furnish makes the file system look as the foreign one's.
func (f *Foreign) furnish(h *Host) {
	if f == nil {
		return
	}
	h.tree.text("/etc/motd", f.Greeting)
	for _, path := range []string{"/root/.oldroot", "/root/.ssh/robot_user_keys"} {
		_ = h.tree.remove(path, true)
	}
	for _, dev := range f.Used {
		_ = h.tree.mkdir("/sys/fs/ext4/"+dev, true)
	}
}

// mounts are what it has mounted besides what every system has.
func (f *Foreign) mounts() []*mounted {
	var all []*mounted
	for _, line := range f.Mounts {
		word := strings.Fields(line)
		all = append(all, &mounted{source: word[0], target: word[1], kind: word[2], opts: word[3]})
	}
	return all
}

// sshPort is where sshd listens.
func (h *Host) sshPort() uint16 {
	if h.foreign != nil && h.foreign.Port != 0 {
		return h.foreign.Port
	}
	return 22
}
