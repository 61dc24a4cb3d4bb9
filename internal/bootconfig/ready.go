package bootconfig

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"runtime"
	"sync"
	"time"

	"github.com/talos-manager/talos-manager/internal/store"
)

// ready holds configs that were made before their machines come. It decides nothing: the store refuses to hand over
// what has become wrong since.
type ready struct {
	mu    sync.RWMutex
	made  map[codeHash]*made
	bytes int
}

// codeHash is the sha256 of a one-time code.
type codeHash [sha256.Size]byte

// hashOf reads the hash of an arm's code; false if its machine has none.
func hashOf(a store.Arm) (h codeHash, ok bool) {
	b, err := hex.DecodeString(a.CodeHash)
	if a.NoCode || err != nil || len(b) != len(h) {
		return h, false
	}
	return codeHash(b), true
}

// readyBytes is how much is made in advance, some ten thousand configs. The others are made when they are asked for.
const readyBytes = 128 << 20

// of finds the config for a machine that brings code and UUID; nil if there is none.
func (r *ready) of(req request) *made {
	if req.code == "" {
		return nil
	}
	r.mu.RLock()
	m := r.made[sha256.Sum256([]byte(req.code))]
	r.mu.RUnlock()
	if m == nil || m.used.Load() || m.arm.UUID != req.uuid {
		return nil
	}
	return m
}

// put keeps a config, unless there are too many.
func (r *ready) put(m *made) {
	code, ok := hashOf(m.arm)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drop(code)
	if !ok || r.bytes+len(m.config) > readyBytes {
		return
	}
	if r.made == nil {
		r.made = map[codeHash]*made{}
	}
	r.made[code] = m
	r.bytes += len(m.config)
}

func (r *ready) drop(code codeHash) {
	if m, ok := r.made[code]; ok {
		r.bytes -= len(m.config)
		delete(r.made, code)
	}
}

// sort forgets the configs of arms that do not wait any more, and lists those that wait and are not ready. A config
// that was handed over stays until its arm is seen not to wait: the list may be a little older.
func (r *ready) sort(waiting []store.Waiting) (missing []store.Arm) {
	r.mu.Lock()
	defer r.mu.Unlock()
	waits := make(map[codeHash]bool, len(waiting))
	for _, w := range waiting {
		code, ok := hashOf(w.Arm)
		if !ok {
			continue
		}
		waits[code] = true
		if m := r.made[code]; m == nil || m.arm.ID != w.ID || m.stamp != w.Stamp {
			missing = append(missing, w.Arm)
		}
	}
	for code := range r.made {
		if !waits[code] {
			r.drop(code)
		}
	}
	return missing
}

// Run makes the configs of all machines that may come, until ctx ends: when they come all at once, none waits for
// its config to be rendered.
func (h *Handler) Run(ctx context.Context) {
	changes := h.Store.Changes(ctx)
	for {
		begun := time.Now()
		if err := h.makeReady(ctx); err != nil && ctx.Err() == nil {
			h.Log.Warn("configs are not made in advance at the moment", "error", err)
		}
		// However much changes, most of the time is left to others.
		if !pause(ctx, max(time.Second, 10*time.Since(begun))) || !concerned(changes) {
			return
		}
	}
}

// makeReady makes what is missing, with half of the processors: the others are for those who do not wait.
func (h *Handler) makeReady(ctx context.Context) error {
	waiting, err := h.Store.Waiting(ctx, h.Now())
	if err != nil {
		return err
	}
	arms := make(chan store.Arm)
	var all sync.WaitGroup
	for range max(1, runtime.GOMAXPROCS(0)/2) {
		all.Go(func() {
			for arm := range arms {
				m, err := h.make(ctx, arm)
				if err != nil {
					h.Log.Debug("config not made in advance", "server", arm.ServerID, "error", err) // it will be told whoever asks
					continue
				}
				h.ready.put(m)
			}
		})
	}
	for _, arm := range h.ready.sort(waiting) {
		if ctx.Err() != nil {
			break
		}
		arms <- arm
	}
	close(arms)
	all.Wait()
	return nil
}

// concerned waits for a change that a config may be made of; false when there will be none.
func concerned(changes <-chan store.Change) bool {
	for c := range changes {
		switch c.Table {
		case "accounts", "events", "operations", "tokens":
		default:
			return true
		}
	}
	return false
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
