package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Event is one thing that happened to an operation: exactly one field is set.
type Event struct {
	Line      *LogLine   // a line was added to its log
	Operation *Operation // it changed: state, step, progress
	Lost      error      // the connection broke; Follow connects again and misses nothing
}

const (
	firstPause = 300 * time.Millisecond // before the first new connection; doubles
	lastPause  = 5 * time.Second
	silence    = 45 * time.Second // the server sends something every 15 s
)

// Follow calls f for each line of an operation's log after the line of this number, and for each change of its
// state, until the operation is over (nil), ctx ends, or the server refuses. A connection that breaks, because the
// manager is restarted for instance, is made again; no line is lost or comes twice. The first one is given some five
// seconds where the manager answers that it cannot at the moment, and none where nobody answers.
func (c *Client) Follow(ctx context.Context, id string, after int64, f func(Event)) error {
	s := &stream{client: c, id: id, last: after, f: f}
	pause := firstPause
	for {
		before := s.events
		over, err := s.once(ctx)
		if over {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if refused(err) || s.events == 0 && err != nil && (!answered(err) || pause == lastPause) {
			return err
		}
		if s.events > before {
			pause = firstPause
		}
		f(Event{Lost: err})
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
		pause = min(2*pause, lastPause)
	}
}

// refused says whether the server itself said no, as opposed to being out of reach.
func refused(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Status >= 400 && e.Kind != Unavailable
}

// answered says that the manager is there, but cannot answer at the moment: its database has just been restarted, say.
func answered(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Status == http.StatusServiceUnavailable
}

// WaitOperation follows an operation until it is over and returns how it ended. f, which may be nil, is told what
// happens meanwhile. The error is about the following only; Operation.Err says whether the operation succeeded.
func (c *Client) WaitOperation(ctx context.Context, id string, f func(Event)) (Operation, error) {
	var last Operation
	err := c.Follow(ctx, id, 0, func(h Event) {
		if h.Operation != nil {
			last = *h.Operation
		}
		if f != nil {
			f(h)
		}
	})
	return last, err
}

// stream is the state of one Follow across its connections.
type stream struct {
	client *Client
	id     string
	last   int64 // number of the last line
	events int
	f      func(Event)
}

// once reads one connection to its end. Over: the operation is final.
func (s *stream) once(ctx context.Context) (over bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	header := http.Header{"Accept": {"text/event-stream"}, "Last-Event-Id": {strconv.FormatInt(s.last, 10)}}
	resp, err := s.client.send(ctx, http.MethodGet, at("/operations/%s/follow", s.id), nil, nil, header)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	quiet := time.AfterFunc(silence, func() { cancel(errors.New("the manager has become silent")) })
	defer quiet.Stop()

	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 4<<20)
	var e message
	for lines.Scan() {
		quiet.Reset(silence)
		if line := lines.Text(); line != "" {
			e.add(line)
			continue
		}
		if over, err := s.take(e); over || err != nil {
			return over, err
		}
		e = message{}
	}
	if err := lines.Err(); err != nil {
		return false, s.client.unreachable(ctx, err)
	}
	return false, errors.New("the manager ended the connection")
}

// message is a server-sent event: https://html.spec.whatwg.org/multipage/server-sent-events.html
type message struct {
	id, name, data string
}

func (e *message) add(line string) {
	field, value, _ := strings.Cut(line, ":")
	value = strings.TrimPrefix(value, " ")
	switch field {
	case "id":
		e.id = value
	case "event":
		e.name = value
	case "data":
		if e.data != "" {
			e.data += "\n"
		}
		e.data += value
	}
}

// take hands an event on. Events of names that this client does not know are passed over: servers may be newer.
func (s *stream) take(e message) (over bool, err error) {
	var h Event
	switch e.name {
	case "log":
		h.Line = &LogLine{}
		err = json.Unmarshal([]byte(e.data), h.Line)
	case "state":
		h.Operation = &Operation{}
		err = json.Unmarshal([]byte(e.data), h.Operation)
	default:
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("event %s of operation %s: %w", e.name, s.id, err)
	}
	s.events++
	if h.Line != nil {
		s.last = h.Line.Seq
	}
	s.f(h)
	return h.Operation != nil && h.Operation.Final(), nil
}
