package workflow

import (
	"encoding/json"
	"testing"
	"time"
)

func TestSinceWhenAStepWaitsIsRead(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	first := policy{maxAttempts: 3}.decide(Wait("SSH", time.Second), memo{}, now)
	again := policy{maxAttempts: 3}.decide(Wait("SSH", time.Second), first.memo, now.Add(time.Minute))
	for why, c := range map[string]struct {
		m    memo
		want time.Time
	}{"it waits": {again.memo, now}, "it does not": {memo{Errors: 1}, time.Time{}}} {
		value, err := json.Marshal(c.m)
		if err != nil {
			t.Fatal(err)
		}
		if got := WaitingSince(value); !got.Equal(c.want) {
			t.Errorf("%s: since %s, want %s", why, got, c.want)
		}
	}
	if got := WaitingSince(nil); !got.IsZero() {
		t.Errorf("without a value since %s", got)
	}
}
