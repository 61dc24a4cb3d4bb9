package workflow

import (
	"context"
	"errors"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// ErrFenced says that a slice wrote with an old revision: another replica has the operation now, or a person
// cancelled it. The slice stops at once and writes nothing more.
var ErrFenced = errors.New("another replica has this operation")

// ErrNotDue says that an operation cannot be claimed now: it is final, asks a person, waits, or is held.
var ErrNotDue = errors.New("operation is not due")

// Journal is where operations are written down. It is implemented by package store on SQLite and Postgres, and
// judged there; every method is one transaction.
type Journal interface {
	// CreateOperation writes a pending operation with its input (JSON). fleet.Conflict names the active
	// operation that has the server (or the cluster) already: a partial unique index over non-final operations
	// on ServerID, and on (ClusterID, Kind) for operations without a server, decides.
	CreateOperation(ctx context.Context, op fleet.Operation, input []byte) error
	// Operation reads one with its steps; fleet.NotFound.
	Operation(ctx context.Context, id string) (fleet.Operation, error)
	// Children lists the operations whose parent is id, oldest first.
	Children(ctx context.Context, id string) ([]fleet.Operation, error)
	// ClaimOperation takes an operation for one slice: it must be pending, or waiting with WaitUntil passed, or
	// running with its lease passed (or held by the same holder's earlier life, see ReleaseLeases). It becomes
	// running with revision+1 and a lease until now+lease. ErrNotDue otherwise.
	ClaimOperation(ctx context.Context, id, holder string, now time.Time, lease time.Duration) (Claim, error)
	// WriteOperation writes what a slice did, if the revision is still the claim's: ErrFenced otherwise.
	WriteOperation(ctx context.Context, id string, revision int64, change Change) error
	// RequestOperation is what a person asks of an operation: it runs change against the current record in one
	// transaction, adds one to the revision (which fences a running slice) and clears the lease. change returns
	// an error (fleet.Conflict) to refuse.
	RequestOperation(ctx context.Context, id string, change func(fleet.Operation) (Change, error)) error
	// DueOperations lists the ids of operations that could be claimed now, oldest first.
	DueOperations(ctx context.Context, now time.Time, limit int) ([]string, error)
	// ReleaseLeases ends the leases of a holder: on SQLite the holder's earlier life is certainly dead when it
	// starts again, so its operations go on at once.
	ReleaseLeases(ctx context.Context, holder string) error
}

// Claim is an operation held for one slice.
type Claim struct {
	Operation fleet.Operation
	Input     []byte            // JSON, as created
	Values    map[string][]byte // JSON, as saved by earlier steps
	Revision  int64
	TakenOver bool // it was running: its holder died in the middle of a step
}

// Change is what one write does to an operation: nil or zero means unchanged.
type Change struct {
	State      fleet.OperationState // "" unchanged
	Step       *string
	WaitingFor *string
	WaitUntil  *time.Time
	Question   *string
	Answer     *string
	Error      *string
	Hint       *string
	Done       *int64
	Total      *int64
	Unit       *string
	Steps      []fleet.OperationStep // upserted by name, in the order first seen
	Log        []fleet.LogLine       // appended; Seq is given by the journal
	Values     map[string][]byte     // upserted; a nil value deletes
	Release    bool                  // end the lease: the slice is over
	Finished   *time.Time
}
