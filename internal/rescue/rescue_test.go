package rescue

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// What an AX41-NVMe's rescue system prints, composed of published samples.
const facts = `
==> hostname
rescue

==> root
overlay on / type overlay (rw,relatime,lowerdir=/nfsroot,upperdir=/ramfs/root,workdir=/ramfs/work)

==> motd
  Welcome to the Hetzner Rescue System.

==> uuid
4C4C4544-0042-3510-8050-B4C04F384833

==> system
# dmidecode 3.4
System Information
	Manufacturer: ASUS
	Product Name: System Product Name
	Serial Number: 1234
	UUID: 4c4c4544-0042-3510-8050-b4c04f384833

==> firmware
bios

==> cpu
model name	: AMD Ryzen 5 3600 6-Core Processor

==> cores
2

==> memory
MemTotal:       65764904 kB

==> lsblk
{"blockdevices":[
 {"name":"loop0","type":"loop","size":3068773888,"model":null,"serial":null,"wwn":null,"rota":false,"tran":null,"fstype":"ext2"},
 {"name":"nvme0n1","type":"disk","size":512110190592,"model":"SAMSUNG MZVL2512HCJQ-00B00","serial":"S675NX1T364492 ","wwn":"eui.002538b321c5527c","rota":false,"tran":"nvme","fstype":null,
  "children":[{"name":"nvme0n1p1","type":"part","size":1,"fstype":"linux_raid_member","label":"rescue:0","children":[{"name":"md0","type":"raid1","size":1,"fstype":"ext4"}]}]},
 {"name":"sdb","type":"disk","size":4000787030016,"model":"locked","ro":"1"},
 {"name":"sda","type":"disk","size":"4000787030016","model":"ST4000NM0245","serial":"ZC1","wwn":"0x5000c500a1b2c3d4","rota":"1","tran":"sata","fstype":null}]}

==> addresses
[{"ifname":"lo"},{"ifname":"eth0","address":"90:1B:0e:00:00:01","operstate":"UP","addr_info":[
 {"family":"inet","local":"203.0.113.10","prefixlen":26,"scope":"global"},
 {"family":"inet6","local":"fe80::1","prefixlen":64,"scope":"link"}]}]

==> routes
[{"dst":"default","gateway":"203.0.113.1","dev":"eth0"}]
`

func TestFactsAreReadFromARescueSystem(t *testing.T) {
	got, err := parseFacts(split(facts), time.Time{}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	got.Dmidecode = ""
	want := fleet.Facts{
		UUID: "4c4c4544-0042-3510-8050-b4c04f384833", Serial: "1234", Manufacturer: "ASUS", Product: "System Product Name",
		Firmware: "bios", CPU: "AMD Ryzen 5 3600 6-Core Processor", Cores: 2, MemoryBytes: 65764904 << 10,
		NICs:    []fleet.NIC{{Name: "eth0", MAC: "90:1b:0e:00:00:01", Up: true, Addresses: []string{"203.0.113.10/26"}}},
		Gateway: "203.0.113.1",
		Disks: []fleet.Disk{
			{
				Name: "nvme0n1", WWID: "eui.002538b321c5527c", Serial: "S675NX1T364492", Model: "SAMSUNG MZVL2512HCJQ-00B00", SizeBytes: 512110190592, Transport: "nvme",
				Partitions: []fleet.Partition{{Number: 1, Name: "nvme0n1p1", SizeBytes: 1, FSType: "linux_raid_member", FSLabel: "rescue:0"}},
				Contents:   []string{"nvme0n1p1 linux_raid_member rescue:0", "md0 ext4"},
			},
			{Name: "sda", WWID: "naa.5000c500a1b2c3d4", Serial: "ZC1", Model: "ST4000NM0245", SizeBytes: 4000787030016, Rotational: true, Transport: "sata"},
		},
		Arrays: []fleet.Array{{Kind: "md", Name: "md0", Level: "raid1", Active: true, Members: []string{"nvme0n1p1"}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestOnlyARescueSystemIsTouched(t *testing.T) {
	s := &Session{server: "db-1"}
	for _, tc := range []struct {
		why      string
		sections map[string]string
		refused  bool
	}{
		{"the real thing", split(facts), false},
		{"an installed system", map[string]string{"hostname": "db-1", "root": "/dev/sda1 on / type ext4"}, true},
		{"another provider's rescue system", map[string]string{"hostname": "rescue", "root": "tmpfs on / type tmpfs", "motd": "OVH"}, true},
		{"a host that is only named rescue", map[string]string{"hostname": "rescue", "root": "/dev/sda1 on / type ext4"}, true},
	} {
		err := s.isRescue(tc.sections)
		if (err != nil) != tc.refused || (err != nil && fleet.KindOf(err) != fleet.Refused) {
			t.Errorf("%s: got %v, refused should be %v", tc.why, err, tc.refused)
		}
	}
}

func TestWriteStatus(t *testing.T) {
	w := Write{Disk: nvmeDisk}
	for _, tc := range []struct {
		why, out string
		ok       bool
		text     string
	}{
		{"runs", "token=op1\nphase=writing\nexit=\nrunning=yes\nbytes=1048576\nlog=\nwriting: /dev/sda\n", true, ""},
		{"ended well", "token=op1\nphase=written\nexit=0\nrunning=no\nlog=\nwritten: /dev/sda\n", true, ""},
		{"wrong checksum", "token=op1\nphase=checking\nexit=65\nrunning=no\nlog=\nimage x has checksum a, expected was b: nothing was written\n", false, "expected was b"},
		{"killed", "token=op1\nphase=writing\nexit=\nrunning=no\nlog=\n", false, "killed while writing"},
		{"it ended without a word", "token=op1\nphase=writing\nexit=1\nrunning=no\nlog=\n", false, "exit status 1"},
		{"the disk is held", "token=op1\nphase=wiping\nexit=71\nrunning=no\nlog=\nsomething on disk /dev/sda does not let go of it\n", false, "does not let go"},
		{"disk failed", "token=op1\nphase=writing\nexit=74\nrunning=no\nlog=\nx\ndd: error writing '/dev/sda': Input/output error\n", false, "Input/output error"},
	} {
		st := parseWriteStatus(tc.out)
		err := st.Err(w)
		if (err == nil) != tc.ok || (err != nil && !strings.Contains(err.Error(), tc.text)) {
			t.Errorf("%s: got %+v, %v", tc.why, st, err)
		}
	}
}

var nvmeDisk = fleet.Disk{Name: "nvme0n1", WWID: "eui.1", Serial: "S1"}

func TestFormatIsToldByTheName(t *testing.T) {
	for _, tc := range []struct{ url, want string }{
		{"https://factory.talos.dev/image/x/v1.14.1/metal-amd64.raw.zst", "zst"},
		{"https://e.org/a.raw.xz?sig=1.raw.gz", "xz"},
		{"https://e.org/a.raw", "raw"},
		{"https://e.org/a.iso", ""},
	} {
		got, err := formatOf(tc.url)
		if got != tc.want || (err == nil) != (tc.want != "") {
			t.Errorf("%s: got %q, %v", tc.url, got, err)
		}
	}
}

func TestAWriteSaysHowFarItIsAndHowLongItTakes(t *testing.T) {
	const head = "token=op1\nexit=\nbegan=1000\ntotal=220000000\nsize=4450000000\nway=sparse\nstart=1000\nend=\nrestarts=1\nsha256=\ndisk=/dev/sda\nrunning=yes\n"
	for _, tc := range []struct {
		why, out, text string
		written        int64
	}{
		{"before", "token=op1\nphase=checking\nexit=\nrunning=yes\nlog=\n", "checking", 0},
		{"a file that is compared with its checksum first", head + "phase=checking\ntime=1001\npassed=20000000\nlog=\n", "checking, 20 of 220 MB, 20 MB/s, 10s left", 0},
		{"just begun: no rate yet", head + "phase=writing\ntime=1000\npassed=20000000\nsectors=3000\nlog=\n", "writing, 20 of 220 MB", 1024000},
		{"on its way", head + "phase=writing\ntime=1003\npassed=120000000\nsectors=3000\nlog=\n", "writing, 120 of 220 MB, 40 MB/s, 3s left", 1024000},
		{"of unknown length", "phase=writing\nbegan=1000\ntotal=\ntime=1002\npassed=120000000\nlog=\n", "writing, 120 MB, 60 MB/s", 0},
		{"read back", head + "phase=verifying\ntime=1002\npassed=220000000\ncopied=2225000000\nsectors=3000\nlog=\n", "verifying, 2225 of 4450 MB, 1112 MB/s, 2s left", 1024000},
		{"done: what is written afterwards does not count", "start=1000\nend=2000\nsectors=9000\nphase=written\nlog=\n", "written", 512000},
	} {
		st := parseWriteStatus(tc.out)
		if st.String() != tc.text || st.Written != tc.written {
			t.Errorf("%s: got %q, %d bytes written", tc.why, st, st.Written)
		}
	}
}
