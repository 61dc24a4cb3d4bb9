package rescue

import (
	"slices"
	"strings"
	"testing"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// mirror is a machine with a mirror over two disks and one disk besides.
func mirror() fleet.Facts {
	part := func(name string) []fleet.Partition {
		return []fleet.Partition{{Number: 1, Name: name, Label: "root", SizeBytes: 100e9, FSType: "linux_raid_member", UUID: "u-" + name}}
	}
	return fleet.Facts{
		Firmware: "uefi",
		Disks: []fleet.Disk{
			{Name: "sda", Serial: "A", SizeBytes: 512e9, Partitions: part("sda1"), Contents: []string{"sda1 linux_raid_member"}},
			{Name: "sdb", Serial: "B", SizeBytes: 512e9, Partitions: part("sdb1"), Contents: []string{"sdb1 linux_raid_member"}},
			{Name: "sdc", Serial: "C", SizeBytes: 512e9},
		},
		Arrays: []fleet.Array{{Kind: "md", Name: "md0", Level: "raid1", Members: []string{"sda1", "sdb1"}}},
	}
}

func nothing(fleet.Disk) bool { return false }

func TestEveryDiskThatLosesSomethingIsNamed(t *testing.T) {
	f := mirror()
	losses := Losses(f, f.Disks[0], nil, nothing)
	if len(losses) != 2 || losses[0].Name != "A" || losses[1].Name != "B" {
		t.Fatalf("lost are %+v", losses)
	}
	if own := strings.Join(losses[0].Lines, "; "); own != "partition 1 root 100 GB linux_raid_member; RAID array md0 raid1" {
		t.Errorf("of the chosen disk: %s", own)
	}
	if losses[1].Lines[0] != "RAID array md0 raid1 loses a member: it is degraded" {
		t.Errorf("of the other: %s", losses[1].Lines[0])
	}
	if got := Losses(f, f.Disks[2], nil, nothing); len(got) > 0 {
		t.Errorf("a blank disk loses %+v", got)
	}
	if got := Losses(f, f.Disks[0], nil, func(fleet.Disk) bool { return true }); len(got) > 0 {
		t.Errorf("what is allowed is asked for: %+v", got)
	}
	for _, tc := range []struct {
		why    string
		change func(*fleet.Array)
		text   string
	}{
		{"a mirror that lost its other half already", func(a *fleet.Array) { a.Missing = 1 }, "1 of its members missing already loses a member: its data is lost"},
		{"no redundancy", func(a *fleet.Array) { a.Level = "raid0" }, "its data is lost"},
		{"a volume group", func(a *fleet.Array) { *a = fleet.Array{Kind: "lvm", Name: "vg0", Members: a.Members} }, "LVM volume group vg0 loses a member: its data is lost"},
		{"a pool", func(a *fleet.Array) { *a = fleet.Array{Kind: "zfs", Name: "tank", Members: a.Members} }, "ZFS pool tank loses a member: what it keeps"},
	} {
		f := mirror()
		tc.change(&f.Arrays[0])
		if got := Losses(f, f.Disks[0], nil, nothing); !strings.Contains(got[1].Lines[0], tc.text) {
			t.Errorf("%s: %s", tc.why, got[1].Lines[0])
		}
	}
}

// A disk that neither WWID nor serial number names is hidden from no question.
func TestARivalOnADiskWithoutANameIsAskedFor(t *testing.T) {
	esp := []fleet.Partition{{Number: 1, Name: "vdb1", Type: fleet.TypeEFI, UUID: "u-esp", FSType: "vfat", Loaders: []string{"EFI/debian"}}}
	f := fleet.Facts{Firmware: "uefi", Disks: []fleet.Disk{
		{Name: "vda", Serial: "A", SizeBytes: 40e9},
		{Name: "vdb", SizeBytes: 40e9, Partitions: esp, Contents: []string{"vdb1 vfat"}},
	}}
	losses := Losses(f, f.Disks[0], Rivals(f, f.Disks[0], ""), nothing)
	if len(losses) != 1 || losses[0].Name != "vdb" || !strings.Contains(losses[0].Lines[0], "EFI/debian") {
		t.Errorf("asked for are %+v", losses)
	}
}

func TestOursIsOnlyWhatWeWroteAndNothingBesides(t *testing.T) {
	was := fleet.Installed{Disk: "eui.1", Serial: "A", ClusterID: "c-1", Cluster: "prod"}
	for _, tc := range []struct {
		why    string
		change func(*fleet.Facts, *fleet.Disk, *fleet.Installed)
		text   string // "": it is ours
	}{
		{"as we left it", func(*fleet.Facts, *fleet.Disk, *fleet.Installed) {}, ""},
		{"an image that never ran", func(_ *fleet.Facts, d *fleet.Disk, _ *fleet.Installed) {
			d.Talos = &fleet.EarlierTalos{Partitions: []string{"META"}}
		}, ""},
		{"Talos' cache of images", func(_ *fleet.Facts, d *fleet.Disk, _ *fleet.Installed) {
			d.Partitions = append(d.Partitions, fleet.Partition{Number: 7, Label: "IMAGECACHE", SizeBytes: 1e9, FSType: "ext4"})
		}, ""},
		{"STATE is encrypted, as Talos does it", func(f *fleet.Facts, d *fleet.Disk, _ *fleet.Installed) {
			d.Talos = &fleet.EarlierTalos{Encrypted: true}
			f.Arrays = []fleet.Array{{Kind: "luks", Members: []string{"nvme0n1p5"}}}
		}, ""},
		{"never installed by us", func(_ *fleet.Facts, _ *fleet.Disk, was *fleet.Installed) { *was = fleet.Installed{} }, "no install of ours"},
		{"another disk was", func(_ *fleet.Facts, _ *fleet.Disk, was *fleet.Installed) { was.Disk = "eui.2" }, "no install of ours"},
		{"a disk that only calls itself so", func(_ *fleet.Facts, d *fleet.Disk, _ *fleet.Installed) { d.Serial = "Z" }, "no install of ours"},
		{"somebody put something else there", func(_ *fleet.Facts, d *fleet.Disk, _ *fleet.Installed) { d.Talos = nil }, "no Talos"},
		{"a Talos of somebody else", func(_ *fleet.Facts, d *fleet.Disk, _ *fleet.Installed) { d.Talos.Cluster = "stage" }, "of cluster stage"},
		{"a cluster of the same name", func(_ *fleet.Facts, d *fleet.Disk, _ *fleet.Installed) { d.Talos.ClusterID = "x" }, "another cluster that is called prod"},
		{"a worker", func(_ *fleet.Facts, d *fleet.Disk, _ *fleet.Installed) { d.Talos.Cluster = "" }, ""},
		{"a worker of another cluster", func(_ *fleet.Facts, d *fleet.Disk, _ *fleet.Installed) {
			d.Talos = &fleet.EarlierTalos{ClusterID: "x"}
		}, "not certainly prod"},
		{"STATE is damaged", func(_ *fleet.Facts, d *fleet.Disk, _ *fleet.Installed) {
			d.Talos = &fleet.EarlierTalos{Unreadable: true}
		}, "cannot be read"},
		{"a config that names no cluster", func(_ *fleet.Facts, d *fleet.Disk, _ *fleet.Installed) {
			d.Talos = &fleet.EarlierTalos{Nameless: true}
		}, "names no cluster"},
		{"a user's volume", func(_ *fleet.Facts, d *fleet.Disk, _ *fleet.Installed) {
			d.Partitions = append(d.Partitions, fleet.Partition{Number: 7, Label: "u-data", SizeBytes: 100e9, FSType: "xfs"})
		}, "u-data 100 GB xfs on it is none of Talos"},
		{"an array in one of the partitions", func(f *fleet.Facts, _ *fleet.Disk, _ *fleet.Installed) {
			f.Arrays = []fleet.Array{{Kind: "lvm", Name: "vg0", Members: []string{"nvme0n1p5"}}}
		}, "LVM volume group vg0"},
	} {
		was := was
		d := fleet.Disk{
			Name: "nvme0n1", WWID: "eui.1", Serial: "A", Partitions: []fleet.Partition{{Number: 4, Name: "nvme0n1p4", Label: "META"}, {Number: 5, Name: "nvme0n1p5", Label: "STATE"}},
			Talos: &fleet.EarlierTalos{Cluster: "prod", ClusterID: "id"},
		}
		f := fleet.Facts{}
		tc.change(&f, &d, &was)
		f.Disks = []fleet.Disk{d}
		ours, why := Recognise(f, d, was, "id")
		if ours != (tc.text == "") || !strings.Contains(why, tc.text) {
			t.Errorf("%s: %v, %s", tc.why, ours, why)
		}
	}
	worker := fleet.Disk{Name: "sda", Talos: &fleet.EarlierTalos{ClusterID: "id"}}
	if only, why := OnlyTalos(fleet.Facts{}, worker, "prod", ""); only || !strings.Contains(why, "not certainly prod") {
		t.Errorf("a worker of a cluster whose id nobody knows: %v, %s", only, why)
	}
}

func TestTheNetworkStaysFirstInTheBootOrder(t *testing.T) {
	chosen := fleet.Disk{Name: "nvme0n1", Partitions: []fleet.Partition{{UUID: "ours"}}}
	entries := []fleet.BootEntry{
		{Number: "0001", Label: "UEFI: PXE IP4", Network: true, Active: true},
		{Number: "0002", Label: "Talos", PartUUID: "ours"},
		{Number: "0003", Label: "debian", PartUUID: "theirs"},
		{Number: "0004", Label: "UEFI OS"},
		{Number: "0005", Label: "UEFI: PXE IP6", Network: true, Active: true},
	}
	for _, tc := range []struct {
		why         string
		order, next string
		first       bool
		want        string
	}{
		{"somebody's system put itself first", "0003,0001,0004,0005", "", true, "0001,0005,0004"},
		{"ours comes behind the network", "0004,0003,0002,0001", "", true, "0001,0002,0004"},
		{"as it should be", "0001,0002,0004", "", true, ""},
		{"as it should be, but for the next boot", "0001,0002,0004", "0003", true, "0001,0002,0004"},
		{"somebody took the network out", "0003,0004", "", true, "0001,0005,0004"},
		{"an entry that is gone", "0001,0009,0004", "", true, "0001,0004"},
		{"a server of another make: the network stays where it is", "0003,0002,0001,0004", "", false, "0002,0001,0004"},
		{"nothing is known of it", "", "", false, ""},
	} {
		u := fleet.UEFI{Entries: entries, Next: tc.next}
		if tc.order != "" {
			u.Order = strings.Split(tc.order, ",")
		}
		if got := strings.Join(BootOrder(u, chosen, tc.first), ","); got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.why, got, tc.want)
		}
	}
}

func TestEfibootmgrOfEveryVersionIsRead(t *testing.T) {
	for _, text := range []string{ // Debian 12 has version 17, Debian 13 version 18; older ones print no more than a line
		"BootCurrent: 0001\nTimeout: 1 seconds\nBootOrder: 0002,0001\n" +
			"Boot0001* UEFI: PXE IP4 Intel(R) I219-LM\tPciRoot(0x0)/Pci(0x1f,0x6)/MAC(901b0e000001,0)/IPv4(0.0.0.00.0.0.0,0,0)..BO\n" +
			"Boot0002  debian\tHD(1,GPT,FE0B6C5E-0102-4304-8506-0708090a0b0c,0x800,0x100000)/File(\\EFI\\debian\\shimx64.efi)\n",
		"BootNext: 0002\nBootCurrent: 0001\nTimeout: 1 seconds\nBootOrder: 0002,0001\n" +
			"Boot0001* UEFI: PXE IP4 Intel(R) I219-LM\tPciRoot(0x0)/Pci(0x1f,0x6)/MAC(901b0e000001,0)/IPv4(0.0.0.0,0,DHCP,0.0.0.0,0.0.0.0,0.0.0.0){auto_created_boot_option}\n" +
			"      dp: 02 01 0c 00 d0 41 03 0a 00 00 00 00 / 7f ff 04 00\n    data: 4e ac 08 81 11 9f 59 4d 85 0e e2 1a 52 2c 59 b2\n" +
			"Boot0002  debian\tHD(1,GPT,fe0b6c5e-0102-4304-8506-0708090a0b0c,0x800,0x100000)/\\EFI\\debian\\shimx64.efi\n" +
			"      dp: 04 01 2a 00 / 7f ff 04 00\n",
	} {
		u := parseUEFI(text)
		if u.Current != "0001" || !slices.Equal(u.Order, []string{"0002", "0001"}) || len(u.Entries) != 2 {
			t.Fatalf("got %+v", u)
		}
		net, disk := u.Entries[0], u.Entries[1]
		if !net.Network || !net.Active || net.PartUUID != "" || net.Label != "UEFI: PXE IP4 Intel(R) I219-LM" {
			t.Errorf("the network's entry is %+v", net)
		}
		if disk.Network || disk.Active || disk.PartUUID != "fe0b6c5e-0102-4304-8506-0708090a0b0c" || disk.Loader != `\EFI\debian\shimx64.efi` {
			t.Errorf("the disk's entry is %+v", disk)
		}
	}
}

func TestAMissingProgramIsSaidBeforeAnythingIsDone(t *testing.T) {
	f := mirror()
	f.Arrays[0].Active = true
	f.Disks = append(f.Disks, fleet.Disk{Name: "sdz", SizeBytes: 100e9})
	f.Arrays = append(f.Arrays, fleet.Array{Kind: "lvm", Name: "vg0", Members: []string{"sdz"}, Active: true})
	for _, tc := range []struct {
		why, image, text string
		missing          []string
		disk             int
	}{
		{"nothing is missing", "https://e.org/a.raw.zst", "", nil, 0},
		{"what this install does without", "https://e.org/a.raw.zst", "", []string{"xz", "kexec", "perl"}, 0},
		{"the image cannot be unpacked", "https://e.org/a.raw.zst?x=.xz", "lacks zstd", []string{"zstd"}, 0},
		{"the array cannot be stopped", "https://e.org/a.raw", "lacks mdadm", []string{"mdadm"}, 0},
		{"what a volume is switched off with", "https://e.org/a.raw", "lacks dmsetup", []string{"dmsetup"}, 3},
		{"there is no array on this one", "https://e.org/a.raw", "", []string{"mdadm"}, 2},
		{"there is no earlier Talos to hide", "https://e.org/a.raw", "", []string{"sgdisk"}, 2},
		{"several", "https://e.org/a.raw.xz", "lacks curl, sfdisk, xz", []string{"curl", "sfdisk", "xz"}, 2},
	} {
		f.MissingTools = tc.missing
		err := CheckTools("db-1", f, f.Disks[tc.disk], tc.image)
		if (err == nil) != (tc.text == "") || err != nil && (!strings.Contains(err.Error(), tc.text) || fleet.HintOf(err) == "") {
			t.Errorf("%s: %v", tc.why, err)
		}
	}
}

func TestADiskThatChangedSinceItWasChosenIsToldFromOneThatWasReleased(t *testing.T) {
	was := mirror().Disks[0]
	was.Signatures, was.Partitions[0].MountedAt = []string{"gpt"}, "/mnt"
	for _, tc := range []struct {
		why    string
		change func(*fleet.Disk)
		text   string
	}{
		{"released", func(d *fleet.Disk) { d.Partitions[0].MountedAt, d.Contents = "", nil }, ""},
		{"partitioned", func(d *fleet.Disk) { d.Partitions = append(d.Partitions, fleet.Partition{Number: 2}) }, "had 1 partitions and has 2"},
		{"formatted", func(d *fleet.Disk) { d.Partitions[0].FSType = "ext4" }, "is now 1 root 100 GB ext4"},
		{"formatted alike", func(d *fleet.Disk) { d.Partitions[0].FSUUID = "new" }, "is now"},
		{"wiped", func(d *fleet.Disk) { d.Signatures, d.Partitions = nil, nil }, "it had gpt and has nothing"},
	} {
		is := was
		is.Partitions = slices.Clone(was.Partitions)
		tc.change(&is)
		if got := Differs(was, is); (got == "") != (tc.text == "") || !strings.Contains(got, tc.text) {
			t.Errorf("%s: %q", tc.why, got)
		}
	}
}
