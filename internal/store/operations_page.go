package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// OperationQuery chooses operations for people to look through; zero fields choose all.
type OperationQuery struct {
	States    []fleet.OperationState
	Kind      string
	ServerID  string
	ClusterID string
	Actor     string
	Search    string    // part of a server's or cluster's name, of the step, of what it waits for or asks, of its error; or an id
	Since     time.Time // asked for at or after
	Until     time.Time // asked for before
	Sort      string    // begun, duration, kind, state, actor; with "-" before it backwards. "": the newest first
	Limit     int       // 0: all
	Offset    int
}

// order is what a page is sorted by. An operation that is not over lasts until now.
func (q OperationQuery) order(f *filter, now time.Time) string {
	column, backwards := strings.CutPrefix(q.Sort, "-")
	direction := " ASC"
	if backwards {
		direction = " DESC"
	}
	switch column {
	case "kind", "state", "actor":
	case "begun":
		column = "created_at"
	case "duration":
		f.args = append(f.args, micros(now))
		column = fmt.Sprintf("(CASE WHEN finished_at > 0 THEN finished_at ELSE $%d END - created_at)", len(f.args))
	default:
		return " ORDER BY created_at DESC, id DESC"
	}
	return " ORDER BY " + column + direction + ", id" + direction
}

func (q OperationQuery) filter() filter {
	f := filter{}
	in(&f, "state", q.States)
	for _, equal := range []struct{ column, value string }{
		{"kind", q.Kind}, {"server_id", q.ServerID}, {"cluster_id", q.ClusterID}, {"actor", q.Actor},
	} {
		if equal.value != "" {
			f.and(equal.column+" = $?", equal.value)
		}
	}
	if q.Search != "" {
		words := like(q.Search)
		f.and(`(operations.id = $? OR LOWER(step || ' ' || waiting_for || ' ' || question || ' ' || error) LIKE $? ESCAPE '!'
			OR server_id IN (SELECT id FROM servers WHERE LOWER(name) LIKE $? ESCAPE '!')
			OR cluster_id IN (SELECT id FROM clusters WHERE LOWER(name) LIKE $? ESCAPE '!'))`, q.Search, words, words, words)
	}
	if !q.Since.IsZero() {
		f.and("created_at >= $?", micros(q.Since))
	}
	if !q.Until.IsZero() {
		f.and("created_at < $?", micros(q.Until))
	}
	return f
}

// OperationPage lists the operations that q chooses, without their steps, and says how many there are in all.
func (s *Store) OperationPage(ctx context.Context, q OperationQuery) (page []fleet.Operation, total int, err error) {
	counted := q.filter()
	where := counted.where()
	if err := s.reader.QueryRowContext(ctx, `SELECT COUNT(*) FROM operations`+where, counted.args...).Scan(&total); err != nil {
		return nil, 0, s.explain("count operations", err)
	}
	f := q.filter()
	where = f.where()
	order := q.order(&f, s.now())
	page, err = list(ctx, s.reader, scanOperation, `SELECT `+operationColumns+` FROM operations`+where+order+f.page(q.Limit, q.Offset), f.args...)
	return page, total, s.explain("list operations", err)
}

// RunTime is how long an operation took, from when it was asked for.
type RunTime struct {
	ID    string
	Begun time.Time
	Took  time.Duration
}

// RunTimes reads how long the newest operations of a kind took that succeeded, at most so many, oldest first.
func (s *Store) RunTimes(ctx context.Context, kind string, limit int) ([]RunTime, error) {
	all, err := list(ctx, s.reader, func(r row) (v RunTime, err error) {
		var end time.Time
		err = r.Scan(&v.ID, moment{&v.Begun}, moment{&end})
		v.Took = end.Sub(v.Begun)
		return v, err
	}, `SELECT id, created_at, finished_at FROM operations WHERE kind = $1 AND state = 'succeeded' ORDER BY created_at DESC, id DESC LIMIT $2`, kind, limit)
	slices.Reverse(all)
	return all, s.explain("read how long operations took", err)
}

// recent is how many of the newest records are looked through for what a filter may offer.
const recent = 2000

// OperationActors lists who asked for the newest operations.
func (s *Store) OperationActors(ctx context.Context) ([]string, error) {
	all, err := list(ctx, s.reader, scanText,
		`SELECT DISTINCT actor FROM (SELECT actor FROM operations ORDER BY created_at DESC, id DESC LIMIT $1) AS newest ORDER BY actor`, recent)
	return all, s.explain("list who asked for operations", err)
}

// EventActors lists who the newest events are by.
func (s *Store) EventActors(ctx context.Context) ([]string, error) {
	all, err := list(ctx, s.reader, scanText,
		`SELECT DISTINCT actor FROM (SELECT actor FROM events ORDER BY at DESC, id DESC LIMIT $1) AS newest ORDER BY actor`, recent)
	return all, s.explain("list who events are by", err)
}

// EventVerbs lists what was done, by the newest events.
func (s *Store) EventVerbs(ctx context.Context) ([]string, error) {
	all, err := list(ctx, s.reader, scanText,
		`SELECT DISTINCT verb FROM (SELECT verb FROM events ORDER BY at DESC, id DESC LIMIT $1) AS newest ORDER BY verb`, recent)
	return all, s.explain("list the verbs of events", err)
}

func scanText(r row) (text string, err error) { return text, r.Scan(&text) }
