package workflowtest

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

// Journal is a workflow.Journal in memory: for tests of the engine and of operations that need no database. It holds
// to the same rules as package store.
type Journal struct {
	mu      sync.Mutex
	records map[string]*record
	order   []string
}

type record struct {
	op       fleet.Operation
	input    []byte
	values   map[string][]byte
	log      []fleet.LogLine
	revision int64
	holder   string
	lease    time.Time
}

var _ workflow.Journal = (*Journal)(nil)

// NewJournal makes an empty one.
func NewJournal() *Journal { return &Journal{records: map[string]*record{}} }

// OperationLog is an operation's log after line seq; limit 0 is all.
func (j *Journal) OperationLog(_ context.Context, id string, after int64, limit int) ([]fleet.LogLine, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	r, err := j.record(id)
	if err != nil {
		return nil, err
	}
	lines := slices.Clone(r.log[min(int(after), len(r.log)):])
	if limit > 0 && len(lines) > limit {
		lines = lines[:limit]
	}
	return lines, nil
}

// CreateOperation refuses a second active operation of a server, or of a cluster and kind without a server.
func (j *Journal) CreateOperation(_ context.Context, op fleet.Operation, input []byte) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.records[op.ID] != nil {
		return fleet.Errorf(fleet.Conflict, "operation %s exists already", op.ID)
	}
	if err := j.busy(op); err != nil {
		return err
	}
	op.State = fleet.Pending
	j.records[op.ID] = &record{op: op, input: slices.Clone(input), values: map[string][]byte{}}
	j.order = append(j.order, op.ID)
	return nil
}

func (j *Journal) busy(op fleet.Operation) error {
	for id, r := range j.records {
		if id == op.ID || r.op.State.Final() {
			continue
		}
		if op.ServerID != "" && r.op.ServerID == op.ServerID {
			return fleet.Errorf(fleet.Conflict, "server %s is busy with operation %s", op.ServerID, id)
		}
		sameCluster := op.ClusterID != "" && r.op.ClusterID == op.ClusterID && r.op.Kind == op.Kind
		if sameCluster && op.ServerID == "" && r.op.ServerID == "" {
			return fleet.Errorf(fleet.Conflict, "cluster %s is busy with operation %s", op.ClusterID, id)
		}
	}
	return nil
}

// Operation reads one.
func (j *Journal) Operation(_ context.Context, id string) (fleet.Operation, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	r, err := j.record(id)
	if err != nil {
		return fleet.Operation{}, err
	}
	return r.copy(), nil
}

// Children lists the operations of a parent.
func (j *Journal) Children(_ context.Context, id string) ([]fleet.Operation, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	var out []fleet.Operation
	for _, c := range j.order {
		if r := j.records[c]; id != "" && r.op.ParentID == id {
			out = append(out, r.copy())
		}
	}
	return out, nil
}

// ClaimOperation takes an operation that is due.
func (j *Journal) ClaimOperation(_ context.Context, id, holder string, now time.Time, lease time.Duration) (workflow.Claim, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	r, err := j.record(id)
	if err != nil {
		return workflow.Claim{}, err
	}
	if !r.due(now) {
		return workflow.Claim{}, workflow.ErrNotDue
	}
	takenOver := r.op.State == fleet.Running && r.holder != ""
	r.op.State, r.op.UpdatedAt = fleet.Running, now
	r.revision++
	r.holder, r.lease = holder, now.Add(lease)
	return workflow.Claim{
		Operation: r.copy(), Input: slices.Clone(r.input), Values: maps.Clone(r.values), Revision: r.revision, TakenOver: takenOver,
	}, nil
}

func (r *record) due(now time.Time) bool {
	switch r.op.State {
	case fleet.Pending:
		return true
	case fleet.Waiting:
		return !r.op.WaitUntil.After(now)
	case fleet.Running:
		return !r.lease.After(now)
	}
	return false
}

// WriteOperation writes if the revision is still the claim's.
func (j *Journal) WriteOperation(_ context.Context, id string, revision int64, c workflow.Change) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	r, err := j.record(id)
	if err != nil {
		return err
	}
	if r.revision != revision {
		return workflow.ErrFenced
	}
	r.apply(c)
	return nil
}

// RequestOperation changes an operation for a person, and fences its slice.
func (j *Journal) RequestOperation(_ context.Context, id string, change func(fleet.Operation) (workflow.Change, error)) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	r, err := j.record(id)
	if err != nil {
		return err
	}
	c, err := change(r.copy())
	if err != nil {
		return err
	}
	after := r.copy()
	c.ApplyTo(&after)
	if !after.State.Final() {
		if err := j.busy(after); err != nil {
			return err
		}
	}
	r.revision++
	r.lease = time.Time{}
	r.apply(c)
	return nil
}

// DueOperations lists what can be claimed.
func (j *Journal) DueOperations(_ context.Context, now time.Time, limit int) ([]string, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	var ids []string
	for _, id := range j.order {
		if j.records[id].due(now) && len(ids) < limit {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// ReleaseLeases ends the leases of a dead holder.
func (j *Journal) ReleaseLeases(_ context.Context, holder string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, r := range j.records {
		if r.holder == holder {
			r.lease = time.Time{}
		}
	}
	return nil
}

func (j *Journal) record(id string) (*record, error) {
	if r := j.records[id]; r != nil {
		return r, nil
	}
	return nil, fleet.Errorf(fleet.NotFound, "there is no operation %s", id)
}

func (r *record) copy() fleet.Operation {
	op := r.op
	op.Steps = slices.Clone(op.Steps)
	return op
}

func (r *record) apply(c workflow.Change) {
	c.ApplyTo(&r.op)
	r.op.UpdatedAt = time.Now().UTC()
	for k, v := range c.Values {
		if v == nil {
			delete(r.values, k)
			continue
		}
		r.values[strings.Clone(k)] = slices.Clone(v)
	}
	for _, l := range c.Log {
		l.Seq = int64(len(r.log) + 1)
		r.log = append(r.log, l)
	}
	if c.Release {
		r.holder, r.lease = "", time.Time{}
	}
}
