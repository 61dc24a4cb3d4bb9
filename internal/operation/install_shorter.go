package operation

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// worth is what a shorter way must save, as a part of the whole, to be told of.
const worth = 50 // a fiftieth

// shorter plays other ways through, and gives those that would be over earlier, the best first.
func (in *forecastInput) shorter(p InstallPlan) []ShorterPlan {
	var all []ShorterPlan
	for _, way := range []func(InstallPlan) (ShorterPlan, *forecastInput){in.planesFirst, in.withKexec, in.moreAccounts} {
		s, other := way(p)
		if other == nil {
			continue
		}
		then := other.forecast()
		if then.End.IsZero() || p.Total() == 0 {
			continue
		}
		s.End, s.Saves, s.Each = then.End, p.End.Sub(then.End), p.average()-then.average()
		if max(s.Saves, s.Each) > p.Total()/worth {
			all = append(all, s)
		}
	}
	slices.SortStableFunc(all, func(a, b ShorterPlan) int { return cmp.Or(cmp.Compare(b.Saves, a.Saves), cmp.Compare(b.Each, a.Each)) })
	return all
}

// average is how long one of the installs takes, with its waiting.
func (p *InstallPlan) average() time.Duration {
	sum, n := time.Duration(0), 0
	for _, s := range p.Servers {
		if !s.End.IsZero() {
			sum, n = sum+s.End.Sub(p.At), n+1
		}
	}
	return sum / time.Duration(max(n, 1))
}

// planesFirst has control planes take the restarts that there are: workers wait for them.
func (in *forecastInput) planesFirst(InstallPlan) (ShorterPlan, *forecastInput) {
	rank := func(j job) int {
		switch {
		case j.hidden:
			return 0
		case j.Role == fleet.ControlPlane:
			return 1
		}
		return 2
	}
	byRank := func(a, b job) int { return cmp.Compare(rank(a), rank(b)) }
	if slices.IsSortedFunc(in.jobs, byRank) {
		return ShorterPlan{}, nil
	}
	other := in.with(func(j *job) {})
	slices.SortStableFunc(other.jobs, byRank)
	var names, ids []string
	for _, j := range other.jobs {
		if !j.hidden && len(j.Problems) == 0 {
			names, ids = append(names, j.Server), append(ids, j.ServerID)
		}
	}
	return ShorterPlan{What: "order the control planes first: the others wait for them", How: "talos-manager server install " + strings.Join(names, " "), Order: ids}, other
}

// withKexec starts Talos from the rescue system.
func (in *forecastInput) withKexec(InstallPlan) (ShorterPlan, *forecastInput) {
	may := func(j job) bool { return !j.kexec && !j.noKexec && !j.hidden }
	if !slices.ContainsFunc(in.jobs, may) {
		return ShorterPlan{}, nil
	}
	return ShorterPlan{
		What: "start Talos from the rescue system with kexec: no image is written and the firmware is gone through once less, so none that hangs there costs another restart",
		How:  "--boot " + string(fleet.BootKexec), Boot: fleet.BootKexec,
	}, in.with(func(j *job) { j.kexec = j.kexec || may(*j) })
}

// moreAccounts is for fleets that one account has too few restarts for.
func (in *forecastInput) moreAccounts(p InstallPlan) (ShorterPlan, *forecastInput) {
	if len(p.Budgets) == 0 || p.Budgets[0].share() <= 1 {
		return ShorterPlan{}, nil
	}
	scarce := p.Budgets[0]
	accounts := (scarce.Needed + scarce.Limit.Calls - 1) / scarce.Limit.Calls
	other := in.with(func(*job) {})
	other.budgets = map[budgetKey]budgetOf{}
	for k, b := range in.budgets {
		if b.account == scarce.Account {
			b.limit.Calls *= accounts
		}
		other.budgets[k] = b
	}
	return ShorterPlan{
		What: fmt.Sprintf("have these servers in %d accounts: account %s has %d calls of %s in %s, and %d are needed",
			accounts, scarce.Account, scarce.Limit.Calls, scarce.Group, fleet.InWords(scarce.Limit.Window), scarce.Needed),
		How: "rent the next ones under another account: each has a budget of its own",
	}, other
}

// with is the same installs with a change to each.
func (in *forecastInput) with(change func(*job)) *forecastInput {
	other := *in
	other.jobs = slices.Clone(in.jobs)
	for i := range other.jobs {
		change(&other.jobs[i])
	}
	return &other
}
