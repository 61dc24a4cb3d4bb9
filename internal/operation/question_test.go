package operation

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/provider"
	"github.com/talos-manager/talos-manager/internal/rescue"
)

func twoDisks() fleet.Facts {
	return fleet.Facts{
		Disks: []fleet.Disk{
			{
				Name: "nvme0n1", Serial: "S64G NX0T", WWID: "eui.01", SizeBytes: 512e9, Contents: []string{"gpt"},
				Partitions: []fleet.Partition{{Number: 1, Name: "nvme0n1p1", SizeBytes: 500e9, FSType: "linux_raid_member"}},
			},
			{Name: "nvme1n1", WWID: "eui.02", SizeBytes: 512e9, Contents: []string{"gpt"}, Partitions: []fleet.Partition{{Number: 1, Name: "nvme1n1p1", SizeBytes: 500e9}}},
		},
		Arrays: []fleet.Array{{Kind: "md", Name: "md0", Level: "raid1", Members: []string{"nvme0n1p1", "nvme1n1p1"}}},
	}
}

// What a step asks about disks is read back for a form: each disk with what becomes of it, and what goes on.
func TestAQuestionAboutDisksIsTakenApartAgain(t *testing.T) {
	f := twoDisks()
	text := overwriteQuestion(fleet.Server{Name: "db-1"}, f.Disks[0], rescue.Losses(f, f.Disks[0], nil, func(fleet.Disk) bool { return false }))
	q := ReadQuestion(text, f)
	if len(q.Disks) != 2 {
		t.Fatalf("%d disks in %q", len(q.Disks), text)
	}
	own, other := q.Disks[0], q.Disks[1]
	if own.Name != "S64G NX0T" || own.Disk.Name != "nvme0n1" || !own.Lost(text) || len(own.Becomes) != 2 {
		t.Errorf("the disk itself is %+v", own)
	}
	if want := []string{"RAID array md0 raid1 loses a member: it is degraded"}; other.Name != "eui.02" || other.Lost(text) || cmp.Diff(want, other.Becomes) != "" {
		t.Errorf("the other disk is %+v", other)
	}
	if got, want := q.Answer(), "S64G NX0T eui.02"; got != want {
		t.Errorf("the answer is %q, want %q", got, want)
	}
	for answer, want := range map[string]bool{"eui.02, S64G NX0T": true, "S64G NX0T eui.02": true, "S64G NX0T": false, "yes": false, "": false, "S64G NX0T eui.02 eui.03": false} {
		if q.Accepts(answer) != want {
			t.Errorf("answer %q: %v", answer, !want)
		}
	}
	if gone := ReadQuestion(text, fleet.Facts{}); len(gone.Disks) != 2 || gone.Disks[0].Disk.Name != "" {
		t.Errorf("without facts: %+v", gone)
	}
}

func TestAnotherQuestionIsShownAsItIs(t *testing.T) {
	for _, text := range []string{"Which one? To go on, answer with ada", "One:\ntwo", ""} {
		if q := ReadQuestion(text, twoDisks()); q.Intro != text || len(q.Disks) > 0 || q.Answer() != "" || !q.Accepts("anything") {
			t.Errorf("%q is %+v", text, q)
		}
	}
}

// What a log says of restarts is read back: each, and what it took from the budget.
func TestRestartsAreFoundInALog(t *testing.T) {
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	late := fmt.Sprintf("%s did not come within %s of the %s: %s ordered%s%s", "the rescue system", fleet.InWords(10*time.Minute), provider.HardReset, provider.PowerCycle, cost(fleet.HetznerRobot, provider.PowerCycle), "; somebody has to restart it")
	var lines []fleet.LogLine
	for _, text := range []string{
		"rescue system armed for the next boot",
		fmt.Sprintf("%s ordered at %s%s", provider.HardReset, fleet.HetznerRobot, cost(fleet.HetznerRobot, provider.HardReset)),
		late, fmt.Sprintf("%s ordered at %s%s", provider.HardReset, fleet.HetznerCloud, cost(fleet.HetznerCloud, provider.HardReset)),
		"somebody says a hard reset ordered nothing", toldToReboot, intoTalos,
	} {
		lines = append(lines, fleet.LogLine{At: at, Text: text})
	}
	want := []Restart{
		{at, "hard reset", 1, ""},
		{at, "power cycle", 2, "the rescue system did not come within 10 min of the hard reset"},
		{at, "hard reset", 0, ""},
		{at, "SSH reboot", 0, ""},
		{at, "SSH reboot", 0, ""},
	}
	if diff := cmp.Diff(want, Restarts(lines)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
