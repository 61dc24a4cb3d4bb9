package operation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/provider"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

// A server that does not come back is made to boot by rougher and rougher means, each with time to work:
//
//	SSH reboot ──▶ soft reset ──▶ hard reset ──▶ power cycle ──▶ a person
//
// What a provider does not offer is left out; a server that is off is switched on. A technician is never ordered.
// The first order of an install is a hard one, unless a rescue system of ours runs: what else runs is not asked.

// sshReboot is the mildest reset: a rescue system of ours is told to reboot, and no budget is touched.
const sshReboot provider.Reset = "SSH reboot"

// order is a reset that was ordered.
type order struct {
	Kind provider.Reset `json:"kind"`
	At   time.Time      `json:"at"`
}

// orders are what was ordered to have a server boot once, first to last.
type orders struct {
	Done      []order          `json:"done,omitempty"`
	Offered   []provider.Reset `json:"offered,omitempty"`  // when the last was ordered
	NotBefore time.Time        `json:"notBefore,omitzero"` // the next has no budget until then
	ByHand    bool             `json:"byHand,omitempty"`   // no program can restart the server
}

func (l orders) last() order {
	if len(l.Done) == 0 {
		return order{}
	}
	return l.Done[len(l.Done)-1]
}

// with is l once more was ordered.
func (l orders) with(kind provider.Reset, at time.Time, offered []provider.Reset) orders {
	return orders{Done: append(slices.Clone(l.Done), order{kind, at}), Offered: offered}
}

// next is what is to follow, as far as can be seen: a server that is off offers more once it is on.
func (l orders) next() provider.Reset {
	if slices.Contains(l.Offered, provider.PowerOn) {
		return provider.HardReset
	}
	return nextReset(l.Offered, l.Done)
}

// force chooses the first order for a server whose system is not asked.
func force(offered []provider.Reset) provider.Reset {
	for _, kind := range []provider.Reset{provider.PowerOn, provider.HardReset, provider.PowerCycle, provider.SoftReset} {
		if slices.Contains(offered, kind) {
			return kind
		}
	}
	return ""
}

// nextReset chooses what is ordered after the others led nowhere: what is rougher than the last; a hard reset that was
// the only order once more, because one may get lost. "" when nothing is left.
func nextReset(offered []provider.Reset, done []order) provider.Reset {
	count, roughest := map[provider.Reset]int{}, -1
	for _, d := range done {
		count[d.Kind]++
		roughest = max(roughest, roughness(d.Kind))
	}
	if slices.Contains(offered, provider.PowerOn) {
		if count[provider.PowerOn] < 2 {
			return provider.PowerOn
		}
		return ""
	}
	for _, kind := range offered {
		if roughness(kind) > roughest {
			return kind
		}
	}
	if len(done) == 1 && slices.Contains(offered, done[0].Kind) {
		return done[0].Kind
	}
	return ""
}

func roughness(kind provider.Reset) int {
	return slices.Index([]provider.Reset{provider.PowerOn, sshReboot, provider.SoftReset, provider.HardReset, provider.PowerCycle}, kind)
}

// Times of a boot. Of a dedicated server, 86 s to the rescue system are typical and 5 min 30 s normal on some boards;
// of a Cloud server 17 s, but a boot that was under way may use up what was armed. Others wait 8 min after an SSH
// reboot and 10 min after a reset (the Cluster API provider).
const (
	sshPatience   = 8 * time.Minute
	resetPatience = 10 * time.Minute
	cloudPatience = 4 * time.Minute
	lastPatience  = 10 * time.Minute // of the last order: another one would only begin anew what is slow
	handPatience  = 60 * time.Minute // a person has to come
)

// patience is how long an order has to work.
func patience(p fleet.Provider, kind provider.Reset) time.Duration {
	switch {
	case p == fleet.HetznerCloud:
		return cloudPatience
	case kind == sshReboot:
		return sshPatience
	}
	return resetPatience
}

// cost says what an order takes from a budget that matters, with a space before it.
func cost(p fleet.Provider, kind provider.Reset) string {
	switch {
	case p != fleet.HetznerRobot || kind == sshReboot:
		return ""
	case kind == provider.PowerCycle:
		return " (two of the account's 50 resets an hour)"
	}
	return " (one of the account's 50 resets an hour)"
}

// rouse is a server that is waited for.
type rouse struct {
	what  string        // that is to come: "the rescue system"
	hint  string        // what a person can do when nothing more can be ordered
	least time.Duration // that every order has at least
	l     orders
	// press writes the orders down, then orders the last of them; keep only writes them down.
	press func(ctx context.Context, l orders) error
	keep  func(ctx context.Context, l orders) error
}

// due is when the next order is given.
func (o *Operations) due(s fleet.Server, r rouse) time.Time {
	last := r.l.last()
	has := max(patience(s.Provider, last.Kind), r.least)
	if r.l.next() == "" {
		has = max(has, lastPatience)
	}
	at := last.At.Add(o.pace(has))
	if r.l.NotBefore.After(at) {
		return r.l.NotBefore
	}
	return at
}

const byHand = "; somebody has to restart the server by hand"

// rouse orders the next reset of a server that has not come in its time. What it gives is to be put behind the words
// for what is waited for: what follows, and when.
func (o *Operations) rouse(ctx context.Context, run *workflow.Run, s fleet.Server, driver provider.Driver, r rouse) (follows string, err error) {
	if r.l.ByHand {
		return byHand, nil
	}
	if due := o.due(s, r); o.Now().Before(due) {
		if s.Provider == fleet.Manual {
			return "; if it is not there at " + due.Format(time.TimeOnly) + ", somebody has to restart it", nil
		}
		return r.follows(due), nil
	}
	offered, err := driver.Resets(ctx, s.ProviderID)
	if err != nil {
		return o.rouseLater(ctx, run, s, r, err)
	}
	kind := nextReset(offered, r.l.Done)
	if kind == "" && len(offered) == 0 {
		r.l.ByHand = true
		run.Warn(ctx, "%s did not come, and no program can restart %s: somebody has to", r.what, s.Name)
		return byHand, r.keep(ctx, r.l)
	}
	if kind == "" {
		return "", workflow.Permanent(gaveUp(s, r))
	}
	before := r.l.last()
	l := r.l.with(kind, o.Now(), offered)
	if err := r.press(ctx, l); err != nil {
		return o.rouseLater(ctx, run, s, r, err)
	}
	r.l = l
	follows = r.follows(o.due(s, r))
	run.Warn(ctx, "%s did not come within %s of the %s: %s ordered%s%s", r.what, fleet.InWords(o.world(o.Now().Sub(before.At))), before.Kind, kind, cost(s.Provider, kind), follows)
	return follows, nil
}

// world is a duration of our program as one of the world it works in, for people.
func (o *Operations) world(d time.Duration) time.Duration {
	return time.Duration(float64(d) * o.Pace).Round(time.Second)
}

// follows says what is done, and when, if the server does not come.
func (r rouse) follows(due time.Time) string {
	next := r.l.next()
	switch {
	case next == "":
		return fmt.Sprintf("; given up at %s, there is nothing rougher than %s", due.Format(time.TimeOnly), r.l.last().Kind)
	case r.l.NotBefore.Equal(due):
		return fmt.Sprintf("; it can be restarted once more (%s) at %s, when the budget is back", next, due.Format(time.TimeOnly))
	}
	return fmt.Sprintf("; %s at %s if it does not come", next, due.Format(time.TimeOnly))
}

// rouseLater notes when the budget allows the next order: the server may come by itself meanwhile.
func (o *Operations) rouseLater(ctx context.Context, run *workflow.Run, s fleet.Server, r rouse, err error) (string, error) {
	if until := provider.ExhaustedUntil(err); !until.IsZero() {
		r.l.NotBefore = until
		return r.follows(until), r.keep(ctx, r.l)
	}
	err = o.busy(err, "server "+s.Name+" to be free")
	if pause, ok := errors.AsType[*workflow.Pause](err); ok { // of what was waited for so far, nothing was in its way
		err = pause.Within(o.since(run, o.due(s, r), busyPatience))
	}
	return "", err
}

// since is so long after a moment of this step, as the limit of a wait: that is counted from the step's first one.
func (o *Operations) since(run *workflow.Run, at time.Time, d time.Duration) time.Duration {
	return o.pace(d) + max(0, at.Sub(run.StepStarted()))
}

// gaveUp lists what was tried.
func gaveUp(s fleet.Server, r rouse) error {
	var tried []string
	for _, d := range r.l.Done {
		tried = append(tried, fmt.Sprintf("%s at %s", d.Kind, d.At.Format(time.TimeOnly)))
	}
	return fleet.Errorf(fleet.Unavailable, "waited for %s of %s in vain: %s", r.what, s.Name, strings.Join(tried, ", ")).WithHint("%s", r.hint)
}

const talosOrdersKey = "restarts"

// talosPatience is the least a boot of Talos has: its first one makes file systems, and asks for its config.
const talosPatience = 8 * time.Minute

// talosNotYet orders rougher and rougher restarts of a machine that was told to boot Talos from its disk and gives no
// sign. It gives what to say while waiting, and when the last order was given.
func (o *Operations) talosNotYet(ctx context.Context, run *workflow.Run, s fleet.Server, driver provider.Driver, hint string) (follows string, last time.Time, err error) {
	var p plan
	if _, err := run.Get(planKey, &p); err != nil || p.Boot == fleet.BootKexec {
		return "", last, err // there is nothing on its disk to boot yet
	}
	var b boot
	var told time.Time
	var l orders
	if _, err := run.Get(bootKey, &b); err != nil {
		return "", last, err
	}
	if _, err := run.Get(rebootKey, &told); err != nil {
		return "", last, err
	}
	if _, err := run.Get(talosOrdersKey, &l); err != nil {
		return "", last, err
	}
	if len(l.Done) == 0 {
		l = orders{}.with(sshReboot, told, b.Orders.Offered)
		l.ByHand = b.Orders.ByHand
	}
	follows, err = o.rouse(ctx, run, s, driver, rouse{
		what: "Talos", hint: hint, least: talosPatience, l: l,
		press: func(ctx context.Context, l orders) error {
			if err := run.Set(ctx, talosOrdersKey, l); err != nil {
				return err
			}
			err := driver.Reset(ctx, s.ProviderID, l.last().Kind)
			if err != nil {
				before := orders{Done: l.Done[:len(l.Done)-1], Offered: l.Offered}
				return cmp.Or(run.Set(ctx, talosOrdersKey, before), err)
			}
			return nil
		},
		keep: func(ctx context.Context, l orders) error { return run.Set(ctx, talosOrdersKey, l) },
	})
	return follows, l.last().At, err
}
