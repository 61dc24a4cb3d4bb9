package emulated

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"
)

// everyBus is a disk of each kind.
var everyBus = []Disk{
	{Bus: Virtio, Serial: "VIRT0001"},
	{Bus: SATA, Serial: "SATA0001", WWN: "5000c500a1b2c3d4", Model: "ST4000NM0245"},
	{Bus: NVMe, Serial: "NVME0001", WWN: "002538b321c5527c"},
	{Bus: SCSI, Serial: "SCSI0001", WWN: "500a07511610dce0"},
}

// lab runs commands in the rescue system of a machine for a test.
type lab struct {
	*testing.T
	ctx context.Context
	m   *Machine
}

func newLab(t *testing.T, o Options) *lab {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	t.Cleanup(cancel)
	return &lab{t, ctx, New(t, o)}
}

func (l *lab) must(err error) {
	l.Helper()
	if err != nil {
		l.Fatal(err)
	}
}

// prints runs a script and looks for each of these in what it prints.
func (l *lab) prints(script string, wanted ...string) {
	l.Helper()
	out, err := l.m.Run(l.ctx, script)
	l.must(err)
	for _, w := range wanted {
		if !strings.Contains(out, w) {
			l.Errorf("%s\nprints no %q but\n%s", script, w, out)
		}
	}
}

// furnished are the disks of a machine that has everything on it.
var furnished = []Layout{Ext4, LUKS, LVM, XFS, ZFS, Ceph, Talos, ESP}

func TestRescueSystemIsAsHetznersWithBIOS(t *testing.T) {
	disks := append([]Disk{}, everyBus...)
	for len(disks) < len(furnished)+2 {
		disks = append(disks, Disk{Bus: Virtio})
	}
	l := newLab(t, Options{Disks: disks, UUID: "11111111-2222-4333-8444-555555555555", Serial: "SYS, 7", Board: "X11", RescueArguments: "loglevel=7"})
	start := time.Now()
	l.must(l.m.BootRescue(l.ctx))
	t.Logf("the rescue system answers after %s", time.Since(start).Round(time.Second))
	looksLikeHetzners(l)
	l.prints("cd /sys/class/dmi/id; cat product_uuid product_serial board_name",
		"11111111-2222-4333-8444-555555555555\nSYS, 7\nX11\n")
	l.prints("cat /sys/block/*/wwid /sys/block/*/device/wwid", "eui.002538b321c5527c", "naa.5000c500a1b2c3d4", "naa.500a07511610dce0")
	l.prints("lsblk -dnro SERIAL,WWN,TYPE,RO,TRAN", "VIRT0001  disk 0", "SATA0001 0x5000c500a1b2c3d4 disk 0 sata",
		"NVME0001 eui.002538b321c5527c disk 0 nvme", "SCSI0001 0x500a07511610dce0 disk 0", "loop 1")
	l.prints("test -d /sys/firmware/efi || echo no UEFI", "no UEFI")
	answersLikeANetwork(l)

	for i, layout := range furnished {
		l.must(l.m.Furnish(l.ctx, layout, i))
	}
	l.must(l.m.Furnish(l.ctx, RAID1, len(furnished), len(furnished)+1))
	l.prints("udevadm settle; lsblk -nro FSTYPE,LABEL | sort -u", "ext4 family", "xfs backup", "crypto_LUKS vault", "zfs_member tank", "ceph_bluestore", "xfs STATE",
		"LVM2_member", "linux_raid_member rescue:1", "ext4 root", "vfat")
	l.prints("cat /proc/mdstat; dmsetup ls", "md1 : active raid1", "vg0-root", "secret")

	kexecIsNoBoot(l)
	l.prints("(sleep 0.2; poweroff) >/dev/null 2>&1 </dev/null &")
	l.must(l.m.AwaitOff(l.ctx))
}

// kexecIsNoBoot has the rescue system go into itself once more: the machine knows nothing of it, and its host keys stay.
// Arrays are assembled by themselves, as Hetzner's does.
func kexecIsNoBoot(l *lab) {
	l.Helper()
	l.prints("cd /root/.oldroot/nfs; kexec -l vmlinuz --initrd=initrd --reuse-cmdline && (sleep 0.2; systemctl kexec) >/dev/null 2>&1 </dev/null &")
	for range 2 {
		if _, err := l.m.Console().Await(l.ctx, "rescue: up"); err != nil {
			l.Fatal(err)
		}
	}
	l.must(l.m.AwaitRescue(l.ctx))
	l.prints("cat /proc/mdstat", "md0 : active", "md1 : active")
	if b := l.m.Boots(); len(b) != 1 {
		l.Errorf("a kexec counted as a boot: %v", b)
	}
}

// looksLikeHetzners checks what our scripts, and those of others, tell Hetzner's rescue system by.
func looksLikeHetzners(l *lab) {
	l.Helper()
	l.prints("hostname; cat /etc/motd", "rescue\n", "Welcome to the Hetzner Rescue System.")
	l.prints("cat /proc/mounts", "overlay / overlay rw,relatime,lowerdir=/nfsroot,upperdir=/ramfs/root,workdir=/ramfs/work", " /root/.oldroot/nfs ")
	l.prints("ip -o -4 addr show eth0; ip route", "10.0.2.15/24", "default via 10.0.2.2 dev eth0")
	l.prints(`for tool in bash curl wget zstd xz bzip2 gzip dd cmp sha256sum sgdisk sfdisk parted partprobe wipefs blkdiscard blockdev blkid lsblk \
		udevadm mdadm lvm vgchange cryptsetup dmsetup smartctl nvme dmidecode lspci lscpu ethtool ip efibootmgr mkfs.vfat mkfs.xfs mkfs.ext4 \
		kexec perl nohup setsid ps pgrep pkill fuser mount umount awk flock timeout tac od truncate mktemp chroot reboot systemctl sshd; do
			command -v $tool >/dev/null || echo "no $tool"
		done; echo checked`, "checked")
	l.prints("cat <(echo through /dev/fd) 2>&1; echo out >/dev/stdout", "through /dev/fd", "out")
	if out, err := l.m.Run(l.ctx, "set -e; curl --version; wget --version; lvm version; mdadm --version 2>&1; awk 'BEGIN{print 6*7}'"); err != nil {
		l.Errorf("%v: %s", err, out)
	}
}

// answersLikeANetwork checks that Dial tells a closed port from an open one.
func answersLikeANetwork(l *lab) {
	l.Helper()
	conn, err := l.m.Dial(l.ctx, "tcp", "203.0.113.10:22")
	l.must(err)
	conn.Close()
	if conn, err := l.m.Dial(l.ctx, "tcp", "203.0.113.10:50000"); !errors.Is(err, syscall.ECONNREFUSED) {
		l.Errorf("nothing listens on port 50000, and dialling it gives %v, %v", conn, err)
	}
}

// rebootCommand has the guest reboot, which breaks the connection.
func (l *lab) rebootCommand() error {
	_, err := l.m.Run(l.ctx, "(sleep 0.2; reboot) >/dev/null 2>&1 </dev/null &")
	return err
}

func TestRescueSystemIsAsHetznersWithUEFI(t *testing.T) {
	l := newLab(t, Options{Firmware: UEFI, Disks: []Disk{{Bus: NVMe}, {Bus: SATA}}})
	start := time.Now()
	l.must(l.m.BootRescue(l.ctx))
	t.Logf("the rescue system answers after %s", time.Since(start).Round(time.Second))
	looksLikeHetzners(l)
	l.prints("grep efivarfs /proc/mounts", "/sys/firmware/efi/efivars efivarfs ro,")
	l.must(l.m.Furnish(l.ctx, ESP, 1))
	l.prints("efibootmgr", "* debian")
	l.prints("mount $(lsblk -nrpo NAME,PARTLABEL | sed -n 's/ EFI-SYSTEM$//p') /mnt; find /mnt; umount /mnt", "/mnt/EFI/debian/shimx64.efi")

	// Its variables last, and it boots what they say.
	l.must(l.rebootCommand())
	if _, err := l.m.Console().Await(l.ctx, `"debian" from HD(1,GPT,`); err != nil {
		t.Error(err)
	}
	if b := l.m.Boots(); len(b) != 2 || !b[0].Rescue || b[1].Rescue {
		t.Errorf("boots: %v, want one of the rescue system and one from the disk", b)
	}
	l.m.PowerOff()
	ctx, cancel := context.WithTimeout(l.ctx, 200*time.Millisecond)
	defer cancel()
	if _, err := l.m.Dial(ctx, "tcp", "203.0.113.10:22"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a machine without power answers: %v", err)
	}
}
