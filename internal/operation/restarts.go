package operation

import (
	"context"
	"regexp"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

// Restart is a restart of a server that an operation ordered, as its log tells it.
type Restart struct {
	At   time.Time
	Kind string // "hard reset", "SSH reboot", …
	Cost int    // resets out of the account's budget; 0: none
	Why  string // what did not come before; "" for the first
}

var ordered = regexp.MustCompile(`^(?:(.+ did not come within .+): )?(power on|soft reset|hard reset|power cycle|` + string(sshReboot) + `) ordered\b(?: at \S+)?( \((one|two) of the account's)?`)

// Words of the log for restarts that cost nothing.
const (
	toldToReboot = "the rescue system that runs was told to reboot"
	intoTalos    = "rebooting into Talos"
)

// Restarts finds in a log what was ordered, first to last.
func Restarts(lines []fleet.LogLine) []Restart {
	var all []Restart
	for _, l := range lines {
		if l.Text == toldToReboot || l.Text == intoTalos {
			all = append(all, Restart{At: l.At, Kind: string(sshReboot)})
			continue
		}
		if m := ordered.FindStringSubmatch(l.Text); m != nil {
			all = append(all, Restart{At: l.At, Kind: m[2], Cost: map[string]int{"one": 1, "two": 2}[m[4]], Why: m[1]})
		}
	}
	return all
}

// WaitsSince is since when the step of a waiting operation waits; zero: it does not, or nobody knows.
func (o *Operations) WaitsSince(ctx context.Context, op fleet.Operation) (time.Time, error) {
	if op.State != fleet.Waiting {
		return time.Time{}, nil
	}
	value, err := o.Store.OperationValue(ctx, op.ID, workflow.MemoValue)
	return workflow.WaitingSince(value), err
}
