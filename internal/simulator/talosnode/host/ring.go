package host

import (
	"bytes"
	"context"
	"sync"

	"google.golang.org/grpc/status"
)

// depth is how much of a log is kept at least: Talos' circular buffers hold 1 MiB. A quarter more is kept so that
// not every line moves all others.
const depth = 1 << 20

// ring keeps the end of what was written to it and lets readers follow.
type ring struct {
	mu      sync.Mutex
	kept    []byte
	dropped int64 // bytes that were written before kept
	changed chan struct{}
}

func newRing() *ring { return &ring{changed: make(chan struct{})} }

// Write adds whole lines.
func (r *ring) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kept = append(r.kept, p...)
	if over := len(r.kept) - depth; over > depth/4 {
		if i := bytes.IndexByte(r.kept[over:], '\n'); i >= 0 {
			over += i + 1
		}
		r.kept, r.dropped = append([]byte(nil), r.kept[over:]...), r.dropped+int64(over)
	}
	close(r.changed)
	r.changed = make(chan struct{})
	return len(p), nil
}

// contents gives all that is kept.
func (r *ring) contents() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]byte(nil), r.kept...)
}

// tail is the position of the last n lines; negative: of the first that is kept.
func (r *ring) tail(n int) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n < 0 {
		return r.dropped
	}
	at := len(r.kept)
	for ; n > 0 && at > 0; n-- {
		at = bytes.LastIndexByte(r.kept[:at-1], '\n') + 1
	}
	return r.dropped + int64(at)
}

// after gives what was written since a position, the next position, and what tells of the next write.
func (r *ring) after(at int64) ([]byte, int64, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at = max(at, r.dropped)
	return append([]byte(nil), r.kept[at-r.dropped:]...), r.dropped + int64(len(r.kept)), r.changed
}

// read sends what is there from a position on, and, following, what comes until ctx ends.
func (r *ring) read(ctx context.Context, at int64, follow bool, send func([]byte) error) error {
	for {
		text, next, changed := r.after(at)
		if err := send(text); err != nil {
			return err
		}
		at = next
		if !follow {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err() // whichever side's clock is first, the client sees the same
		}
	}
}
