package fleet_test

import (
	"strings"
	"testing"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

func TestChooseDisk(t *testing.T) {
	small := fleet.Disk{Name: "sdb", Serial: "USB", SizeBytes: 4 << 30}
	nvme := fleet.Disk{Name: "nvme0n1", WWID: "eui.1", Serial: "S1", SizeBytes: 512 << 30}
	other := fleet.Disk{Name: "nvme1n1", WWID: "eui.2", Serial: "S2", SizeBytes: 512 << 30}
	for _, tc := range []struct {
		why, wanted string
		disks       []fleet.Disk
		want, text  string
	}{
		{"the wanted one by WWID", "eui.2", []fleet.Disk{nvme, other}, "nvme1n1", ""},
		{"the wanted one by serial number", "serial:S1", []fleet.Disk{nvme, other}, "nvme0n1", ""},
		{"the only one that is large enough", "", []fleet.Disk{small, nvme}, "nvme0n1", ""},
		{"several and none chosen: never guess", "", []fleet.Disk{nvme, other}, "", "none was chosen"},
		{"the wanted one is gone", "eui.9", []fleet.Disk{nvme}, "", "no disk eui.9"},
		{"a /dev name is no identity", "nvme0n1", []fleet.Disk{nvme}, "", "no disk nvme0n1"},
		{"an empty serial number matches nothing", "serial:", []fleet.Disk{{Name: "sda", SizeBytes: 512 << 30}}, "", "no disk"},
		{"two of one serial number: never guess", "serial:X", []fleet.Disk{{Name: "sda", Serial: "X", SizeBytes: 512 << 30}, {Name: "sdb", Serial: "X", SizeBytes: 512 << 30}}, "", "2 disks that call themselves"},
		{"two of one WWID: never guess", "eui.0", []fleet.Disk{{Name: "sda", WWID: "eui.0", SizeBytes: 512 << 30}, {Name: "sdb", WWID: "eui.0", SizeBytes: 512 << 30}}, "", "2 disks that call themselves"},
		{"the wanted one is too small", "serial:USB", []fleet.Disk{small, nvme}, "", "less than 10 GB"},
		{"all too small", "", []fleet.Disk{small}, "", "10 GB"},
	} {
		got, err := fleet.ChooseDisk("db-1", tc.wanted, tc.disks)
		if got.Name != tc.want || (err == nil) != (tc.text == "") || (err != nil && !strings.Contains(err.Error(), tc.text)) {
			t.Errorf("%s: got %q, %v", tc.why, got.Name, err)
		}
	}
}
