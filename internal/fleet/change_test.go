package fleet_test

import (
	"strings"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

func TestWhatChangedInAMachineIsSaid(t *testing.T) {
	disk := func(serial string, size int64) fleet.Disk {
		return fleet.Disk{Name: "nvme0n1", WWID: "eui." + serial, Serial: serial, Model: "SAMSUNG", SizeBytes: size}
	}
	facts := func(change func(*fleet.Facts)) fleet.Facts {
		f := fleet.Facts{
			At: time.Unix(1, 0), UUID: "u-1", Serial: "1234", Board: fleet.Board{Product: "B650D4U", Serial: "M1"}, Firmware: "uefi", MemoryBytes: 65764904 << 10,
			NICs:  []fleet.NIC{{Name: "eth0", MAC: "90:1b:0e:00:00:01"}},
			Disks: []fleet.Disk{disk("A", 512e9), disk("B", 1920e9)},
		}
		change(&f)
		return f
	}
	for _, tc := range []struct {
		why    string
		old    fleet.Facts
		change func(*fleet.Facts)
		want   []string // "what: part of the text"
	}{
		{"nothing", facts(func(*fleet.Facts) {}), func(*fleet.Facts) {}, nil},
		{"never asked before", fleet.Facts{}, func(*fleet.Facts) {}, nil},
		{"the UUID", facts(func(*fleet.Facts) {}), func(f *fleet.Facts) { f.UUID = "u-2" }, []string{"board: UUID was u-1 and is u-2"}},
		{"the whole board", facts(func(*fleet.Facts) {}), func(f *fleet.Facts) {
			f.UUID, f.Serial, f.Board, f.NICs = "u-2", "99", fleet.Board{Product: "B650D4U", Serial: "M2"}, []fleet.NIC{{Name: "eth0", MAC: "90:1b:0e:00:00:02"}}
		}, []string{"board: UUID", "board: its serial number was 1234", "board: board's serial number was M1", "nic: 90:1b:0e:00:00:02 now"}},
		{"facts of before boards were asked for", facts(func(f *fleet.Facts) { f.Board = fleet.Board{} }), func(*fleet.Facts) {}, nil},
		{"the boot mode", facts(func(*fleet.Facts) {}), func(f *fleet.Facts) { f.Firmware = "bios" }, []string{"firmware: booted by uefi and boots by bios"}},
		{"a module of memory", facts(func(*fleet.Facts) {}), func(f *fleet.Facts) { f.MemoryBytes /= 2 }, []string{"memory: was 63 GB and is 31 GB"}},
		{"another kernel counts memory otherwise", facts(func(*fleet.Facts) {}), func(f *fleet.Facts) { f.MemoryBytes -= 200 << 20 }, nil},
		{"more memory is no warning", facts(func(*fleet.Facts) {}), func(f *fleet.Facts) { f.MemoryBytes *= 2 }, nil},
		{"disks by other names, in another order", facts(func(*fleet.Facts) {}), func(f *fleet.Facts) {
			f.Disks[0], f.Disks[1] = f.Disks[1], f.Disks[0]
			f.Disks[0].Name = "nvme7n1"
		}, nil},
		{"a disk is gone", facts(func(*fleet.Facts) {}), func(f *fleet.Facts) { f.Disks = f.Disks[1:] }, []string{"disk: eui.A (SAMSUNG, 512 GB, serial number A) is gone"}},
		{"a disk is new", facts(func(*fleet.Facts) {}), func(f *fleet.Facts) { f.Disks = append(f.Disks, disk("C", 4000e9)) }, []string{"disk: eui.C (SAMSUNG, 4000 GB, serial number C) is new"}},
		{"a disk was exchanged", facts(func(*fleet.Facts) {}), func(f *fleet.Facts) { f.Disks[0] = disk("C", 512e9) }, []string{"disk: serial number A) was exchanged for eui.C"}},
		{"all are gone", facts(func(*fleet.Facts) {}), func(f *fleet.Facts) { f.Disks = nil }, []string{"disk: eui.A", "disk: eui.B"}},
		{"a disk that had only a serial number has a WWID now", facts(func(f *fleet.Facts) { f.Disks[0].WWID = "" }), func(*fleet.Facts) {}, nil},
		{"two of one serial number", facts(func(f *fleet.Facts) { f.Disks[1] = f.Disks[0] }), func(f *fleet.Facts) { f.Disks = f.Disks[:1] }, []string{"disk: eui.A"}},
		{"a card more", facts(func(*fleet.Facts) {}), func(f *fleet.Facts) { f.NICs = append(f.NICs, fleet.NIC{MAC: "90:1b:0e:00:00:09"}) }, []string{"nic: new network card 90:1b:0e:00:00:09"}},
		{"a card less", facts(func(f *fleet.Facts) { f.NICs = append(f.NICs, fleet.NIC{MAC: "90:1b:0e:00:00:09"}) }), func(*fleet.Facts) {}, []string{"nic: card 90:1b:0e:00:00:09 is gone"}},
	} {
		got := fleet.CompareFacts(tc.old, facts(tc.change))
		if len(got) != len(tc.want) {
			t.Errorf("%s: got %v", tc.why, got)
			continue
		}
		for i, want := range tc.want {
			what, text, _ := strings.Cut(want, ": ")
			if got[i].What != what || !strings.Contains(got[i].Text, text) {
				t.Errorf("%s: got %+v, want %s", tc.why, got[i], want)
			}
		}
	}
}
