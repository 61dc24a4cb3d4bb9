package rescue

import (
	"strings"
	"testing"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// proc is what every system has mounted, too.
const proc = "proc /proc proc rw 0 0\nsysfs /sys sysfs rw 0 0\nudev /dev devtmpfs rw 0 0\n"

func TestOnlyASystemThatRunsInMemoryIsARescueSystem(t *testing.T) {
	for _, tc := range []struct {
		why, mounts, used string
		text              string // of the refusal, "" if it is one
	}{
		{"Debian live from a stick", "overlay / overlay rw,noatime,lowerdir=/run/live/rootfs/filesystem.squashfs/,upperdir=/run/live/overlay/rw,workdir=/run/live/overlay/work 0 0\n" +
			"tmpfs /run tmpfs rw 0 0\n/dev/sdb1 /run/live/medium iso9660 ro 0 0\n/dev/loop0 /run/live/rootfs/filesystem.squashfs squashfs ro 0 0\ntmpfs /run/live/overlay tmpfs rw 0 0\n", "features", ""},
		{"Debian live that keeps what it writes on a disk", "overlay / overlay rw,lowerdir=/x,upperdir=/run/live/persistence/sda3/rw,workdir=/x 0 0\ntmpfs /run tmpfs rw 0 0\n" +
			"/dev/sda3 /run/live/persistence/sda3 ext4 rw 0 0\n", "features\nsda3", "goes to /dev/sda3"},
		{"Ubuntu live, whose upper layer no mount shows", "/cow / overlay rw,relatime,lowerdir=/minimal.squashfs,upperdir=/cow/upper,workdir=/cow/work 0 0\n/dev/sr0 /cdrom iso9660 ro 0 0\n", "features", ""},
		{"the same, with a file system of a disk in use that no mount shows", "/cow / overlay rw,lowerdir=/a,upperdir=/cow/upper,workdir=/cow/work 0 0\n", "features\nsda2", "file system on sda2 is in use"},
		{"SystemRescue", "airootfs / overlay rw,lowerdir=/run/archiso/sfs/airootfs,upperdir=/run/archiso/cowspace/x/upperdir,workdir=/w 0 0\ntmpfs /run/archiso/cowspace tmpfs rw 0 0\n", "", ""},
		{"a rescue system in an initramfs", "rootfs / rootfs rw 0 0\n", "", ""},
		{"a root in a tmpfs", "tmpfs / tmpfs rw 0 0\n", "stats\ndebug", ""},
		{"a root over NFS", "10.0.0.1:/srv/rescue / nfs ro 0 0\n", "", ""},
		{"Hetzner's", "overlay / overlay rw,relatime,lowerdir=/nfsroot,upperdir=/ramfs/root,workdir=/ramfs/work 0 0\n213.133.99.101:/nfs /root/.oldroot/nfs nfs ro 0 0\n", "", ""},
		{"an image in a ramdisk", "/dev/ram0 / ext4 rw 0 0\n", "features\nram0", ""},
		{"an installed disk that somebody looks at", "tmpfs / tmpfs rw 0 0\n/dev/sda1 /mnt/old ext4 rw 0 0\n", "sda1", ""},
		{"installed", "/dev/sda1 / ext4 rw 0 0\n", "sda1", "root is on /dev/sda1"},
		{"installed, with what the initramfs mounted first", "rootfs / rootfs rw 0 0\n/dev/nvme0n1p2 / btrfs rw 0 0\n", "", "root is on /dev/nvme0n1p2"},
		{"installed on LVM", "/dev/mapper/vg-root / ext4 rw 0 0\n", "", "root is on /dev/mapper/vg-root"},
		{"installed on md", "/dev/md2 / ext4 rw 0 0\n", "", "root is on /dev/md2"},
		{"installed on ZFS", "rpool/ROOT/pve-1 / zfs rw 0 0\n", "", "root is on rpool/ROOT/pve-1"},
		{"installed, with a root that is gone with every boot", "tmpfs / tmpfs rw 0 0\n/dev/sda2 /nix ext4 rw 0 0\n/dev/sda1 /boot vfat rw 0 0\n", "sda2", "/nix is on /dev/sda2"},
		{"installed, with an overlay over it", "overlayroot / overlay rw,lowerdir=/media/root-ro,upperdir=/media/root-rw/overlay,workdir=/w 0 0\n/dev/sda1 /media/root-ro ext4 ro 0 0\ntmpfs /media/root-rw tmpfs rw 0 0\n/dev/sda15 /boot/efi vfat rw 0 0\n", "sda1", "lies over the one on /dev/sda1"},
		{"a container on an installed system", "overlay / overlay rw,lowerdir=/var/lib/docker/overlay2/l/A,upperdir=/var/lib/docker/overlay2/x/diff,workdir=/w 0 0\n/dev/sda1 /etc/hosts ext4 rw 0 0\n", "sda1", "file system on sda1 is in use"},
		{"a file in a loop on an installed system's disk", "/dev/loop0 / ext4 rw 0 0\n", "loop0\nsda1", "file system on sda1 is in use"},
		{"something unknown", "x / fancyfs rw 0 0\n", "", "fancyfs"},
		{"nothing is told", "", "", "does not say"},
	} {
		why := runsFromDisk(parseMounts(tc.mounts+proc), strings.Fields(tc.used))
		if (why == "") != (tc.text == "") || !strings.Contains(why, tc.text) {
			t.Errorf("%s: got %q, want %q", tc.why, why, tc.text)
		}
	}
}

func TestAStickThatTheSystemCameFromIsNoDiskToInstallOn(t *testing.T) {
	disks := []fleet.Disk{{Name: "sda"}, {Name: "sdb"}, {Name: "sdaa"}, {Name: "nvme0n1"}, {Name: "nvme0n10"}}
	for _, tc := range []struct{ why, mounts, gone string }{
		{"a partition", "/dev/sdb1 /run/live/medium vfat ro 0 0\n", "sdb"},
		{"all of it", "/dev/sdb /run/live/medium iso9660 ro 0 0\n", "sdb"},
		{"names that begin alike", "/dev/sdaa1 /cdrom vfat ro 0 0\n", "sdaa"},
		{"names that begin alike, with numbers", "/dev/nvme0n10p1 /cdrom vfat ro 0 0\n", "nvme0n10"},
		{"a disk that somebody looks at", "/dev/sda1 /mnt ext4 ro 0 0\n", ""},
		{"a CD", "/dev/sr0 /cdrom iso9660 ro 0 0\n", ""},
	} {
		var gone []string
		left := withoutMedia(disks, parseMounts(tc.mounts))
		for _, d := range disks {
			found := false
			for _, l := range left {
				found = found || l.Name == d.Name
			}
			if !found {
				gone = append(gone, d.Name)
			}
		}
		if got := strings.Join(gone, " "); got != tc.gone {
			t.Errorf("%s: left out %q, want %q", tc.why, got, tc.gone)
		}
	}
}
