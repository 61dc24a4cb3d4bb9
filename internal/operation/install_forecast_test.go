package operation

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/provider"
	"github.com/talos-manager/talos-manager/internal/store"
)

var start = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// resets are Robot's, as drivers say what they cost.
func resets() []provider.Cost {
	return []provider.Cost{{Group: "robot POST /reset", Limit: provider.Limit{Calls: 50, Window: time.Hour}, Restart: 1, Scarce: true}}
}

// forecastOf makes the input of a forecast: names that begin with cp are control planes.
func forecastOf(names ...string) *forecastInput {
	in := &forecastInput{at: start, clusters: map[string]clusterOf{"c": {name: "prod"}}, budgets: map[budgetKey]budgetOf{}}
	for _, kind := range []fleet.Provider{fleet.HetznerRobot, fleet.HetznerCloud, fleet.Manual} {
		for _, phase := range allPhases() {
			in.phases = append(in.phases, PhaseTime{Provider: kind, Phase: phase, Takes: typical()[kind][phase]})
		}
	}
	for _, name := range names {
		role := fleet.Worker
		if name[:2] == "cp" {
			role = fleet.ControlPlane
		}
		in.add(job{PlannedInstall: PlannedInstall{Server: name, Role: role, Restarts: 1}, account: "a", cluster: "c", kind: fleet.HetznerRobot, costs: resets()}, 0)
	}
	return in
}

// add adds an install, of an account that has used so many calls half an hour ago.
func (in *forecastInput) add(j job, used int) {
	for _, c := range j.costs {
		key := budgetKey{j.account, c.Group}
		if _, ok := in.budgets[key]; ok {
			continue
		}
		var b store.Budget
		for range used {
			b, _ = b.Take(c.Limit.Calls, c.Limit.Window, c.Limit.Refill, start.Add(-30*time.Minute))
		}
		in.budgets[key] = budgetOf{account: "robot-" + j.account, limit: c.Limit, state: b}
	}
	in.jobs = append(in.jobs, j)
}

func named(prefix string, n int) []string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf("%s-%d", prefix, i+1))
	}
	return all
}

// phase gives a phase of a server's install.
func (p *InstallPlan) phase(t *testing.T, server, phase string) PlannedPhase {
	t.Helper()
	for _, s := range p.Servers {
		if s.Server != server {
			continue
		}
		for _, ph := range s.Phases {
			if ph.Name == phase {
				return ph
			}
		}
	}
	t.Fatalf("server %s has no phase %q", server, phase)
	return PlannedPhase{}
}

func TestAFleetWithinItsBudgetIsInstalledAtOnce(t *testing.T) {
	p := forecastOf(append(named("cp", 3), named("w", 47)...)...).forecast()
	one := forecastOf("cp-1").forecast()
	if p.Total() != one.Total() || p.Total() < 5*time.Minute || p.Total() > 15*time.Minute {
		t.Errorf("fifty take %s, one %s", p.Total(), one.Total())
	}
	if got := p.Budgets[0]; got.Needed != 50 || got.Used != 0 {
		t.Errorf("got %+v", got)
	}
}

func TestWorkersWaitForTheBootstrap(t *testing.T) {
	p := forecastOf("w-1", "cp-1").forecast()
	node, plane := p.phase(t, "w-1", PhaseNode), p.phase(t, "cp-1", PhaseNode)
	times := typical()[fleet.HetznerRobot]
	if want := plane.End.Add(times[PhaseBootstrap]); !node.Works.Equal(want) || node.WaitsFor != "the bootstrap of cluster prod" {
		t.Errorf("the worker goes on at %s for %q, want %s", node.Works, node.WaitsFor, want)
	}
	if join := p.phase(t, "cp-1", PhaseJoin); join.Works.Sub(plane.End) != times[PhaseBootstrap]+times[PhaseAPI] {
		t.Errorf("Kubernetes is joined at %s", join.Works)
	}
	in := forecastOf("w-1")
	in.clusters["c"] = clusterOf{name: "prod", bootstrapped: true}
	p = in.forecast()
	if node := p.phase(t, "w-1", PhaseNode); node.WaitsFor != "" {
		t.Errorf("in a running cluster it waits for %q", node.WaitsFor)
	}
}

// An install that is under way goes on from the phase that its step is of.
func TestEveryStepOfAnInstallHasItsPhase(t *testing.T) {
	for _, boot := range []fleet.BootMethod{fleet.BootImage, fleet.BootKexec} {
		at := 0
		for _, step := range New(Env{}).installSteps(boot) {
			next := phaseAt(step.Name)
			if next < at || next > at+1 {
				t.Errorf("%s: %q is of phase %d, the step before it of %d", boot, step.Name, next, at)
			}
			at = next
		}
		if at != atJoin {
			t.Errorf("%s: it ends in phase %d", boot, at)
		}
	}
}

func TestAWorkerWithoutAControlPlaneNeverEnds(t *testing.T) {
	p := forecastOf("w-1").forecast()
	if !p.End.IsZero() || !p.Servers[0].End.IsZero() || len(p.Servers[0].Problems) != 1 {
		t.Errorf("got %+v", p.Servers[0])
	}
	in := forecastOf("w-1")
	in.jobs = append([]job{{PlannedInstall: PlannedInstall{Server: "cp-1", Role: fleet.ControlPlane}, cluster: "c", kind: fleet.HetznerRobot, hidden: true, from: atBoot}}, in.jobs...)
	p = in.forecast()
	if p.End.IsZero() || len(p.Servers) != 1 {
		t.Errorf("with a control plane under way: %+v", p)
	}
}

func TestInstallsWaitForRestartsInTheirOrder(t *testing.T) {
	in := forecastOf()
	for i, name := range append(named("w", 60), "cp-1") {
		role := fleet.Worker
		if i == 60 {
			role = fleet.ControlPlane
		}
		in.add(job{PlannedInstall: PlannedInstall{Server: name, Role: role}, account: "a", cluster: "c", kind: fleet.HetznerRobot, costs: resets()}, 20)
	}
	p := in.forecast()
	for name, want := range map[string]time.Duration{"w-1": 0, "w-30": 0, "w-31": 30 * time.Minute, "w-60": 30 * time.Minute, "cp-1": 30 * time.Minute} {
		got := p.phase(t, name, PhaseRescue)
		wait := got.Works.Sub(got.Start)
		if (wait > 0) != (want > 0) || !got.Works.Before(start.Add(want+time.Minute)) || got.Works.Before(start.Add(want)) {
			t.Errorf("%s is restarted at %s, want %s", name, got.Works.Sub(start), want)
		}
		if want > 0 && got.WaitsFor != "the budget of account robot-a for robot POST /reset" {
			t.Errorf("%s waits for %q", name, got.WaitsFor)
		}
	}
	if b := p.Budgets[0]; b.Used != 20 || b.Needed != 61 || !b.Back.Equal(start.Add(30*time.Minute)) {
		t.Errorf("got %+v", b)
	}
	ways := in.shorter(p)
	if len(ways) == 0 || ways[0].Saves < 20*time.Minute {
		t.Fatalf("shorter ways: %+v", ways)
	}
	if !slices.ContainsFunc(ways, func(s ShorterPlan) bool { return s.How == "--boot kexec" }) {
		t.Errorf("no kexec among %+v", ways)
	}
}

func TestPlanesFirstIsShorterWhereTheyWouldWait(t *testing.T) {
	in := forecastOf(append(named("w", 50), "cp-1")...)
	ways := in.shorter(in.forecast())
	i := slices.IndexFunc(ways, func(s ShorterPlan) bool { return s.What[:5] == "order" })
	if i < 0 || ways[i].How[:36] != "talos-manager server install cp-1 w-" || ways[i].Each < 50*time.Minute {
		t.Errorf("got %+v", ways)
	}
}

func TestAServerThatWouldBeRefusedTakesNothing(t *testing.T) {
	in := forecastOf("cp-1", "cp-2")
	in.jobs[0].Problems = []Problem{{Text: "it is a node"}}
	p := in.forecast()
	if s := p.Servers[0]; !s.End.IsZero() || len(s.Phases) > 0 || len(s.Problems) != 1 {
		t.Errorf("got %+v", s)
	}
	if p.Budgets[0].Needed != 1 || p.End.IsZero() {
		t.Errorf("got %+v", p)
	}
}

// Whatever is asked for: never more calls in a window than it has, every phase after the one before, nobody before what
// he waits for, and everybody ends who can.
func TestForecastsKeepWithinBudgets(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		in := forecastOf()
		limit := provider.Limit{Calls: rapid.IntRange(1, 50).Draw(r, "calls"), Window: time.Duration(rapid.IntRange(1, 90).Draw(r, "window")) * time.Minute, Refill: rapid.Bool().Draw(r, "refill")}
		used := rapid.IntRange(0, limit.Calls).Draw(r, "used")
		planes := 0
		for i := range rapid.IntRange(1, 120).Draw(r, "servers") {
			j := job{
				PlannedInstall: PlannedInstall{Server: fmt.Sprintf("s-%d", i), Role: rapid.SampledFrom([]fleet.Role{fleet.ControlPlane, fleet.Worker}).Draw(r, "role")},
				account:        rapid.SampledFrom([]string{"a", "b"}).Draw(r, "account"), cluster: "c",
				kind:  rapid.SampledFrom([]fleet.Provider{fleet.HetznerRobot, fleet.HetznerCloud}).Draw(r, "provider"),
				costs: []provider.Cost{{Group: "resets", Limit: limit, Restart: 1}},
			}
			if j.Role == fleet.ControlPlane {
				planes++
			}
			in.add(j, used)
		}
		p := in.forecast()
		checkForecast(r, in, p, planes > 0)
		for _, account := range []string{"a", "b"} {
			var at []time.Time
			for range used {
				at = append(at, start.Add(-30*time.Minute))
			}
			for i, s := range p.Servers {
				if in.jobs[i].account != account || len(s.Phases) <= atRescue {
					continue
				}
				at = append(at, s.Phases[atRescue].Works)
			}
			checkWindows(r, limit, at)
		}
	})
}

// checkWindows plays the calls to a provider that counts as Robot or the Cloud does.
func checkWindows(r *rapid.T, limit provider.Limit, at []time.Time) {
	slices.SortFunc(at, time.Time.Compare)
	var began, last time.Time
	left, n := float64(limit.Calls), 0
	for _, t := range at {
		if limit.Refill {
			if !last.IsZero() {
				left = min(float64(limit.Calls), left+t.Sub(last).Seconds()*float64(limit.Calls)/limit.Window.Seconds())
			}
			last = t
			if left--; left < -1e-3 {
				r.Fatalf("a call too many at %s", t)
			}
			continue
		}
		if began.IsZero() || !t.Before(began.Add(limit.Window)) {
			began, n = t, 0
		}
		if n++; n > limit.Calls {
			r.Fatalf("%d calls in the window that began at %s, it has %d", n, began, limit.Calls)
		}
	}
}

func checkForecast(r *rapid.T, in *forecastInput, p InstallPlan, planes bool) {
	var bootstrap time.Time
	for _, s := range p.Servers {
		if s.Role != fleet.ControlPlane || len(s.Phases) <= atNode {
			continue
		}
		if end := s.Phases[atNode].End; bootstrap.IsZero() || end.Before(bootstrap) {
			bootstrap = end
		}
	}
	for i, s := range p.Servers {
		if s.End.IsZero() == planes {
			r.Fatalf("%s ends at %s", s.Server, s.End)
		}
		before := in.at
		for _, ph := range s.Phases {
			if ph.Start.Before(before) || !ph.Works.IsZero() && (ph.Works.Before(ph.Start) || ph.End.Before(ph.Works)) {
				r.Fatalf("%s: %+v after %s", s.Server, ph, before)
			}
			if ph.Works.After(ph.Start) && ph.WaitsFor == "" {
				r.Fatalf("%s waits for nothing: %+v", s.Server, ph)
			}
			before = ph.End
			if ph.Name == PhaseNode && s.Role == fleet.Worker && ph.Works.Before(bootstrap) && planes {
				r.Fatalf("%s goes on before the bootstrap", s.Server)
			}
		}
		if planes && len(s.Phases) != len(installPhases()) || in.jobs[i].Server != s.Server {
			r.Fatalf("%s has %d phases", s.Server, len(s.Phases))
		}
	}
}
