package store

import (
	"context"
	"strings"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

const eventColumns = `id, at, actor, verb, subject, target_id, text`

func scanEvent(r row) (e fleet.Event, err error) {
	return e, r.Scan(&e.ID, moment{&e.At}, &e.Actor, &e.Verb, &e.Subject, &e.TargetID, &e.Text)
}

// AddEvent appends to the audit log; it fills in ID and At where they are empty.
func (s *Store) AddEvent(ctx context.Context, e fleet.Event) (fleet.Event, error) {
	s.stamp(&e.ID, &e.At)
	err := s.write(ctx, "write event "+e.Verb, func(t *tx) error { return s.addEvent(ctx, t, &e) })
	return e, err
}

func (s *Store) addEvent(ctx context.Context, t *tx, e *fleet.Event) error {
	s.stamp(&e.ID, &e.At)
	_, err := t.ExecContext(ctx, `INSERT INTO events (id, at, actor, verb, subject, target_id, text) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		e.ID, micros(e.At), text(e.Actor), e.Verb, e.Subject, e.TargetID, text(e.Text))
	t.changed("events", e.ID)
	return err
}

// EventFilter chooses events; zero fields choose all.
type EventFilter struct {
	Actor    string
	Verb     string // "config.refused", or "config." for all that begin so
	Subject  string
	TargetID string
	Search   string    // part of the text, in any case
	Since    time.Time // at or after
	Until    time.Time // before
	Before   string    // id of the last event of the page before
	Limit    int       // 0: all
}

// Events lists events, newest first.
func (s *Store) Events(ctx context.Context, o EventFilter) ([]fleet.Event, error) {
	f := filter{}
	for _, equal := range []struct{ column, value string }{{"actor", o.Actor}, {"subject", o.Subject}, {"target_id", o.TargetID}} {
		if equal.value != "" {
			f.and(equal.column+" = $?", equal.value)
		}
	}
	switch {
	case strings.HasSuffix(o.Verb, "."):
		f.and("verb LIKE $? ESCAPE '!'", strings.TrimPrefix(like(o.Verb), "%"))
	case o.Verb != "":
		f.and("verb = $?", o.Verb)
	}
	if o.Search != "" {
		f.and("LOWER(text) LIKE $? ESCAPE '!'", like(o.Search))
	}
	if !o.Since.IsZero() {
		f.and("at >= $?", micros(o.Since))
	}
	if !o.Until.IsZero() {
		f.and("at < $?", micros(o.Until))
	}
	if o.Before != "" {
		f.and("(at, id) < (SELECT at, id FROM events WHERE id = $?)", o.Before)
	}
	where := f.where()
	all, err := list(ctx, s.reader, scanEvent, `SELECT `+eventColumns+` FROM events`+where+` ORDER BY at DESC, id DESC`+f.page(o.Limit, 0), f.args...)
	return all, s.explain("list events", err)
}

// RemoveEvents deletes events older than before, and says how many.
func (s *Store) RemoveEvents(ctx context.Context, before time.Time) (removed int64, err error) {
	err = s.write(ctx, "remove old events", func(t *tx) error {
		removed, err = affected(t.ExecContext(ctx, `DELETE FROM events WHERE at < $1`, micros(before)))
		return err
	})
	return removed, err
}
