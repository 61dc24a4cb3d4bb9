package web

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/talos-manager/talos-manager/internal/access"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/operation"
	"github.com/talos-manager/talos-manager/internal/store"
)

// installsData is several installs side by side.
type installsData struct {
	Chosen     []string // operations that were asked for; none: those that run, and those that ended lately
	Cards      []installCard
	Bootstraps []operationRow // of their clusters, the newest of each
}

// installCard is one install.
type installCard struct {
	Op     fleet.Operation // with its steps
	Run    runData
	Row    operationRow
	Phases []cardPhase
	All    []string // that are looked at beside it, for the way back
}

// cardPhase is how far an install is with a stretch of its steps.
type cardPhase struct {
	Name     string
	Status   status
	From, To time.Time // To is zero while it lasts
	Now      bool
}

func (c installCard) form() string { return "answer-" + c.Op.ID }

// lately is how long an install that ended is shown without being asked for.
const lately = time.Hour

func installsAddress(ids ...string) string {
	if len(ids) == 0 {
		return "/installs"
	}
	return "/installs?" + url.Values{"operation": ids}.Encode()
}

// installs is the page of several installs.
func (s *site) installs(r *http.Request) (view, error) {
	ctx := r.Context()
	chosen := r.URL.Query()["operation"]
	if r.Method == http.MethodPost {
		chosen = r.PostForm["operation"]
	}
	d := installsData{Chosen: chosen}
	if err := s.installCards(ctx, &d); err != nil {
		return view{}, err
	}
	if err := s.bootstraps(ctx, &d); err != nil {
		return view{}, err
	}
	return view{
		title: "Installs", section: "/operations", crumbs: []crumb{{"Operations", "/operations"}}, address: installsAddress(chosen...),
		body: func([]fleet.LogLine) templ.Component { return installsPage(d) }, parts: installParts(d), wants: changeOf("servers"),
		sheet: func() (sheet, error) { return installsSheet(d.Cards), nil },
		same:  installsSame(d),
	}, nil
}

func (s *site) installCards(ctx context.Context, d *installsData) error {
	ids := d.Chosen
	if len(ids) == 0 {
		all, err := s.store.Operations(ctx, store.OperationFilter{Kind: operation.KindInstall, Limit: perPage})
		if err != nil {
			return err
		}
		for _, op := range slices.Backward(all) {
			if !op.State.Final() || time.Since(op.FinishedAt) < lately {
				ids = append(ids, op.ID)
			}
		}
	}
	var all []fleet.Operation
	for _, id := range ids {
		op, err := s.store.Operation(ctx, id)
		if err != nil {
			return err
		}
		all = append(all, op)
	}
	rows, err := s.operationRows(ctx, all, names{})
	if err != nil {
		return err
	}
	for i, op := range all {
		run, err := s.runData(ctx, op)
		if err != nil {
			return err
		}
		d.Cards = append(d.Cards, installCard{Op: op, Run: run, Row: rows[i], Phases: cardPhases(op), All: d.Chosen})
	}
	return nil
}

// bootstraps reads how etcd of the clusters does: workers wait for it.
func (s *site) bootstraps(ctx context.Context, d *installsData) error {
	var all []fleet.Operation
	seen := map[string]bool{"": true}
	for _, c := range d.Cards {
		if seen[c.Op.ClusterID] {
			continue
		}
		seen[c.Op.ClusterID] = true
		last, err := s.store.Operations(ctx, store.OperationFilter{Kind: operation.KindBootstrap, ClusterID: c.Op.ClusterID, Limit: 1})
		if err != nil {
			return err
		}
		all = append(all, last...)
	}
	var err error
	d.Bootstraps, err = s.operationRows(ctx, all, names{})
	return err
}

// cardPhases says how far an install is, phase by phase.
func cardPhases(op fleet.Operation) []cardPhase {
	all := make([]cardPhase, len(operation.InstallPhases()))
	steps := make([][]fleet.OperationStep, len(all))
	for _, step := range op.Steps {
		i := operation.InstallPhase(step.Name)
		steps[i] = append(steps[i], step)
	}
	for i, name := range operation.InstallPhases() {
		all[i] = cardPhaseOf(name, steps[i])
		all[i].Now = !op.State.Final() && all[i].Status.Tone != ok && slices.ContainsFunc(steps[i], func(s fleet.OperationStep) bool { return s.Name == op.Step })
	}
	return all
}

func cardPhaseOf(name string, steps []fleet.OperationStep) cardPhase {
	p := cardPhase{Name: name, Status: status{Word: "To do"}}
	done := 0
	for _, step := range steps {
		if p.From.IsZero() || !step.StartedAt.IsZero() && step.StartedAt.Before(p.From) {
			p.From = step.StartedAt
		}
		if step.FinishedAt.After(p.To) {
			p.To = step.FinishedAt
		}
		if step.State == fleet.Succeeded || step.State == fleet.Skipped {
			done++
		} else if step.State != fleet.Pending {
			p.Status = stepStatus(step)
		}
	}
	switch {
	case len(steps) > 0 && done == len(steps):
		p.Status = status{ok, "Done", ""}
		if withoutSteps(fleet.Operation{Steps: steps}) != "" {
			p.Status = status{skipped, "Done in part", ""}
		}
	case p.Status.Tone == "" && done > 0: // between two steps
		p.Status = status{working, "Running", ""}
	}
	if p.Status.Tone == working || p.Status.Tone == attention {
		p.To = time.Time{}
	}
	return p
}

// installParts are the cards, each by itself.
func installParts(d installsData) []part {
	ids := make([]string, 0, len(d.Cards))
	for _, c := range d.Cards {
		ids = append(ids, c.Op.ID)
	}
	parts := []part{
		{id: "installs-head", key: keyOf([]any{d.summary(), d.Bootstraps}), piece: installsHead(d)},
		{id: "installs", key: keyOf(ids), piece: installsGrid(d)},
	}
	for _, c := range d.Cards {
		parts = append(parts, part{id: "install-" + c.Op.ID, key: c.Run.key(), within: "installs", piece: installPiece(c)})
	}
	return parts
}

// summary counts how the installs do, those that need a person first.
func (d installsData) summary() []status {
	var all []status
	for _, group := range []status{{attention, "asking", ""}, {broken, "stopped", ""}, {working, "under way", ""}, {ok, "done", ""}} {
		n := 0
		for _, c := range d.Cards {
			if group.has(c.Op.State) {
				n++
			}
		}
		if n > 0 {
			group.Word = strconv.Itoa(n) + " " + group.Word
			all = append(all, group)
		}
	}
	return all
}

// has says whether an operation in a state counts as one of such a group.
func (g status) has(state fleet.OperationState) bool {
	tone := operationStatus(fleet.Operation{State: state}).Tone
	if state == fleet.Cancelled {
		tone = broken
	}
	return tone == g.Tone
}

func installsSheet(cards []installCard) sheet {
	out := sheet{name: "installs", columns: []string{"server", "cluster", "state", "step", "waiting for", "question", "error", "begun", "finished", "id"}}
	for _, c := range cards {
		finished := ""
		if !c.Op.FinishedAt.IsZero() {
			finished = c.Op.FinishedAt.UTC().Format(time.RFC3339)
		}
		out.rows = append(out.rows, []string{
			c.Row.Server, c.Row.Cluster, string(c.Op.State), c.Op.Step, c.Op.WaitingFor, c.Op.Question, c.Op.Error,
			c.Op.CreatedAt.UTC().Format(time.RFC3339), finished, c.Op.ID,
		})
	}
	return out
}

func installsSame(d installsData) []command {
	all := []command{{What: "List the installs that run", CLI: "operation list --kind server.install --state active", API: "GET /api/v1/operations?kind=server.install&state=active"}}
	for _, c := range d.Cards[:min(len(d.Cards), 3)] {
		all = append(all, command{What: "Follow " + c.Row.Server, CLI: "operation logs " + c.Op.ID + " --follow", API: "GET /api/v1/operations/" + c.Op.ID + "/follow"})
	}
	return all
}

// answerInstall answers the question of one of the installs.
func (s *site) answerInstall(w http.ResponseWriter, r *http.Request) error {
	id, answer := r.PostFormValue("asking"), strings.TrimSpace(r.PostFormValue("answer"))
	if answer == "" {
		return s.again(w, r, s.installs, fleet.Errorf(fleet.Invalid, "no answer was given").WithHint("write what the question asks for, or cancel the install"))
	}
	if err := s.Operations.Approve(r.Context(), access.Actor(r.Context()), id, answer); err != nil {
		return s.again(w, r, s.installs, err)
	}
	return s.done(w, r, installsAddress(r.PostForm["operation"]...), "Answered")
}

// retryInstall takes one of the installs up again.
func (s *site) retryInstall(w http.ResponseWriter, r *http.Request) error {
	if err := s.Operations.Retry(r.Context(), access.Actor(r.Context()), r.PostFormValue("again")); err != nil {
		return s.again(w, r, s.installs, err)
	}
	return s.done(w, r, installsAddress(r.PostForm["operation"]...), "It is tried again")
}
