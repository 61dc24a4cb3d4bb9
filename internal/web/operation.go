package web

import (
	"net/http"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/talos-manager/talos-manager/internal/access"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
)

// operationData is the page of one operation.
type operationData struct {
	Op  fleet.Operation
	Row operationRow
}

// operation is the page of one operation.
func (s *site) operation(r *http.Request) (view, error) {
	ctx, id := r.Context(), r.PathValue("id")
	op, err := s.store.Operation(ctx, id)
	if err != nil {
		return view{}, err
	}
	rows, err := s.operationRows(ctx, []fleet.Operation{op}, names{})
	if err != nil {
		return view{}, err
	}
	d := operationData{Op: op, Row: rows[0]}
	title := kindTitle(op.Kind)
	if d.Row.Server != "" {
		title += " on " + d.Row.Server
	} else if d.Row.Cluster != "" {
		title += " of " + d.Row.Cluster
	}
	return view{
		title: title, section: "/operations", crumbs: []crumb{{"Operations", "/operations"}}, address: "/operations/" + id, log: id,
		body: func(lines []fleet.LogLine) templ.Component { return operationPage(d, title, lines) },
		parts: []part{
			{id: "operation-head", key: keyOf([]any{d.Row, title}), piece: operationHead(d, title)},
			{id: "operation-steps", key: operationKey(op), piece: operationSteps(op)},
			{id: "operation-actions", key: keyOf([]any{actionsOf(op), cancelLoss(op), op.Step}), piece: operationActions(d)},
		},
		wants: func(c store.Change) bool { return c.Table == "servers" && c.ID == op.ServerID },
	}, nil
}

// operationKey tells whether anything but the log changed.
func operationKey(op fleet.Operation) string {
	op.UpdatedAt, op.WaitUntil = time.Time{}, time.Time{}
	return keyOf(op)
}

// operationActionsData is what a person can do to an operation now.
type operationActionsData struct {
	Cancel, Retry bool
	Cancelling    bool // it was cancelled and tidies up
}

func actionsOf(op fleet.Operation) operationActionsData {
	cancelling := !op.State.Final() && standing(op).State == fleet.Cancelled
	return operationActionsData{
		Cancel: !op.State.Final() && !cancelling, Cancelling: cancelling, Retry: op.State == fleet.Failed || op.State == fleet.Cancelled,
	}
}

// standing is the step an operation stands at.
func standing(op fleet.Operation) fleet.OperationStep {
	for _, step := range op.Steps {
		if step.Name == op.Step {
			return step
		}
	}
	return fleet.OperationStep{}
}

// cancelOperation stops an operation.
func (s *site) cancelOperation(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	if err := s.Operations.Cancel(r.Context(), access.Actor(r.Context()), id); err != nil {
		return s.again(w, r, s.operation, err)
	}
	return s.done(w, r, "/operations/"+id, "Cancelled")
}

// retryOperation continues an operation where it stopped.
func (s *site) retryOperation(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	if err := s.Operations.Retry(r.Context(), access.Actor(r.Context()), id); err != nil {
		return s.again(w, r, s.operation, err)
	}
	return s.done(w, r, "/operations/"+id, "It is tried again")
}

// answerOperation answers the question an operation asks.
func (s *site) answerOperation(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	answer := strings.TrimSpace(r.PostFormValue("answer"))
	if answer == "" {
		return s.again(w, r, s.operation, fleet.Errorf(fleet.Invalid, "no answer was given").WithHint("write what the question asks for, or cancel the operation"))
	}
	if err := s.Operations.Approve(r.Context(), access.Actor(r.Context()), id, answer); err != nil {
		return s.again(w, r, s.operation, err)
	}
	return s.done(w, r, "/operations/"+id, "Answered")
}

// downloadLog hands out the log as a file.
func (s *site) downloadLog(w http.ResponseWriter, r *http.Request) error {
	op, err := s.store.Operation(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	lines, err := s.store.OperationLog(r.Context(), op.ID, 0, 0)
	if err != nil {
		return err
	}
	var out strings.Builder
	for _, l := range lines {
		out.WriteString(l.At.UTC().Format(time.RFC3339) + " " + l.Level + " [" + l.Step + "] " + l.Text + "\n")
	}
	download(w, "text/plain; charset=utf-8", op.Kind+"-"+op.ID+".log", []byte(out.String()))
	return nil
}

// download sends a file; name is of our own making and holds no quotes.
func download(w http.ResponseWriter, kind, name string, content []byte) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(content)
}
