package operation

import (
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/provider"
)

func TestEachRestartIsRougherThanTheLast(t *testing.T) {
	const (
		on, ssh, soft, hard, cycle = provider.PowerOn, sshReboot, provider.SoftReset, provider.HardReset, provider.PowerCycle
	)
	type list = []provider.Reset
	for _, c := range []struct {
		why     string
		offered list
		done    list
		want    provider.Reset
	}{
		{"an older board after an SSH reboot", list{soft, hard}, list{ssh}, soft},
		{"then its reset button", list{soft, hard}, list{ssh, soft}, hard},
		{"then a person", list{soft, hard}, list{ssh, soft, hard}, ""},
		{"a board with a power button after an SSH reboot", list{hard, cycle}, list{ssh}, hard},
		{"then its power", list{hard, cycle}, list{ssh, hard}, cycle},
		{"then a person", list{hard, cycle}, list{ssh, hard, cycle}, ""},
		{"a first reset that got lost, where there is nothing rougher", list{soft, hard}, list{hard}, hard},
		{"but not twice", list{soft, hard}, list{hard, hard}, ""},
		{"a first reset that got lost, where there is", list{hard, cycle}, list{hard}, cycle},
		{"it is off after a reset", list{on}, list{hard}, on},
		{"it goes off again and again", list{on}, list{on, on}, ""},
		{"it was switched on and does not come", list{soft, hard}, list{on}, soft},
		{"nobody can do anything", nil, list{ssh}, ""},
		{"only what is ignored", list{soft}, list{ssh, soft}, ""},
	} {
		var done []order
		for _, kind := range c.done {
			done = append(done, order{kind, time.Time{}})
		}
		if got := nextReset(c.offered, done); got != c.want {
			t.Errorf("%s: %q after %v of %v, want %q", c.why, got, c.done, c.offered, c.want)
		}
	}
}

func TestTheFirstRestartAsksNoSystem(t *testing.T) {
	for _, c := range []struct {
		offered []provider.Reset
		want    provider.Reset
	}{
		{[]provider.Reset{provider.PowerOn}, provider.PowerOn},
		{[]provider.Reset{provider.SoftReset, provider.HardReset}, provider.HardReset},
		{[]provider.Reset{provider.HardReset, provider.PowerCycle}, provider.HardReset},
		{[]provider.Reset{provider.PowerCycle}, provider.PowerCycle},
		{[]provider.Reset{provider.SoftReset}, provider.SoftReset},
		{nil, ""},
	} {
		if got := force(c.offered); got != c.want {
			t.Errorf("of %v: %q, want %q", c.offered, got, c.want)
		}
	}
}
