package store

import (
	"context"
	"sync"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Stamp says which state of the records a machine config is made from. It is taken before they are read: a change
// in between makes the config look older than it is, never newer.
type Stamp struct {
	server, records int64
}

const (
	serverRevision = `COALESCE((SELECT revision FROM servers WHERE servers.id = arms.server_id), -1)`
	recordsCounter = `COALESCE((SELECT n FROM counters WHERE name = 'records'), 0)`
)

// Waiting is an arm whose machine did not fetch its config yet, and the stamp of this moment.
type Waiting struct {
	Arm
	Stamp Stamp
}

func (s *Store) scanWaiting(r row) (w Waiting, err error) {
	return w, r.Scan(append(armFields(&w.Arm), &w.Stamp.server, &w.Stamp.records)...)
}

// Waiting lists the arms that were not served and have not expired, oldest first.
func (s *Store) Waiting(ctx context.Context, now time.Time) ([]Waiting, error) {
	all, err := list(ctx, s.reader, s.scanWaiting, `
		SELECT `+armColumns+`, `+serverRevision+`, `+recordsCounter+` FROM arms WHERE served_at = 0 AND expires_at > $1 ORDER BY armed_at, id`, micros(now))
	return all, s.explain("list the machines that may fetch their config", err)
}

// StampOf takes the stamp of this moment for the config of an arm's server.
func (s *Store) StampOf(ctx context.Context, a Arm) (stamp Stamp, err error) {
	err = s.reader.QueryRowContext(ctx, `SELECT COALESCE((SELECT revision FROM servers WHERE id = $1), -1), `+recordsCounter, a.ServerID).
		Scan(&stamp.server, &stamp.records)
	return stamp, s.explain("read what changed", err)
}

// HandOver is a machine config on its way to its machine.
type HandOver struct {
	Arm   Arm
	Stamp Stamp // of what the config was made from
	At    time.Time
	Text  string // of the event that tells of it
}

// HandOver uses up the code of an arm and writes the event "config.served", both or neither. Only when it returns nil
// may the config be sent. fleet.Conflict: the arm was served, is over or is gone, or something that the config was
// made from changed after its stamp was taken; whoever wants to know which looks again.
//
// Every call waits for the disk. Calls of the same moment wait together, in one transaction.
func (s *Store) HandOver(ctx context.Context, h HandOver) error {
	return s.handOvers.join(ctx, h, s.handOverAll)
}

const handOverTimeout = 10 * time.Second

// handOverAll does it for many, and gives each its error.
func (s *Store) handOverAll(ctx context.Context, all []HandOver) []error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), handOverTimeout)
	defer cancel()
	errs := make([]error, len(all))
	err := s.write(ctx, "hand over machine configs", func(t *tx) error {
		served, err := serve(ctx, t, all)
		for i, h := range all {
			if errs[i] = nil; !served[h.Arm.ID] {
				errs[i] = fleet.Errorf(fleet.Conflict, "the config was handed over, its time is over, or something changed this moment")
			}
			delete(served, h.Arm.ID) // of two requests for one arm, the first gets it
		}
		return err
	})
	if err != nil {
		for i := range errs {
			errs[i] = err
		}
	}
	return errs
}

// serve uses up codes and writes the events, and says of which arms.
func serve(ctx context.Context, t *tx, all []HandOver) (served map[string]bool, err error) {
	var records, at int64
	if err := t.QueryRowContext(ctx, `SELECT `+recordsCounter).Scan(&records); err != nil {
		return nil, err
	}
	revisions, first := make(map[string]int64, len(all)), make(map[string]*HandOver, len(all))
	for i := range all {
		h := &all[i]
		at = max(at, micros(h.At))
		if h.Stamp.records == records && first[h.Arm.ID] == nil {
			first[h.Arm.ID], revisions[h.Arm.ID] = h, h.Stamp.server
		}
	}
	ids, err := list(ctx, t, scanName, `
		UPDATE arms SET served_at = $2, attempts = attempts + 1
		FROM json_each($1) AS asked, servers
		WHERE arms.id = asked.key AND served_at = 0 AND expires_at > $2
			AND servers.id = arms.server_id AND servers.revision = CAST(CAST(asked.value AS TEXT) AS BIGINT)
		RETURNING arms.id`, encode(revisions), at)
	if err != nil {
		return nil, err
	}
	served, events := make(map[string]bool, len(ids)), make(map[string][2]string, len(ids))
	for _, id := range ids {
		served[id] = true
		event := fleet.NewID()
		events[event] = [2]string{first[id].Arm.ServerID, text(first[id].Text)}
		t.told("arms", id)
		t.told("events", event)
	}
	_, err = t.ExecContext(ctx, `
		INSERT INTO events (id, at, actor, verb, subject, target_id, text)
		SELECT key, $2, 'machine', 'config.served', 'server', value->>0, value->>1 FROM json_each($1)`, encode(events), at)
	return served, err
}

// handOvers gathers calls of the same moment. The first becomes the leader of those who come before it begins, which
// does the work of all; then it makes the first of those who came meanwhile the next leader.
type handOvers struct {
	mu      sync.Mutex
	waiting []*handOver
	busy    bool // there is a leader
}

type handOver struct {
	HandOver
	ctx  context.Context // of the request: one that has ended is left out
	lead chan struct{}
	done chan error
}

// handOversAtMost keeps transactions short: others want to write too.
const handOversAtMost = 512

func (q *handOvers) join(ctx context.Context, h HandOver, do func(context.Context, []HandOver) []error) error {
	me := &handOver{HandOver: h, ctx: ctx, lead: make(chan struct{}), done: make(chan error, 1)}
	if !q.add(me) {
		select {
		case err := <-me.done:
			return err
		case <-me.lead:
		}
	}
	defer q.next()
	together, alive := []HandOver{}, []*handOver{}
	for _, w := range q.take() {
		if err := w.ctx.Err(); err != nil {
			w.done <- err
			continue
		}
		together, alive = append(together, w.HandOver), append(alive, w)
	}
	if len(alive) > 0 {
		for i, err := range do(ctx, together) {
			alive[i].done <- err
		}
	}
	return <-me.done
}

// add says whether w is to lead.
func (q *handOvers) add(w *handOver) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = append(q.waiting, w)
	leads := !q.busy
	q.busy = true
	return leads
}

func (q *handOvers) take() []*handOver {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(len(q.waiting), handOversAtMost)
	taken := q.waiting[:n:n]
	if q.waiting = q.waiting[n:]; len(q.waiting) == 0 {
		q.waiting = nil
	}
	return taken
}

func (q *handOvers) next() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.busy = len(q.waiting) > 0; q.busy {
		close(q.waiting[0].lead)
	}
}
