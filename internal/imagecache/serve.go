package imagecache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

const (
	maxReaders = 512 // at once; each holds a connection and 32 kB
	maxPerHost = 128 // of one address: a whole rack may stand behind one
)

// ServeHTTP hands an image to a machine: the whole or a range of it. What is still being fetched comes as fast as it
// comes to us. When it does not come any more the connection is cut, so that nobody takes a part for the whole.
func (c *Cache) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	want, ok := c.read(r.PathValue("signature"), r.PathValue("source"))
	if !ok {
		http.Error(w, "no such image: addresses of images come from an install", http.StatusNotFound)
		return
	}
	who := c.Source(r)
	if !c.guard.enter(who) {
		w.Header().Set("Retry-After", "5")
		http.Error(w, "too many machines fetch images at once", http.StatusServiceUnavailable)
		return
	}
	defer c.guard.leave(who)
	// A range is of the file that its reader has begun; whether it is still that one, If-Range asks.
	img, err := c.acquire(r.Context(), want, r.Header.Get("Range") == "")
	if err != nil {
		c.refuse(w, r, want, err)
		return
	}
	defer c.release(img)
	size, err := img.length(r.Context())
	if err != nil {
		c.refuse(w, r, want, err)
		return
	}
	file, err := img.open()
	if err != nil {
		c.refuse(w, r, want, err)
		return
	}
	f := &follower{ctx: r.Context(), img: img, file: file, size: size, before: c.deadlines(w)}
	w.Header().Set("ETag", img.tag())
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", time.Time{}, f)
	if f.err != nil {
		c.Log.Warn("image not served to its end", "image", want.String(), "to", who, "at", f.at, "error", f.err)
		panic(http.ErrAbortHandler)
	}
}

// deadlines gives a reader some time for each piece: one that takes nothing any more holds no connection. Not every
// kind of connection knows deadlines.
func (c *Cache) deadlines(w http.ResponseWriter) func(waiting bool) {
	control := http.NewResponseController(w)
	return func(waiting bool) {
		if waiting { // for the source: HTTP/2 ends a stream at its deadline even if there is nothing to write
			control.SetWriteDeadline(time.Time{})
			return
		}
		control.SetWriteDeadline(time.Now().Add(c.times.write))
	}
}

// refuse says why there is no image. The sentence reaches the log of the machine's install through us, not through it.
func (c *Cache) refuse(w http.ResponseWriter, r *http.Request, want wanted, err error) {
	if r.Context().Err() != nil {
		return // nobody listens
	}
	c.Log.Warn("image not served", "image", want.String(), "error", err)
	status := http.StatusBadGateway
	switch fleet.KindOf(err) {
	case fleet.NotFound:
		status = http.StatusNotFound
	case fleet.Unavailable:
		status = http.StatusServiceUnavailable
		w.Header().Set("Retry-After", "10")
	case fleet.Exhausted:
		status = http.StatusInsufficientStorage
	case fleet.Internal:
		status = http.StatusInternalServerError
	}
	http.Error(w, err.Error(), status)
}

// follower reads an image that may still grow.
type follower struct {
	ctx    context.Context // of one request, as its reader lives no longer
	img    *image
	file   *os.File
	size   int64
	at     int64
	before func(waiting bool)
	err    error
}

// Read waits for bytes that have not come yet.
func (f *follower) Read(p []byte) (int, error) {
	if f.at >= f.size {
		return 0, io.EOF
	}
	f.before(true)
	have, err := f.img.beyond(f.ctx, f.at)
	if err != nil {
		f.err = err
		return 0, err
	}
	n, err := f.file.ReadAt(p[:min(int64(len(p)), have-f.at)], f.at)
	f.at += int64(n)
	f.before(false)
	if n > 0 {
		return n, nil
	}
	if errors.Is(err, io.EOF) { // somebody has cut the file
		err = io.ErrUnexpectedEOF
	}
	f.err = err
	return 0, err
}

// Seek goes to a place.
func (f *follower) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += f.at
	case io.SeekEnd:
		offset += f.size
	}
	if offset < 0 {
		return 0, fmt.Errorf("seek to %d", offset)
	}
	f.at = offset
	return offset, nil
}

// guard bounds connections.
type guard struct {
	mu      sync.Mutex
	all     int
	sources map[string]int
}

func (g *guard) enter(who string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.all >= maxReaders || g.sources[who] >= maxPerHost {
		return false
	}
	g.all++
	g.sources[who]++
	return true
}

func (g *guard) leave(who string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.all--
	if g.sources[who]--; g.sources[who] == 0 {
		delete(g.sources, who)
	}
}
