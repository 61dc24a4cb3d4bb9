package fleet

import "time"

// OperationState is where an operation stands. See package workflow for the diagram.
type OperationState string

// The states of an operation. The last three are final.
const (
	Pending   OperationState = "pending"   // nobody took it up yet
	Running   OperationState = "running"   // a replica is in one of its steps
	Waiting   OperationState = "waiting"   // for the world; WaitingFor says for what
	Asking    OperationState = "asking"    // for a person; Question says what
	Succeeded OperationState = "succeeded" // done
	Failed    OperationState = "failed"    // stopped; Error says why, Hint what to do; may be retried
	Cancelled OperationState = "cancelled" // stopped by a person; may be retried
)

// Skipped is the state of a step that a person had left out; no operation is in it.
const Skipped OperationState = "skipped"

// Final says whether nothing more happens by itself.
func (s OperationState) Final() bool { return s == Succeeded || s == Failed || s == Cancelled }

// Operation is something being done to machines: a list of named steps with a log.
type Operation struct {
	ID        string
	Kind      string // "server.install"
	ServerID  string // the server it has for itself, or ""
	ClusterID string // the cluster it has for itself, or ""
	ParentID  string // operation it belongs to, or ""
	Actor     string // who asked for it
	State     OperationState
	Step      string // name of the step it stands at
	Steps     []OperationStep

	WaitingFor string    // "rescue system to answer SSH"
	WaitUntil  time.Time // when it looks again
	Question   string    // while Asking
	Answer     string    // of the last question
	Error      string    // while Failed, or of the attempt that is being retried
	Hint       string

	Done, Total int64  // progress of the step it stands at, 0 of 0 if it has none
	Unit        string // "bytes"

	CreatedAt  time.Time
	UpdatedAt  time.Time
	FinishedAt time.Time
}

// Standing is the step that the operation stands at, if its steps were read with it.
func (o Operation) Standing() OperationStep {
	for _, s := range o.Steps {
		if s.Name == o.Step {
			return s
		}
	}
	return OperationStep{Name: o.Step, State: Pending}
}

// OperationStep is one step of an operation.
type OperationStep struct {
	Name       string
	State      OperationState // Pending, Running, Waiting, Asking, Succeeded, Failed, Cancelled or Skipped
	Attempts   int
	StartedAt  time.Time
	FinishedAt time.Time
	Error      string
}

// LogLine is a line of an operation's log.
type LogLine struct {
	Seq   int64 // ordered within its operation
	At    time.Time
	Step  string
	Level string // "info", "warn" or "error"
	Text  string
}
