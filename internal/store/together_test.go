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
			errs[i] = errors.New("of " + h.ArmID)
		}
		return errs
	}
	gone, leave := context.WithCancel(t.Context())
	errs := make([]error, 500)
	var all sync.WaitGroup
	join := func(i int) {
		ctx := t.Context()
		if i%10 == 9 {
			ctx = gone
		}
		all.Go(func() { errs[i] = q.join(ctx, HandOver{ArmID: fmt.Sprint(i)}, do) })
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
		return q.next != nil && len(q.next.all) == len(errs)-1, nil
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
	if len(sizes) != 2 || sizes[0] != 1 || total != 450 {
		t.Errorf("transactions of %v", sizes)
	}
	if q.next != nil {
		t.Error("somebody is left")
	}
}

func TestNobodyIsServedWhenABatchPanics(t *testing.T) {
	var q handOvers
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			defer func() { _ = recover() }()
			err := q.join(t.Context(), HandOver{ArmID: fmt.Sprint(i)}, func(context.Context, []HandOver) []error { panic("a bug") })
			if err == nil {
				t.Errorf("%d was told that it may be sent", i)
			}
		})
	}
	all.Wait()
	err := q.join(t.Context(), HandOver{}, func(_ context.Context, all []HandOver) []error { return make([]error, len(all)) })
	if err != nil {
		t.Errorf("the next one: %v", err)
	}
}
