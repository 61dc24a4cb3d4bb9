// Package wait polls until something is true, always saying what it waits for. It is for short waits inside
// one call; an operation that waits for a machine returns workflow.Wait instead.
package wait

import (
	"context"
	"fmt"
	"time"
)

// Until asks check every interval until it says true or fails, or ctx ends. The error of an ended context names
// what was waited for.
func Until(ctx context.Context, what string, interval time.Duration, check func(context.Context) (bool, error)) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		ok, err := check(ctx)
		if ok || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", what, context.Cause(ctx))
		}
	}
}
