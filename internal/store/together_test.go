package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/wait"
)

// While the disk is busy with one, those who come meanwhile gather: the next transaction is for all of them, but for
// those who went away.
func TestHandOversThatWaitShareATransaction(t *testing.T) {
	var q handOvers
	var sizes []int
	begun, finish := make(chan struct{}), make(chan struct{})
	do := func(_ context.Context, all []HandOver) []error {
		sizes = append(sizes, len(all))
		if len(sizes) == 1 {
			close(begun)
			<-finish
		}
		errs := make([]error, len(all))
		for i, h := range all {
			errs[i] = errors.New("of " + h.Arm.ID)
		}
		return errs
	}
	gone, leave := context.WithCancel(t.Context())
	errs := make([]error, 1000)
	var all sync.WaitGroup
	join := func(i int) {
		ctx := t.Context()
		if i%10 == 9 {
			ctx = gone
		}
		all.Go(func() { errs[i] = q.join(ctx, HandOver{Arm: Arm{ID: fmt.Sprint(i)}}, do) })
	}
	join(0)
	<-begun
	for i := range errs[1:] {
		join(i + 1)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := wait.Until(ctx, "everyone to come", time.Millisecond, func(context.Context) (bool, error) {
		q.mu.Lock()
		defer q.mu.Unlock()
		return len(q.waiting) == len(errs)-1, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	leave()
	close(finish)
	all.Wait()
	for i, err := range errs {
		want := fmt.Sprint("of ", i)
		if i%10 == 9 {
			want = context.Canceled.Error()
		}
		if err == nil || err.Error() != want {
			t.Errorf("%d got %v", i, err)
		}
	}
	total := 0
	for _, n := range sizes {
		total += n
	}
	if len(sizes) != 3 || sizes[0] != 1 || total != 900 {
		t.Errorf("transactions of %v", sizes)
	}
	if q.busy || len(q.waiting) > 0 {
		t.Error("somebody is left")
	}
}
