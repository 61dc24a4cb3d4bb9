package imagecache

import (
	"bytes"
	"context"
	"io"
	"log"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// origin is a server of images with bad habits.
type origin struct {
	*httptest.Server
	mu       sync.Mutex
	body     []byte
	etag     string
	modified time.Time
	down     bool
	noRanges bool
	breaks   []int         // the next answers end after so many bytes
	gate     chan struct{} // each answer needs one token for each 100 kB
	raw      func(net io.Writer)
	asked    []*http.Request
}

func newOrigin(t *testing.T, size int) *origin {
	t.Helper()
	o := &origin{body: content(size, 1), etag: `"one"`}
	o.Server = httptest.NewUnstartedServer(o)
	o.Server.Config.ErrorLog = log.New(io.Discard, "", 0)
	o.Server.Start()
	t.Cleanup(o.Server.CloseClientConnections)
	t.Cleanup(o.Server.Close)
	return o
}

// content is the same for the same seed, and compresses badly.
func content(size int, seed int) []byte {
	b := make([]byte, size)
	rand.NewChaCha8([32]byte{byte(seed)}).Read(b)
	return b
}

func (o *origin) image() string { return o.URL + "/image/metal-amd64.raw.zst" }

func (o *origin) set(change func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	change()
}

// gets are the GET requests so far.
func (o *origin) gets() (all []*http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, r := range o.asked {
		if r.Method == http.MethodGet {
			all = append(all, r)
		}
	}
	return all
}

func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	o.asked = append(o.asked, r.Clone(context.Background()))
	body, etag, modified, raw, gate := o.body, o.etag, o.modified, o.raw, o.gate
	stop := -1
	if len(o.breaks) > 0 && r.Method == http.MethodGet {
		stop, o.breaks = o.breaks[0], o.breaks[1:]
	}
	if o.noRanges {
		r.Header.Del("Range")
	}
	down := o.down
	o.mu.Unlock()
	switch {
	case down:
		http.Error(w, "down for maintenance", http.StatusServiceUnavailable)
		return
	case raw != nil:
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			raw(conn)
			conn.Close()
		}
		return
	}
	if etag != "" {
		w.Header().Set("ETag", etag)
	}
	w.Header().Set("Content-Type", "application/zstd")
	http.ServeContent(&narrow{ResponseWriter: w, ctx: r.Context(), stop: stop, gate: gate}, r, "", modified, bytes.NewReader(body))
}

// narrow is a link that lets through what it is given tokens for, and breaks off.
type narrow struct {
	http.ResponseWriter
	ctx   context.Context
	stop  int
	gate  chan struct{}
	since int
}

func (n *narrow) Write(p []byte) (int, error) {
	if n.stop >= 0 && len(p) >= n.stop {
		n.ResponseWriter.Write(p[:n.stop])
		n.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	n.stop -= len(p)
	if n.since += len(p); n.gate != nil && n.since > 100_000 {
		n.since = 0
		n.ResponseWriter.(http.Flusher).Flush()
		select {
		case <-n.gate:
		case <-n.ctx.Done():
		}
	}
	return n.ResponseWriter.Write(p)
}

// running is a cache that works and serves.
type running struct {
	*Cache
	server *httptest.Server
	stop   func()
}

// start runs a cache over a folder; it stops with the test, or before.
func start(t *testing.T, dir string, change ...func(*Cache)) *running {
	t.Helper()
	c := New(Options{Dir: dir, MaxBytes: 100e6, Client: &http.Client{}, Key: []byte("key"), Log: slog.New(slog.DiscardHandler)})
	c.times.backoff, c.times.tries, c.times.forget, c.times.fresh = time.Millisecond, 3, 0, 0
	for _, f := range change {
		f(c)
	}
	mux := http.NewServeMux()
	mux.Handle(Route, c)
	r := &running{Cache: c, server: httptest.NewServer(mux)}
	c.Options.URL = r.server.URL
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() { c.Run(ctx) })
	r.stop = sync.OnceFunc(func() {
		cancel()
		r.server.CloseClientConnections()
		r.server.Close()
		run.Wait()
	})
	t.Cleanup(r.stop)
	return r
}

// get fetches an image as a machine does. err is of a connection that was cut.
func (r *running) get(source, sum string, header ...string) (resp *http.Response, body []byte, err error) {
	req, err := http.NewRequest(http.MethodGet, r.Cache.URL(source, sum), nil)
	if err != nil {
		return nil, nil, err
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err = http.DefaultClient.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return resp, body, err
}

// has fetches an image and says when it is not this one.
func (r *running) has(t *testing.T, source, sum string, want []byte) {
	t.Helper()
	resp, body, err := r.get(source, sum)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK || !bytes.Equal(body, want) {
		t.Fatalf("status %s, %d bytes, want %d: %.200s", resp.Status, len(body), len(want), body)
	}
}

// until polls for what another goroutine brings about.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain for " + what)
		}
		<-time.After(2 * time.Millisecond)
	}
}

func files(t *testing.T, dir string) (names []string, bytes int64) {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, e.Name())
		bytes += info.Size()
	}
	return names, bytes
}

// wants says that an error is of a kind and that its sentence has these words.
func wants(t *testing.T, err error, kind fleet.Kind, words ...string) {
	t.Helper()
	if fleet.KindOf(err) != kind || fleet.HintOf(err) == "" {
		t.Errorf("%v is %s, want %s; hint %q", err, fleet.KindOf(err), kind, fleet.HintOf(err))
	}
	for _, w := range words {
		if err == nil || !bytes.Contains([]byte(err.Error()), []byte(w)) {
			t.Errorf("%v: want %q in it", err, w)
		}
	}
}
