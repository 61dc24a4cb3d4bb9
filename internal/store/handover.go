package store

import (
	"context"
	"errors"
	"runtime"
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
	ArmID    string
	ServerID string
	Stamp    Stamp // of what the config was made from
	At       time.Time
	Text     string // of the event that tells of it
}

// HandOver uses up the code of an arm and writes the event "config.served", both or neither. Only when it returns nil
// may the config be sent. fleet.Conflict: the arm was served, is over or is gone, or something that the config was
// made from changed after its stamp was taken; whoever wants to know which looks again.
//
// Every call waits for the disk. Calls of the same moment wait together, in one transaction.
func (s *Store) HandOver(ctx context.Context, h HandOver) error {
	return s.handOvers.join(ctx, h, s.handOverAll)
}

// handOverAll does it for many, and gives each its error.
func (s *Store) handOverAll(ctx context.Context, all []HandOver) []error {
	errs := make([]error, len(all))
	err := s.write(ctx, "hand over machine configs", func(t *tx) error {
		served, err := serve(ctx, t, all)
		for i, h := range all {
			if errs[i] = nil; !served[h.ArmID] {
				errs[i] = fleet.Errorf(fleet.Conflict, "the config was handed over, its time is over, or something changed this moment")
			}
			delete(served, h.ArmID) // of two requests for one arm, the first gets it
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
		if h.Stamp.records == records && first[h.ArmID] == nil {
			first[h.ArmID], revisions[h.ArmID] = h, h.Stamp.server
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
		events[event] = [2]string{first[id].ServerID, text(first[id].Text)}
		t.told("arms", id)
		t.told("events", event)
	}
	_, err = t.ExecContext(ctx, `
		INSERT INTO events (id, at, actor, verb, subject, target_id, text)
		SELECT key, $2, 'machine', 'config.served', 'server', value->>0, value->>1 FROM json_each($1)`, encode(events), at)
	return served, err
}

// handOvers gathers calls of the same moment: whoever comes joins the batch that is next, which begins when the one
// before it is done.
type handOvers struct {
	turn sync.Mutex // of the batch that is being done
	mu   sync.Mutex
	next *batch // nil: whoever comes makes it
}

type batch struct {
	all  []HandOver
	from []context.Context // of the callers
	errs []error           // once done
	done chan struct{}
}

// errNotDone is what everybody gets when do panics.
var errNotDone = errors.New("the config was not handed over")

const (
	batchSize    = 512 // keeps transactions short: others want to write too
	batchTimeout = 10 * time.Second
)

// join waits until do has done h, together with others.
func (q *handOvers) join(ctx context.Context, h HandOver, do func(context.Context, []HandOver) []error) error {
	b, i := q.add(ctx, h)
	if i == 0 {
		q.run(ctx, b, do)
	}
	<-b.done
	return b.errs[i]
}

func (q *handOvers) add(ctx context.Context, h HandOver) (b *batch, i int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.next == nil || len(q.next.all) == batchSize {
		q.next = &batch{done: make(chan struct{})}
	}
	b = q.next
	b.all, b.from = append(b.all, h), append(b.from, ctx)
	return b, len(b.all) - 1
}

// close lets nobody join any more.
func (q *handOvers) close(b *batch) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.next == b {
		q.next = nil
	}
}

// run does a batch when it is its turn. Whoever went away before is left out: his code is not used up.
func (q *handOvers) run(ctx context.Context, b *batch, do func(context.Context, []HandOver) []error) {
	q.turn.Lock()
	defer q.turn.Unlock()
	defer close(b.done)
	runtime.Gosched() // who is about to come may come along
	q.close(b)
	b.errs = make([]error, len(b.all))
	all, of := make([]HandOver, 0, len(b.all)), make([]int, 0, len(b.all))
	for i, from := range b.from {
		if b.errs[i] = from.Err(); b.errs[i] == nil {
			b.errs[i] = errNotDone
			all, of = append(all, b.all[i]), append(of, i)
		}
	}
	if len(all) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), batchTimeout)
	defer cancel()
	for i, err := range do(ctx, all) {
		b.errs[of[i]] = err
	}
}
