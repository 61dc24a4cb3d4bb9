package workflow

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/riverqueue/river/riverdriver"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Kind is a sort of operation.
type Kind struct {
	Name string // "server.install"
	// Steps lists what it does, in order. It is called at the start of every slice and may read the run's input and
	// values, but must not act. Step names are stored: never rename one, never reuse one.
	Steps func(run *Run) ([]Step, error)
	// OnCancel and OnFail let go of what steps hold, before the operation becomes cancelled or failed. They look
	// before they act, as steps do: after a crash they run again. They may return Wait; other errors are tried
	// again a few times, then written to the log and given up. Both may be nil.
	OnCancel func(ctx context.Context, run *Run) error
	OnFail   func(ctx context.Context, run *Run) error
	// Skips are the steps that a person may have left out, by name: those that keep nothing safe, and that no later
	// step needs. A step that is not among them is never skipped.
	Skips map[string]Skipping
}

// Step is one named step of an operation. Do looks before it acts: it runs again if the program died in the middle.
// Its context ends before the lease does.
type Step struct {
	Name string
	Do   func(ctx context.Context, run *Run) error
}

// Options are the engine's settings; zero values have good defaults.
type Options struct {
	Replica       string        // who holds a claim; unique among replicas; the host's name and a random part by default
	Workers       int           // slices at the same time, 128
	Lease         time.Duration // how long a claim holds, 18 s
	SliceBudget   time.Duration // how long a slice starts further steps, 4 s
	StepTimeout   time.Duration // how long one call of a step may take, 12 s; SliceBudget + StepTimeout < Lease
	Revive        time.Duration // how often the journal is asked for due operations, 2 s
	Poll          time.Duration // how often River looks for jobs nobody told it about, 200 ms
	MaxAttempts   int           // attempts of a step in a row before the operation fails, 8
	Backoff       time.Duration // before the second attempt, 1 s; doubles up to MaxBackoff
	MaxBackoff    time.Duration // 60 s
	SingleReplica bool          // whoever held leases under this Replica's name before is dead: go on at once (SQLite)
	Log           *slog.Logger
	Now           func() time.Time

	// AfterStep and BeforeWrite are for tests that kill the program. They see the operation as it is about to be
	// written, after a step's call returned and before every write of a slice. An error makes the slice die on the
	// spot: nothing more is written, its lease stays.
	AfterStep   func(op fleet.Operation, step string) error
	BeforeWrite func(op fleet.Operation, step string) error
}

func (o Options) withDefaults() Options {
	if o.Replica == "" && o.SingleReplica {
		o.Replica = "single"
	}
	if o.Replica == "" {
		host, _ := os.Hostname()
		o.Replica = host + "-" + fleet.NewID()
	}
	o.Workers = cmp.Or(o.Workers, 128)
	o.Lease = cmp.Or(o.Lease, 18*time.Second)
	o.SliceBudget = cmp.Or(o.SliceBudget, min(4*time.Second, o.Lease/4))
	o.StepTimeout = cmp.Or(o.StepTimeout, min(12*time.Second, o.Lease*2/3))
	o.Revive = cmp.Or(o.Revive, 2*time.Second)
	o.Poll = cmp.Or(o.Poll, 200*time.Millisecond)
	o.MaxAttempts = cmp.Or(o.MaxAttempts, 8)
	o.Backoff = cmp.Or(o.Backoff, time.Second)
	o.MaxBackoff = cmp.Or(o.MaxBackoff, 60*time.Second)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Engine runs operations. Make one with NewEngine.
type Engine struct {
	journal Journal
	kinds   map[string]Kind
	o       Options
	policy  policy
	queue   queue
	slots   chan struct{} // a slice runs while it has one

	stopping chan struct{} // closed by Stop: no further step, no further slice
	stopOnce sync.Once
	revive   sync.WaitGroup

	mu   sync.Mutex
	held map[string]*hold // operations that a job of this replica looks after
}

// NewEngine builds an engine on River's driver, for a database that has River's tables; usually the journal's.
func NewEngine[TTx any](driver riverdriver.Driver[TTx], journal Journal, kinds []Kind, o Options) (*Engine, error) {
	o = o.withDefaults()
	if o.SliceBudget+o.StepTimeout >= o.Lease {
		return nil, fmt.Errorf("workflow: a slice of %s and a step of %s do not fit into a lease of %s",
			o.SliceBudget, o.StepTimeout, o.Lease)
	}
	e := &Engine{
		journal:  journal,
		kinds:    map[string]Kind{},
		o:        o,
		policy:   policy{maxAttempts: o.MaxAttempts, backoff: o.Backoff, maxBackoff: o.MaxBackoff},
		slots:    make(chan struct{}, o.Workers),
		stopping: make(chan struct{}),
		held:     map[string]*hold{},
	}
	for _, k := range kinds {
		if _, ok := e.kinds[k.Name]; ok || k.Name == "" || k.Steps == nil {
			return nil, fmt.Errorf("workflow: kind %q has no name, no steps or is there twice", k.Name)
		}
		e.kinds[k.Name] = k
	}
	q, err := newQueue(driver, e.work, o)
	if err != nil {
		return nil, err
	}
	e.queue = q
	return e, nil
}

// Start begins to run operations, those of an earlier life first. ctx is for starting only; Stop stops.
func (e *Engine) Start(ctx context.Context) error {
	if e.o.SingleReplica {
		if err := e.journal.ReleaseLeases(ctx, e.o.Replica); err != nil {
			return fmt.Errorf("release the leases of an earlier life: %w", err)
		}
	}
	if err := e.queue.start(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("start river: %w", err)
	}
	e.revive.Go(e.reviveLoop)
	return nil
}

// Stop lets the steps that run now return and starts no others. When ctx ends first, their contexts are cancelled;
// what they did not finish goes on at the next start, or on another replica at once.
func (e *Engine) Stop(ctx context.Context) error {
	e.stopOnce.Do(func() { close(e.stopping) })
	e.revive.Wait()
	err := e.queue.stop(ctx)
	if err == nil {
		return nil
	}
	e.interruptAll(errStopping)
	hard, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := e.queue.stop(hard); err != nil {
		return fmt.Errorf("stop river: %w", errors.Join(err, e.queue.kill(hard)))
	}
	return nil
}

// AtOnce is how many slices run at the same time. An operation that waits takes none.
func (e *Engine) AtOnce() int { return e.o.Workers }

func (e *Engine) isStopping() bool {
	select {
	case <-e.stopping:
		return true
	default:
		return false
	}
}

// now is the time as databases keep it, so that a time written and read again is not later than it was.
func (e *Engine) now() time.Time { return e.o.Now().UTC().Truncate(time.Millisecond) }

// reviveLoop sees to it that everything that is due has a job: River may have lost one, its inserter or its worker
// may have been killed.
func (e *Engine) reviveLoop() {
	tick := time.NewTicker(e.o.Revive)
	defer tick.Stop()
	for {
		e.reviveOnce()
		select {
		case <-tick.C:
		case <-e.stopping:
			return
		}
	}
}

func (e *Engine) reviveOnce() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	ids, err := e.journal.DueOperations(ctx, e.now(), 1000)
	if err != nil {
		e.o.Log.Warn("cannot ask for due operations", "error", err)
		return
	}
	ids = e.notHeld(ids)
	if len(ids) == 0 {
		return
	}
	// A job of a killed replica, or of this one's earlier life, stays "running" in River for minutes and must not
	// stand in the way of a new one: jobs are unique within one length of a lease, and for one inserter.
	if err := e.queue.insert(ctx, ids, e.now().UnixMilli()/e.o.Lease.Milliseconds()); err != nil {
		e.o.Log.Warn("cannot insert jobs for due operations", "error", err)
	}
}
