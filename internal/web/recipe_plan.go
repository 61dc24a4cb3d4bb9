package web

import (
	"slices"
	"strings"

	"github.com/talos-manager/talos-manager/internal/machineconfig/diff"
	"github.com/talos-manager/talos-manager/internal/manage"
)

// planGroup are servers whose machine configs change in the same way, as people see it.
type planGroup struct {
	Servers []manage.PlanServer
	Status  status
	Lines   []planLine
}

// planGroups puts servers together whose changes read the same: control planes and workers often do.
func planGroups(p manage.Plan) []planGroup {
	var out []planGroup
	for _, g := range p.Groups {
		one := planGroup{Servers: g.Servers, Status: planStatus(g), Lines: planLines(g)}
		i := slices.IndexFunc(out, func(o planGroup) bool { return o.Status == one.Status && slices.Equal(o.Lines, one.Lines) })
		if i < 0 {
			out = append(out, one)
			continue
		}
		out[i].Servers = slices.Concat(out[i].Servers, one.Servers)
		slices.SortStableFunc(out[i].Servers, func(a, b manage.PlanServer) int { return strings.Compare(a.Name, b.Name) })
	}
	return out
}

// comma stands behind one of a list but the last.
func comma(i, n int) string {
	if i < n-1 {
		return ", "
	}
	return ""
}

// planLine is a line of a difference.
type planLine struct {
	Mark byte // '+', '-', '~' or ' '
	Text string
}

// planLines are the lines of what changes, without the summary at their end.
func planLines(g manage.PlanGroup) []planLine {
	text := strings.TrimRight(diff.Text(g.Diff, g.Verdict), "\n")
	if g.Verdict != nil {
		text = strings.TrimSuffix(strings.TrimSuffix(text, g.Verdict.Summary()), "\n")
	}
	var out []planLine
	for line := range strings.SplitSeq(text, "\n") {
		l := planLine{' ', line}
		if mark := strings.TrimLeft(line, " "); mark != "" && strings.ContainsRune("+-~", rune(mark[0])) {
			l.Mark = mark[0]
		}
		out = append(out, l)
	}
	return out
}

// planClass is how a line looks.
func planClass(mark byte) string {
	return map[byte]string{'+': "plan-added", '-': "plan-removed", '~': "plan-changed", ' ': "plan-same"}[mark]
}

// planStatus says what a node does with a change.
func planStatus(g manage.PlanGroup) status {
	switch {
	case g.Verdict == nil:
		return status{ok, "First config", "these servers have none yet"}
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

// planEmpty says that a plan is about no server.
func planEmpty(p manage.Plan) bool {
	return len(p.Groups)+len(p.Unchanged)+len(p.Broken) == 0
}
