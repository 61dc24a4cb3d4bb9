package workflow

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

const (
	memoKey     = "workflow:memo" // the engine's own value
	longestLine = 8 << 10         // bytes of a log line
)

// Run is an operation in the hands of a slice: what its steps may read, save and say. It may be used by several
// goroutines of a step, but not after the step returned.
type Run struct {
	e        *Engine
	input    []byte
	revision int64
	deadline time.Time // by the computer's clock: the last step's context has ended
	stop     context.CancelCauseFunc
	takeover bool
	due, at  time.Time // when it was to be looked at, and was

	writing sync.Mutex // one write at a time, in order
	mu      sync.Mutex // guards what follows
	op      fleet.Operation
	values  map[string][]byte
	memo    memo
	staged  Change // to be written with the next write
	dead    bool   // killed by a test hook
}

func newRun(e *Engine, c Claim, deadline time.Time, stop context.CancelCauseFunc) *Run {
	r := &Run{
		e: e, input: c.Input, revision: c.Revision, deadline: deadline, stop: stop, takeover: c.TakenOver,
		due: c.Operation.WaitUntil, at: e.now(),
		op: c.Operation, values: c.Values,
	}
	if r.values == nil {
		r.values = map[string][]byte{}
	}
	if m, ok := r.values[memoKey]; ok {
		if err := json.Unmarshal(m, &r.memo); err != nil {
			e.o.Log.Error("cannot read the engine's own value", "operation", r.op.ID, "error", err)
		}
	}
	return r
}

// ID is the operation's id.
func (r *Run) ID() string { return r.op.ID }

// Operation is the operation as far as this slice knows it.
func (r *Run) Operation() fleet.Operation {
	r.mu.Lock()
	defer r.mu.Unlock()
	op := r.op
	op.Steps = append([]fleet.OperationStep(nil), op.Steps...)
	return op
}

// Input reads what the operation was started with into v, a pointer.
func (r *Run) Input(v any) error {
	if err := json.Unmarshal(r.input, v); err != nil {
		return Permanent(fmt.Errorf("read the input of operation %s: %w", r.op.ID, err))
	}
	return nil
}

// Get reads a saved value into v, a pointer, and says whether there is one.
func (r *Run) Get(key string, v any) (bool, error) {
	r.mu.Lock()
	data, ok := r.values[key]
	r.mu.Unlock()
	if !ok {
		return false, nil
	}
	if err := json.Unmarshal(data, v); err != nil {
		return false, Permanent(fmt.Errorf("read value %q of operation %s: %w", key, r.op.ID, err))
	}
	return true, nil
}

// Set saves a value for this step's next life and for later steps. It is written when Set returns; ErrFenced means
// that somebody else has the operation, and the step must return. A nil v deletes.
func (r *Run) Set(ctx context.Context, key string, v any) error {
	if strings.HasPrefix(key, "workflow:") {
		return Permanent(fmt.Errorf("value %q is the engine's", key))
	}
	var data []byte
	if v != nil {
		var err error
		if data, err = json.Marshal(v); err != nil {
			return Permanent(fmt.Errorf("save value %q: %w", key, err))
		}
	}
	if err := r.write(ctx, Change{Values: map[string][]byte{key: data}}); err != nil {
		return fmt.Errorf("save value %q: %w", key, err)
	}
	return nil
}

// Log adds a line to the operation's log, at the latest half a second later.
func (r *Run) Log(_ context.Context, format string, args ...any) { r.say("info", format, args...) }

// Warn is Log for what a person should notice.
func (r *Run) Warn(_ context.Context, format string, args ...any) { r.say("warn", format, args...) }

func (r *Run) say(level, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if len(text) > longestLine {
		text = strings.ToValidUTF8(text[:longestLine], "") + " …"
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.staged.Log = append(r.staged.Log, fleet.LogLine{At: r.e.now(), Step: r.op.Step, Level: level, Text: text})
}

// Progress says how far the step is; it is shown at the latest half a second later. 0 of 0 means that it has none.
func (r *Run) Progress(_ context.Context, done, total int64, unit string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.op.Done == done && r.op.Total == total && r.op.Unit == unit {
		return
	}
	c := Change{Done: &done, Total: &total, Unit: &unit}
	c.ApplyTo(&r.op)
	r.staged = r.staged.then(c)
}

// Attempt counts from 1 how often the step was tried in a row; it starts again after a Wait and a person's Retry.
func (r *Run) Attempt() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.memo.Errors + 1
}

// StepStarted is when the step was first entered, since a person's Retry if there was one.
func (r *Run) StepStarted() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.record(r.op.Step).StartedAt
}

// Answer is what a person answered to this step's question, if it asked one and they did.
func (r *Run) Answer() (string, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.op.Answer, r.op.Answer != ""
}

// Start starts a child operation and gives its id. It is the same one for the same key, however often and in
// whatever life of the step it is called. fleet.Conflict when its server is busy. The parent is woken when it ends.
func (r *Run) Start(ctx context.Context, n New) (string, error) {
	if n.Key == "" {
		return "", Permanent(fmt.Errorf("a child of operation %s needs a key", r.op.ID))
	}
	if err := r.check(ctx); err != nil {
		return "", err
	}
	n.ParentID = r.op.ID
	if n.Actor == "" {
		n.Actor = r.op.Actor
	}
	id := childID(r.op.ID, n.Key)
	if _, err := r.e.journal.Operation(ctx, id); fleet.KindOf(err) != fleet.NotFound {
		return id, err
	}
	op, err := r.e.enqueue(ctx, id, n)
	return op.ID, err
}

// Children lists the operations this one started, oldest first.
func (r *Run) Children(ctx context.Context) ([]fleet.Operation, error) {
	return r.e.journal.Children(ctx, r.op.ID)
}

// CancelChildren cancels the children that are not final yet, in the name of whoever started this operation.
func (r *Run) CancelChildren(ctx context.Context) error {
	children, err := r.Children(ctx)
	if err != nil {
		return err
	}
	for _, c := range children {
		if c.State.Final() {
			continue
		}
		if err := r.e.Cancel(ctx, c.ID, r.op.Actor); err != nil && fleet.KindOf(err) != fleet.Conflict {
			return err
		}
	}
	return nil
}

// record is what is written about a step, or a fresh one. The caller has the lock.
func (r *Run) record(name string) fleet.OperationStep {
	for _, s := range r.op.Steps {
		if s.Name == name {
			return s
		}
	}
	return fleet.OperationStep{Name: name, State: fleet.Pending}
}
