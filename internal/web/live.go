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
		ctx := r.Context()
		page := s.watches.join(s, r, load)
		defer s.watches.leave(page)
		st := &stream{page: page, w: w, control: http.NewResponseController(w), sent: map[string]string{}}
		if err := st.begin(ctx, r); err != nil {
			return err
		}
		h := w.Header()
		h.Set("Content-Type", "text/event-stream")
		h.Set("Cache-Control", "no-store")
		h.Set("X-Accel-Buffering", "no") // nginx would keep events back
		if err := st.run(ctx); err != nil && ctx.Err() == nil {
			s.Log.Debug("page stream", "path", r.URL.Path, "error", err)
		}
		return nil
	}
}

// stream is one browser that looks at one page.
type stream struct {
	page    *watch
	look    *pageLook
	w       http.ResponseWriter
	control *http.ResponseController

	sent map[string]string // keys of the parts as the browser has them
	log  string            // operation whose log it follows
	last int64             // number of the last line it has
}

// begin takes up where the page, or an earlier stream of it, stopped.
func (st *stream) begin(ctx context.Context, r *http.Request) (err error) {
	q := r.URL.Query()
	seen := q.Get("seen")
	if st.look = st.page.latest(); st.look == nil || st.look.err != nil || keyOfAll(st.look.view.parts) != seen {
		if st.look, err = st.page.fresh(ctx); err != nil {
			return err
		}
	}
	v := st.look.view
	if v.wants == nil {
		return fleet.Errorf(fleet.NotFound, "page %s has no stream", v.address)
	}
	st.log = v.log
	st.last, _ = strconv.ParseInt(q.Get("after"), 10, 64)
	if seq, err := strconv.ParseInt(r.Header.Get("Last-Event-ID"), 10, 64); err == nil {
		st.last = max(st.last, seq)
	}
	if keyOfAll(v.parts) == seen {
		st.remember()
	}
	return nil
}

func (st *stream) remember() {
	clear(st.sent)
	for _, p := range st.look.view.parts {
		st.sent[p.id] = p.key
	}
}

// run sends until ctx ends or the browser is gone.
func (st *stream) run(ctx context.Context) error {
	alive := time.NewTicker(heartbeat)
	defer alive.Stop()
	if err := st.write([]byte(": hello\n\n")); err != nil {
		return err
	}
	for {
		if err := st.news(); err != nil {
			return err
		}
		for shown := st.look; st.look == shown; {
			var renewed <-chan struct{}
			if st.look, renewed = st.page.now(); st.look != shown {
				break
			}
			select {
			case <-renewed:
			case <-alive.C:
				if err := st.write([]byte(": still here\n\n")); err != nil {
					return err
				}
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if fleet.KindOf(st.look.err) == fleet.NotFound && st.look.err != nil {
			return st.write([]byte("event: reload\ndata:\n\n"))
		}
		if st.look.err != nil {
			return st.look.err // the browser comes back
		}
	}
}

// news sends the parts that changed and the lines that are new.
func (st *stream) news() error {
	var out bytes.Buffer
	renewed := map[string]bool{}
	for _, p := range st.look.view.parts {
		if st.sent[p.id] == p.key {
			continue
		}
		if renewed[p.id] = true; renewed[p.within] {
			continue // it came with the part around it
		}
		html, err := st.look.html(p)
		if err != nil {
			return err
		}
		event(&out, "patch", "", html)
		if p.log {
			st.last = 0
		}
	}
	st.remember()
	if log := st.look.view.log; st.log != log {
		st.log, st.last = log, 0
	}
	if err := st.lines(&out); err != nil || out.Len() == 0 {
		return err
	}
	return st.write(out.Bytes())
}

func (st *stream) lines(out *bytes.Buffer) error {
	for _, l := range st.look.after(st.last) {
		var html bytes.Buffer
		if err := logLine(st.log, l).Render(st.look.ctx, &html); err != nil {
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
