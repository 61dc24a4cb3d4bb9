package web

import (
	"fmt"
	"slices"
	"strings"

	"github.com/talos-manager/talos-manager/internal/machineconfig/diff"
	"github.com/talos-manager/talos-manager/internal/manage"
)

// Of a plan for many, a page shows so much; the commands and API calls beside it give all of it.
const (
	planNames  = 6  // servers of a group
	planMost   = 12 // groups
	planLength = 300
)

// planGroup are servers whose machine configs change in the same way, as people see it.
type planGroup struct {
	Servers []manage.PlanServer
	Status  status
	From    manage.From
	Lines   []diffLine
}

// planGroups puts servers together whose changes read the same: control planes and workers often do.
func planGroups(p manage.Plan) []planGroup {
	var out []planGroup
	at := map[string]int{}
	for _, g := range p.Groups {
		one := planGroup{Servers: slices.Clone(g.Servers), Status: planStatus(g), From: g.From, Lines: planLines(g)}
		key := fmt.Sprint(one.Status, one.From, one.Lines)
		i, known := at[key]
		if !known {
			at[key], out = len(out), append(out, one)
			continue
		}
		out[i].Servers = append(out[i].Servers, one.Servers...)
	}
	for _, g := range out {
		slices.SortStableFunc(g.Servers, func(a, b manage.PlanServer) int { return strings.Compare(a.Name, b.Name) })
	}
	return out
}

// planServers counts the servers that a plan is about.
func planServers(p manage.Plan) int {
	n := len(p.Unchanged)
	for _, g := range p.Groups {
		n += len(g.Servers)
	}
	for _, b := range p.Broken {
		n += len(b.Servers)
	}
	return n
}

// leftOutOf says what a page does not show of the groups of a plan; "" if it shows all.
func leftOutOf(groups []planGroup) string {
	if len(groups) <= planMost {
		return ""
	}
	var names []string
	for _, g := range groups[planMost:] {
		names = append(names, namesOfPlan(g.Servers)...)
	}
	return fmt.Sprintf("%s in %d more groups change in other ways: %s", count(len(names), "more server"), len(groups)-planMost, some(names, planNames))
}

// comma stands behind one of a list but the last.
func comma(i, n int) string {
	if i < n-1 {
		return ", "
	}
	return ""
}

// diffLine is a line of a difference, and what it is: added, removed, changed, note, or "" for one that stayed.
type diffLine struct{ Class, Text string }

// planLines are the lines of what changes, without the summary at their end.
func planLines(g manage.PlanGroup) []diffLine {
	text := strings.TrimRight(diff.Text(g.Diff, g.Verdict), "\n")
	if g.Verdict != nil {
		text = strings.TrimSuffix(strings.TrimSuffix(text, g.Verdict.Summary()), "\n")
	}
	var out []diffLine
	for line := range strings.SplitSeq(text, "\n") {
		if len(out) == planLength {
			return append(out, diffLine{"note", fmt.Sprintf("… and %d lines more", strings.Count(text, "\n")+1-planLength)})
		}
		out = append(out, diffLine{diffClass(line), line})
	}
	return out
}

func diffClass(line string) string {
	switch rest := strings.TrimLeft(line, " "); {
	case strings.HasPrefix(rest, "+"):
		return "added"
	case strings.HasPrefix(rest, "-"):
		return "removed"
	case strings.HasPrefix(rest, "~"):
		return "changed"
	}
	return ""
}

// planStatus says what a node does with a change.
func planStatus(g manage.PlanGroup) status {
	switch {
	case g.Verdict == nil:
		return status{ok, "First config", "there is none that works so far"}
	case g.Verdict.Refused != "":
		return status{broken, "Refused", g.Verdict.Summary()}
	case g.Verdict.Reboots:
		return status{attention, "Reboots", g.Verdict.Summary()}
	case g.Verdict.Pending:
		return status{attention, "Part of it after a reboot", g.Verdict.Summary()}
	}
	return status{ok, "Without a reboot", g.Verdict.Summary()}
}

func namesOfPlan(all []manage.PlanServer) []string {
	names := make([]string, len(all))
	for i, s := range all {
		names[i] = s.Name
	}
	return names
}

// brokenBefore says whose machine config could not be made before a change either.
func brokenBefore(b manage.BrokenGroup) notice {
	n := brokenNotice("This change is not to blame, but no config can be made for ", b)
	n.Tone = attention
	return n
}

// brokenNotice says whose machine config cannot be made, and where the reason stands.
func brokenNotice(first string, b manage.BrokenGroup) notice {
	n := notice{Tone: broken, Text: first + count(len(b.Servers), "server") + ": " + some(b.Servers, planNames) + ". " + upper(b.Reason), Hint: b.Hint}
	if len(b.Servers) == 1 {
		n.Text = strings.ReplaceAll(n.Text, "the server's patch ", "server "+b.Servers[0]+", patch ")
	}
	return n
}
