package operation

import (
	"context"
	"slices"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
)

// byKexec is behind the name of a phase that goes otherwise where Talos is started from the rescue system: its kernel is
// loaded, no firmware is gone through, and before it is a node, Talos installs itself and starts once more.
const byKexec = " (kexec)"

// ofKexec are the phases that go otherwise.
func ofKexec() []string { return []string{PhaseWrite, PhaseBoot, PhaseNode} }

// typical are the times of phases where nothing was measured yet. The rescue system and an installed system take 2 to 4
// minutes on dedicated servers, most of it the firmware's; 30 to 60 s at the Cloud. An image takes 1 to 3 minutes. Those
// of etcd and Kubernetes are of Talos 1.14 on such machines: images have to be pulled.
func typical() map[fleet.Provider]map[string]time.Duration {
	dedicated := map[string]time.Duration{
		PhasePrepare: 5 * time.Second, PhaseRescue: 150 * time.Second, PhaseWrite: 90 * time.Second, PhaseBoot: 150 * time.Second, PhaseWrite + byKexec: 25 * time.Second, PhaseBoot + byKexec: 45 * time.Second, PhaseNode + byKexec: 130 * time.Second,
		PhaseNode: 40 * time.Second, PhaseJoin: 60 * time.Second, PhaseBootstrap: 15 * time.Second, PhaseAPI: 90 * time.Second,
	}
	cloud := map[string]time.Duration{
		PhasePrepare: 10 * time.Second, PhaseRescue: 45 * time.Second, PhaseWrite: 60 * time.Second, PhaseBoot: 45 * time.Second, PhaseWrite + byKexec: 20 * time.Second, PhaseBoot + byKexec: 30 * time.Second, PhaseNode + byKexec: 100 * time.Second,
		PhaseNode: 30 * time.Second, PhaseJoin: 60 * time.Second, PhaseBootstrap: 15 * time.Second, PhaseAPI: 90 * time.Second,
	}
	byHand := map[string]time.Duration{ // its rescue system is taken to be up
		PhasePrepare: 2 * time.Second, PhaseRescue: 5 * time.Second, PhaseWrite: 90 * time.Second, PhaseBoot: 150 * time.Second, PhaseWrite + byKexec: 25 * time.Second, PhaseBoot + byKexec: 45 * time.Second, PhaseNode + byKexec: 130 * time.Second,
		PhaseNode: 40 * time.Second, PhaseJoin: 60 * time.Second, PhaseBootstrap: 15 * time.Second, PhaseAPI: 90 * time.Second,
	}
	return map[fleet.Provider]map[string]time.Duration{fleet.HetznerRobot: dedicated, fleet.HetznerCloud: cloud, fleet.Manual: byHand}
}

// allPhases are those of installs and of clusters.
func allPhases() []string {
	all := installPhases()
	for _, phase := range ofKexec() {
		all = append(all, phase+byKexec)
	}
	return append(all, PhaseBootstrap, PhaseAPI)
}

// enough is how many measured operations are worth more than what is typical, and lookBack how many are looked at.
const (
	enough   = 3
	lookBack = 60
)

// phaseTimes are the medians of what was measured here, and what is typical where too little was.
func (o *Operations) phaseTimes(ctx context.Context) ([]PhaseTime, error) {
	installs, err := o.Store.StepTimes(ctx, KindInstall, lookBack)
	if err != nil {
		return nil, err
	}
	bootstraps, err := o.Store.StepTimes(ctx, KindBootstrap, lookBack)
	if err != nil {
		return nil, err
	}
	measured := measure(append(installs, bootstraps...))
	var all []PhaseTime
	for _, kind := range []fleet.Provider{fleet.HetznerRobot, fleet.HetznerCloud, fleet.Manual} {
		for _, phase := range allPhases() {
			t := PhaseTime{Provider: kind, Phase: phase, Takes: o.pace(typical()[kind][phase])}
			of := kind
			if phase == PhaseBootstrap || phase == PhaseAPI {
				of = "" // of a cluster, whose servers may be anybody's
			}
			if m := measured[phaseOf{of, phase}]; len(m) >= enough {
				t.Takes, t.Measured = median(m), len(m)
			}
			all = append(all, t)
		}
	}
	return all, nil
}

type phaseOf struct {
	provider fleet.Provider
	phase    string
}

// span is from where to where a phase goes: the end or the start of one step, the end of another.
type span struct {
	after, from, to string
}

// spans are the phases in the steps of operations. What a person or a budget was waited for is in none of them.
func spans() map[string]span {
	return map[string]span{
		PhasePrepare:         {from: "check the records", to: "ask for the rescue system"},
		PhaseRescue:          {after: "boot the rescue system", to: "read the facts"},
		PhaseWrite:           {from: "write the image", to: "write the boot data"},
		PhaseBoot:            {from: "boot Talos", to: "hand over the config"},
		PhaseNode:            {from: "check the node", to: "check the node"},
		PhaseWrite + byKexec: {from: "load Talos' kernel", to: "clear the way for the boot"},
		PhaseBoot + byKexec:  {from: "start Talos' kernel", to: "hand over the config"},
		PhaseJoin:            {from: stepWaitKubernetes, to: stepLabel},
		PhaseBootstrap:       {after: "choose the control plane", to: "bootstrap etcd"},
		PhaseAPI:             {from: "wait for etcd", to: "wait for the Kubernetes API"},
	}
}

// measure gives the durations of phases, as operations had them.
func measure(steps []store.StepTime) map[phaseOf][]time.Duration {
	operations := map[string]map[string]store.StepTime{}
	for _, s := range steps {
		if operations[s.OperationID] == nil {
			operations[s.OperationID] = map[string]store.StepTime{}
		}
		operations[s.OperationID][s.Step] = s
	}
	all := map[phaseOf][]time.Duration{}
	for _, op := range operations {
		for phase, s := range spans() {
			first, last := op[s.from], op[s.to]
			start := first.Started
			if s.after != "" {
				first = op[s.after]
				start = first.Finished
			}
			switch {
			case start.IsZero() || last.Finished.IsZero() || last.Finished.Before(start):
				continue
			case phase == PhaseJoin && start.Before(first.Bootstrapped):
				continue // it waited for the cluster
			}
			if phase == PhaseNode && !op["start Talos' kernel"].Finished.IsZero() {
				phase += byKexec
			}
			key := phaseOf{first.Provider, phase}
			all[key] = append(all[key], last.Finished.Sub(start))
		}
	}
	return all
}

func median(all []time.Duration) time.Duration {
	all = slices.Sorted(slices.Values(all))
	return all[len(all)/2]
}
