package operation

import (
	"cmp"
	"container/heap"
	"fmt"
	"slices"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/provider"
	"github.com/talos-manager/talos-manager/internal/store"
)

// A forecast plays installs through as the engine would run them: every one goes through its phases, takes calls from
// the budgets of its account when it comes to them, and waits for what they wait for. It is pure: no clock, no records.

// forecastInput is all that a forecast is made of.
type forecastInput struct {
	at       time.Time
	jobs     []job // in the order they are ordered in; those that are under way are first
	clusters map[string]clusterOf
	budgets  map[budgetKey]budgetOf
	phases   []PhaseTime
	atOnce   int
}

// job is one install.
type job struct {
	PlannedInstall

	account string // id
	cluster string // id
	kind    fleet.Provider
	costs   []provider.Cost
	hidden  bool // under way already: it takes its part and is not shown
	from    int  // the phase it begins with: an index of installPhases
	byHand  bool // somebody has to boot its rescue system
	kexec   bool
	noKexec bool // it could not
}

// clusterOf is what a forecast needs to know of a cluster.
type clusterOf struct {
	name         string
	bootstrapped bool // Kubernetes' API is taken to answer, too
}

type budgetKey struct{ account, group string }

// budgetOf is a budget as it stands before the forecast.
type budgetOf struct {
	account string // name
	limit   provider.Limit
	state   store.Budget
}

// installPhases are those of an install, in order.
func installPhases() []string {
	return []string{PhasePrepare, PhaseRescue, PhaseWrite, PhaseBoot, PhaseNode, PhaseJoin}
}

// The indices of the phases that wait for something.
const (
	atRescue = 1
	atWrite  = 2
	atBoot   = 3
	atNode   = 4
	atJoin   = 5
)

// forecast plays the installs through.
func (in *forecastInput) forecast() InstallPlan {
	f := newPlay(in)
	f.run()
	p := InstallPlan{At: in.at, Phases: in.phases, AtOnce: in.atOnce}
	for _, r := range f.all {
		f.finish(r)
		if r.hidden {
			continue
		}
		p.Servers = append(p.Servers, r.PlannedInstall)
		if r.End.After(p.End) {
			p.End = r.End
		}
	}
	p.Budgets = f.used()
	return p
}

// play is a forecast that is being made.
type play struct {
	in      *forecastInput
	all     []*played
	due     queue
	budgets map[budgetKey]*taken
	ready   map[string]*awaited // by cluster
	seq     int
}

// played is an install while it is played.
type played struct {
	job

	order int
	phase int
	calls []budgetKey // still to be taken before the phase can begin
	begun bool        // the phase was come to
	ended bool        // the phase's work is over at the event's time
}

// awaited is what the nodes of a cluster wait for.
type awaited struct {
	bootstrap, api time.Time // zero: not known yet
	begun          bool
	parked         []*played
}

// taken is a budget while it is drawn on.
type taken struct {
	budgetOf

	needed int
	last   time.Time
}

func newPlay(in *forecastInput) *play {
	f := &play{in: in, budgets: map[budgetKey]*taken{}, ready: map[string]*awaited{}}
	for k, b := range in.budgets {
		f.budgets[k] = &taken{budgetOf: b}
	}
	for id, c := range in.clusters {
		a := &awaited{}
		if c.bootstrapped {
			a.bootstrap, a.api, a.begun = in.at, in.at, true
		}
		f.ready[id] = a
	}
	for i, j := range in.jobs {
		r := &played{job: j, order: i, phase: j.from}
		r.PlannedInstall.Phases = nil
		f.all = append(f.all, r)
		if len(r.Problems) == 0 {
			r.Start = in.at
			f.at(in.at, r)
		}
	}
	return f
}

func (f *play) run() {
	for f.due.Len() > 0 {
		e := heap.Pop(&f.due).(event)
		f.step(e.run, e.at)
	}
}

// step has an install go on at a moment: it enters its phase, or waits.
func (f *play) step(r *played, now time.Time) {
	if r.ended {
		f.leave(r, now)
		if r.phase++; r.phase > atJoin {
			r.End = now
			return
		}
	}
	phases := installPhases()
	if !r.begun {
		r.begun, r.ended = true, false
		r.calls = r.callsOf(r.phase)
		r.Phases = append(r.Phases, PlannedPhase{Name: phases[r.phase], Start: now})
	}
	last := &r.Phases[len(r.Phases)-1]
	until, what, parked := f.gate(r, now)
	if what != "" {
		last.WaitsFor = what
	}
	switch {
	case parked:
		a := f.ready[r.cluster]
		a.parked = append(a.parked, r)
		return
	case until.After(now):
		f.at(until, r)
		return
	}
	last.Works = now
	last.End = f.ends(r, last.Start, now)
	r.begun, r.ended = false, true
	f.at(last.End, r)
}

// gate says what keeps an install from a phase: until when, or (parked) until somebody else is there.
func (f *play) gate(r *played, now time.Time) (until time.Time, what string, parked bool) {
	for len(r.calls) > 0 {
		b := f.budgets[r.calls[0]]
		if b != nil {
			next := b.take(now)
			if !next.IsZero() {
				return next, fmt.Sprintf("the budget of account %s for %s", b.account, r.calls[0].group), false
			}
		}
		r.calls = r.calls[1:]
	}
	a := f.ready[r.cluster]
	switch {
	case r.phase == atRescue && r.byHand:
		return now, "somebody to boot its rescue system", false
	case a == nil:
	case r.phase == atNode && r.Role == fleet.Worker:
		return a.bootstrap, waited(a.bootstrap, now, "the bootstrap of cluster "+f.in.clusters[r.cluster].name), a.bootstrap.IsZero()
	case r.phase == atJoin:
		return a.api, waited(a.api, now, "the Kubernetes API of cluster "+f.in.clusters[r.cluster].name), a.api.IsZero()
	}
	return now, "", false
}

// waited is what is waited for, if it is not there yet.
func waited(ready, now time.Time, what string) string {
	if ready.IsZero() || ready.After(now) {
		return what
	}
	return ""
}

// leave is the end of a phase. The first control plane of a new cluster that has started is bootstrapped.
func (f *play) leave(r *played, now time.Time) {
	a := f.ready[r.cluster]
	if r.phase != atNode || r.Role != fleet.ControlPlane || a == nil || a.begun {
		return
	}
	a.begun = true
	a.bootstrap = now.Add(f.takes(r, PhaseBootstrap))
	a.api = a.bootstrap.Add(f.takes(r, PhaseAPI))
	for _, p := range a.parked {
		at := a.api
		if p.phase == atNode {
			at = a.bootstrap
		}
		f.at(at, p)
	}
	a.parked = nil
}

// callsOf lists the calls that an install makes when it comes to a phase.
func (r *played) callsOf(phase int) []budgetKey {
	var all []budgetKey
	for _, c := range r.costs {
		n := map[int]int{0: c.Arm, atRescue: c.Restart, atWrite: c.Arrive}[phase]
		all = append(all, slices.Repeat([]budgetKey{{r.account, c.Group}}, n)...)
	}
	return all
}

// ends is when a phase that was come to at start, and could begin at works, is over. A Talos that kexec started installs
// itself while it waits for its cluster.
func (f *play) ends(r *played, start, works time.Time) time.Time {
	phase := installPhases()[r.phase]
	normal := works.Add(f.takes(r, phase))
	switch {
	case !r.kexec || !slices.Contains(ofKexec(), phase):
		return normal
	case r.phase != atNode:
		return works.Add(f.takes(r, phase+byKexec))
	}
	installed := start.Add(f.takes(r, phase+byKexec))
	if works.After(start) && normal.After(installed) {
		return normal
	}
	if installed.Before(works) {
		return works
	}
	return installed
}

// takes is how long a phase is.
func (f *play) takes(r *played, phase string) time.Duration {
	for _, t := range f.in.phases {
		if t.Phase == phase && t.Provider == r.kind {
			return t.Takes
		}
	}
	return 0
}

// finish says of an install that never ends what it waits for.
func (f *play) finish(r *played) {
	if !r.End.IsZero() || len(r.Problems) > 0 || r.hidden {
		return
	}
	name := f.in.clusters[r.cluster].name
	r.Problems = append(r.Problems, Problem{
		Text: "cluster " + name + " is not bootstrapped, and no control plane of it is among these servers: it would wait",
		Hint: "install a control plane of " + name + " as well",
	})
}

// take takes one call, or says when there will be one.
func (b *taken) take(now time.Time) (next time.Time) {
	b.state, next = b.state.Take(b.limit.Calls, b.limit.Window, b.limit.Refill, now)
	if next.IsZero() {
		b.needed++
		b.last = now
	}
	return next
}

// used lists the budgets that were drawn on, the scarcest first.
func (f *play) used() []PlannedBudget {
	var all []PlannedBudget
	for k, b := range f.budgets {
		if b.needed == 0 {
			continue
		}
		was := f.in.budgets[k]
		p := PlannedBudget{Account: b.account, Group: k.group, Limit: b.limit, Needed: b.needed, Last: b.last}
		p.Used, p.Back = was.state.Used(b.limit.Calls, b.limit.Window, b.limit.Refill, f.in.at)
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b PlannedBudget) int {
		return cmp.Or(cmp.Compare(b.share(), a.share()), cmp.Compare(a.Account, b.Account), cmp.Compare(a.Group, b.Group))
	})
	return all
}

// share is how much of a window is needed.
func (b PlannedBudget) share() float64 { return float64(b.Needed) / float64(b.Limit.Calls) }

// event has an install go on at a time.
type event struct {
	at  time.Time
	seq int
	run *played
}

func (f *play) at(at time.Time, r *played) {
	f.seq++
	heap.Push(&f.due, event{at, f.seq, r})
}

// queue has the earliest event first; of several at one moment the one that was there first.
type queue []event

// Len implements heap.Interface.
func (q queue) Len() int { return len(q) }

// Less implements heap.Interface.
func (q queue) Less(i, j int) bool {
	if !q[i].at.Equal(q[j].at) {
		return q[i].at.Before(q[j].at)
	}
	return q[i].seq < q[j].seq
}

// Swap implements heap.Interface.
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

// Push implements heap.Interface.
func (q *queue) Push(e any) { *q = append(*q, e.(event)) }

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}
