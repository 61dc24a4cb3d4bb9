package operation

import (
	"cmp"
	"context"
	"slices"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/provider"
	"github.com/talos-manager/talos-manager/internal/store"
)

// planInput reads what a forecast of installs is made of.
func (o *Operations) planInput(ctx context.Context, refs []string, options InstallOptions) (*forecastInput, error) {
	in := &forecastInput{at: o.Now(), clusters: map[string]clusterOf{}, budgets: map[budgetKey]budgetOf{}}
	if o.engine != nil {
		in.atOnce = o.engine.AtOnce()
	}
	var err error
	if in.phases, err = o.phaseTimes(ctx); err != nil {
		return nil, err
	}
	if err := o.underWay(ctx, in); err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, ref := range refs {
		s, err := o.Store.Server(ctx, ref)
		if err != nil {
			return nil, err
		}
		if seen[s.ID] {
			continue
		}
		seen[s.ID] = true
		j, err := o.job(ctx, in, s, options)
		if err != nil {
			return nil, err
		}
		if j.Problems, j.Questions, err = o.foresee(ctx, s, options); err != nil {
			return nil, err
		}
		in.jobs = append(in.jobs, j)
	}
	return in, nil
}

// underWay adds the installs that go on already: they take restarts, and others may wait for them.
func (o *Operations) underWay(ctx context.Context, in *forecastInput) error {
	active, err := o.Store.Operations(ctx, store.OperationFilter{Kind: KindInstall, Active: true})
	if err != nil {
		return err
	}
	for _, op := range slices.Backward(active) { // oldest first
		s, err := o.Store.Server(ctx, op.ServerID)
		if fleet.KindOf(err) == fleet.NotFound {
			continue
		}
		if err != nil {
			return err
		}
		boot, err := o.bootUnderWay(ctx, op)
		if err != nil {
			return err
		}
		j, err := o.job(ctx, in, s, InstallOptions{Boot: boot})
		if err != nil {
			return err
		}
		j.hidden, j.from = true, phaseAt(op.Step)
		if op.Step == "reach the rescue system" || op.Step == "read the facts" { // the restart was ordered
			for i := range j.costs {
				j.costs[i].Restart = 0
			}
		}
		in.jobs = append(in.jobs, j)
	}
	return nil
}

// phaseAt is the phase that begins with or after a step, or that it is part of.
func phaseAt(step string) int {
	switch step {
	case "boot the rescue system", "reach the rescue system", "read the facts":
		return atRescue
	case "choose the disk", "release the disk", "write the image", "write the boot data", "load Talos' kernel", "clear the way for the boot":
		return atWrite
	case "boot Talos", "start Talos' kernel", "hand over the config":
		return atBoot
	case "wait for the control plane", "check the node":
		return atNode
	case stepWaitKubernetes, stepLabel:
		return atJoin
	}
	return 0
}

// bootUnderWay is how an install that goes on gets Talos to run, by the steps that it has.
func (o *Operations) bootUnderWay(ctx context.Context, op fleet.Operation) (fleet.BootMethod, error) {
	op, err := o.Store.Operation(ctx, op.ID)
	if slices.ContainsFunc(op.Steps, func(s fleet.OperationStep) bool { return s.Name == stepLoadKernel }) {
		return fleet.BootKexec, err
	}
	return fleet.BootImage, err
}

// job reads what a forecast needs to know of one server, and the budgets of its account.
func (o *Operations) job(ctx context.Context, in *forecastInput, s fleet.Server, options InstallOptions) (job, error) {
	account, err := o.Store.Account(ctx, s.AccountID)
	if err != nil {
		return job{}, err
	}
	j := job{
		PlannedInstall: PlannedInstall{ServerID: s.ID, Server: s.Name, Role: s.Assignment.Role, Account: account.Name},
		account:        account.ID, cluster: s.Assignment.ClusterID, kind: s.Provider,
		byHand: s.Provider == fleet.Manual, kexec: options.Boot == fleet.BootKexec, noKexec: o.mayKexec(s) != nil,
	}
	if options.Boot == fleet.BootAuto {
		boot, _, err := o.betterBoot(ctx, s)
		if err != nil {
			return j, err
		}
		j.kexec = boot == fleet.BootKexec
	}
	if j.cluster != "" {
		cluster, err := o.Store.Cluster(ctx, j.cluster)
		if err != nil {
			return j, err
		}
		j.Cluster = cluster.Name
		in.clusters[cluster.ID] = clusterOf{name: cluster.Name, bootstrapped: !cluster.BootstrappedAt.IsZero()}
	}
	driver, err := o.Drivers.Driver(ctx, account.ID)
	if err != nil {
		return j, err
	}
	costly, ok := driver.(provider.Costly)
	if !ok {
		return j, nil
	}
	spared, err := o.inOurRescue(ctx, s)
	if err != nil {
		return j, err
	}
	for _, c := range costly.RescueCosts() {
		if c.Scarce && spared {
			c.Restart = 0
		}
		j.costs = append(j.costs, c)
		if c.Scarce {
			j.Restarts += c.Restart
		}
		key := budgetKey{account.ID, c.Group}
		if _, ok := in.budgets[key]; ok {
			continue
		}
		state, err := o.Store.Budget(ctx, account.ID, c.Group)
		if err != nil {
			return j, err
		}
		in.budgets[key] = budgetOf{account: account.Name, limit: c.Limit, state: state}
	}
	return j, nil
}

// inOurRescue says whether a dedicated server still is in the rescue system that we booted, as far as the records tell: it
// is told to reboot over SSH then, and no restart is ordered.
func (o *Operations) inOurRescue(ctx context.Context, s fleet.Server) (bool, error) {
	last, err := o.Store.Operations(ctx, store.OperationFilter{ServerID: s.ID, Limit: 1})
	return len(last) > 0 && s.Provider == fleet.HetznerRobot && last[0].Kind == KindRescue && last[0].State == fleet.Succeeded, err
}

// foresee says what would refuse an install of the server now, and what it would ask.
func (o *Operations) foresee(ctx context.Context, s fleet.Server, options InstallOptions) (problems []Problem, questions []string, err error) {
	refused := func(err error) {
		problems = append(problems, Problem{Text: err.Error(), Hint: fleet.HintOf(err)})
	}
	if err := cmp.Or(o.mayInstall(ctx, s), o.reachableBy(s, options.Delivery)); err != nil {
		if ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		refused(err)
	}
	if err := o.mayKexec(s); err != nil && options.Boot == fleet.BootKexec {
		refused(err)
	}
	busy, err := o.Store.Operations(ctx, store.OperationFilter{ServerID: s.ID, Active: true, Limit: 1})
	if err != nil {
		return nil, nil, err
	}
	if len(busy) > 0 {
		refused(fleet.Errorf(fleet.Conflict, "server %s has operation %s (%s), which is %s", s.Name, busy[0].ID, busy[0].Kind, busy[0].State).
			WithHint("wait for it, or stop it first: talos-manager operation cancel %s", busy[0].ID))
	}
	if s.Facts.At.IsZero() {
		return problems, []string{"its disks are not known yet: it asks if the one to install on holds data"}, nil
	}
	p, questions, err := o.foreseeDisk(ctx, s, options)
	return append(problems, p...), questions, err
}

// foreseeDisk goes by what the machine said of itself last.
func (o *Operations) foreseeDisk(ctx context.Context, s fleet.Server, options InstallOptions) (problems []Problem, questions []string, err error) {
	if err := o.checkIdentity(ctx, s); err != nil && !options.OverrideUUID {
		problems = append(problems, Problem{Text: err.Error(), Hint: fleet.HintOf(err)})
	}
	choice, err := o.diskChoice(ctx, s, options)
	if err != nil {
		return append(problems, Problem{Text: err.Error(), Hint: fleet.HintOf(err)}), nil, nil
	}
	if choice.asks != "" {
		questions = append(questions, choice.asks)
	}
	return problems, questions, nil
}
