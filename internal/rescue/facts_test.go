package rescue

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/skip"
)

// The script runs on whatever machine this is, with whatever tools it has.
func TestFactsOfThisVeryMachineAreRead(t *testing.T) {
	text, err := Scripts.ReadFile("scripts/facts.sh")
	if err != nil {
		t.Fatal(err)
	}
	before := time.Now()
	cmd := exec.CommandContext(t.Context(), "bash", "-s", "--", "bash", "no-such-program")
	cmd.Stdin = strings.NewReader(string(text))
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	sections := split(string(out))
	if sections["lsblk"] == "" || sections["addresses"] == "" {
		skip.UnlessCI(t, "this machine has no lsblk or ip: apt-get install util-linux iproute2")
	}
	f, err := parseFacts(sections, before, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if f.Cores == 0 || f.MemoryBytes == 0 || f.Firmware == "" || f.ClockOffset != 0 {
		t.Errorf("cores %d, memory %d, firmware %q, clock off by %s", f.Cores, f.MemoryBytes, f.Firmware, f.ClockOffset)
	}
	if len(f.MissingTools) != 1 || f.MissingTools[0] != "no-such-program" {
		t.Errorf("missing are %v", f.MissingTools)
	}
	for _, d := range f.Disks {
		if d.SizeBytes == 0 || strings.HasPrefix(d.Name, "loop") {
			t.Errorf("no disk: %+v", d)
		}
	}
}

func TestTheClockIsOffOnlyIfItCannotBeRight(t *testing.T) {
	before := time.Unix(1000, 0)
	after := before.Add(5 * time.Second)
	for _, tc := range []struct {
		why, text string
		want      time.Duration
	}{
		{"it may be right", "1002.500000000", 0},
		{"behind", "940.000000000", -time.Minute},
		{"ahead", "1065.250000000", time.Minute + 250*time.Millisecond},
		{"of before the epoch's first battery", "0.000000000", -1000 * time.Second},
		{"nothing was said", "", 0},
	} {
		if got := clockOffset(tc.text, before, after); got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.why, got, tc.want)
		}
	}
}

// Without udev, lsblk knows names and sizes alone; libblkid is asked, too. Texts are those of util-linux 2.38.
func TestDisksAreToldWithoutUdev(t *testing.T) {
	sections := map[string]string{
		"lsblk": `{"blockdevices":[{"name":"sda","type":"disk","size":512110190592,"fstype":null,"children":[
			{"name":"sda1","type":"part","size":104857600},{"name":"sda2","type":"part","size":104857600},{"name":"sda3","type":"part","size":1}]},
			{"name":"sdb","type":"disk","size":10,"fstype":null},{"name":"zram0","type":"disk","size":0}]}`,
		"blkid": "DEVNAME=/dev/sda\nPTUUID=5f2f\nPTTYPE=gpt\n\nDEVNAME=/dev/sda1\nLABEL=EFI\nUUID=7B77-95E7\nVERSION=FAT16\nTYPE=vfat\nUSAGE=filesystem\nPART_ENTRY_SCHEME=gpt\n" +
			"PART_ENTRY_NAME=EFI\\ System\\x20Partition\nPART_ENTRY_UUID=C6D2CE00-0001-4002-8003-000000000004\nPART_ENTRY_TYPE=c12a7328-f81f-11d2-ba4b-00a0c93ec93b\nPART_ENTRY_NUMBER=1\n\n" +
			"DEVNAME=/dev/sda2\nUUID=b0f7\nTYPE=LVM2_member\nPART_ENTRY_NAME=data\n",
		"wipefs":    `{"signatures":[{"device":"sda3","offset":"0x438","type":"ext4","uuid":"1","label":null},{"device":"sda3","offset":"0x218","type":"zfs_member","uuid":"2","label":null},{"device":"sdb","offset":"0x0","type":"xfs","uuid":"3","label":null}]}`,
		"pvs":       "  /dev/sda2|vg0|pZ1|1",
		"sysfs":     "disk=sda\ndevice/wwid=t10.ATA     SAMSUNG MZ7LH240HAHQ-00005              S45RNE0M500123\nvpd80=S45RNE0M500123      \nboot=eb6355aa\ndisk=sdb\nserial=FRONT\nboot=73730a73",
		"esp":       "device=sda1\nloader=EFI/BOOT\nloader=EFI/debian",
		"addresses": "[]",
	}
	f, err := parseFacts(sections, time.Time{}, time.Time{})
	if err != nil || len(f.Disks) != 2 {
		t.Fatalf("%+v, %v", f.Disks, err)
	}
	a, b := f.Disks[0], f.Disks[1]
	if a.WWID != "t10.ATA     SAMSUNG MZ7LH240HAHQ-00005              S45RNE0M500123" || a.Serial != "S45RNE0M500123" || !a.BootCode || b.Serial != "FRONT" || b.BootCode {
		t.Errorf("names: %q %q, %q", a.WWID, a.Serial, b.Serial)
	}
	want := fleet.Partition{
		Number: 1, Name: "sda1", Label: "EFI System Partition", Type: fleet.TypeEFI, UUID: "c6d2ce00-0001-4002-8003-000000000004", SizeBytes: 104857600, FSType: "vfat", FSLabel: "EFI", FSUUID: "7B77-95E7",
	}
	got := a.Partitions[0]
	if strings.Join(got.Loaders, " ") != "EFI/BOOT EFI/debian" {
		t.Errorf("loaders %v", got.Loaders)
	}
	if got.Loaders = nil; got.Label != want.Label || got.Type != want.Type || got.UUID != want.UUID || got.FSType != want.FSType || !got.EFI() {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if kind := a.Partitions[2].FSType; kind != "ext4+zfs_member" {
		t.Errorf("two signatures at once are %q", kind)
	}
	if len(f.Arrays) != 2 || f.Arrays[1].Kind != "zfs" || f.Arrays[0].Name != "vg0" || f.Arrays[0].Missing != 1 || f.Arrays[0].Members[0] != "sda2" {
		t.Errorf("arrays %+v", f.Arrays)
	}
	if b.Blank() || b.Signatures[0] != "xfs" {
		t.Errorf("a file system without a partition table: %+v", b)
	}
}

func TestWhatABrokenMachineSendsWithoutEndIsNotKept(t *testing.T) {
	full := 0
	c := &capped{limit: 10, full: func() { full++ }}
	for range 5 {
		if n, err := c.Write([]byte("1234")); n != 4 || err != nil {
			t.Fatal(n, err)
		}
	}
	if c.String() != "1234123412" || !c.over || full != 1 {
		t.Errorf("kept %q, over %v, %d times full", c.String(), c.over, full)
	}
}
