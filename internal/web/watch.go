package web

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/talos-manager/talos-manager/internal/access"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
)

// watches are the pages that browsers look at now. All streams of one page share its looks at the records: two hundred
// people who follow one install cost no more reads than one.
type watches struct {
	mu  sync.Mutex
	all map[string]*watch
}

// watch looks at the records for the streams of one page, at most once in a breath and only when something changed.
type watch struct {
	site *site
	key  string
	load loader
	r    *http.Request // of the first stream; its context is the watch's
	stop context.CancelFunc
	over chan struct{}
	want chan struct{} // somebody wants a look though nothing changed

	readers int // guarded by the watches' lock

	mu      sync.Mutex
	begun   int // looks
	look    *pageLook
	renewed chan struct{} // closed when there is another look
}

// pageLook is a page as it was at one moment, with its log.
type pageLook struct {
	ctx    context.Context
	number int
	view   view
	lines  []fleet.LogLine
	err    error // the records could not be read; it is the last look

	mu       sync.Mutex
	rendered map[string]string // parts that somebody needed, by id
}

// join gives the watch of a page and starts it if it is the first to look; leave ends it with the last.
func (ws *watches) join(s *site, r *http.Request, load loader) *watch {
	key := watchKey(r)
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if w := ws.all[key]; w != nil {
		w.readers++
		return w
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(r.Context()))
	w := &watch{
		site: s, key: key, load: load, r: r.WithContext(ctx), stop: stop, readers: 1,
		over: make(chan struct{}), want: make(chan struct{}, 1), renewed: make(chan struct{}),
	}
	if ws.all == nil {
		ws.all = map[string]*watch{}
	}
	ws.all[key] = w
	changes := s.store.Changes(ctx) // before the first look, so that nothing falls between
	go w.run(ctx, changes)
	return w
}

func (ws *watches) leave(w *watch) {
	ws.mu.Lock()
	w.readers--
	last := w.readers == 0
	if last {
		ws.forget(w)
	}
	ws.mu.Unlock()
	if last {
		w.stop()
		<-w.over
	}
}

// forget has the next stream of the page start anew. The caller has the lock.
func (ws *watches) forget(w *watch) {
	if ws.all[w.key] == w {
		delete(ws.all, w.key)
	}
}

// watchKey is the same for requests that see the same page: who asks and their settings are part of it, their session
// and what they have of the page already are not.
func watchKey(r *http.Request) string {
	q := r.URL.Query()
	q.Del("seen")
	q.Del("after")
	words := []string{access.Actor(r.Context()), r.URL.Path, q.Encode()}
	for _, c := range r.Cookies() {
		if c.Name != access.SessionCookie && c.Name != flashCookie && c.Name != themeCookie {
			words = append(words, c.Name+"="+c.Value)
		}
	}
	return strings.Join(words, "\n")
}

// run looks until ctx ends, the store is closed or the records cannot be read.
func (w *watch) run(ctx context.Context, changes <-chan store.Change) {
	defer close(w.over)
	for {
		l := w.take(ctx)
		if l.err != nil {
			w.end(l)
			return
		}
		w.publish(l)
		if !rest(ctx, breath) || !w.await(ctx, changes, l.view) {
			w.end(&pageLook{number: l.number + 1, err: context.Canceled})
			return
		}
	}
}

func (w *watch) end(l *pageLook) {
	w.site.watches.mu.Lock()
	w.site.watches.forget(w)
	w.site.watches.mu.Unlock()
	w.publish(l)
}

// take looks at the records.
func (w *watch) take(ctx context.Context) *pageLook {
	w.mu.Lock()
	w.begun++
	l := &pageLook{ctx: ctx, number: w.begun, rendered: map[string]string{}}
	before := w.look
	w.mu.Unlock()
	if l.view, l.err = w.load(w.r); l.err != nil {
		return l
	}
	now, err := w.site.running(ctx)
	if err != nil {
		l.err = err
		return l
	}
	l.view.parts = append(l.view.parts, runningPart(now))
	if log := l.view.log; log != "" {
		if before != nil && before.view.log == log {
			l.lines = before.lines
		}
		var fresh []fleet.LogLine
		fresh, l.err = w.site.store.OperationLog(ctx, log, lastOf(l.lines), 0)
		l.lines = append(slices.Clip(l.lines), fresh...)
	}
	return l
}

func lastOf(lines []fleet.LogLine) int64 {
	if len(lines) == 0 {
		return 0
	}
	return lines[len(lines)-1].Seq
}

func (w *watch) publish(l *pageLook) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.look = l
	close(w.renewed)
	w.renewed = make(chan struct{})
}

// await returns when something changed that the page may show, or somebody wants a look; of what else has queued up,
// nothing is lost by being read along. false: there is nobody to look for any more.
func (w *watch) await(ctx context.Context, changes <-chan store.Change, v view) bool {
	for due := false; !due; {
		select {
		case c, open := <-changes:
			if !open {
				return false
			}
			due = c == store.Change{} || c.Table == "operations" || v.wants != nil && v.wants(c)
		case <-w.want:
			due = true
		case <-ctx.Done():
			return false
		}
	}
	for {
		select {
		case _, open := <-changes:
			if !open {
				return false
			}
		default:
			return true
		}
	}
}

// now is the latest look, and what is closed when there is another.
func (w *watch) now() (*pageLook, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.look, w.renewed
}

func (w *watch) latest() *pageLook {
	l, _ := w.now()
	return l
}

// fresh waits for a look that begins after this moment.
func (w *watch) fresh(ctx context.Context) (*pageLook, error) {
	w.mu.Lock()
	number, first := w.begun+1, w.begun == 0
	w.mu.Unlock()
	if !first {
		select {
		case w.want <- struct{}{}:
		default: // somebody else wants it, too
		}
	}
	for {
		l, renewed := w.now()
		if l != nil && (l.number >= number || l.err != nil) {
			return l, l.err
		}
		select {
		case <-renewed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// html renders a part once for all streams.
func (l *pageLook) html(p part) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if text, done := l.rendered[p.id]; done {
		return text, nil
	}
	var out bytes.Buffer
	if err := p.piece.Render(l.ctx, &out); err != nil {
		return "", err
	}
	l.rendered[p.id] = out.String()
	return out.String(), nil
}

// after gives the lines of the log behind the one with this number.
func (l *pageLook) after(seq int64) []fleet.LogLine {
	i, found := slices.BinarySearchFunc(l.lines, seq, func(line fleet.LogLine, seq int64) int {
		return int(line.Seq - seq)
	})
	if found {
		i++
	}
	return l.lines[i:]
}

// rest waits; false when ctx ended.
func rest(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
