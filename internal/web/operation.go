package web

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/a-h/templ"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/operation"
	"github.com/talos-manager/talos-manager/internal/store"
)

// operationData is the page of one operation.
type operationData struct {
	Title    string
	Run      runData
	Row      operationRow
	ParentID string
	Restarts []operation.Restart
	Acts     []fleet.Event // what people did to it
	NotDone  string        // if its step is skipped, "" if it cannot be
	Timeline timelineData
	Log      logFilter
}

// runData is where an operation stands, for its steps.
type runData struct {
	Op       fleet.Operation
	Question operation.Question
	Rate     string    // "41 MB/s, about 2 min left", "" if nobody knows
	RateAt   time.Time // when that was so
	Since    time.Time // it waits
}

// runOf is where an operation stands by its record alone.
func runOf(op fleet.Operation) runData {
	return runData{Op: op, Question: operation.ReadQuestion(op.Question, fleet.Facts{})}
}

// key tells whether anything but the log changed.
func (d runData) key() string {
	if !d.looksLate() {
		d.Op.WaitUntil = time.Time{}
	}
	d.Op.UpdatedAt = time.Time{}
	return keyOf(d)
}

// lateLook is how far the next look has to be away to be worth a word.
const lateLook = 30 * time.Second

// looksLate says that the operation looks again only after a while, as when a budget is used up.
func (d runData) looksLate() bool {
	return d.Op.State == fleet.Waiting && d.Op.WaitUntil.Sub(d.Op.UpdatedAt) >= lateLook
}

// operationKey tells whether anything but the log changed.
func operationKey(op fleet.Operation) string { return runOf(op).key() }

// operation is the page of one operation.
func (s *site) operation(r *http.Request) (view, error) {
	ctx, id := r.Context(), r.PathValue("id")
	op, err := s.store.Operation(ctx, id)
	if err != nil {
		return view{}, err
	}
	d, err := s.operationData(ctx, op)
	if err != nil {
		return view{}, err
	}
	d.Log = logFilterOf(r.URL.Query())
	actions := []any{actionsOf(op), cancelLoss(op), op.Step, d.Run.Question, d.NotDone}
	return view{
		title: d.Title, section: "/operations", crumbs: []crumb{{"Operations", "/operations"}}, address: "/operations/" + id + d.Log.query(), log: id,
		body: func(lines []fleet.LogLine) templ.Component { return operationPage(d, lines) },
		parts: []part{
			{id: "operation-head", key: keyOf([]any{d.Row, d.Title}), piece: operationHead(d)},
			{id: "operation-steps", key: d.Run.key(), piece: runSteps(d.Run)},
			{id: "operation-actions", key: keyOf(actions), piece: operationActions(d)},
			partOf("operation-restarts", d.Restarts, restartsCard),
			partOf("operation-acts", d.Acts, actsCard),
			partOf("operation-timeline", d.Timeline, timelineCard),
		},
		wants: func(c store.Change) bool { return c.Table == "events" || c.Table == "servers" && c.ID == op.ServerID },
		sheet: func() (sheet, error) { return stepsSheet(op), nil }, same: operationCommands(op, d.Run.Question, d.NotDone != ""), scripts: []string{"log.js"},
	}, nil
}

func (s *site) operationData(ctx context.Context, op fleet.Operation) (d operationData, err error) {
	rows, err := s.operationRows(ctx, []fleet.Operation{op}, names{})
	if err != nil {
		return d, err
	}
	d = operationData{Title: operationTitle(rows[0]), Row: rows[0], ParentID: op.ParentID, NotDone: s.Operations.Skippable(op)}
	if d.Run, err = s.runData(ctx, op); err != nil {
		return d, err
	}
	lines, err := s.store.OperationLog(ctx, op.ID, 0, 0)
	if err != nil {
		return d, err
	}
	d.Restarts = operation.Restarts(lines)
	if d.Acts, err = s.store.Events(ctx, store.EventFilter{Subject: "operation", TargetID: op.ID, Limit: actsShown}); err != nil {
		return d, err
	}
	d.Timeline, err = s.timeline(ctx, op, d.Restarts)
	return d, err
}

// actsShown is how many of the latest acts of people a page has.
const actsShown = 10

func operationTitle(row operationRow) string {
	title := kindTitle(row.Kind)
	if row.Server != "" {
		return title + " on " + row.Server
	} else if row.Cluster != "" {
		return title + " of " + row.Cluster
	}
	return title
}

// runData adds to an operation's record what the others know of it.
func (s *site) runData(ctx context.Context, op fleet.Operation) (d runData, err error) {
	server, err := s.store.Server(ctx, op.ServerID)
	if err != nil && fleet.KindOf(err) != fleet.NotFound {
		return d, err
	}
	d = runData{Op: op, Question: operation.ReadQuestion(op.Question, server.Facts)}
	speed := s.rates.of(op)
	if d.Rate = speed.text(op); d.Rate != "" {
		d.RateAt = speed.at
	}
	d.Since, err = s.Operations.WaitsSince(ctx, op)
	return d, err
}

// actorTitle says who asked for something, and by what.
func actorTitle(actor string) string {
	switch actor {
	case "admin":
		return "admin, with the password"
	case "talos-manager":
		return "Talos Manager, by itself"
	case "":
		return "nobody known"
	}
	return "API token " + actor
}

func stepsSheet(op fleet.Operation) sheet {
	out := sheet{name: "steps-" + op.ID, columns: []string{"step", "state", "attempts", "started", "finished", "seconds", "error"}}
	for _, step := range op.Steps {
		out.rows = append(out.rows, []string{
			step.Name, string(step.State), strconv.Itoa(step.Attempts), sheetTime(step.StartedAt), sheetTime(step.FinishedAt), sheetSeconds(step.StartedAt, step.FinishedAt), step.Error,
		})
	}
	return out
}

func operationCommands(op fleet.Operation, q operation.Question, skippable bool) []command {
	all := []command{
		{What: "Show it", CLI: "operation show " + op.ID, API: "GET /api/v1/operations/" + op.ID},
		{What: "Follow its log", CLI: "operation logs " + op.ID + " --follow", API: "GET /api/v1/operations/" + op.ID + "/follow"},
	}
	can := actionsOf(op)
	if op.State == fleet.Asking {
		answer := q.Answer()
		if answer == "" {
			answer = "ANSWER"
		}
		all = append(all, command{
			What: "Answer it", CLI: "operation approve " + op.ID + " --answer " + shellWord(answer),
			API: "POST /api/v1/operations/" + op.ID + `/approve {"answer": ` + jsonWord(answer) + "}",
		})
	}
	if can.Cancel {
		all = append(all, command{What: "Cancel it", CLI: "operation cancel " + op.ID, API: "POST /api/v1/operations/" + op.ID + "/cancel"})
	}
	if can.Retry {
		all = append(all, command{What: "Retry it", CLI: "operation retry " + op.ID, API: "POST /api/v1/operations/" + op.ID + "/retry"})
	}
	if skippable {
		all = append(all, command{
			What: "Skip its step", CLI: "operation skip " + op.ID + " --step " + shellWord(op.Step),
			API: "POST /api/v1/operations/" + op.ID + `/skip {"step": ` + jsonWord(op.Step) + "}",
		})
	}
	return all
}

func jsonWord(text string) string {
	word, err := json.Marshal(text)
	if err != nil {
		return `""` // of a string it never fails
	}
	return string(word)
}

// sheetTime and sheetSeconds are moments and durations for other programs, empty where there are none.
func sheetTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func sheetSeconds(from, to time.Time) string {
	if from.IsZero() || to.IsZero() {
		return ""
	}
	return strconv.FormatFloat(to.Sub(from).Seconds(), 'f', 1, 64)
}
