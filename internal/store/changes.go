package store

import (
	"context"
	"sync"
)

// Change says that a record was written. The zero Change says that something was: some changes were dropped
// because the reader was slow, or not heard of because the database was out of reach. Read everything again.
type Change struct {
	Table string `json:"table"` // accounts, servers, vswitches, clusters, configs, rules, schematics, settings, events, tokens, arms, operations
	ID    string `json:"id"`
}

// changeBuffer is how many changes wait for a slow reader before they become one zero Change.
const changeBuffer = 256

// Changes tells what this program and, on Postgres, other replicas commit, from now until ctx ends or the store
// is closed; then the channel is closed. A reader may be as slow as it likes: it may miss single changes, never
// the fact that there were some.
func (s *Store) Changes(ctx context.Context) <-chan Change {
	ch := s.hub.add()
	context.AfterFunc(ctx, func() { s.hub.remove(ch) })
	return ch
}

// publish tells the readers here, and the other replicas.
func (s *Store) publish(changes []Change) {
	if len(changes) == 0 {
		return
	}
	s.hub.send(changes)
	s.hub.tellOthers(changes)
}

// hub hands changes to the readers in this process.
type hub struct {
	mu      sync.Mutex
	readers map[chan Change]bool
	closed  bool
	others  *outbox // to other replicas; nil on SQLite
}

func newHub() *hub { return &hub{readers: map[chan Change]bool{}} }

func (h *hub) add() chan Change {
	ch := make(chan Change, changeBuffer)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		close(ch)
		return ch
	}
	h.readers[ch] = true
	return ch
}

func (h *hub) remove(ch chan Change) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.readers[ch] {
		delete(h.readers, ch)
		close(ch)
	}
}

func (h *hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for ch := range h.readers {
		delete(h.readers, ch)
		close(ch)
	}
}

// send never blocks. The last place of each buffer is kept for the zero Change: when it is taken, a reader that
// comes there reads everything again, so that whatever is dropped before then is not lost.
func (h *hub) send(changes []Change) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for ch := range h.readers {
		for _, c := range changes {
			if len(ch) < cap(ch)-1 { // only this function sends, under the lock: there is room
				ch <- c
				continue
			}
			select {
			case ch <- Change{}:
			default:
			}
			break
		}
	}
}

func (h *hub) tellOthers(changes []Change) {
	h.mu.Lock()
	o := h.others
	h.mu.Unlock()
	if o != nil {
		o.add(changes)
	}
}
