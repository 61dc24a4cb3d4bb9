package workflowtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

// Scenario is one operation (and what it starts) in a world of its own.
type Scenario struct {
	// Journal outlives the program.
	Journal workflow.Journal
	// Engine builds an engine on the journal, as the program does when it starts, and when it starts again. It passes
	// o on to workflow.NewEngine; it may shorten times.
	Engine func(o workflow.Options) (*workflow.Engine, error)
	// Begin starts the operation and gives its id. It is called once.
	Begin func(ctx context.Context, e *workflow.Engine) (id string, err error)
	// Answer answers the operation's questions; nil: it must not ask.
	Answer func(question string) string
	// Person is what somebody does who looks at the operation every now and then, in both lives of the program; may be nil.
	Person func(ctx context.Context, e *workflow.Engine, op fleet.Operation)
	// Check looks at what became of the operation and of the world. Steps may have run twice.
	Check func(t *testing.T, op fleet.Operation)
	// Within is how long a run may take, killing included; 30 s by default.
	Within time.Duration
}

// KillEverywhere runs a scenario once undisturbed, and then once for every point at which the program can die: after
// every step's call and before every write, each counted by step and outcome. Every run gets a scenario of its own, and they run side by side. The
// program dies there (nothing is written any more by any of its operations), a new one starts on the same journal,
// and the operation must come to the same end and pass the same Check.
func KillEverywhere(t *testing.T, setup func(t *testing.T) Scenario) {
	t.Helper()
	KillIn(t, setup, nil)
}

// KillIn is KillEverywhere for the points of some steps: the others are another scenario's too. No steps are all.
func KillIn(t *testing.T, setup func(t *testing.T) Scenario, steps []string) {
	t.Helper()
	var points []Point
	var want fleet.OperationState
	ok := t.Run("undisturbed", func(t *testing.T) {
		k := NewKiller(Point{})
		want = run(t, setup(t), k).State
		points = k.Points()
	})
	if !ok {
		return
	}
	if len(points) == 0 {
		t.Fatal("the operation has no point at which it can be killed")
	}
	for _, step := range steps {
		if !slices.ContainsFunc(points, func(p Point) bool { return p.in(step) }) {
			t.Errorf("the operation has no point in step %q", step)
		}
	}
	for _, p := range points {
		if len(steps) > 0 && !slices.ContainsFunc(steps, p.in) {
			continue
		}
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			k := NewKiller(p)
			op := run(t, setup(t), k)
			if op.State != want {
				t.Errorf("the operation is %s (%s), undisturbed it was %s", op.State, op.Error, want)
			}
			if p.certain() && !k.isDead() {
				t.Errorf("it was never killed: the run did not come to this point")
			}
		})
	}
}

// run runs a scenario to its end; when the killer strikes, a second program goes on.
func run(t *testing.T, s Scenario, k *Killer) fleet.Operation {
	t.Helper()
	if s.Within == 0 {
		s.Within = 30 * time.Second
	}
	var background sync.WaitGroup
	defer background.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), s.Within)
	defer cancel()
	first := start(ctx, t, s, k.Options(options()))
	id, err := s.Begin(ctx, first)
	if err != nil {
		t.Fatal(err)
	}
	background.Go(func() { attend(ctx, s, first, id, k.died) })
	over := make(chan struct{})
	background.Go(func() {
		defer close(over)
		await(ctx, s.Journal, id, s.Within, Final)
	})
	select {
	case <-k.died:
		kill(first)
		second := start(ctx, t, s, options())
		defer stop(t, second)
		background.Go(func() { attend(ctx, s, second, id, nil) })
	case <-over:
		defer stop(t, first)
	}
	op := Await(t, s.Journal, id, s.Within, Final)
	s.Check(t, op)
	return op
}

// options are those of a program that goes on where its earlier life stopped, without waiting for leases.
func options() workflow.Options {
	return workflow.Options{
		Replica: "killed", SingleReplica: true, Revive: 50 * time.Millisecond, Poll: 50 * time.Millisecond,
		Backoff: 50 * time.Millisecond, MaxBackoff: time.Second,
	}
}

func start(ctx context.Context, t *testing.T, s Scenario, o workflow.Options) *workflow.Engine {
	t.Helper()
	e, err := s.Engine(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(ctx); err != nil {
		t.Fatal(err)
	}
	return e
}

func stop(t *testing.T, e *workflow.Engine) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := e.Stop(ctx); err != nil {
		t.Errorf("stop the engine: %v", err)
	}
}

// kill ends a dead engine's goroutines; it can write nothing more.
func kill(e *workflow.Engine) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = e.Stop(ctx)
}

// attend does what people do, until the operation is over or the program died.
func attend(ctx context.Context, s Scenario, e *workflow.Engine, id string, died <-chan struct{}) {
	if s.Answer == nil && s.Person == nil {
		return
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		op, err := s.Journal.Operation(ctx, id)
		if err == nil && op.State.Final() {
			return
		}
		if err == nil && s.Person != nil {
			s.Person(ctx, e, op)
		}
		if err == nil && op.State == fleet.Asking && s.Answer != nil {
			_ = e.Answer(ctx, id, s.Answer(op.Question), "test") // asked again at the next tick
		}
		select {
		case <-tick.C:
		case <-died:
			return
		case <-ctx.Done():
			return
		}
	}
}

// Point is a place in an operation's run at which the program can die.
type Point struct {
	where string
	nth   int
}

// String is the name of the point's test.
func (p Point) String() string {
	if p.nth > 1 {
		return fmt.Sprintf("%s, time %d", p.where, p.nth)
	}
	return p.where
}

// in says whether the point is in a step.
func (p Point) in(step string) bool {
	return strings.Contains(p.where, "after "+step+",") || strings.Contains(p.where, "in "+step+",")
}

// certain: every run comes there. How often a step looks, or a log is written, is a matter of time.
func (p Point) certain() bool {
	return p.nth == 1 && strings.Contains(p.where, "after") && strings.HasSuffix(p.where, string(fleet.Succeeded))
}

// Killer kills an engine at a point. Put its hooks into the engine's options with Options.
type Killer struct {
	at   Point
	died chan struct{}

	mu    sync.Mutex
	dead  bool
	order []string
	seen  map[string]int
}

// NewKiller kills at a point; the zero Point is never reached.
func NewKiller(at Point) *Killer {
	return &Killer{at: at, died: make(chan struct{}), seen: map[string]int{}}
}

// Options adds the killer's hooks to an engine's options.
func (k *Killer) Options(o workflow.Options) workflow.Options {
	o.AfterStep = func(op fleet.Operation, step string) error {
		return k.reach(fmt.Sprintf("%s: after %s, %s", op.Kind, step, outcome(op, step)))
	}
	o.BeforeWrite = func(op fleet.Operation, step string) error {
		return k.reach(fmt.Sprintf("%s: before a write in %s, %s", op.Kind, step, op.State))
	}
	return o
}

func outcome(op fleet.Operation, step string) fleet.OperationState {
	i := slices.IndexFunc(op.Steps, func(s fleet.OperationStep) bool { return s.Name == step })
	if i < 0 {
		return op.State
	}
	return op.Steps[i].State
}

// Died is closed when the killer struck.
func (k *Killer) Died() <-chan struct{} { return k.died }

// Points lists what the run came by, in order: every point once, and writes within one step up to three times.
func (k *Killer) Points() []Point {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []Point
	for _, where := range k.order {
		most := 1
		if strings.Contains(where, "before a write") {
			most = 3
		}
		for nth := 1; nth <= min(k.seen[where], most); nth++ {
			out = append(out, Point{where: where, nth: nth})
		}
	}
	return out
}

var errKilled = errors.New("killed")

func (k *Killer) reach(where string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.dead {
		return errKilled
	}
	k.seen[where]++
	if k.seen[where] == 1 {
		k.order = append(k.order, where)
	}
	if k.at != (Point{where: where, nth: k.seen[where]}) {
		return nil
	}
	k.dead = true
	close(k.died)
	return errKilled
}

func (k *Killer) isDead() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.dead
}
