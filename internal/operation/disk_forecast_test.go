package operation_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
	"github.com/talos-manager/talos-manager/internal/operation"
)

// mirrored are two disks with half of an array each, and a third with a boot loader.
func mirrored() fleet.Facts {
	half := func(name, wwid, serial string) fleet.Disk {
		return fleet.Disk{
			Name: name, WWID: wwid, Serial: serial, Model: "X", SizeBytes: 512e9, Contents: []string{"linux_raid_member on " + name + "p1"},
			Partitions: []fleet.Partition{{Number: 1, Name: name + "p1", SizeBytes: 512e9, FSType: "linux_raid_member"}},
		}
	}
	return fleet.Facts{
		At: time.Now(), Firmware: "uefi",
		Disks: []fleet.Disk{half("nvme0n1", "eui.01", "S1"), half("nvme1n1", "eui.02", "S2"), {
			Name: "sda", WWID: "naa.03", Serial: "S3", Model: "Y", SizeBytes: 4e12, Contents: []string{"vfat on sda1"},
			Partitions: []fleet.Partition{{Number: 1, Name: "sda1", Type: fleet.TypeEFI, UUID: "aa", SizeBytes: 1e9, FSType: "vfat", Loaders: []string{"EFI/BOOT"}}},
		}},
		Arrays: []fleet.Array{{Kind: "md", Name: "md0", Level: "raid1", Active: true, Members: []string{"nvme0n1p1", "nvme1n1p1"}}},
	}
}

func TestAForecastTellsTheFateOfEveryDisk(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	c := l.cluster(t, []string{"worker-1"}, nil)
	forecast := func(disk string, policy fleet.DiskPolicy) operation.DiskForecast {
		t.Helper()
		s, err := l.store.Server(t.Context(), "worker-1")
		if err != nil {
			t.Fatal(err)
		}
		s.Facts, s.Assignment.InstallDisk, s.Assignment.DiskPolicy = mirrored(), disk, policy
		f, err := l.ops.ForecastDisks(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	f := forecast("eui.01", "")
	want := []operation.DiskFate{
		{Disk: "nvme0n1", Lines: []string{"partition 1 512 GB linux_raid_member", "RAID array md0 raid1"}},
		{Disk: "nvme1n1", Lines: []string{"RAID array md0 raid1 loses a member: it is degraded"}},
		{Disk: "sda", Lines: []string{"boot loaders on partition 1 of disk naa.03 (EFI/BOOT), are hidden; nothing of it is lost"}},
	}
	if d := cmp.Diff(want, f.Fates); d != "" {
		t.Errorf("fates (-want +got):\n%s", d)
	}
	if f.Disk.Name != "nvme0n1" || f.Policy != fleet.CleanOnly || !strings.Contains(f.Question, "answer with S1 S2 S3") {
		t.Errorf("disk %s, policy %s, question %q", f.Disk.Name, f.Policy, f.Question)
	}
	if f = forecast("eui.01", fleet.WipeAll); f.Question != "" || len(f.Fates) != 3 || !strings.Contains(f.Verdict, "without a question") {
		t.Errorf("with wipe-all: question %q, verdict %q, fates %v", f.Question, f.Verdict, f.Fates)
	}
	if f = forecast("eui.01", fleet.WipeOurs); strings.Count(f.Verdict, "disk S1 is not taken for ours") != 1 {
		t.Errorf("with wipe-ours: verdict %q", f.Verdict)
	}
	if f = forecast("", ""); f.Disk.Name != "" || !strings.Contains(f.Why, "3 disks and none was chosen") || f.Hint == "" {
		t.Errorf("where none is chosen: %+v", f)
	}
	if f = forecast("naa.03", ""); slices.ContainsFunc(f.Fates, func(d operation.DiskFate) bool { return d.Disk != "sda" }) {
		t.Errorf("what does not change has a fate: %v", f.Fates)
	}
	nothing := ""
	free, err := l.manager.Assign(t.Context(), "test", "worker-1", manage.AssignmentChange{Cluster: &nothing})
	if err != nil {
		t.Fatal(err)
	}
	if f, err = l.ops.ForecastDisks(t.Context(), free); err != nil || f.Disk.Name != "" || f.Why != "" {
		t.Errorf("of what nothing is known: %+v, %v", f, err)
	}
	free.Facts, free.Assignment.InstallDisk = mirrored(), "naa.03"
	if f, err = l.ops.ForecastDisks(t.Context(), free); err != nil || f.Disk.Name != "sda" || f.Policy != "" || f.Verdict != "" {
		t.Errorf("of a server of no cluster (%s): %+v, %v", c.Name, f, err)
	}
}

// One is called by its WWID and the other by its serial number, and they are one disk.
func TestTheInstallDiskIsNotTheOneForEphemeral(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.cluster(t, []string{"worker-1"}, nil)
	s, err := l.store.Server(t.Context(), "worker-1")
	if err != nil {
		t.Fatal(err)
	}
	s.Facts, s.Assignment.EphemeralDisk = mirrored(), "wwid:eui.02"
	for disk, refused := range map[string]bool{"serial:S1": false, "serial:S2": true, "eui.02": true} {
		s.Assignment.InstallDisk = disk
		f, err := l.ops.ForecastDisks(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(f.Why, "is meant for EPHEMERAL, too") && strings.Contains(f.Hint, "--ephemeral-disk ''") && f.Disk.Name == ""; got != refused {
			t.Errorf("install on %s: %+v", disk, f)
		}
	}
	all, err := l.ops.DiskOutlooks(t.Context(), s)
	if err != nil || len(all) != 3 || all[0].Problem != "" || !strings.Contains(all[1].Problem, "EPHEMERAL") {
		t.Errorf("outlooks %+v, %v", all, err)
	}
	s, err = l.store.Server(t.Context(), "worker-1")
	if err != nil {
		t.Fatal(err)
	}
	m := l.machine(t, "worker-1")
	facts := fleet.Facts{At: time.Now(), UUID: m.UUID, Firmware: "uefi", Disks: []fleet.Disk{{Name: "nvme0n1", WWID: m.Disks[0].WWN, Serial: m.Disks[0].Serial, SizeBytes: m.Disks[0].SizeBytes}}}
	if err := l.store.SetFacts(t.Context(), s.ID, facts); err != nil {
		t.Fatal(err)
	}
	a := s.Assignment
	a.InstallDisk, a.EphemeralDisk = "serial:"+m.Disks[0].Serial, "wwid:"+m.Disks[0].WWN
	if _, err := l.store.Assign(t.Context(), s.ID, a); err != nil {
		t.Fatal(err)
	}
	p, err := l.ops.PlanInstalls(t.Context(), []string{"worker-1"}, operation.InstallOptions{})
	if err != nil || len(p.Servers) != 1 || !slices.ContainsFunc(p.Servers[0].Problems, func(p operation.Problem) bool { return strings.Contains(p.Text, "EPHEMERAL") }) {
		t.Errorf("the plan: %+v, %v", p.Servers, err)
	}
}
