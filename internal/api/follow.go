package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/talos-manager/talos-manager/client"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
)

const (
	lookAgain = time.Second      // a change that nobody told of is seen after this long
	heartbeat = 15 * time.Second // so that proxies and clients know that we are there
	patience  = 10 * time.Second // for a client that does not read
)

// eventStream documents the answer of follow.
func eventStream(h huma.API) func(*huma.Operation) {
	schemas := h.OpenAPI().Components.Schemas
	data := func(name string, t reflect.Type) *huma.Schema {
		return &huma.Schema{Type: "object", Title: "Event " + name, Required: []string{"event", "data"}, Properties: map[string]*huma.Schema{
			"event": {Type: "string", Enum: []any{name}},
			"id":    {Type: "integer", Description: "number of the last line of the log that was sent: Last-Event-ID resumes after it"},
			"data":  schemas.Schema(t, true, ""),
		}}
	}
	return func(o *huma.Operation) {
		o.Description = "Server-sent events: log for each line of the log, state for each change of the operation. The last one is a state that is final."
		o.Responses["200"] = &huma.Response{Description: "OK", Content: map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{
			Type: "array", Items: &huma.Schema{OneOf: []*huma.Schema{data("log", reflect.TypeFor[client.LogLine]()), data("state", reflect.TypeFor[client.Operation]())}},
		}}}}
	}
}

func (a *api) follow(ctx context.Context, in *struct {
	ByID
	After  int64 `query:"after" minimum:"0" doc:"number of the last line that is known"`
	Resume int64 `header:"Last-Event-ID" minimum:"0" doc:"the same, as browsers send it; wins"`
},
) (*huma.StreamResponse, error) {
	o, err := a.store.Operation(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	n, err := a.namesOf(ctx, o)
	if err != nil {
		return nil, err
	}
	after := in.After
	if in.Resume > 0 {
		after = in.Resume
	}
	return &huma.StreamResponse{Body: func(c huma.Context) {
		_, w := humago.Unwrap(c)
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Accel-Buffering", "no") // nginx would keep events back
		convert := func(o fleet.Operation) client.Operation { return a.wholeOperation(o, n) }
		s := &stream{store: a.store, id: o.ID, convert: convert, last: after, w: w, control: http.NewResponseController(w)}
		if err := s.run(c.Context()); err != nil && c.Context().Err() == nil {
			a.Log.Debug("event stream", "operation", o.ID, "error", err)
		}
	}}, nil
}

// stream is one client that follows one operation.
type stream struct {
	store   *store.Store
	id      string
	convert func(fleet.Operation) client.Operation
	last    int64  // number of the last line that was sent
	state   []byte // what was sent of the operation last
	w       http.ResponseWriter
	control *http.ResponseController
}

// run sends until the operation is over, ctx ends or the client is gone.
func (s *stream) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	changes := s.store.Changes(ctx)
	look, alive := time.NewTicker(lookAgain), time.NewTicker(heartbeat)
	defer look.Stop()
	defer alive.Stop()
	for {
		over, err := s.news(ctx)
		if over || err != nil {
			return err
		}
		for mine := false; !mine; {
			select {
			case change, open := <-changes:
				if !open {
					return ctx.Err()
				}
				mine = change == store.Change{} || change.Table == "operations" && change.ID == s.id
			case <-look.C:
				mine = true
			case <-alive.C:
				if err := s.write([]byte(": still here\n\n")); err != nil {
					return err
				}
			}
		}
	}
}

// news sends what is new. The operation is read before its log, so that nothing is missing when it is over.
func (s *stream) news(ctx context.Context) (over bool, err error) {
	o, err := s.store.Operation(ctx, s.id)
	if err != nil {
		return false, err
	}
	lines, err := s.store.OperationLog(ctx, s.id, s.last, 0)
	if err != nil {
		return false, err
	}
	var out bytes.Buffer
	for _, l := range lines {
		s.last = l.Seq
		if err := s.event(&out, "log", logLine(l)); err != nil {
			return false, err
		}
	}
	if changed, err := s.changed(o); err != nil {
		return false, err
	} else if changed {
		if err := s.event(&out, "state", s.convert(o)); err != nil {
			return false, err
		}
	}
	if out.Len() > 0 {
		err = s.write(out.Bytes())
	}
	return o.State.Final(), err
}

// changed compares with what was sent. A line in the log alone changes UpdatedAt, which is no news.
func (s *stream) changed(o fleet.Operation) (bool, error) {
	o.UpdatedAt = time.Time{}
	state, err := json.Marshal(s.convert(o))
	if err != nil || bytes.Equal(state, s.state) {
		return false, err
	}
	s.state = state
	return true, nil
}

func (s *stream) event(out *bytes.Buffer, name string, v any) error {
	data, err := json.Marshal(v)
	fmt.Fprintf(out, "id: %d\nevent: %s\ndata: %s\n\n", s.last, name, data)
	return err
}

func (s *stream) write(text []byte) error {
	// Not every ResponseWriter knows deadlines; those of net/http do.
	_ = s.control.SetWriteDeadline(time.Now().Add(patience))
	if _, err := s.w.Write(text); err != nil {
		return err
	}
	return s.control.Flush()
}
