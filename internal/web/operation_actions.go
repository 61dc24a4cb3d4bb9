package web

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/talos-manager/talos-manager/internal/access"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/operation"
)

// operationActionsData is what a person can do to an operation now.
type operationActionsData struct {
	Cancel, Retry bool
	Cancelling    bool // it was cancelled and tidies up
}

func actionsOf(op fleet.Operation) operationActionsData {
	cancelling := !op.State.Final() && op.Standing().State == fleet.Cancelled
	return operationActionsData{
		Cancel: !op.State.Final() && !cancelling, Cancelling: cancelling, Retry: op.State == fleet.Failed || op.State == fleet.Cancelled,
	}
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

// skipStep has an operation go on after the step that the page showed.
func (s *site) skipStep(w http.ResponseWriter, r *http.Request) error {
	id, step := r.PathValue("id"), r.PostFormValue("step")
	if err := s.Operations.SkipStep(r.Context(), access.Actor(r.Context()), id, step); err != nil {
		return s.again(w, r, s.operation, err)
	}
	return s.done(w, r, "/operations/"+id, "Skipped "+quoted(step))
}

// answerOperation answers the question an operation asks.
func (s *site) answerOperation(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	answer := strings.TrimSpace(r.PostFormValue("answer"))
	if err := s.mayAnswer(r.Context(), id, answer); err != nil {
		return s.again(w, r, s.operation, err)
	}
	if err := s.Operations.Approve(r.Context(), access.Actor(r.Context()), id, answer); err != nil {
		return s.again(w, r, s.operation, err)
	}
	return s.done(w, r, "/operations/"+id, "Answered")
}

// mayAnswer refuses an answer with which the step would only ask once more.
func (s *site) mayAnswer(ctx context.Context, id, answer string) error {
	if answer == "" {
		return fleet.Errorf(fleet.Invalid, "no answer was given").WithHint("write what the question asks for, or cancel the operation")
	}
	op, err := s.store.Operation(ctx, id)
	if err != nil {
		return err
	}
	if q := operation.ReadQuestion(op.Question, fleet.Facts{}); !q.Accepts(answer) {
		return fleet.Errorf(fleet.Invalid, "%q does not name the disks that the question is about, and nothing else", answer).
			WithHint("type %s, or cancel the operation", q.Answer())
	}
	return nil
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

// cancelLoss says what stopping now leaves behind.
func cancelLoss(op fleet.Operation) string {
	if op.Kind == operation.KindInstall {
		for _, step := range op.Steps {
			if (step.Name == "write the image" || step.Name == "load Talos' kernel") && step.State != fleet.Pending {
				return "the disk is being overwritten or was: the old system on it is gone, and the server does not run before the install is done."
			}
		}
		return "nothing on the disks. The server stays where it is: in the rescue system, once that was booted."
	}
	return "nothing."
}

// retryWords say where an operation is taken up again: what a machine was in the middle of is gone by then.
func retryWords(op fleet.Operation) string {
	switch op.Kind {
	case operation.KindInstall:
		return "A node that runs by now is only checked. Otherwise the records are checked again and the rescue system is booted once more; the disk stays the one that was agreed to."
	case operation.KindRescue, operation.KindRecoverUUID:
		return "The rescue system is asked for and booted once more."
	case operation.KindBootstrap:
		return "The control plane is chosen again; what etcd has already stays."
	}
	return "It goes on at " + quoted(op.Step) + "; what was done before is not done again."
}

// restartsSum says how many restarts there were, and what they cost.
func restartsSum(all []operation.Restart) string {
	cost := 0
	for _, r := range all {
		cost += r.Cost
	}
	text := count(len(all), "restart")
	if cost == 0 {
		return text + ", out of no budget"
	}
	return fmt.Sprintf("%s, for %d of the account's 50 resets an hour", text, cost)
}

func restartCost(r operation.Restart) string {
	if r.Cost == 0 {
		return "costs nothing"
	}
	return "costs " + count(r.Cost, "reset")
}
