package talosnode

import (
	"sync"
	"time"

	"github.com/rs/xid"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// eventsKept is the size of Talos' event buffer.
const eventsKept = 1000

// eventLog is a node's stream of events since its boot.
type eventLog struct {
	mu      sync.Mutex
	events  []*machine.Event
	first   int // number of events[0]
	changed chan struct{}
}

func newEventLog() *eventLog { return &eventLog{changed: make(chan struct{})} }

// publish appends an event. The actor is the API call it comes from, "" if none.
func (l *eventLog) publish(payload proto.Message, actor string) {
	e := newEvent(payload, actor)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, e)
	if over := len(l.events) - eventsKept; over > 0 {
		l.events = append([]*machine.Event(nil), l.events[over:]...)
		l.first += over
	}
	close(l.changed)
	l.changed = make(chan struct{})
}

func newEvent(payload proto.Message, actor string) *machine.Event {
	e := &machine.Event{Id: xid.New().String(), ActorId: actor, Data: &anypb.Any{}}
	if payload != nil {
		e.Data.TypeUrl = "talos/runtime/" + string(payload.ProtoReflect().Descriptor().FullName())
		e.Data.Value, _ = proto.Marshal(payload)
	}
	return e
}

// since gives the events from number at on, the next number, and what closes when there are more.
func (l *eventLog) since(at int) ([]*machine.Event, int, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at = max(at, l.first)
	return append([]*machine.Event(nil), l.events[at-l.first:]...), l.first + len(l.events), l.changed
}

// from finds where a reader starts: after everything, or back by a number of events (negative: all), a duration
// or an id.
func (l *eventLog) from(tail int, back time.Duration, id xid.ID) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	start := len(l.events)
	switch {
	case tail < 0:
		start = 0
	case tail > 0:
		start = max(0, start-tail)
	case !id.IsZero():
		for start > 0 && after(l.events[start-1], id) {
			start--
		}
	case back > 0:
		for start > 0 && recent(l.events[start-1], time.Now().Add(-back)) {
			start--
		}
	}
	return l.first + start
}

func after(e *machine.Event, id xid.ID) bool {
	own, err := xid.FromString(e.GetId())
	return err == nil && own.Compare(id) > 0
}

func recent(e *machine.Event, since time.Time) bool {
	own, err := xid.FromString(e.GetId())
	return err == nil && !own.Time().Before(since.Truncate(time.Second))
}
