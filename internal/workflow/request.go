package workflow

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// New is an operation to be started.
type New struct {
	Kind      string
	ServerID  string // the server it has for itself, or ""
	ClusterID string // the cluster it belongs to, or ""
	ParentID  string // or ""
	Key       string // for Run.Start: what makes two starts of one parent the same child
	Actor     string // who asked for it
	Input     any    // kept as JSON; no secrets
}

// Enqueue writes an operation down and sees to it that it starts at once, here or on another replica. fleet.Conflict
// names the operation that has the server already.
func (e *Engine) Enqueue(ctx context.Context, n New) (fleet.Operation, error) {
	return e.enqueue(ctx, fleet.NewID(), n)
}

func (e *Engine) enqueue(ctx context.Context, id string, n New) (fleet.Operation, error) {
	if _, ok := e.kinds[n.Kind]; !ok {
		return fleet.Operation{}, fleet.Errorf(fleet.Invalid, "there is no operation %q", n.Kind)
	}
	input, err := json.Marshal(n.Input)
	if err != nil {
		return fleet.Operation{}, fmt.Errorf("input of operation %s: %w", n.Kind, err)
	}
	now := e.now()
	op := fleet.Operation{
		ID: id, Kind: n.Kind, ServerID: n.ServerID, ClusterID: n.ClusterID, ParentID: n.ParentID, Actor: n.Actor,
		State: fleet.Pending, CreatedAt: now, UpdatedAt: now,
	}
	if err := e.journal.CreateOperation(ctx, op, input); err != nil {
		return fleet.Operation{}, err
	}
	e.look(ctx, id)
	return op, nil
}

// childID is the same for the same parent and key: a step that starts a child and dies starts no second one.
func childID(parent, key string) string {
	sum := sha256.Sum256([]byte(parent + "\x00" + key))
	return strings.ToLower(base32.HexEncoding.EncodeToString(sum[:])[:20])
}

// Cancel stops an operation. A step that runs is stopped within a second, on whatever replica it is. A kind with
// OnCancel is cancelled when that has run; until then the operation waits for its clean-up. Its children go on,
// unless OnCancel cancels them.
func (e *Engine) Cancel(ctx context.Context, id, actor string) error {
	here := e.running(id)
	var after fleet.Operation
	err := e.journal.RequestOperation(ctx, id, func(op fleet.Operation) (Change, error) {
		if op.State.Final() {
			return Change{}, fleet.Errorf(fleet.Conflict, "operation %s is over already: %s", id, op.State)
		}
		if op.WaitingFor == cleaning {
			return Change{}, fleet.Errorf(fleet.Conflict, "operation %s is being stopped already", id)
		}
		c := e.cancelling(op, actor, here)
		c.ApplyTo(&op)
		after = op
		return c, nil
	})
	if err != nil {
		return err
	}
	e.interrupt(id, ErrFenced)
	if after.State.Final() {
		e.ended(context.WithoutCancel(ctx), after)
		return nil
	}
	e.look(ctx, id)
	return nil
}

// cancelling is the change that cancels op. A clean-up waits until a step that runs on another replica has noticed.
func (e *Engine) cancelling(op fleet.Operation, actor string, here bool) Change {
	now := e.now()
	c := Change{
		State: fleet.Cancelled, Finished: &now, WaitingFor: new(string), Question: new(string), Release: true,
		Log:    []fleet.LogLine{{At: now, Step: op.Step, Level: "warn", Text: "cancelled by " + actor}},
		Values: map[string][]byte{memoKey: nil},
	}
	for _, st := range op.Steps {
		if st.Name == op.Step && !st.State.Final() {
			st.State, st.FinishedAt = fleet.Cancelled, now
			c.Steps = []fleet.OperationStep{st}
		}
	}
	if e.kinds[op.Kind].OnCancel == nil {
		return c
	}
	at, what := now, cleaning
	if op.State == fleet.Running && !here {
		at = now.Add(noticed)
	}
	c.State, c.Finished, c.WaitingFor, c.WaitUntil = fleet.Waiting, nil, &what, &at
	c.Values[memoKey], _ = json.Marshal(memo{Ending: fleet.Cancelled})
	return c
}

// Retry takes a failed or cancelled operation up again at the step it stood at. fleet.Conflict when its server is
// busy with another one.
func (e *Engine) Retry(ctx context.Context, id, actor string) error {
	return e.RetryFrom(ctx, id, actor, "")
}

// RetryFrom is Retry at an earlier step: that one and those after it are done again, and the values named in forget
// are no longer known to them. "" is the step it stood at.
func (e *Engine) RetryFrom(ctx context.Context, id, actor, step string, forget ...string) error {
	return e.request(ctx, id, func(op fleet.Operation) (Change, error) {
		if op.State != fleet.Failed && op.State != fleet.Cancelled {
			return Change{}, fleet.Errorf(fleet.Conflict, "operation %s is %s: only a failed or cancelled one can be tried again", id, op.State)
		}
		from := cmp.Or(step, op.Step)
		c := Change{
			State: fleet.Pending, Step: &from, Error: new(string), Hint: new(string), Question: new(string), Answer: new(string),
			WaitingFor: new(string), Finished: new(time.Time), WaitUntil: new(time.Time),
			Log:    []fleet.LogLine{{At: e.now(), Step: from, Level: "info", Text: "tried again by " + actor}},
			Values: map[string][]byte{memoKey: nil},
		}
		for _, key := range forget {
			c.Values[key] = nil
		}
		reached := false
		for _, st := range op.Steps {
			if reached = reached || st.Name == from; reached {
				c.Steps = append(c.Steps, fleet.OperationStep{Name: st.Name, State: fleet.Pending, Attempts: st.Attempts})
			}
		}
		if reached {
			return c, nil
		}
		for _, st := range op.Steps { // it never came to that step, in an older version perhaps
			c.Steps = append(c.Steps, fleet.OperationStep{Name: st.Name, State: fleet.Pending, Attempts: st.Attempts})
		}
		return c, nil
	})
}

// Answer answers the question of an operation; its step runs again and finds it.
func (e *Engine) Answer(ctx context.Context, id, answer, actor string) error {
	if answer == "" {
		return fleet.Errorf(fleet.Invalid, "the answer to operation %s is empty", id)
	}
	return e.request(ctx, id, func(op fleet.Operation) (Change, error) {
		if op.State != fleet.Asking {
			return Change{}, fleet.Errorf(fleet.Conflict, "operation %s asks nothing: it is %s", id, op.State)
		}
		return Change{
			State: fleet.Pending, Question: new(string), Answer: &answer,
			Log: []fleet.LogLine{{At: e.now(), Step: op.Step, Level: "info", Text: "answered by " + actor + ": " + answer}},
		}, nil
	})
}

// request has a person's change made, and somebody look at the operation.
func (e *Engine) request(ctx context.Context, id string, change func(fleet.Operation) (Change, error)) error {
	if err := e.journal.RequestOperation(ctx, id, change); err != nil {
		return err
	}
	e.look(ctx, id)
	return nil
}

var errNotWaiting = errors.New("operation does not wait")

// Wake has a waiting operation look at once: something it may wait for has happened. It is a hint: for an operation
// that does not wait nothing happens, and one that meets a step running on another replica is lost; the wait's own
// time makes up for it.
func (e *Engine) Wake(ctx context.Context, id string) error {
	err := e.hasten(ctx, id)
	if errors.Is(err, errNotWaiting) {
		e.wakeSoon(id)
		return nil
	}
	if err == nil {
		e.look(ctx, id)
	}
	return err
}

// hasten makes a waiting operation due.
func (e *Engine) hasten(ctx context.Context, id string) error {
	return e.journal.RequestOperation(ctx, id, func(op fleet.Operation) (Change, error) {
		if op.State != fleet.Waiting {
			return Change{}, errNotWaiting
		}
		now := e.now()
		return Change{WaitUntil: &now}, nil
	})
}

// wakeSoon remembers a wake that met a running slice of this replica.
func (e *Engine) wakeSoon(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if h := e.held[id]; h != nil && h.cancel != nil {
		h.wake = true
	}
}

// running says whether this replica is in a slice of the operation.
func (e *Engine) running(id string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	h := e.held[id]
	return h != nil && h.cancel != nil
}
