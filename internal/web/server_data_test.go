package web_test

import (
	"sync"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig"
	"github.com/talos-manager/talos-manager/internal/manage"
)

// realSecrets are made once for all clusters whose configs are rendered: looking for RSA primes takes a second.
var realSecrets = sync.OnceValues(func() ([]byte, error) { return machineconfig.NewSecrets(machineconfig.NewestTalos(), time.Now()) })

// usedFacts are of a machine that had owners before: a mirror of Debian, a Talos of somebody else's, volumes, a pool.
func usedFacts() fleet.Facts {
	f := someFacts(42)
	f.Board = fleet.Board{Vendor: "ASUSTeK", Product: "Pro WS 565-ACE", Serial: "B-4711"}
	f.MissingTools = []string{"mdadm"}
	f.ClockOffset = 95 * time.Second
	f.UEFI = fleet.UEFI{Current: "0002", Order: []string{"0002", "0001"}, Entries: []fleet.BootEntry{
		{Number: "0001", Label: "debian", Active: true, PartUUID: "aaaa-01", Loader: `\EFI\debian\shimx64.efi`},
		{Number: "0002", Label: "UEFI: PXE IPv4 Intel I210", Active: true, Network: true},
		{Number: "0003", Label: "old disk", PartUUID: "dddd-09"},
	}}
	mirror := func(name, wwid, serial, uuid string) fleet.Disk {
		return fleet.Disk{
			Name: name, WWID: wwid, Serial: serial, Model: "SAMSUNG MZVL2512HCJQ-00B00", SizeBytes: 512e9, SectorBytes: 512, Transport: "nvme",
			Signatures: []string{"gpt"}, Contents: []string{"vfat on " + name + "p1", "linux_raid_member on " + name + "p2, " + name + "p3"},
			Partitions: []fleet.Partition{
				{Number: 1, Name: name + "p1", Label: "EFI", Type: fleet.TypeEFI, UUID: uuid + "-01", SizeBytes: 268e6, FSType: "vfat", Loaders: []string{"EFI/BOOT", "EFI/debian"}},
				{Number: 2, Name: name + "p2", UUID: uuid + "-02", SizeBytes: 4e9, FSType: "linux_raid_member"},
				{Number: 3, Name: name + "p3", UUID: uuid + "-03", SizeBytes: 400e9, FSType: "linux_raid_member"},
			},
		}
	}
	f.Disks = []fleet.Disk{
		mirror("nvme0n1", "eui.00253885019e01aa", "S64GNX0T", "aaaa"),
		mirror("nvme1n1", "eui.00253885019e01bb", "S64GNX0U", "bbbb"),
		{
			Name: "sda", WWID: "naa.5000c500a1b2c3d4", Serial: "ZA1B2C3D", Model: "ST4000NM024B", SizeBytes: 4e12, Rotational: true, Transport: "sata", BootCode: true,
			Contents: []string{"vfat on sda1", "xfs on sda4"},
			Talos:    &fleet.EarlierTalos{Partitions: []string{"EFI", "META", "STATE", "EPHEMERAL"}, Cluster: "elsewhere", Endpoint: "https://10.9.8.7:6443", Hostname: "node-of-somebody"},
			Partitions: []fleet.Partition{
				{Number: 1, Name: "sda1", Label: "EFI", Type: fleet.TypeEFI, UUID: "cccc-01", SizeBytes: 2e9, FSType: "vfat", Loaders: []string{"EFI/BOOT"}},
				{Number: 2, Name: "sda2", Label: "META", UUID: "cccc-02", SizeBytes: 1e6},
				{Number: 3, Name: "sda3", Label: "STATE", UUID: "cccc-03", SizeBytes: 100e6, FSType: "xfs"},
				{Number: 4, Name: "sda4", Label: "EPHEMERAL", UUID: "cccc-04", SizeBytes: 3997e9, FSType: "xfs"},
			},
		},
		{
			Name: "sdb", WWID: "naa.5000c500ffffffff", Serial: "ZFFFFFFF", Model: "ST4000NM024B", SizeBytes: 4e12, Rotational: true, Transport: "sata",
			Contents: []string{"LVM2_member on sdb1", "crypto_LUKS on sdb2", "zfs_member on sdb3", "ceph_bluestore on sdb4"},
			Partitions: []fleet.Partition{
				{Number: 1, Name: "sdb1", SizeBytes: 1e12, FSType: "LVM2_member"},
				{Number: 2, Name: "sdb2", SizeBytes: 1e12, FSType: "crypto_LUKS"},
				{Number: 3, Name: "sdb3", SizeBytes: 1e12, FSType: "zfs_member"},
				{Number: 4, Name: "sdb4", SizeBytes: 1e12, FSType: "ceph_bluestore"},
			},
		},
		{Name: "sdc", WWID: "naa.5000c50000000000", Serial: "BLANK1", Model: "ST4000NM024B", SizeBytes: 4e12, Rotational: true, Transport: "sata"},
	}
	f.Arrays = []fleet.Array{
		{Kind: "md", Name: "md0", ID: "9f0c1d2e:aa", Level: "raid1", Active: true, Members: []string{"nvme0n1p2", "nvme1n1p2"}},
		{Kind: "md", Name: "md1", ID: "9f0c1d2e:bb", Level: "raid1", Missing: 1, Members: []string{"nvme0n1p3", "nvme1n1p3"}},
		{Kind: "lvm", Name: "vg0", ID: "Yq3X", Members: []string{"sdb1"}},
		{Kind: "luks", ID: "7d1f", Members: []string{"sdb2"}},
		{Kind: "zfs", Name: "tank", ID: "123", Members: []string{"sdb3"}},
		{Kind: "ceph", Name: "osd.3", Members: []string{"sdb4"}},
	}
	return f
}

// renderable makes a cluster whose machine configs can be made.
func (l *lab) renderable(t testing.TB, name string) fleet.Cluster {
	t.Helper()
	secrets, err := realSecrets()
	must(t, err)
	c, err := l.app.Manager.CreateCluster(t.Context(), "admin", manage.NewCluster{Name: name, Endpoint: "https://203.0.113.9:6443", Secrets: secrets})
	must(t, err)
	return c
}

// ofItsOwn makes an account of dedicated servers with these names, and two vSwitches.
func (l *lab) ofItsOwn(t testing.TB, account string, names ...string) fleet.Account {
	t.Helper()
	a, err := l.store.CreateAccount(t.Context(), fleet.Account{Name: account, Provider: fleet.HetznerRobot, User: "#ws+" + account, Password: "x"})
	must(t, err)
	var all []fleet.Server
	for i, name := range names {
		all = append(all, fleet.Server{
			Provider: fleet.HetznerRobot, ProviderID: account + name, Name: name, Product: "AX102", Location: "HEL1-DC7", Architecture: fleet.AMD64, Status: "ready",
			Power: fleet.PowerOn, IPv4: "203.0.113." + string(rune('1'+i)), IPv6: "2001:db8:1::2", IPv6Net: "2001:db8:1::/64",
		})
	}
	_, err = l.store.SyncServers(t.Context(), a.ID, all, []fleet.VSwitch{{ProviderID: "1", Name: "lan", VLAN: 4000}, {ProviderID: "2", Name: "storage", VLAN: 4001}}, time.Now())
	must(t, err)
	return a
}

// patched gives a cluster and a server patches and variables.
func (l *lab) patched(t testing.TB, cluster, server string) {
	t.Helper()
	save := func(ref manage.LayerRef, c fleet.Contents, how manage.Save) {
		t.Helper()
		_, err := l.app.Manager.SetLayer(t.Context(), "ada", ref, c, how)
		must(t, err)
	}
	save(manage.LayerRef{Scope: fleet.ScopeCluster, Owner: cluster}, fleet.Contents{
		Patches:   []fleet.Patch{{Name: "sysctls", Text: "machine:\n  sysctls:\n    vm.max_map_count: \"${maps}\"\n"}},
		Variables: map[string]string{"maps": "65530"},
	}, manage.Save{Why: "elasticsearch wants it"})
	own := manage.LayerRef{Scope: fleet.ScopeServer, Owner: server}
	save(own, fleet.Contents{
		Patches: []fleet.Patch{
			{Name: "own", Text: "machine:\n  sysctls:\n    net.core.somaxconn: \"4096\"\n"},
			{Name: "registry", Text: "machine:\n  registries:\n    config:\n      r.example.com:\n        auth:\n          username: me\n          password: hunter2hunter2\n"},
		},
		Variables: map[string]string{"maps": "262144"},
	}, manage.Save{Why: "it is the loader"})
	save(own, fleet.Contents{Patches: []fleet.Patch{{Name: "own", Text: "machine:\n  sysctls:\n    net.core.somaxconn: \"8192\"\n"}}}, manage.Save{Draft: true})
}

// serverData makes records for what the pages of a server show, besides those of populate, and gives the addresses of the
// pages that show them.
func (l *lab) serverData(t testing.TB) []string {
	t.Helper()
	ctx := t.Context()
	const long = "a-server-with-a-name-that-is-as-long-as-a-dns-label-may-be-1234"
	l.ofItsOwn(t, "second-robot", "used-1", "board-1", "tab-node-1", long)
	cluster := l.renderable(t, "tabs")
	used, board, node := l.serverNamed(t, "used-1"), l.serverNamed(t, "board-1"), l.serverNamed(t, "tab-node-1")
	must(t, l.store.SetFacts(ctx, used.ID, usedFacts()))
	bad := someFacts(43)
	bad.UUID, bad.Dmidecode = "00000000-0000-0000-0000-000000000000", "System Information\n\tUUID: 00000000-0000-0000-0000-000000000000"
	must(t, l.store.SetFacts(ctx, board.ID, bad))
	must(t, l.store.SetFacts(ctx, node.ID, someFacts(44)))
	for s, a := range map[string]fleet.Assignment{
		used.ID: {ClusterID: cluster.ID, Role: fleet.Worker, Hostname: "worker-used", InstallDisk: "eui.00253885019e01aa", EphemeralDisk: "wwid:naa.5000c50000000000", DiskPolicy: fleet.WipeOurs},
		node.ID: {ClusterID: cluster.ID, Role: fleet.ControlPlane, Hostname: "tab-node-1", PrivateIP: "10.0.9.1", InstallDisk: "eui.0000000000000044"},
	} {
		_, err := l.store.Assign(ctx, s, a)
		must(t, err)
	}
	must(t, l.store.SetRanAs(ctx, used.ID, "4c4c4544-0051-3610-8052-b4c04f4a9999"))
	must(t, l.store.SetState(ctx, node.ID, fleet.Known, fleet.Unhealthy))
	must(t, l.store.SetInstalled(ctx, node.ID, fleet.Installed{Disk: "eui.0000000000000044", Serial: "S123", ClusterID: cluster.ID, Cluster: "tabs", At: time.Now().Add(-time.Hour)}))
	l.patched(t, "tabs", "tab-node-1")
	for _, text := range []string{"disk: disk naa.01 (WDC WD40, 4000 GB, serial number WD1) was exchanged for naa.02 (WDC WD40, 4000 GB, serial number WD2)", "memory: its memory was 128 GB and is 64 GB now"} {
		_, err := l.store.AddEvent(ctx, fleet.Event{Actor: "admin", Verb: "server.changed", Subject: "server", TargetID: used.ID, Text: text})
		must(t, err)
	}
	manual, err := l.app.Manager.AddServer(ctx, "admin", manage.NewServer{Name: "rack-70", Address: "192.0.2.70:2222"})
	must(t, err)
	var paths []string
	for _, s := range []fleet.Server{used, board, node, manual, l.serverNamed(t, long)} {
		for _, tab := range []string{"", "/config", "/operations", "/events"} {
			paths = append(paths, "/servers/"+s.ID+tab)
		}
	}
	return append(paths, "/servers/"+l.serverNamed(t, "tab-node-1").ID+"/config?running=true")
}
