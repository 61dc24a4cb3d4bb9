package talosnode

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/siderolabs/talos/pkg/machinery/api/common"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
)

// task is one step of a phase.
type task struct {
	name string
	run  func(context.Context) error
}

// phase is a group of tasks that run at the same time.
type phase struct {
	name  string
	tasks []task
}

// sequencer runs one sequence at a time.
type sequencer struct {
	node *node

	turn    sync.Mutex // of those who want to start a sequence
	mu      sync.Mutex
	current string
	cancel  context.CancelFunc
	done    chan struct{}
}

func newSequencer(n *node) *sequencer { return &sequencer{node: n} }

// takeOver tells which sequence may interrupt which (Talos' pkg/runtime/sequencer.go).
func takeOver(running, wanted string) bool {
	switch running {
	case "":
		return true
	case "initialize":
		return wanted == "maintenanceUpgrade" || wanted == "reboot"
	case "boot":
		return wanted == "reboot" || wanted == "reset" || wanted == "upgrade"
	case "reboot", "reset":
		return wanted == "reboot"
	}
	return false
}

type actorKey struct{}

func actor(ctx context.Context) string {
	id, _ := ctx.Value(actorKey{}).(string)
	return id
}

// run runs a sequence. One that may not interrupt the running one only leaves an event.
func (q *sequencer) run(ctx context.Context, name string, force bool, phases func() []phase) error {
	seq, release, err := q.acquire(ctx, name, force)
	if err != nil {
		q.node.events.publish(&machine.SequenceEvent{
			Sequence: name, Action: machine.SequenceEvent_NOOP,
			Error: &common.Error{Code: common.Code_LOCKED, Message: "sequence not started: locked"},
		}, "")
		return err
	}
	defer release()
	if err = q.play(seq, name, phases()); err == nil || q.node.ctx.Err() != nil {
		return err
	}
	code := common.Code_FATAL
	if errors.Is(err, context.Canceled) {
		code = common.Code_CANCELED
	}
	q.node.status.sequence(name, machine.SequenceEvent_NOOP, code == common.Code_FATAL)
	q.node.events.publish(&machine.SequenceEvent{
		Sequence: name, Action: machine.SequenceEvent_NOOP,
		Error: &common.Error{Code: code, Message: "sequence failed: " + err.Error()},
	}, actor(ctx))
	if code == common.Code_FATAL {
		q.node.w.Log.Warn("talos sequence failed", "machine", q.node.machine.Name, "sequence", name, "error", err)
		q.fatal()
	}
	return err
}

// acquire waits for the running sequence to give way.
func (q *sequencer) acquire(ctx context.Context, name string, force bool) (context.Context, func(), error) {
	q.turn.Lock()
	defer q.turn.Unlock()
	q.mu.Lock()
	if !force && !takeOver(q.current, name) {
		q.mu.Unlock()
		return nil, nil, errors.New("locked")
	}
	cancel, done := q.cancel, q.done
	q.mu.Unlock()
	if cancel != nil {
		cancel()
		<-done
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	seq, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	q.current, q.cancel, q.done = name, stop, ended
	return seq, func() {
		q.mu.Lock()
		q.current, q.cancel, q.done = "", nil, nil
		q.mu.Unlock()
		stop()
		close(ended)
	}, nil
}

func (q *sequencer) play(ctx context.Context, name string, phases []phase) error {
	q.announce(ctx, name, machine.SequenceEvent_START)
	defer q.announce(ctx, name, machine.SequenceEvent_STOP)
	for i, p := range phases {
		if err := q.phase(ctx, p); err != nil {
			return fmt.Errorf("error running phase %d in %s sequence: %w", i+1, name, err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

func (q *sequencer) announce(ctx context.Context, name string, a machine.SequenceEvent_Action) {
	if q.node.ctx.Err() != nil {
		return
	}
	q.node.events.publish(&machine.SequenceEvent{Sequence: name, Action: a}, actor(ctx))
	q.node.log("machined", "%s sequence: %s", name, a)
	q.node.status.sequence(name, a, false)
}

func (q *sequencer) phase(ctx context.Context, p phase) error {
	n := q.node
	n.events.publish(&machine.PhaseEvent{Phase: p.name, Action: machine.PhaseEvent_START}, actor(ctx))
	n.status.phase(p.name)
	defer func() {
		if n.ctx.Err() == nil {
			n.events.publish(&machine.PhaseEvent{Phase: p.name, Action: machine.PhaseEvent_STOP}, actor(ctx))
		}
	}()
	failures := make(chan error, len(p.tasks))
	for i, t := range p.tasks {
		n.spawn(func() {
			err := q.task(ctx, t)
			if err != nil {
				err = fmt.Errorf("task %d/%d: failed, %w", i+1, len(p.tasks), err)
			}
			failures <- err
		})
	}
	var first error
	for range p.tasks {
		if err := <-failures; err != nil && first == nil {
			first = err
		}
	}
	return first
}

func (q *sequencer) task(ctx context.Context, t task) error {
	n := q.node
	n.events.publish(&machine.TaskEvent{Task: t.name, Action: machine.TaskEvent_START}, actor(ctx))
	err := t.run(ctx)
	if n.ctx.Err() == nil {
		n.events.publish(&machine.TaskEvent{Task: t.name, Action: machine.TaskEvent_STOP}, actor(ctx))
	}
	return err
}

// fatal is what machined does when a sequence fails: the API is gone at once, the node reboots after 10 s.
func (q *sequencer) fatal() {
	n := q.node
	n.api.cut()
	if n.sleep(n.ctx, fatalTime) {
		n.halt(reboots)
	}
}
