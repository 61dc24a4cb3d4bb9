package rescuehost

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

func TestLsblkPrintsWhatRescueSystemsPrint(t *testing.T) {
	c := newRig(t, Options{}, nil).dial()
	pairs := script(t, c, `lsblk -b -P -o "NAME,TYPE,SIZE,VENDOR,MODEL,SERIAL,WWN,HCTL,ROTA"`)
	want := `NAME="loop0" TYPE="loop" SIZE="3068773888" VENDOR="" MODEL="" SERIAL="" WWN="" HCTL="" ROTA="0"
NAME="nvme0n1" TYPE="disk" SIZE="512110190592" VENDOR="" MODEL="SAMSUNG MZVL2512HCJQ-00B00" SERIAL="S675NX1T364492" WWN="eui.002538b321c5527c" HCTL="" ROTA="0"
`
	if !strings.HasPrefix(pairs, want) {
		t.Errorf("-P prints\n%s", pairs)
	}
	var got, sample any
	if err := json.Unmarshal([]byte(script(t, c, "lsblk -J -b -o NAME,TYPE,SIZE,MODEL,SERIAL,WWN,HCTL,ROTA,TRAN")), &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(`{"blockdevices":[
 {"name":"loop0","type":"loop","size":3068773888,"model":null,"serial":null,"wwn":null,"hctl":null,"rota":false,"tran":null},
 {"name":"nvme0n1","type":"disk","size":512110190592,"model":"SAMSUNG MZVL2512HCJQ-00B00","serial":"S675NX1T364492",
  "wwn":"eui.002538b321c5527c","hctl":null,"rota":false,"tran":"nvme"},
 {"name":"sda","type":"disk","size":4000787030016,"model":"ST4000NM0245-1Z2107","serial":"ZC11ABCD","wwn":"0x5000c500a1b2c3d4",
  "hctl":"0:0:0:0","rota":true,"tran":"sata"}]}`), &sample); err != nil {
		t.Fatal(err)
	}
	a, _ := json.Marshal(got)
	b, _ := json.Marshal(sample)
	if !bytes.Equal(a, b) {
		t.Errorf("-J prints\n%s\nwant\n%s", a, b)
	}
}

func TestLinksByID(t *testing.T) {
	c := newRig(t, Options{}, nil).dial()
	out := script(t, c, "cd /dev/disk/by-id; for l in *; do echo $l $(readlink -f $l); done")
	for _, want := range []string{
		"nvme-SAMSUNG_MZVL2512HCJQ-00B00_S675NX1T364492 /dev/nvme0n1", "nvme-eui.002538b321c5527c /dev/nvme0n1",
		"wwn-0x5000c500a1b2c3d4 /dev/sda", "ata-ST4000NM0245-1Z2107_ZC11ABCD /dev/sda",
	} {
		if !strings.Contains(out, want+"\n") {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

// written is a rig whose first disk holds an image.
func written(t *testing.T, o Options, change func(*world.Spec)) *rig {
	t.Helper()
	r := newRig(t, o, func(s *world.Spec) {
		if change != nil {
			change(s)
		}
		if err := world.InstallImage(s.Disks[0], spec()); err != nil {
			t.Fatal(err)
		}
	})
	return r
}

func TestGrubCfgIsEditedThroughAMount(t *testing.T) {
	r := written(t, Options{}, nil)
	script(t, r.dial(), `set -e
mount -t xfs /dev/disk/by-partlabel/BOOT /mnt
mountpoint -q /mnt
ls /mnt/grub | grep -qx grub.cfg
sed -i 's|talos.platform=metal|& talos.config=http://h/c|' /mnt/grub/grub.cfg
! wipefs -a /dev/nvme0n1 2>/dev/null
sync; umount /mnt
! mountpoint -q /mnt; [ -z "$(ls /mnt)" ]`)
	info, err := world.ReadBoot(r.m.Disks[0])
	if url, _ := info.Arg("talos.config"); err != nil || url != "http://h/c" {
		t.Errorf("boots %+v, %v", info, err)
	}
}

func TestMetaIsWrittenWithDd(t *testing.T) {
	r := written(t, Options{}, nil)
	raw, err := world.EncodeMeta(map[uint8]string{world.MetaDownloadURLCode: "one-time"})
	if err != nil {
		t.Fatal(err)
	}
	_, eout, status := run(t, r.dial(), `s=$(sfdisk -J /dev/nvme0n1 | grep '"META"' -B5 | sed -n 's/.*"start": \([0-9]*\),/\1/p')
dd of=/dev/nvme0n1 bs=512 seek=$s conv=notrunc,fsync status=none`, bytes.NewReader(raw))
	if status != 0 {
		t.Fatalf("%d %s", status, eout)
	}
	info, err := world.ReadBoot(r.m.Disks[0])
	if err != nil || info.Meta[world.MetaDownloadURLCode] != "one-time" {
		t.Errorf("boots %+v, %v", info, err)
	}
}

func TestDisksAreWipedByTheUsualTools(t *testing.T) {
	for _, c := range []struct {
		why, script string
		want        error
	}{
		{"wipefs erases the table", "wipefs -a -f /dev/nvme0n1 | grep -q 'bytes were erased at offset 0x00000200 (gpt): 45 46 49 20 50 41 52 54'; ! ls /dev/nvme0n1p1 2>/dev/null", world.ErrNoTalos},
		{"sgdisk zaps it", "sgdisk --zap-all /dev/nvme0n1 | grep -q 'GPT data structures destroyed'; ! test -b /dev/nvme0n1p1", world.ErrNoTalos},
		{"sfdisk deletes all partitions", "sfdisk --delete /dev/nvme0n1; [ -z \"$(lsblk -n -o TYPE /dev/nvme0n1 | grep part)\" ]", world.ErrNoTalos},
		{"blkdiscard forgets everything", "blkdiscard -f /dev/nvme0n1; [ -z \"$(wipefs /dev/nvme0n1)\" ]", world.ErrNoTalos},
		{"zeroes over the kernel corrupt it", "dd if=/dev/zero of=/dev/nvme0n1 bs=1M seek=33 count=1 conv=notrunc status=none", world.ErrCorrupt},
		{"the backup of the table is moved", "sgdisk -e /dev/nvme0n1 | grep -q 'completed successfully'; sgdisk -p /dev/nvme0n1 | grep -q ' EF00  EFI$'", nil},
	} {
		t.Run(c.why, func(t *testing.T) {
			r := written(t, Options{}, nil)
			script(t, r.dial(), "set -e\n"+c.script)
			if _, err := world.ReadBoot(r.m.Disks[0]); !is(err, c.want) {
				t.Errorf("the disk then is: %v, want %v", err, c.want)
			}
		})
	}
}

func TestDiscardsThatDisksRefuse(t *testing.T) {
	r := newRig(t, Options{TrimIsAdvisory: true}, nil)
	out, eout, status := run(t, r.dial(), "blkdiscard /dev/sda; echo $?; printf x | dd of=/dev/nvme0n1 status=none; blkdiscard /dev/nvme0n1 && head -c 1 /dev/nvme0n1", nil)
	if out != "1\nx" || status != 0 || !strings.Contains(eout, "Operation not supported") {
		t.Errorf("%q %q %d", out, eout, status)
	}
}

func TestArraysAreAssembledAndBusyUntilStopped(t *testing.T) {
	r := newRig(t, Options{}, func(s *world.Spec) {
		for _, d := range s.Disks {
			if err := WriteRAIDMember(d, 0, 100<<30, "rescue:0", 1, 2); err != nil {
				t.Fatal(err)
			}
		}
	})
	script(t, r.dial(), `set -e
lsblk -n -o NAME,TYPE,FSTYPE /dev/sda | grep -q linux_raid_member
[ -b /dev/md0 ] && grep -q 'md0 : active raid1' /proc/mdstat
err=$(wipefs -a /dev/sda 2>&1) && exit 1
[[ $err == *"Device or resource busy"* ]]
! mdadm --zero-superblock /dev/sda 2>/dev/null
mdadm --stop --scan 2>&1 | grep -q 'stopped /dev/md0'
mdadm --zero-superblock /dev/sda /dev/nvme0n1
! [ -b /dev/md0 ]; [ -z "$(wipefs /dev/sda)" ]`)
}

func TestDdCountsAndFailsLikeGNU(t *testing.T) {
	c := newRig(t, Options{}, nil).dial()
	for _, x := range []struct{ why, script, out string }{
		{"short reads of a pipe are short blocks", "{ printf aa; while [ ! -e /tmp/go ]; do :; done; printf bb; } | { dd bs=4 count=1 2>/dev/null; touch /tmp/go; }; echo", "aa\n"},
		{"fullblock waits", "{ printf aa; sleep 1; printf bb; } | dd bs=4 count=1 iflag=fullblock 2>/dev/null; echo", "aabb\n"},
		{"skip, seek, notrunc", "cd /tmp; printf 0123456789 >f; printf AB | dd of=f bs=1 seek=3 conv=notrunc status=none; dd if=f bs=1 skip=2 count=4 status=none; echo; cat f", "2AB5\n012AB56789"},
		{"bytes instead of blocks", "printf 0123456789 | dd bs=4 skip=1 count=5 iflag=skip_bytes,count_bytes,fullblock status=none", "12345"},
		{"a sparse copy has the whole length", "cd /tmp; { printf x; head -c 4095 /dev/zero; head -c 8192 /dev/zero; } | dd of=s bs=4096 iflag=fullblock conv=sparse status=none; stat -c %s s", "12288\n"},
		{"the end of a device", "dd if=/dev/zero of=/dev/sda bs=1M seek=3815447 2>&1 | grep -c 'No space left on device'", "1\n"},
		{"a truncated download is noticed", "printf 'KLUv/QBYAA==' | base64 -d | zstd -dc >/dev/null 2>/tmp/e || grep -c 'premature end' /tmp/e", "1\n"},
		{"sums and comparisons", "cd /tmp; echo a >a; echo b >b; sha256sum a >sum; sha256sum -c sum; cmp a b; cmp -n 1 - a <b || echo other; cmp a - <a && echo same", "a: OK\na b differ: byte 1, line 1\n- a differ: byte 1, line 1\nother\nsame\n"},
	} {
		t.Run(x.why, func(t *testing.T) {
			out, eout, _ := run(t, c, x.script, nil)
			if out != x.out {
				t.Errorf("got %q (%s), want %q", out, eout, x.out)
			}
		})
	}
}

func TestFirmwareIsVisible(t *testing.T) {
	bios := newRig(t, Options{}, nil).dial()
	if out, eout, status := run(t, bios, "[ -d /sys/firmware/efi ]; echo $?; efibootmgr", nil); out != "1\n" || status != 2 || eout != "EFI variables are not supported on this system.\n" {
		t.Errorf("BIOS: %q %q %d", out, eout, status)
	}
	uefi := newRig(t, Options{}, func(s *world.Spec) { s.UEFI = true }).dial()
	script(t, uefi, `set -e
efibootmgr | grep -q '^BootOrder: 0001,'
! efibootmgr -b 0002 -B 2>/dev/null
mount -o remount,rw /sys/firmware/efi/efivars
efibootmgr -b 0002 -B >/dev/null
! efibootmgr | grep -q Boot0002
grep -q 'via UEFI' /etc/motd`)
}

func TestCloudServers(t *testing.T) {
	r := newRig(t, Options{}, func(s *world.Spec) {
		s.Kind, s.Number = world.Cloud, 43607703
		s.Disks = []*world.Disk{{Name: "sda", Model: "QEMU HARDDISK", Serial: "52685044", SizeBytes: 40961572864, Transport: "scsi"}}
	})
	c := r.dial()
	script(t, c, `set -e
[ "$(dmidecode -s system-serial-number)" = 43607703 ]
[ "$(cat /sys/class/dmi/id/sys_vendor)" = Hetzner ]
[ -b /dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_52685044 ]
ip -j route | grep -q '"dst":"default","gateway":"172.31.1.1"'
lsblk -J -b -o NAME,WWN,HCTL /dev/sda | grep -q '"wwn": null'`)
	_, eout, status := run(t, c, "fallocate -l 1200M /tmp/image", nil)
	if status == 0 || !strings.Contains(strings.ToLower(eout), "no space left on device") {
		t.Errorf("1.2 GB fit into the root of 960 MB: %d %s", status, eout)
	}
}

func TestDisksSwapTheirNames(t *testing.T) {
	r := newRig(t, Options{SwapNames: true}, func(s *world.Spec) {
		s.Disks = []*world.Disk{{Name: "sda", Serial: "A", SizeBytes: 1 << 30}, {Name: "sdb", Serial: "B", SizeBytes: 2 << 30}, {Name: "nvme0n1", Serial: "N", SizeBytes: 3 << 30}}
	})
	if out := script(t, r.dial(), "lsblk -d -n -r -o NAME,SERIAL -e 7"); out != "nvme0n1 N\nsda B\nsdb A\n" {
		t.Errorf("lsblk says %q", out)
	}
}

func TestIPv6OnlyServersAnswer(t *testing.T) {
	r := newRig(t, Options{}, nil)
	r.dial()
	c, err := r.w.Net.DialContext(t.Context(), "tcp", netip.AddrPortFrom(netip.MustParseAddr("2001:db8:10:20::2"), 22).String())
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}
