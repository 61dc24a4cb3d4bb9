package web

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
)

// livePrefix is where the streams of the pages are.
const livePrefix = "/live"

const (
	breath    = 300 * time.Millisecond // between two looks at the records: a few a second, however much changes
	heartbeat = 15 * time.Second       // so that proxies and browsers know that we are there
	patience  = 10 * time.Second       // for a browser that does not read
)

// part is a piece of a page that is renewed by itself: the element with its id. Its key tells whether it changed;
// it is made of the data the piece shows.
type part struct {
	id     string
	key    string
	within string // id of the part that contains it, "" for none
	log    bool   // it contains the log, empty: the lines follow
	piece  templ.Component
}

// partOf is a piece that shows data and nothing else.
func partOf[T any](id string, data T, piece func(T) templ.Component) part {
	return part{id: id, key: keyOf(data), piece: piece(data)}
}

// keyOf is short and differs when data does.
func keyOf(data any) string {
	text, err := json.Marshal(data)
	if err != nil {
		text = fmt.Append(nil, err) // of our own structs none fails
	}
	sum := sha256.Sum256(text)
	return base64.RawURLEncoding.EncodeToString(sum[:9])
}

func keyOfAll(parts []part) string {
	keys := make([]string, len(parts))
	for i, p := range parts {
		keys[i] = p.key
	}
	return keyOf(keys)
}

// streamAddress is where a page that shows these parts and lines hears what changes after.
func streamAddress(address string, parts []part, lines []fleet.LogLine) string {
	path, query, _ := strings.Cut(address, "?")
	q := url.Values{"seen": {keyOfAll(parts)}}
	if len(lines) > 0 {
		q.Set("after", strconv.FormatInt(lines[len(lines)-1].Seq, 10))
	}
	if query != "" {
		query += "&"
	}
	return livePrefix + path + "?" + query + q.Encode()
}

// live answers with the changes of the page that load reads: event "patch" is an element to put in the place of
// the one with its id, event "log" a line to append to the log, "reload" says that the page is another one now.
func (s *site) live(load loader) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		r = r.WithContext(ctx)
		changes := s.store.Changes(ctx) // before the first look, so that nothing falls between
		st := &stream{site: s, r: r, load: load, w: w, control: http.NewResponseController(w), sent: map[string]string{}}
		if err := st.begin(); err != nil {
			return err
		}
		h := w.Header()
		h.Set("Content-Type", "text/event-stream")
		h.Set("Cache-Control", "no-store")
		h.Set("X-Accel-Buffering", "no") // nginx would keep events back
		if err := st.run(ctx, changes); err != nil && ctx.Err() == nil {
			s.Log.Debug("page stream", "path", r.URL.Path, "error", err)
		}
		return nil
	}
}

// stream is one browser that looks at one page.
type stream struct {
	site    *site
	r       *http.Request
	load    loader
	w       http.ResponseWriter
	control *http.ResponseController

	view view
	sent map[string]string // keys of the parts as the browser has them
	log  string            // operation whose log it follows
	last int64             // number of the last line it has
}

// begin takes up where the page, or an earlier stream of it, stopped.
func (st *stream) begin() error {
	if err := st.look(); err != nil {
		return err
	}
	if st.view.wants == nil {
		return fleet.Errorf(fleet.NotFound, "page %s has no stream", st.view.address)
	}
	q := st.r.URL.Query()
	st.log = st.view.log
	st.last, _ = strconv.ParseInt(q.Get("after"), 10, 64)
	if seq, err := strconv.ParseInt(st.r.Header.Get("Last-Event-ID"), 10, 64); err == nil {
		st.last = max(st.last, seq)
	}
	if q.Get("seen") == keyOfAll(st.view.parts) {
		st.remember()
	}
	return nil
}

func (st *stream) look() error {
	v, err := st.load(st.r)
	if err != nil {
		return err
	}
	now, err := st.site.running(st.r.Context())
	v.parts = append(v.parts, runningPart(now))
	st.view = v
	return err
}

func (st *stream) remember() {
	clear(st.sent)
	for _, p := range st.view.parts {
		st.sent[p.id] = p.key
	}
}

// run sends until ctx ends or the browser is gone.
func (st *stream) run(ctx context.Context, changes <-chan store.Change) error {
	alive := time.NewTicker(heartbeat)
	defer alive.Stop()
	if err := st.write([]byte(": hello\n\n")); err != nil {
		return err
	}
	for {
		if err := st.news(ctx); err != nil {
			return err
		}
		if err := st.pause(ctx); err != nil {
			return err
		}
		if err := st.await(changes, alive.C); err != nil {
			return err
		}
		switch err := st.look(); fleet.KindOf(err) {
		case fleet.NotFound:
			return st.write([]byte("event: reload\ndata:\n\n"))
		default:
			if err != nil {
				return err // the browser comes back
			}
		}
	}
}

func (st *stream) pause(ctx context.Context) error {
	timer := time.NewTimer(breath)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// await returns when something changed that the page may show; of what else has queued up, nothing is lost by
// being read along.
func (st *stream) await(changes <-chan store.Change, alive <-chan time.Time) error {
	for due := false; !due; {
		select {
		case c, open := <-changes:
			if !open {
				return context.Canceled
			}
			due = st.wanted(c)
		case <-alive:
			if err := st.write([]byte(": still here\n\n")); err != nil {
				return err
			}
		}
	}
	for {
		select {
		case _, open := <-changes:
			if !open {
				return context.Canceled
			}
		default:
			return nil
		}
	}
}

func (st *stream) wanted(c store.Change) bool {
	return c == store.Change{} || c.Table == "operations" || st.view.wants(c)
}

// news sends the parts that changed and the lines that are new.
func (st *stream) news(ctx context.Context) error {
	var out bytes.Buffer
	renewed := map[string]bool{}
	for _, p := range st.view.parts {
		if st.sent[p.id] == p.key {
			continue
		}
		if renewed[p.id] = true; renewed[p.within] {
			continue // it came with the part around it
		}
		var html bytes.Buffer
		if err := p.piece.Render(ctx, &html); err != nil {
			return err
		}
		event(&out, "patch", "", html.String())
		if p.log {
			st.last = 0
		}
	}
	st.remember()
	if st.log != st.view.log {
		st.log, st.last = st.view.log, 0
	}
	if err := st.lines(ctx, &out); err != nil || out.Len() == 0 {
		return err
	}
	return st.write(out.Bytes())
}

func (st *stream) lines(ctx context.Context, out *bytes.Buffer) error {
	if st.log == "" {
		return nil
	}
	lines, err := st.site.store.OperationLog(ctx, st.log, st.last, 0)
	if err != nil {
		return err
	}
	for _, l := range lines {
		var html bytes.Buffer
		if err := logLine(st.log, l).Render(ctx, &html); err != nil {
			return err
		}
		st.last = l.Seq
		event(out, "log", strconv.FormatInt(l.Seq, 10), html.String())
	}
	return nil
}

// event writes one server-sent event; a line break in data begins a line of its own, as the protocol wants.
func event(out *bytes.Buffer, name, id, data string) {
	fmt.Fprintf(out, "event: %s\n", name)
	if id != "" {
		fmt.Fprintf(out, "id: %s\n", id)
	}
	for line := range strings.SplitSeq(strings.ReplaceAll(data, "\r", "\n"), "\n") {
		fmt.Fprintf(out, "data: %s\n", line)
	}
	out.WriteString("\n")
}

func (st *stream) write(text []byte) error {
	_ = st.control.SetWriteDeadline(time.Now().Add(patience)) // not every writer has one
	if _, err := st.w.Write(text); err != nil {
		return err
	}
	return st.control.Flush()
}

// changeOf wants the changes of these tables.
func changeOf(tables ...string) func(store.Change) bool {
	return func(c store.Change) bool {
		for _, t := range tables {
			if c.Table == t {
				return true
			}
		}
		return false
	}
}
