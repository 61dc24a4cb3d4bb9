package operation_test

import (
	"context"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/provider"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

// counted is a budget that counts calls by group.
type counted struct {
	provider.MemoryBudget

	mu    sync.Mutex
	calls map[string]int
}

// Take implements provider.Budget.
func (b *counted) Take(ctx context.Context, group string, limit provider.Limit) (time.Time, error) {
	next, err := b.MemoryBudget.Take(ctx, group, limit)
	if err == nil && next.IsZero() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.calls == nil {
			b.calls = map[string]int{}
		}
		b.calls[group]++
	}
	return next, err
}

// Forty installs at once have to fit into an hour of Robot's budgets: 500 calls of /boot, 50 resets, 200 of /server.
func TestAnInstallIsSparingWithRobotsBudgets(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	b := &counted{}
	l.budget = b
	servers := []string{"control-plane-1", "worker-1", "worker-2"}
	l.cluster(t, servers, nil)
	before := b.calls["robot /server"]
	l.engine(t, workflow.Options{})
	var ids []string
	for _, name := range servers {
		ids = append(ids, l.install(t, name).ID)
	}
	for _, id := range ids {
		l.succeeds(t, id)
	}
	for group, most := range map[string]int{"robot /boot": 500, "robot /reset": 500, "robot POST /reset": 50, "robot /key": 500, "robot POST /key": 200} {
		if each := float64(b.calls[group]) / float64(len(servers)); each*40 > float64(most) {
			t.Errorf("%s: %.1f calls an install, too many for 40 of them", group, each)
		}
	}
	if b.calls["robot /server"] != before {
		t.Errorf("%d calls of /server", b.calls["robot /server"]-before)
	}
}

// refusing is a budget that is used up once for every step that asks: for its first call.
type refusing struct {
	provider.MemoryBudget
	step func(id string) string // at which an operation stands

	mu      sync.Mutex
	id      string // of the operation, once there is one
	refused map[string]bool
}

// Take implements provider.Budget.
func (b *refusing) Take(ctx context.Context, group string, limit provider.Limit) (time.Time, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.id != "" {
		if step := b.step(b.id); !b.refused[step] {
			b.refused[step] = true
			return time.Now().Add(slower * time.Second), nil // longer than a busy machine takes to notice
		}
	}
	return b.MemoryBudget.Take(ctx, group, limit)
}

// Every step that calls a provider waits when the budget is used up, and says until when; none fails.
func TestAnInstallWaitsForBudgets(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		cloud bool
	}{{"control-plane-1", false}, {"control-plane-2", true}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			b := &refusing{refused: map[string]bool{}, step: func(id string) string {
				op, err := l.store.Operation(t.Context(), id)
				if err != nil {
					t.Error(err)
				}
				return op.Step
			}}
			l.budget = b
			if c.cloud {
				l.cluster(t, nil, []string{c.name})
			} else {
				l.cluster(t, []string{c.name}, nil)
			}
			l.engine(t, workflow.Options{MaxAttempts: 2})
			b.mu.Lock() // no step asks before its operation is known
			op := l.install(t, c.name)
			b.id = op.ID
			b.mu.Unlock()
			l.succeeds(t, op.ID)
			lines, err := l.store.OperationLog(t.Context(), op.ID, 0, 0)
			if err != nil {
				t.Fatal(err)
			}
			waited := map[string]bool{}
			for _, line := range lines {
				if strings.Contains(line.Text, "is used up until ") && strings.Contains(line.Text, "the rate budget to come back") {
					waited[line.Step] = true
				}
			}
			b.mu.Lock()
			defer b.mu.Unlock()
			if !maps.Equal(waited, b.refused) {
				t.Errorf("steps that were refused a call: %v; steps that waited: %v", b.refused, waited)
			}
			for _, step := range []string{"ask for the rescue system", "boot the rescue system"} {
				if !waited[step] {
					t.Errorf("%q made no call", step)
				}
			}
		})
	}
}
