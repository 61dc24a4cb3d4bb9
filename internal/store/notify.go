package store

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// The channel of Postgres' LISTEN and NOTIFY that replicas tell each other changes on.
const channel = "talos_manager_changes"

const (
	notifyEvery  = 50 * time.Millisecond // changes are told in batches: NOTIFY serialises commits
	notifyBatch  = 100                   // changes in one payload, which Postgres limits to 8000 bytes
	notifyAtMost = 2000                  // changes that wait; more become one zero Change
	reconnect    = time.Second
)

// message is the payload of a notification.
type message struct {
	From    string   `json:"from"` // replica: its own are not heard twice
	Changes []Change `json:"changes"`
}

// outbox collects changes for the other replicas.
type outbox struct {
	mu      sync.Mutex
	seen    map[Change]bool
	changes []Change
	ready   chan struct{}
}

func newOutbox() *outbox {
	return &outbox{seen: map[Change]bool{}, ready: make(chan struct{}, 1)}
}

func (o *outbox) add(changes []Change) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.changes) >= notifyAtMost {
		changes = []Change{{}}
	}
	for _, c := range changes {
		if !o.seen[c] {
			o.seen[c] = true
			o.changes = append(o.changes, c)
		}
	}
	select {
	case o.ready <- struct{}{}:
	default:
	}
}

// take gives what waits, in payloads.
func (o *outbox) take(from string) []string {
	o.mu.Lock()
	changes := o.changes
	o.changes, o.seen = nil, map[Change]bool{}
	o.mu.Unlock()
	var payloads []string
	for len(changes) > 0 {
		n := min(len(changes), notifyBatch)
		payloads = append(payloads, encode(message{From: from, Changes: changes[:n]}))
		changes = changes[n:]
	}
	return payloads
}

// startNotifications tells other replicas what this one commits and hears what they do. Losing one is harmless:
// a page is a little older until its next change.
func (s *Store) startNotifications() {
	ctx, cancel := context.WithCancel(context.Background())
	o, self := newOutbox(), fleet.NewID()
	s.hub.mu.Lock()
	s.hub.others = o
	s.hub.mu.Unlock()
	var running sync.WaitGroup
	running.Go(func() { s.tell(ctx, o, self) })
	running.Go(func() { s.listen(ctx, self) })
	s.stop = func() {
		cancel()
		running.Wait()
	}
}

func (s *Store) tell(ctx context.Context, o *outbox, self string) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-o.ready:
		}
		pause := notifyEvery
		if err := s.notify(ctx, o.take(self)); err != nil {
			o.add([]Change{{}}) // so that they read everything once it works again
			pause = reconnect
		}
		if !rest(ctx, pause) {
			return
		}
	}
}

func (s *Store) notify(ctx context.Context, payloads []string) error {
	for _, payload := range payloads {
		if _, err := s.writer.ExecContext(ctx, `SELECT pg_notify($1, $2)`, channel, payload); err != nil {
			s.log.Debug("other replicas were not told of a change", "error", err)
			return err
		}
	}
	return nil
}

// listen holds a connection of its own, and makes a new one when it is lost.
func (s *Store) listen(ctx context.Context, self string) {
	for {
		err := s.hear(ctx, self)
		if ctx.Err() != nil {
			return
		}
		s.log.Warn("changes of other replicas are not heard at the moment", "error", err)
		if !rest(ctx, reconnect) {
			return
		}
	}
}

func (s *Store) hear(ctx context.Context, self string) error {
	conn, err := pgx.ConnectConfig(ctx, s.pool.Config().ConnConfig)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		return err
	}
	s.hub.send([]Change{{}}) // whatever happened before this moment was not heard
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		var m message
		if json.Unmarshal([]byte(n.Payload), &m) != nil {
			m.Changes = []Change{{}}
		}
		if m.From != self {
			s.hub.send(m.Changes)
		}
	}
}

// rest waits; false when ctx ended.
func rest(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
