package rescue

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Servers of any make have rescue systems of any make: other providers', live systems from a USB stick, what somebody
// boots over the network. No greeting and no hostname tells them from an installed system. What does: they run in
// memory, and nothing of theirs is on a disk, but for the medium they came from.

// openAnyMake is Open for a host key that somebody wrote down: which of the machine's keys that is, is not known, and
// sshd presents the one of the kind that is asked for.
func openAnyMake(ctx context.Context, o Options) (*Session, error) {
	s, err := open(ctx, o)
	if len(o.Pins) == 0 {
		return s, err
	}
	for _, kind := range [][]string{{ssh.KeyAlgoED25519}, {ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}, {ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521}} {
		if !errors.Is(err, ErrHostKey) {
			break
		}
		o.keyKinds = kind
		if again, second := open(ctx, o); second == nil {
			return again, nil
		} else if errors.Is(second, ErrHostKey) || fleet.KindOf(second) == fleet.Unauthorized {
			err = second
		}
	}
	return s, err
}

// mount is a line of /proc/mounts.
type mount struct{ source, target, kind, options string }

func parseMounts(text string) []mount {
	var all []mount
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) >= 4 {
			all = append(all, mount{f[0], f[1], f[2], f[3]})
		}
	}
	return all
}

// onDisk says whether a mount shows what is on a disk of the machine.
func (m mount) onDisk() bool {
	if m.kind == "zfs" || m.kind == "bcachefs" {
		return true
	}
	dev, ok := strings.CutPrefix(m.source, "/dev/")
	if !ok {
		return false
	}
	return !slices.ContainsFunc([]string{"loop", "ram", "zram", "sr", "nbd", "fd"}, func(kind string) bool {
		return strings.HasPrefix(dev, kind) && strings.Trim(dev[len(kind):], "0123456789p") == ""
	})
}

// inMemory refuses a machine that is not certainly run from memory.
func (s *Session) inMemory(sections map[string]string) error {
	why := runsFromDisk(parseMounts(sections["mounts"]), strings.Fields(sections["filesystems"]))
	if why == "" {
		return nil
	}
	return fleet.Errorf(fleet.Refused, "server %s: what answers calls itself %q and is no rescue system: %s", s.server, sections["hostname"], why).
		WithHint("boot its rescue system, or a live system that runs in memory, and give root the key that `talos-manager ssh-key show` prints")
}

// runsFromDisk says why a system is an installed one, "" if it runs in memory. used are the devices with a file system
// that the kernel has open, whether a mount shows it or not.
func runsFromDisk(mounts []mount, used []string) string {
	at := func(target string) mount {
		for _, m := range slices.Backward(mounts) { // what was mounted last is what is seen
			if m.target == target {
				return m
			}
		}
		return mount{}
	}
	root := at("/")
	switch kind := root.kind; {
	case kind == "":
		return "it does not say what its root is"
	case root.onDisk():
		return fmt.Sprintf("its root is on %s", root.source)
	case kind == "overlay" || kind == "aufs" || strings.HasPrefix(root.source, "/dev/"):
		if why := hiddenDisk(root, mounts, used); why != "" {
			return why
		}
	case !slices.Contains([]string{"rootfs", "tmpfs", "ramfs", "squashfs", "erofs", "iso9660", "nfs", "nfs4"}, kind):
		return fmt.Sprintf("its root is a %s of which we do not know that it is in memory", kind)
	}
	for _, m := range mounts { // a root in memory with the rest on a disk is an installed system, too
		if m.onDisk() && !besides(m.target) {
			return fmt.Sprintf("its %s is on %s", m.target, m.source)
		}
	}
	return ""
}

// hiddenDisk says where an overlay, or a device of the kernel's, keeps what is written to it, if that may be on a disk.
// Its mount may have been hidden since; the kernel knows it still.
func hiddenDisk(root mount, mounts []mount, used []string) string {
	for _, dir := range layers(root, "lowerdir=") {
		if m := holder(dir, mounts); m.onDisk() && m.target == path.Clean(dir) {
			return fmt.Sprintf("its root lies over the one on %s", m.source)
		}
	}
	for _, dir := range layers(root, "upperdir=") {
		if m := holder(dir, mounts); m.onDisk() {
			return fmt.Sprintf("what is written to its root goes to %s", m.source)
		} else if m.kind == "tmpfs" || m.kind == "ramfs" {
			return ""
		}
	}
	for _, dev := range used {
		if (mount{source: "/dev/" + dev}).onDisk() && !slices.Contains([]string{"features", "stats", "debug", "tuning"}, dev) {
			return fmt.Sprintf("its root is a %s, and a file system on %s is in use", root.kind, dev)
		}
	}
	return ""
}

// layers are the directories that an overlay has as its lowerdir= or upperdir=.
func layers(root mount, which string) []string {
	for option := range strings.SplitSeq(root.options, ",") {
		if dirs, ok := strings.CutPrefix(option, which); ok {
			return strings.Split(dirs, ":")
		}
	}
	return nil
}

// holder is the mount that a path is on; none if only the root's, which says nothing of a path from before it was the root.
func holder(p string, mounts []mount) mount {
	for p = path.Clean(p); p != "/" && p != "."; p = path.Dir(p) {
		for _, m := range slices.Backward(mounts) {
			if m.target == p {
				return m
			}
		}
	}
	return mount{}
}

// besides says whether a system that runs in memory may have a disk mounted there: its own medium, or what somebody looks at.
func besides(target string) bool {
	return medium(target) || slices.ContainsFunc([]string{"/mnt", "/media", "/tmp", "/root", "/target"}, func(dir string) bool {
		return target == dir || strings.HasPrefix(target, dir+"/")
	})
}

// medium says whether live systems have the medium there that they came from (Debian, Ubuntu, Arch, Fedora and their kin).
func medium(target string) bool {
	return slices.ContainsFunc([]string{"/run", "/lib/live", "/usr/lib/live", "/cdrom", "/isodevice", "/livecd", "/initrd"}, func(dir string) bool {
		return target == dir || strings.HasPrefix(target, dir+"/")
	})
}

// ownMedia names the devices that a live system came from. They are not to be installed on.
func ownMedia(mounts []mount) []string {
	var all []string
	for _, m := range mounts {
		if m.onDisk() && medium(m.target) {
			all = append(all, strings.TrimPrefix(m.source, "/dev/"))
		}
	}
	return all
}

// withoutMedia leaves out the disks that a live system stands on.
func withoutMedia(disks []fleet.Disk, mounts []mount) []fleet.Disk {
	media := ownMedia(mounts)
	return slices.DeleteFunc(slices.Clone(disks), func(d fleet.Disk) bool {
		return slices.ContainsFunc(media, func(dev string) bool { return dev == d.Name || isPartition(dev, d.Name) })
	})
}

// isPartition says by the kernel's names whether a device is a partition of a disk: sda1, nvme0n1p1.
func isPartition(device, disk string) bool {
	if disk == "" {
		return false
	}
	if last := disk[len(disk)-1]; last >= '0' && last <= '9' {
		disk += "p"
	}
	number, ok := strings.CutPrefix(device, disk)
	return ok && number != "" && strings.Trim(number, "0123456789") == ""
}
