// Package imagecache keeps disk images on the manager's disk and hands them to machines: each is fetched once,
// whatever many ask, and served while it is still being fetched. A factory that is down, or a slow link to it, then
// stops nobody.
//
// An image is fetched by the goroutine of Run, not by who asked for it. What came so far is a ".part" file; a cut link
// or a restart of the program goes on from there if the source proves that it still has the same file. The last byte
// is given out only after the length, and the checksum where it is known, are right:
//
//	idle -> fetching -> whole           readers follow from the moment the length is known
//	  ^        |          | removed when room is needed and nobody reads, the longest unused first
//	  +--------+----------+
//
// It is no proxy: it serves addresses that it signed itself, see URL. It refuses an image that would not fit, and one
// whose source does not say where it ends.
package imagecache

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Options of a cache.
type Options struct {
	Dir      string // made if it is not there; nothing else may be in it
	MaxBytes int64  // of all images together
	// Client fetches; without a time-out of its own, for an image may take long.
	Client *http.Client
	URL    string // of this program as machines reach it, without a slash at the end
	Key    []byte // signs addresses; the same on all replicas
	Log    *slog.Logger
	// Source names who asks, for the bound on connections.
	Source func(*http.Request) string
}

// Cache is a folder of images.
type Cache struct {
	Options
	work  chan *image // to be fetched by Run
	times times
	free  func(dir string) (int64, bool) // bytes that the disk has left, where that can be asked
	guard guard

	unusable error // why the folder is

	mu     sync.Mutex
	images map[string]*image // by key; what was replaced is not here any more
}

// times are how long things may take; tests are in a hurry.
type times struct {
	stall   time.Duration // without a byte
	backoff time.Duration // after the first failure, then twice that
	tries   int           // without a byte between them
	forget  time.Duration // a failure is told again without trying
	fresh   time.Duration // the source is not asked again whether it has another file now
	check   time.Duration // for that question
	write   time.Duration // for a reader to take some bytes
}

// New opens the folder. Run must run for anything to be fetched. A folder that cannot be used is said to who asks for
// an image: everything else works without it.
func New(o Options) *Cache {
	if o.Source == nil {
		o.Source = func(r *http.Request) string { return r.RemoteAddr }
	}
	c := &Cache{
		Options: o, work: make(chan *image, 256), images: map[string]*image{}, free: freeBytes, guard: guard{sources: map[string]int{}},
		times: times{
			stall: time.Minute, backoff: time.Second, tries: 6, forget: 10 * time.Second,
			fresh: time.Minute, check: 10 * time.Second, write: 2 * time.Minute,
		},
	}
	if err := c.load(); err != nil {
		c.unusable = fleet.Errorf(fleet.Invalid, "no images can be kept: %w", err).
			WithHint("make %s a folder that this program can write to, or install without --via-manager", o.Dir)
		c.Log.Warn("no images can be kept", "error", err)
	}
	return c
}

// Run fetches what is asked for until ctx ends.
func (c *Cache) Run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case img := <-c.work:
			running.Go(func() { c.fetch(ctx, img) })
		}
	}
}

// Prepare begins to fetch an image, if it is not there, and returns when its source has said that it has it and there
// is room for it. sha256 is of the file, hex; "" if unknown. A source that does not answer stops nobody who has the
// image already.
func (c *Cache) Prepare(ctx context.Context, source, sha256 string) error {
	img, err := c.acquire(ctx, wanted{source, sha256}, true)
	if err != nil {
		return err
	}
	defer c.release(img)
	_, err = img.length(ctx)
	return err
}

// wanted is an image that somebody asked for.
type wanted struct {
	source string // its address
	sum    string // SHA-256 of the file, hex; "" if unknown
}

// acquire gives the image, to be released, and sees to it that it is being fetched if it is not whole. ask says to ask
// the source whether it has another file now.
func (c *Cache) acquire(ctx context.Context, w wanted, ask bool) (*image, error) {
	if c.unusable != nil {
		return nil, c.unusable
	}
	img, begin := c.find(w)
	if begin {
		select {
		case c.work <- img:
		case <-ctx.Done():
			img.stop(context.Cause(ctx))
			c.release(img)
			return nil, context.Cause(ctx)
		}
	}
	if !ask || w.sum != "" || c.stillTrue(ctx, img, w) {
		return img, nil
	}
	c.release(img)
	c.drop(img)
	return c.acquire(ctx, w, false)
}

// find gives the image, held for the caller, and says whether the caller has to have it fetched.
func (c *Cache) find(w wanted) (img *image, begin bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := w.key()
	img = c.images[key]
	if img == nil {
		img = newImage(c.Dir, key)
		c.images[key] = img
	}
	img.hold(w, time.Now())
	return img, img.start(c.times.forget)
}

// release lets go of an image.
func (c *Cache) release(img *image) {
	if err := img.letGo(); err != nil {
		c.Log.Warn("close an image", "error", err)
	}
}

// drop forgets an image and removes its files; who reads it reads on.
func (c *Cache) drop(img *image) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.images[img.key] == img {
		delete(c.images, img.key)
	}
	c.remove(img)
}

func (c *Cache) remove(img *image) {
	if err := img.remove(); err != nil {
		c.Log.Warn("remove an image", "error", err)
	}
}
