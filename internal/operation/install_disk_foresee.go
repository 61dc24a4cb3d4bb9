package operation

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/rescue"
)

// diskChoice is which disk an install would take by the last facts, and what would become of what is there.
type diskChoice struct {
	disk    fleet.Disk
	policy  fleet.DiskPolicy
	rivals  []rescue.Rival
	verdict string // one sentence
	asks    string // the question; "" if none is asked
}

// diskChoice chooses as chooseDisk does, and asks nobody.
func (o *Operations) diskChoice(ctx context.Context, s fleet.Server, options InstallOptions) (c diskChoice, err error) {
	if c.disk, err = installDisk(s); err != nil {
		return c, err
	}
	c.rivals = rescue.Rivals(s.Facts, c.disk, s.Assignment.EphemeralWWID())
	var notes []string
	allowed, policy, err := o.allows(ctx, s, plan{}, options, func(format string, args ...any) {
		if note := fmt.Sprintf(format, args...); !slices.Contains(notes, note) {
			notes = append(notes, note)
		}
	})
	if err != nil {
		return c, err
	}
	c.policy = policy
	losses := rescue.Losses(s.Facts, c.disk, c.rivals, allowed)
	all := rescue.Losses(s.Facts, c.disk, c.rivals, func(fleet.Disk) bool { return false })
	switch {
	case len(losses) > 0:
		c.asks = overwriteQuestion(s, c.disk, losses)
		c.verdict = fmt.Sprintf("the policy %s does not cover it: it asks", policy)
	case len(all) > 0:
		c.verdict = fmt.Sprintf("the policy %s covers it: it is overwritten without a question", policy)
	default:
		c.verdict = "the disk is blank: nothing is lost"
	}
	if len(notes) > 0 {
		c.verdict += " (" + strings.Join(notes, "; ") + ")"
	}
	return c, nil
}
