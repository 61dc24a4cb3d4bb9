package wait

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestUntil(t *testing.T) {
	broken := errors.New("broken")
	for _, tc := range []struct {
		why   string
		check func(looks int) (bool, error)
		looks int
		err   error
	}{
		{"true at once", func(int) (bool, error) { return true, nil }, 1, nil},
		{"true at the third look", func(n int) (bool, error) { return n == 3, nil }, 3, nil},
		{"a failing look ends it", func(int) (bool, error) { return false, broken }, 1, broken},
		{"never true: ends with its context", func(int) (bool, error) { return false, nil }, 11, context.DeadlineExceeded},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10500*time.Millisecond)
			defer cancel()
			looks := 0
			err := Until(ctx, "the kettle", time.Second, func(context.Context) (bool, error) {
				looks++
				return tc.check(looks)
			})
			if !errors.Is(err, tc.err) || looks != tc.looks {
				t.Errorf("%s: %v after %d looks", tc.why, err, looks)
			}
			if errors.Is(err, context.DeadlineExceeded) && !strings.Contains(err.Error(), "the kettle") {
				t.Errorf("%s: the error does not say for what: %v", tc.why, err)
			}
		})
	}
}
