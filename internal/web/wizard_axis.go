package web

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/operation"
)

// planAxis is the time that all bars of a plan are drawn on: from now to the end of its last phase.
func planAxis(p operation.InstallPlan) timeAxis {
	a := timeAxis{p.At, p.At.Add(time.Second)}
	for _, s := range p.Servers {
		for _, phase := range s.Phases {
			for _, t := range []time.Time{phase.Works, phase.End} {
				if t.After(a.to) {
					a.to = t
				}
			}
		}
	}
	return a
}

// stretch is a piece of a bar: a phase that works, or waits.
type stretch struct {
	X, Width, Middle string
	Number           string // of the phase; "" where there is no room for it
	Class            string
}

// planned are the phases of one install on the axis.
func (a timeAxis) planned(s operation.PlannedInstall) []stretch {
	var all []stretch
	for _, phase := range s.Phases {
		number := strconv.Itoa(slices.Index(operation.InstallPhases(), phase.Name) + 1)
		works := phase.Works
		if works.IsZero() { // it waits for what never comes
			works = a.to
		}
		if works.After(phase.Start) {
			all = append(all, a.stretch(phase.Start, works, "waits", ""))
		}
		if phase.End.After(works) {
			all = append(all, a.stretch(works, phase.End, "works install-plan-phase-"+number, number))
		}
	}
	return all
}

func (a timeAxis) stretch(from, to time.Time, class, number string) stretch {
	if a.at(to)-a.at(from) < 4 { // narrower than its number
		number = ""
	}
	return stretch{X: axisShare(a.at(from)), Width: axisShare(a.at(to) - a.at(from)), Middle: axisShare((a.at(from) + a.at(to)) / 2), Number: number, Class: class}
}

// wait is what an install waits for, and how long.
type wait struct {
	What  string
	Long  time.Duration
	Never bool // it never comes
}

// waits are what an install waits for, the longest first.
func waits(s operation.PlannedInstall) []wait {
	var all []wait
	for _, phase := range s.Phases {
		switch {
		case phase.WaitsFor == "":
		case phase.Works.IsZero():
			all = append(all, wait{What: phase.WaitsFor, Never: true})
		case phase.Works.Sub(phase.Start) >= time.Second:
			all = append(all, wait{What: phase.WaitsFor, Long: phase.Works.Sub(phase.Start)})
		}
	}
	slices.SortStableFunc(all, func(a, b wait) int { return cmp.Compare(b.Long, a.Long) })
	return all
}

// saving says what a shorter way saves.
func saving(s operation.ShorterPlan) string {
	if s.Saves >= time.Second {
		return "Over " + span(s.Saves) + " earlier"
	}
	return span(s.Each) + " earlier for each, on the average"
}

// shorterAddress is the plan that goes the shorter way; "" if that is nothing to be chosen here.
func (d wizardPlanData) shorterAddress(s operation.ShorterPlan) string {
	w := d.wizard
	switch {
	case len(s.Order) > 0:
		rest := slices.DeleteFunc(slices.Clone(w.Refs), func(id string) bool { return slices.Contains(s.Order, id) })
		w.Refs = append(slices.Clone(s.Order), rest...)
	case s.Boot != "":
		w.Boot = string(s.Boot)
	default:
		return ""
	}
	return w.address("/install/plan")
}

// budgetText says what a plan takes from a budget.
func budgetText(p operation.InstallPlan, b operation.PlannedBudget) string {
	text := fmt.Sprintf("%s of %s: %s needed, %d in %s are allowed, %d used now", b.Group, b.Account, count(b.Needed, "call"), b.Limit.Calls, fleet.InWords(b.Limit.Window), b.Used)
	if back := b.Back.Sub(p.At); b.Used > 0 && back > 0 {
		text += ", all back in " + span(back)
	}
	return text
}
