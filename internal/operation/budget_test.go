package operation_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/provider"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

// counted is a budget that counts calls by group, and has smaller limits than the providers'.
type counted struct {
	provider.MemoryBudget
	limits map[string]provider.Limit

	mu    sync.Mutex
	calls map[string]int
}

// Take implements provider.Budget.
func (b *counted) Take(ctx context.Context, group string, limit provider.Limit) (time.Time, error) {
	if small, ok := b.limits[group]; ok {
		limit = small
	}
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

// Every step that calls a provider waits when the budget is used up, and says until when; none fails.
func TestAnInstallWaitsForBudgets(t *testing.T) {
	l := newLab(t)
	b := &counted{limits: map[string]provider.Limit{}}
	l.budget = b
	servers := []string{"control-plane-1", "worker-1", "worker-2"}
	l.cluster(t, servers[:2], servers[2:])
	b.limits["robot /boot"] = provider.Limit{Calls: 2, Window: 700 * time.Millisecond} // arming takes two calls
	b.limits["robot POST /reset"] = provider.Limit{Calls: 1, Window: 700 * time.Millisecond}
	l.engine(t, workflow.Options{MaxAttempts: 2})
	var ids []string
	for _, name := range servers {
		ids = append(ids, l.install(t, name).ID)
	}
	waited := map[string]bool{}
	for _, id := range ids {
		l.succeeds(t, id)
		lines, err := l.store.OperationLog(t.Context(), id, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range lines {
			if strings.Contains(line.Text, "is used up until ") && strings.Contains(line.Text, "the rate budget to come back") {
				waited[line.Step] = true
			}
		}
	}
	for _, step := range []string{"ask for the rescue system", "boot the rescue system", "reach the rescue system"} {
		if !waited[step] {
			t.Errorf("%q did not wait for a budget", step)
		}
	}
}
