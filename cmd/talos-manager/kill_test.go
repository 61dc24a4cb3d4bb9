package main

import (
	"context"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/client"
)

func TestServeIsKilledAfterEveryStepAndFinishesTheInstall(t *testing.T) {
	t.Parallel()
	l := newLab(t, 0, 1)
	p := serve(t, l)
	p.start()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	l.accounts(ctx, p.client)
	ops := l.install(ctx, p.client)
	killed := p.killAfterEveryStep(ctx, ops[0].ID)
	l.finished(ctx, p.client, ops)
	if killed < 10 {
		t.Errorf("it was killed %d times only", killed)
	}
	l.written()
	t.Logf("killed %d times", killed)
}

// killAfterEveryStep kills the program as soon as the operation has one more finished step, and starts it again.
func (p *program) killAfterEveryStep(ctx context.Context, id string) int {
	p.t.Helper()
	killed, done := 0, 0
	for ctx.Err() == nil {
		op, err := p.client.Operation(ctx, id)
		if err != nil {
			p.t.Fatal(err)
		}
		finished := 0
		for _, s := range op.Steps {
			if s.State == client.Succeeded {
				finished++
			}
		}
		switch {
		case op.Final():
			return killed
		case finished > done:
			done = finished
			p.kill()
			killed++
			p.start()
		default:
			time.Sleep(2 * time.Millisecond)
		}
	}
	p.t.Fatalf("it did not end: %v", ctx.Err())
	return killed
}
