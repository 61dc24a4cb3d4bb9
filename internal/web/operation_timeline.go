package web

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/operation"
	"github.com/talos-manager/talos-manager/internal/store"
)

// installPhase is a part of an install, with the steps that it may begin with.
type installPhase struct {
	Name, Hint string
	from       []string
}

// installPhases are those of an install, in order.
func installPhases() []installPhase {
	return []installPhase{
		{"To rescue", "until the rescue system has told of the machine", []string{"check the records"}},
		{"Image", "the disk is chosen and written", []string{"choose the disk"}},
		{"Boot", "until Talos has its config", []string{"boot Talos", "start Talos' kernel"}},
		{"Kubernetes", "until the node is Ready", []string{"check the node"}},
	}
}

// timelineData is an operation and what was under way beside it, on one axis of time.
type timelineData struct {
	Rows  []timelineRow
	Ticks []timelineTick
	More  int    // operations beside it that are not drawn
	All   string // address of all of them
	Marks bool   // there are restarts in it
	Skips bool   // there are skipped steps in it
}

// timelineRow is one operation.
type timelineRow struct {
	ID, Name, What string
	Own            bool // it is the page's
	Status         status
	Bars           []timelineBar
	Marks          []string // where restarts were ordered
	Phases         []string // how long each took, "" where it did not come to it
	Skipped        string   // "without “label the node”"
	Begun, End     time.Time
}

// timelineBar is a piece of the axis, in percent of its length.
type timelineBar struct{ Class, X, Width string }

type timelineTick struct{ X, Text string }

const (
	timelineRows = 20
	besideMost   = 200
)

// timeAxis goes from one moment to another.
type timeAxis struct{ from, to time.Time }

func (a timeAxis) at(t time.Time) float64 {
	length := a.to.Sub(a.from)
	if length <= 0 {
		return 0
	}
	return min(100, max(0, 100*float64(t.Sub(a.from))/float64(length)))
}

func axisShare(x float64) string { return fmt.Sprintf("%.2f%%", x) }

func (a timeAxis) bar(class string, from, to time.Time) timelineBar {
	x := a.at(from)
	return timelineBar{class, axisShare(x), axisShare(max(0.3, a.at(to)-x))}
}

// timeline reads what was under way beside op: in its cluster, or asked for in one breath.
func (s *site) timeline(ctx context.Context, op fleet.Operation, restarts []operation.Restart) (timelineData, error) {
	beside := store.Beside{ClusterID: op.ClusterID, Kind: op.Kind, Actor: op.Actor, From: op.CreatedAt, To: op.FinishedAt, Limit: besideMost}
	all, err := s.store.OperationsBeside(ctx, beside)
	if err != nil {
		return timelineData{}, err
	}
	i := slices.IndexFunc(all, func(o fleet.Operation) bool { return o.ID == op.ID })
	if i < 0 {
		all, i = append(all, op), len(all)
	}
	shown := rowsAround(all, i, timelineRows)
	rows, err := s.operationRows(ctx, shown, names{})
	if err != nil {
		return timelineData{}, err
	}
	d := drawTimeline(op, shown, rows, restarts, time.Now())
	d.More = len(all) - len(shown)
	d.All = operationQuery{Cluster: op.ClusterID, Kind: op.Kind}.address()
	return d, nil
}

// rowsAround gives at most n of all, with the one at i among them.
func rowsAround(all []fleet.Operation, i, n int) []fleet.Operation {
	from := max(0, min(i-n/2, len(all)-n))
	return all[from:min(len(all), from+n)]
}

// drawTimeline puts operations on one axis: that of the page's, and as long again on both sides if the others were then.
func drawTimeline(op fleet.Operation, all []fleet.Operation, rows []operationRow, restarts []operation.Restart, now time.Time) timelineData {
	a := timeAxis{op.CreatedAt, operationEnd(op, now)}
	a = a.along(all, now)
	d := timelineData{Ticks: a.ticks(), Marks: len(restarts) > 0}
	for i, o := range all {
		row := timelineRow{
			ID: o.ID, Name: rowSubject(rows[i]), What: kindTitle(o.Kind), Own: o.ID == op.ID, Status: status{Tone: rows[i].Status.Tone, Word: rows[i].Status.Word},
			Begun: o.CreatedAt, End: o.FinishedAt, Skipped: withoutSteps(o),
		}
		d.Skips = d.Skips || row.Skipped != ""
		row.Bars, row.Phases = a.bars(o, now)
		if row.Own {
			for _, r := range restarts {
				row.Marks = append(row.Marks, axisShare(a.at(r.At)))
			}
		}
		d.Rows = append(d.Rows, row)
	}
	return d
}

func rowSubject(row operationRow) string {
	switch {
	case row.Server != "":
		return row.Server
	case row.Cluster != "":
		return row.Cluster
	}
	return kindTitle(row.Kind)
}

// along is the axis that shows the others, too, as far as they are near.
func (a timeAxis) along(all []fleet.Operation, now time.Time) timeAxis {
	length := max(a.to.Sub(a.from), time.Minute)
	out := a
	for _, o := range all {
		if o.CreatedAt.Before(out.from) && a.from.Sub(o.CreatedAt) <= length {
			out.from = o.CreatedAt
		}
		if end := operationEnd(o, now); end.After(out.to) && end.Sub(a.to) <= length {
			out.to = end
		}
	}
	if unit := out.unit(50); out.to.Equal(now) { // so that it is not drawn anew for every second
		out.to = now.Truncate(unit).Add(unit)
	}
	return out
}

func operationEnd(op fleet.Operation, now time.Time) time.Time {
	if op.FinishedAt.IsZero() {
		return now
	}
	return op.FinishedAt
}

// unit is a round time of which about n are as long as the axis.
func (a timeAxis) unit(n int) time.Duration {
	for _, d := range []time.Duration{
		time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute,
		10 * time.Minute, 30 * time.Minute, time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour,
	} {
		if a.to.Sub(a.from) <= d*time.Duration(n) {
			return d
		}
	}
	return 24 * time.Hour * time.Duration(1+int(a.to.Sub(a.from)/(24*time.Hour))/n)
}

// ticks are where times stand at the axis.
func (a timeAxis) ticks() []timelineTick {
	var all []timelineTick
	unit := a.unit(6)
	for d := time.Duration(0); a.from.Add(d).Before(a.to); d += unit {
		if x := a.at(a.from.Add(d)); x < 94 { // its words need room
			all = append(all, timelineTick{axisShare(x), tickText(d)})
		}
	}
	return all
}

// tickText is a round time in one unit.
func tickText(d time.Duration) string {
	switch {
	case d == 0:
		return "0"
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour && d%time.Minute == 0:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < time.Hour:
		return fmt.Sprintf("%d:%02d min", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d d", int(d.Hours()/24))
}

// bars are the phases of an operation, those of a kind without phases in one, and how long each took.
func (a timeAxis) bars(op fleet.Operation, now time.Time) (bars []timelineBar, took []string) {
	all := installPhases()
	took = make([]string, len(all))
	now = a.rounded(now)
	for i, s := range phaseStretches(op, now) {
		if s.from.IsZero() {
			continue
		}
		class := fmt.Sprintf("phase-%d", i+1)
		if op.Kind != operation.KindInstall {
			class = "phase-0"
		} else {
			took[i] = span(s.to.Sub(s.from))
		}
		bars = append(bars, a.bar(class, s.from, s.to))
	}
	if len(bars) == 0 && !op.CreatedAt.IsZero() { // it waits for its turn
		bars = append(bars, a.bar("phase-0", op.CreatedAt, operationEnd(op, now)))
	}
	for _, step := range op.Steps {
		if step.State == fleet.Skipped {
			bars = append(bars, a.bar("skipped", step.StartedAt, step.FinishedAt))
		}
	}
	if end := operationEnd(op, now); op.State == fleet.Failed || op.State == fleet.Cancelled {
		bars = append(bars, timelineBar{"stopped", axisShare(max(0, a.at(end)-0.6)), "0.60%"})
	}
	return bars, took
}

func (a timeAxis) rounded(now time.Time) time.Time {
	if now.After(a.to) {
		return a.to
	}
	return now.Truncate(a.unit(50))
}

type phaseStretch struct{ from, to time.Time }

// phaseStretches are from when to when an operation was in each phase.
func phaseStretches(op fleet.Operation, now time.Time) []phaseStretch {
	all := installPhases()
	out := make([]phaseStretch, len(all))
	in := 0
	for _, step := range op.Steps {
		for i, p := range all {
			if op.Kind == operation.KindInstall && slices.Contains(p.from, step.Name) {
				in = i
			}
		}
		if step.StartedAt.IsZero() {
			continue
		}
		to := step.FinishedAt
		if to.IsZero() {
			to = operationEnd(op, now)
		}
		if out[in].from.IsZero() || step.StartedAt.Before(out[in].from) {
			out[in].from = step.StartedAt
		}
		if to.After(out[in].to) {
			out[in].to = to
		}
	}
	return out
}
