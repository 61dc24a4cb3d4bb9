package client

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// The states of an operation. The last three are final.
const (
	Pending   = "pending"   // nobody took it up yet
	Running   = "running"   // a step is being done
	Waiting   = "waiting"   // for the world
	Asking    = "asking"    // for a person
	Succeeded = "succeeded" // done
	Failed    = "failed"    // may be retried
	Cancelled = "cancelled" // by a person; may be retried
)

// Skipped is the state of a step that a person had left out; no operation is in it.
const Skipped = "skipped"

// Operation is something being done to machines: a list of named steps with a log.
type Operation struct {
	ID         string    `json:"id"`
	Kind       string    `json:"kind" doc:"server.rescue, server.install, cluster.bootstrap"`
	Server     *Ref      `json:"server,omitempty"`
	Cluster    *Ref      `json:"cluster,omitempty"`
	Parent     string    `json:"parent,omitempty" doc:"id of the operation it belongs to"`
	Actor      string    `json:"actor" doc:"who asked for it"`
	State      string    `json:"state" enum:"pending,running,waiting,asking,succeeded,failed,cancelled"`
	Step       string    `json:"step,omitempty" doc:"name of the step it stands at"`
	Steps      []Step    `json:"steps,omitempty" doc:"not in lists"`
	WaitingFor string    `json:"waitingFor,omitempty" doc:"while waiting"`
	WaitUntil  time.Time `json:"waitUntil,omitzero" doc:"when it looks again, while waiting"`
	Question   string    `json:"question,omitempty" doc:"while asking"`
	Error      string    `json:"error,omitempty" doc:"when failed, or of the attempt that is being retried"`
	Hint       string    `json:"hint,omitempty" doc:"what to do about the error"`
	Progress   *Progress `json:"progress,omitempty" doc:"of the step it stands at"`
	Skippable  string    `json:"skippable,omitempty" doc:"what is not done if the step it stands at is skipped, while that can be asked for; not in lists"`
	CreatedAt  time.Time `json:"createdAt"`
	UpdatedAt  time.Time `json:"updatedAt"`
	FinishedAt time.Time `json:"finishedAt,omitzero"`
}

// Progress of a step.
type Progress struct {
	Done  int64  `json:"done"`
	Total int64  `json:"total" doc:"0 if unknown"`
	Unit  string `json:"unit,omitempty" doc:"bytes, …"`
}

// Step of an operation.
type Step struct {
	Name       string    `json:"name"`
	State      string    `json:"state" enum:"pending,running,waiting,asking,succeeded,failed,cancelled,skipped"`
	Attempts   int       `json:"attempts,omitempty"`
	StartedAt  time.Time `json:"startedAt,omitzero"`
	FinishedAt time.Time `json:"finishedAt,omitzero"`
	Error      string    `json:"error,omitempty"`
}

// LogLine is a line of an operation's log.
type LogLine struct {
	Seq   int64     `json:"seq" doc:"ordered within its operation"`
	At    time.Time `json:"at"`
	Step  string    `json:"step,omitempty"`
	Level string    `json:"level" enum:"info,warn,error"`
	Text  string    `json:"text"`
}

// Final says whether nothing more happens by itself.
func (o *Operation) Final() bool {
	return o.State == Succeeded || o.State == Failed || o.State == Cancelled
}

// Subject names what it is done to: the server, or else the cluster.
func (o *Operation) Subject() string {
	for _, r := range []*Ref{o.Server, o.Cluster} {
		if r != nil && r.Name != "" {
			return r.Name
		}
		if r != nil {
			return r.ID
		}
	}
	return ""
}

// Err is nil unless the operation failed or was cancelled; then it is an *Error of kind OperationFailed.
func (o *Operation) Err() error {
	if o.State != Failed && o.State != Cancelled {
		return nil
	}
	e := &Error{Kind: OperationFailed, Message: strings.TrimSpace(o.Kind+" "+o.Subject()) + " " + o.State, Hint: o.Hint}
	if o.Step != "" {
		e.Message += fmt.Sprintf(" at %q", o.Step)
	}
	if o.Error != "" && o.State == Failed {
		e.Message += ": " + o.Error
	}
	if e.Hint == "" {
		e.Hint = fmt.Sprintf("talos-manager operation logs %s; talos-manager operation retry %s", o.ID, o.ID)
	}
	return e
}

// OperationFilter chooses operations; zero fields choose all.
type OperationFilter struct {
	States  []string // any of these; "active" stands for all that are not final
	Server  string   // name or id
	Cluster string   // name or id
	Kind    string
	Limit   int    // 0: 100
	Before  string // id of the last operation of the page before
}

// Operations lists operations without their steps, newest first.
func (c *Client) Operations(ctx context.Context, f OperationFilter) (l List[Operation], err error) {
	q := set{}.add("state", strings.Join(f.States, ",")).add("server", f.Server).add("cluster", f.Cluster).
		add("kind", f.Kind).number("limit", f.Limit).add("before", f.Before)
	return l, c.call(ctx, http.MethodGet, at("/operations"), (map[string][]string)(q), nil, &l)
}

// Operation reads one with its steps.
func (c *Client) Operation(ctx context.Context, id string) (o Operation, err error) {
	return o, c.call(ctx, http.MethodGet, at("/operations/%s", id), nil, nil, &o)
}

// OperationLog reads the lines of a log after the line of this number.
func (c *Client) OperationLog(ctx context.Context, id string, after int64) (l List[LogLine], err error) {
	return l, c.call(ctx, http.MethodGet, at("/operations/%s/log", id), (map[string][]string)(set{}.number("after", int(after))), nil, &l)
}

// CancelOperation stops an operation. What was done to the machine stays done.
func (c *Client) CancelOperation(ctx context.Context, id string) (o Operation, err error) {
	return o, c.call(ctx, http.MethodPost, at("/operations/%s/cancel", id), nil, nil, &o)
}

// RetryOperation continues a failed or cancelled operation at the step where it stopped.
func (c *Client) RetryOperation(ctx context.Context, id string) (o Operation, err error) {
	return o, c.call(ctx, http.MethodPost, at("/operations/%s/retry", id), nil, nil, &o)
}

// StepSkip asks for a step to be left out.
type StepSkip struct {
	Step string `json:"step" minLength:"1" doc:"the one that the operation stands at: of two who ask at once, one is refused"`
}

// SkipStep has an operation go on after the step that it waits or failed at. Only some may be left out.
func (c *Client) SkipStep(ctx context.Context, id, step string) (o Operation, err error) {
	return o, c.call(ctx, http.MethodPost, at("/operations/%s/skip", id), nil, StepSkip{step}, &o)
}

// Answer to the question of an operation.
type Answer struct {
	Answer string `json:"answer" minLength:"1"`
}

// ApproveOperation answers the question that an operation asks.
func (c *Client) ApproveOperation(ctx context.Context, id, answer string) (o Operation, err error) {
	return o, c.call(ctx, http.MethodPost, at("/operations/%s/approve", id), nil, Answer{answer}, &o)
}
