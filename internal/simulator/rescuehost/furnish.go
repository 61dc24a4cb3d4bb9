package rescuehost

import (
	"crypto/rand"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"syscall"
	"time"

	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

const kernelVersion = "6.12.67"

// boot makes what a booted system has in its file system (HETZNER.md C.2, C.3).
func (h *Host) boot() {
	limit := h.m.MemoryBytes / 2
	if h.m.Kind == world.Cloud && !h.old && h.foreign == nil {
		limit = 960 << 20 // the root of a cloud server's rescue system
	}
	h.tree = newTree(time.Now, limit)
	for _, dir := range []string{"/tmp", "/run", "/run/lock", "/mnt", "/media", "/opt", "/root/.ssh", "/var/log", "/var/tmp", "/home", "/proc/self", "/sys/firmware", "/sys/class/net", "/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/usr/lib"} {
		_ = h.tree.mkdir(dir, true)
	}
	for link, target := range map[string]string{"/bin": "usr/bin", "/sbin": "usr/sbin", "/lib": "usr/lib", "/var/run": "/run", "/var/lock": "/run/lock"} {
		h.tree.symlink(link, target)
	}
	for name := range h.tools {
		if !strings.HasPrefix(name, "_") {
			h.tree.put("/usr/bin/"+name, &node{mode: 0o755, data: []byte("\x7fELF")})
		}
	}
	h.charDevices()
	h.smbios()
	h.proc()
	h.kexec()
	h.etc()
	h.foreign.furnish(h)
	h.firmware()
	h.nics()
	h.findDisks()
	h.mu.Lock()
	defer h.mu.Unlock()
	root := &mounted{source: "overlay", target: "/", kind: "overlay", opts: "rw,relatime,lowerdir=/nfsroot,upperdir=/ramfs/root,workdir=/ramfs/work"}
	if h.old {
		root = &mounted{source: "/dev/sda1", target: "/", kind: "ext4", opts: "rw,relatime"}
	}
	roots := []*mounted{root}
	if h.foreign != nil {
		roots = h.foreign.mounts()
	}
	h.mounts = append(append(roots, []*mounted{
		{source: "proc", target: "/proc", kind: "proc", opts: "rw,nosuid,nodev,noexec,relatime"},
		{source: "sysfs", target: "/sys", kind: "sysfs", opts: "rw,nosuid,nodev,noexec,relatime"},
		{source: "udev", target: "/dev", kind: "devtmpfs", opts: "rw,nosuid,relatime"},
		{source: "tmpfs", target: "/run", kind: "tmpfs", opts: "rw,nosuid,nodev,mode=755"},
	}...), h.mounts...)
	if !h.old && h.foreign == nil {
		h.mounts = append(h.mounts, &mounted{source: "213.133.99.101:/nfs", target: "/root/.oldroot/nfs", kind: "nfs", opts: "ro,noatime,vers=3,addr=213.133.99.101"})
	}
	if h.uefi() {
		opts := "ro,nosuid,nodev,noexec,relatime" // of rescue systems
		if h.old {
			opts = "rw,nosuid,nodev,noexec,relatime"
		}
		h.mounts = append(h.mounts, &mounted{source: "efivarfs", target: "/sys/firmware/efi/efivars", kind: "efivarfs", opts: opts})
	}
}

func (h *Host) uefi() bool { return h.m.UEFI || h.m.Arch == "arm64" }

func (h *Host) charDevices() {
	random := func(p []byte) (int, error) { return rand.Read(p) }
	sink := func(p []byte) (int, error) { return len(p), nil }
	zeroes := func(p []byte) (int, error) { clear(p); return len(p), nil }
	for name, d := range map[string]charDevice{
		"null":    {func([]byte) (int, error) { return 0, io.EOF }, sink},
		"zero":    {zeroes, sink},
		"full":    {zeroes, func([]byte) (int, error) { return 0, syscall.ENOSPC }},
		"random":  {random, sink},
		"urandom": {random, sink},
		"tty":     {func([]byte) (int, error) { return 0, syscall.ENXIO }, func([]byte) (int, error) { return 0, syscall.ENXIO }},
	} {
		h.tree.put("/dev/"+name, &node{mode: fs.ModeDevice | fs.ModeCharDevice | 0o666, dev: d})
	}
	h.tree.symlink("/dev/stdin", "/proc/self/fd/0")
	h.tree.symlink("/dev/fd", "/proc/self/fd")
}

// smbios is what dmidecode and /sys/class/dmi/id say (HETZNER.md D.3).
func (h *Host) smbios() {
	for name, value := range map[string]string{
		"product_uuid": h.m.UUID, "product_serial": h.m.Serial, "sys_vendor": h.m.Manufacturer, "product_name": h.product(),
		"product_family": h.family(), "board_vendor": h.m.Manufacturer, "board_name": h.product(), "bios_vendor": h.biosVendor(), "bios_version": "20171111",
		"chassis_type": "3", "board_serial": "M80-" + h.m.Serial,
	} {
		h.tree.text("/sys/class/dmi/id/"+name, value+"\n")
	}
}

func (h *Host) product() string {
	if h.m.Kind == world.Cloud {
		return "vServer"
	}
	return "System Product Name"
}

func (h *Host) family() string {
	if h.m.Kind == world.Cloud {
		return "Hetzner_vServer"
	}
	return "To be filled by O.E.M."
}

func (h *Host) biosVendor() string {
	if h.m.Kind == world.Cloud {
		return "Hetzner"
	}
	return "American Megatrends Inc."
}

func (h *Host) proc() {
	g := h.tree.generated
	g("/proc/cpuinfo", func() []byte {
		var b strings.Builder
		for i := range h.m.Cores {
			fmt.Fprintf(&b, "processor\t: %d\nvendor_id\t: %s\nmodel name\t: %s\ncpu MHz\t\t: 3600.000\ncpu cores\t: %d\nsiblings\t: %d\n\n", i, h.cpuVendor(), h.m.CPU, max(1, h.m.Cores/2), h.m.Cores)
		}
		return []byte(b.String())
	})
	g("/proc/meminfo", func() []byte {
		kib := h.memory() >> 10
		return fmt.Appendf(nil, "MemTotal:       %8d kB\nMemFree:        %8d kB\nMemAvailable:   %8d kB\nSwapTotal:             0 kB\nSwapFree:              0 kB\n", kib, kib*9/10, kib*9/10)
	})
	g("/proc/uptime", func() []byte { return fmt.Appendf(nil, "%.2f %.2f\n", h.uptime().Seconds(), h.uptime().Seconds()) })
	g("/proc/loadavg", func() []byte { return []byte("0.08 0.03 0.01 1/210 900\n") })
	g("/proc/version", func() []byte {
		return []byte("Linux version " + kernelVersion + " (root@rescue) (gcc (Debian 12.2.0-14) 12.2.0) #1 SMP\n")
	})
	g("/proc/cmdline", func() []byte {
		return []byte("BOOT_IMAGE=vmlinuz nfsroot=213.133.99.101:/nfs ip=dhcp net.ifnames=0 ramdisk_size=4096000\n")
	})
	g("/proc/mounts", func() []byte {
		var b strings.Builder
		for _, m := range h.mountLines() {
			fmt.Fprintf(&b, "%s %s %s %s 0 0\n", m.source, m.target, m.kind, m.opts)
		}
		return []byte(b.String())
	})
	h.tree.symlink("/proc/self/mounts", "/proc/mounts")
	h.tree.symlink("/etc/mtab", "/proc/mounts")
	g("/proc/mdstat", h.mdstat)
	g("/proc/swaps", func() []byte { return []byte("Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n") })
	g("/proc/partitions", func() []byte {
		b := []byte("major minor  #blocks  name\n\n")
		for i, d := range h.blocks() {
			b = fmt.Appendf(b, "%4d %8d %10d %s\n", 8, i, d.Size()>>10, d.base())
		}
		return b
	})
	h.tree.text("/proc/sys/kernel/random/boot_id", fmt.Sprintf("%08x-0000-4000-8000-%012x\n", uint32(h.booted.UnixNano()), h.m.Number))
	h.tree.text("/proc/sys/kernel/hostname", h.name+"\n")
	h.tree.text("/proc/sys/kernel/osrelease", kernelVersion+"\n")
	h.tree.put("/proc/sysrq-trigger", &node{mode: 0o200, gen: func() []byte { return nil }, set: h.sysrq})
}

// sysrq is the magic key: b and o act at once, without a sync.
func (h *Host) sysrq(p []byte) error {
	switch {
	case strings.HasPrefix(string(p), "b"):
		h.halt(world.Reboot)
	case strings.HasPrefix(string(p), "o"):
		h.halt(world.PowerOff)
	case strings.HasPrefix(string(p), "s"):
		h.sync()
	}
	return nil
}

// memory is what Linux calls MemTotal: some is lost to firmware and kernel.
func (h *Host) memory() int64 { return h.m.MemoryBytes - h.m.MemoryBytes/50 }

// uptime is in time of the world.
func (h *Host) uptime() time.Duration {
	real := time.Since(h.booted)
	second := h.w.Real(time.Second)
	if second <= 0 {
		return real
	}
	return time.Duration(float64(real) / float64(second) * float64(time.Second))
}

func (h *Host) cpuVendor() string {
	if strings.HasPrefix(h.m.CPU, "AMD") {
		return "AuthenticAMD"
	}
	return "GenuineIntel"
}

func (h *Host) mdstat() []byte {
	b := []byte("Personalities : [raid1] [raid0] [raid6] [raid5] [raid4] [raid10]\n")
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range h.arrays {
		b = fmt.Appendf(b, "%s : active raid%d", a.name, a.level)
		for i, m := range a.members {
			b = fmt.Appendf(b, " %s[%d]", m.base(), i)
		}
		b = fmt.Appendf(b, "\n      %d blocks super 1.2 [%d/%d] [%s]\n\n", a.size>>10, len(a.members), len(a.members), strings.Repeat("U", len(a.members)))
	}
	return append(b, "unused devices: <none>\n"...)
}

func (h *Host) etc() {
	t := h.tree
	t.text("/etc/hostname", h.name+"\n")
	t.text("/etc/os-release", "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\nVERSION=\"12 (bookworm)\"\nVERSION_CODENAME=bookworm\nID=debian\n")
	t.text("/etc/debian_version", "12.11\n")
	t.text("/etc/passwd", "root:x:0:0:root:/root:/bin/bash\n")
	t.text("/etc/group", "root:x:0:\n")
	t.text("/etc/resolv.conf", "nameserver 185.12.64.1\nnameserver 185.12.64.2\nnameserver 2a01:4ff:ff00::add:1\nnameserver 2a01:4ff:ff00::add:2\n")
	t.text("/sys/class/net/eth0/address", h.m.MAC+"\n")
	t.text("/sys/class/net/eth0/operstate", "up\n")
	t.text("/sys/class/net/lo/address", "00:00:00:00:00:00\n")
	if h.old {
		t.text("/etc/motd", "\nThe programs included with the Debian GNU/Linux system are free software.\n")
		t.text("/etc/hetzner-build", "Debian-1211-bookworm-amd64-base\n")
		return
	}
	var keys strings.Builder
	for _, k := range h.rescue.Keys {
		fmt.Fprintf(&keys, "%s %x\n", k.Type(), k.Marshal()[:8])
	}
	t.text("/root/.ssh/authorized_keys", keys.String())
	t.text("/root/.ssh/robot_user_keys", keys.String())
	t.text("/root/.oldroot/nfs/install/installimage", "#!/bin/bash\n")
	t.text("/root/.oldroot/nfs/images/Debian-1211-bookworm-amd64-base.tar.zst", "")
	t.generated("/etc/motd", h.motd)
}

// motd is what a login shows; disks as they were when asked.
func (h *Host) motd() []byte {
	firmware := "Legacy/CSM"
	if h.uefi() {
		firmware = "UEFI"
	}
	b := fmt.Appendf(nil, `
-------------------------------------------------------------------

  Welcome to the Hetzner Rescue System.

  This Rescue System is based on Debian GNU/Linux 12 (bookworm) with a custom kernel.
  You can install software like you would in a normal system.

  To install a new operating system from one of our prebuilt images, run 'installimage'.

-------------------------------------------------------------------

Rescue System (via %s) up since %s

Hardware data:

   CPU1: %s (Cores %d)
   Memory:  %d MB
`, firmware, h.booted.Format("2006-01-02 15:04 -07:00"), h.m.CPU, h.m.Cores, h.memory()>>20)
	total := int64(0)
	h.mu.Lock()
	disks := h.disks
	h.mu.Unlock()
	for _, d := range disks {
		note := ""
		if partitionTable(d) == "" {
			note = " doesn't contain a valid partition table"
		}
		b = fmt.Appendf(b, "   Disk /dev/%s: %d GB (=> %d GiB)%s\n", d.name, d.SizeBytes/1e9, d.SizeBytes>>30, note)
		total += d.SizeBytes
	}
	b = fmt.Appendf(b, "   Total capacity %d GiB with %d Disks\n\nNetwork data:\n   eth0  LINK: yes\n         MAC:  %s\n", total>>30, len(disks), h.m.MAC)
	if h.m.IPv4.IsValid() {
		b = fmt.Appendf(b, "         IP:   %s\n", h.m.IPv4)
	}
	if h.m.IPv6Net.IsValid() {
		b = fmt.Appendf(b, "         IPv6: %s/64\n", h.m.IPv6Net.Addr().Next().Next())
	}
	return append(b, "         Intel(R) PRO/1000 Network Driver\n\n"...)
}
