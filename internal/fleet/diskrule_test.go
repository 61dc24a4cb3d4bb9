package fleet_test

import (
	"strings"
	"testing"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

func TestARuleChoosesOneDiskOrNone(t *testing.T) {
	disks := []fleet.Disk{
		{Name: "nvme0n1", WWID: "eui.1", Serial: "S1", Model: "SAMSUNG MZVL2512HCJQ-00B00", SizeBytes: 512110190592, Transport: "nvme"},
		{Name: "nvme1n1", WWID: "eui.2", Serial: "S2", Model: "SAMSUNG MZQL21T9HCJR-00A07", SizeBytes: 1920383410176, Transport: "nvme"},
		{Name: "nvme2n1", WWID: "eui.3", Serial: "S3", Model: "KXG60ZNV1T02 TOSHIBA", SizeBytes: 1920383410176, Transport: "nvme"},
		{Name: "sda", WWID: "naa.4", Serial: "Z4", Model: "ST4000NM0245", SizeBytes: 4000787030016, Transport: "sata", Rotational: true},
		{Name: "sdb", WWID: "naa.5", Serial: "U5", Model: "Flash Disk", SizeBytes: 4 << 30, Transport: "usb"},
	}
	for _, tc := range []struct {
		why, rule, want, text string
	}{
		{"the smallest, but none that Talos does not fit on", "rule:smallest", "nvme0n1", ""},
		{"the largest", "rule:largest", "sda", ""},
		{"all conditions hold", "rule:smallest,transport=nvme,size>=400GB,size<=2TB,model=SAMSUNG*", "nvme0n1", ""},
		{"a size as it stands on the box", "rule:size=512GB", "nvme0n1", ""},
		{"a size of 1024s", "rule:size<500GiB,type=ssd", "nvme0n1", ""},
		{"spaces between conditions", "rule: largest , type = ssd , model=samsung*", "nvme1n1", ""},
		{"spinning disks only", "rule:type=hdd", "sda", ""},
		{"a serial number by pattern", "rule:serial=S3", "nvme2n1", ""},
		{"a WWID by pattern", "rule:wwid=naa.*,largest", "sda", ""},
		{"two of one size, both smallest: never guess", "rule:smallest,size>1TB", "", "2 disks of server db-1 are as"},
		{"several and no pick", "rule:transport=nvme", "", "3 disks"},
		{"none", "rule:size>8TB", "", "no disk of server db-1 is as"},
		{"what is too small for Talos is none", "rule:transport=usb", "", "no disk"},
	} {
		r, err := fleet.ParseDiskRule(tc.rule)
		if err != nil {
			t.Errorf("%s: %v", tc.why, err)
			continue
		}
		got, err := r.Choose("db-1", disks)
		if got.Name != tc.want || (err == nil) != (tc.text == "") || err != nil && (!strings.Contains(err.Error(), tc.text) || fleet.HintOf(err) == "" || fleet.KindOf(err) != fleet.Refused) {
			t.Errorf("%s: got %q, %v", tc.why, got.Name, err)
		}
	}
}

func TestARuleThatIsNoneSaysWhatIsWrong(t *testing.T) {
	for _, tc := range []struct{ rule, text string }{
		{"smallest", "is no rule"},
		{"rule:", "a condition is empty"},
		{"rule:smallest,,type=ssd", "a condition is empty"},
		{"rule:smallest,largest", "one of smallest and largest"},
		{"rule:tiniest", "is no condition"},
		{"rule:size>=lots", "is no size"},
		{"rule:size>=400GBit", "is no size"},
		{"rule:size>=5i", "is no size"},
		{"rule:size>=99999999PB", "is no size"},
		{"rule:model>=SAMSUNG", "with = only"},
		{"rule:model=[", "is no pattern"},
		{"rule:type=tape", "ssd or hdd"},
		{"rule:colour=red", `unknown condition "colour"`},
		{"rule:name=sda", "changes between boots"},
	} {
		_, err := fleet.ParseDiskRule(tc.rule)
		if fleet.KindOf(err) != fleet.Invalid || !strings.Contains(err.Error(), tc.text) || fleet.HintOf(err) == "" {
			t.Errorf("%s: %v", tc.rule, err)
		}
	}
}

func TestADiskThatNothingCanNameIsNotChosenAmongSeveral(t *testing.T) {
	r, err := fleet.ParseDiskRule("rule:largest")
	if err != nil {
		t.Fatal(err)
	}
	nameless := fleet.Disk{Name: "vda", SizeBytes: 40 << 30}
	if d, err := r.Choose("db-1", []fleet.Disk{nameless}); err != nil || d.Name != "vda" {
		t.Errorf("the only one: %v, %v", d, err)
	}
	if _, err := r.Choose("db-1", []fleet.Disk{nameless, {Name: "vdb", Serial: "B", SizeBytes: 20 << 30}}); err == nil {
		t.Error("one of two without a name was chosen")
	}
}

func TestTheConfigNamesTheDiskThatARuleChooses(t *testing.T) {
	s := fleet.Server{Name: "db-1", Assignment: fleet.Assignment{InstallDisk: "rule:smallest"}}
	if got := s.InstallDisk(); got != "" {
		t.Errorf("before its disks are known it is %q", got)
	}
	s.Facts.Disks = []fleet.Disk{{Name: "sda", WWID: "naa.1", SizeBytes: 2 << 40}, {Name: "sdb", WWID: "naa.2", SizeBytes: 1 << 40}}
	if got := s.InstallDisk(); got != "naa.2" {
		t.Errorf("got %q", got)
	}
	s.Assignment.InstallDisk = "serial:X"
	if got := s.InstallDisk(); got != "serial:X" {
		t.Errorf("one that is named: %q", got)
	}
}
