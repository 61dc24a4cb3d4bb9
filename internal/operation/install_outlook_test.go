package operation_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/operation"
)

// What is foreseen for a disk is what the install decides by.
func TestEveryPolicySaysWhatBecomesOfEveryDisk(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	c := l.cluster(t, []string{"worker-1"}, nil)
	s, err := l.store.Server(t.Context(), "worker-1")
	if err != nil {
		t.Fatal(err)
	}
	data := fleet.Partition{Number: 1, Name: "nvme0n1p1", FSType: "ext4", FSLabel: "data", SizeBytes: 1 << 40}
	ours := []fleet.Partition{{Number: 1, Name: "nvme1n1p1", Label: "EPHEMERAL", FSType: "xfs", SizeBytes: 1 << 30}}
	s.Facts = fleet.Facts{At: time.Now(), Firmware: "uefi", Disks: []fleet.Disk{
		{Name: "nvme0n1", WWID: "eui.1", Serial: "DATA", SizeBytes: 2 << 40, Contents: []string{"ext4"}, Partitions: []fleet.Partition{data}},
		{Name: "nvme1n1", WWID: "eui.2", Serial: "OURS", SizeBytes: 2 << 40, Contents: []string{"Talos"}, Partitions: ours, Talos: &fleet.EarlierTalos{Partitions: []string{"EPHEMERAL"}, Cluster: c.Name}},
		{Name: "sda", WWID: "naa.3", Serial: "BLANK", SizeBytes: 2 << 40},
		{Name: "sdb", WWID: "naa.4", Serial: "SMALL", SizeBytes: 1 << 30},
	}}
	s.Installed = fleet.Installed{Disk: "eui.2", Serial: "OURS", ClusterID: c.ID, Cluster: c.Name, At: time.Now()}
	all, err := l.ops.DiskOutlooks(t.Context(), s)
	if err != nil || len(all) != 4 {
		t.Fatalf("%+v, %v", all, err)
	}
	for _, tc := range []struct {
		why    string
		disk   int
		policy fleet.DiskPolicy
		asks   string
		lost   int // lines of the disk itself
	}{
		{"foreign data is asked about", 0, fleet.CleanOnly, "DATA", 1},
		{"foreign data is not ours", 0, fleet.WipeOurs, "DATA", 1},
		{"foreign data goes if everything may", 0, fleet.WipeAll, "", 1},
		{"our own Talos is asked about", 1, fleet.CleanOnly, "OURS", 2},
		{"our own Talos goes unasked", 1, fleet.WipeOurs, "", 2},
		{"a blank disk loses nothing", 2, fleet.WipeAll, "", 0},
	} {
		o := all[tc.disk].Outcome(tc.policy)
		lost := 0
		for _, loss := range o.Losses {
			if loss.Disk == all[tc.disk].Disk.Serial {
				lost = len(loss.Lines)
			}
		}
		if slices.Contains(o.Asks, tc.asks) != (tc.asks != "") || lost != tc.lost {
			t.Errorf("%s: %+v", tc.why, o)
		}
	}
	if notes := all[0].Outcome(fleet.WipeOurs).Notes; !strings.Contains(strings.Join(notes, " "), "no install of ours wrote it") {
		t.Errorf("why it is not ours: %q", notes)
	}
	if all[3].Problem == "" || len(all[3].Outcomes) > 0 {
		t.Errorf("a disk that is too small: %+v", all[3])
	}
	for i, step := range []string{"check the records", "reach the rescue system", "write the image", "boot Talos", "check the node", "label the node"} {
		if operation.InstallPhase(step) != i {
			t.Errorf("step %q is in phase %d", step, operation.InstallPhase(step))
		}
	}
}
