package imagecache

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// image is one file of a source.
type image struct {
	key  string // of source and checksum
	base string // path of its files without what they end in

	mu      sync.Mutex
	changed chan struct{} // closed when anything below has changed
	later   *time.Timer   // will close it
	want    wanted
	facts   facts
	known   bool  // its length is, and readers may begin
	shown   bool  // readers have begun: it is not changed any more
	have    int64 // bytes that readers may have
	whole   bool
	kept    bool // whole, an earlier run of the program said; to be proved
	working bool // Run fetches it, or will
	err     error
	erred   time.Time
	file    *os.File // open while held
	holders int
	used    time.Time
	asked   time.Time // the source, whether it has another file now
	asking  chan struct{}
}

// facts are what is known of a file, kept beside it.
type facts struct {
	Mark     string `json:"mark"` // names this copy: the ETag for machines
	Size     int64  `json:"size"` // -1: the source does not say
	ETag     string `json:"etag,omitempty"`
	Modified string `json:"modified,omitempty"` // Last-Modified of the source
	Synced   int64  `json:"synced,omitempty"`   // bytes that are on disk even if the power fails
	SHA256   string `json:"sha256,omitempty"`   // of the whole file
}

// same says that what a source tells of a file is of the same one, as far as it tells.
func (f facts) same(o facts) bool {
	if f.Size >= 0 && o.Size >= 0 && f.Size != o.Size {
		return false
	}
	a, b := f.ifRange(), o.ifRange()
	return a == b || a == "" || b == ""
}

// ifRange is what a source is asked by whether a file is still the same; "" if it gave nothing to go by. A weak ETag
// promises no equal bytes (RFC 9110, 13.1.5).
func (f facts) ifRange() string {
	if f.ETag != "" && !strings.HasPrefix(f.ETag, "W/") {
		return f.ETag
	}
	return f.Modified
}

// mark names a copy. What a source tells by a strong ETag is named alike on all replicas and after a restart.
func (f facts) mark(key string) string {
	if f.ETag == "" || strings.HasPrefix(f.ETag, "W/") {
		return strings.ToLower(rand.Text())
	}
	sum := sha256.Sum256([]byte(key + "\n" + f.ETag))
	return hex.EncodeToString(sum[:16])
}

func newImage(dir, key string) *image {
	return &image{
		key: key, base: filepath.Join(dir, key+"-"+strings.ToLower(rand.Text()[:8])), changed: make(chan struct{}),
		facts: facts{Size: -1}, asking: make(chan struct{}, 1),
	}
}

func (i *image) part() string    { return i.base + ".part" }
func (i *image) final() string   { return i.base + ".image" }
func (i *image) aside() string   { return i.base + ".json" }
func (i *image) files() []string { return []string{i.part(), i.final(), i.aside()} }

// tell wakes who waits for a change. i.mu is held.
func (i *image) tell() {
	close(i.changed)
	i.changed = make(chan struct{})
}

// hold keeps the image from being removed.
func (i *image) hold(w wanted, now time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.want, i.used = w, now
	i.holders++
}

func (i *image) letGo() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.heldByOneLess()
}

// heldByOneLess is letGo for who holds i.mu.
func (i *image) heldByOneLess() error {
	i.holders--
	if i.holders > 0 || i.file == nil {
		return nil
	}
	file := i.file
	i.file = nil
	os.Chtimes(i.aside(), i.used, i.used) // for the next start; a replaced one has none
	return file.Close()
}

// start says that the image has to be fetched, and marks it as being so.
func (i *image) start(forget time.Duration) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.whole || i.working || i.err != nil && time.Since(i.erred) < forget {
		return false
	}
	i.working, i.err = true, nil
	i.holders++ // Run's
	return true
}

// stop ends the work on an image, with the reason why it is not whole.
func (i *image) stop(err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.working, i.known, i.err, i.erred = false, false, err, time.Now()
	i.tell()
	i.heldByOneLess()
}

// finish gives out the rest. Who has it finds the image let go: it may make way for the next at once.
func (i *image) finish() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.working, i.whole, i.known = false, true, true
	i.have, i.asked = i.facts.Size, time.Now()
	i.tell()
	i.heldByOneLess()
}

// came says how much there is. The last byte is kept back until the whole was proved.
func (i *image) came(n int64, f facts) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.facts = f
	if f.Size < 0 {
		return
	}
	known := i.known
	i.known, i.shown, i.have = true, true, max(0, min(n, f.Size-1))
	switch {
	case !known:
		i.tell()
	case i.later == nil: // a hundred readers need not be woken for each packet
		i.later = time.AfterFunc(gather, i.tellNow)
	}
}

const gather = 20 * time.Millisecond

func (i *image) tellNow() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.later = nil
	i.tell()
}

// open opens its file, once for all who hold it.
func (i *image) open() (*os.File, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.file != nil {
		return i.file, nil
	}
	name, flags := i.part(), os.O_RDWR|os.O_CREATE
	if i.whole || i.kept {
		name, flags = i.final(), os.O_RDONLY
	}
	file, err := os.OpenFile(name, flags, 0o600)
	i.file = file
	return file, err
}

// length waits until the length is known.
func (i *image) length(ctx context.Context) (int64, error) {
	return i.until(ctx, func() (int64, bool) { return i.facts.Size, i.known })
}

// beyond waits until there is more than n bytes, and says how much there is.
func (i *image) beyond(ctx context.Context, n int64) (int64, error) {
	return i.until(ctx, func() (int64, bool) { return i.have, i.have > n })
}

func (i *image) until(ctx context.Context, look func() (int64, bool)) (int64, error) {
	for {
		i.mu.Lock()
		n, ok := look()
		err, changed := i.err, i.changed
		i.mu.Unlock()
		switch {
		case ok:
			return n, nil
		case err != nil:
			return 0, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

// tag is the ETag for machines.
func (i *image) tag() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return `"` + i.facts.Mark + `"`
}

// size is the room it takes or will take; idle says that it may be removed.
func (i *image) size() (bytes int64, idle bool, used time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return max(i.facts.Size, i.have, i.facts.Synced), i.holders == 0, i.used
}

// reserve has the image count with its size from now on.
func (i *image) reserve(size int64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.facts.Size = size
}

func (i *image) remove() error {
	var errs []error
	for _, name := range i.files() {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// keep writes the facts beside the file.
func (i *image) keep(f facts) error {
	text, err := json.Marshal(f)
	if err != nil {
		return err
	}
	if err := os.WriteFile(i.aside()+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(i.aside()+".new", i.aside())
}

// load finds what earlier runs of the program left.
func (c *Cache) load() error {
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return err
	}
	names, err := os.ReadDir(c.Dir)
	if err != nil {
		return err
	}
	known := map[string]bool{}
	for _, n := range names {
		base, ok := strings.CutSuffix(n.Name(), ".json")
		if !ok {
			continue
		}
		if img := c.loadImage(base); img != nil {
			for _, f := range img.files() {
				known[filepath.Base(f)] = true
			}
		}
	}
	for _, n := range names { // what a killed program left half made
		if ours(n.Name()) && !known[n.Name()] {
			if err := os.Remove(filepath.Join(c.Dir, n.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// ours says that a file is named as ours are: a folder that was named by mistake loses nothing.
func ours(name string) bool {
	base, _, _ := strings.Cut(name, ".")
	key, _, ok := strings.Cut(base, "-")
	_, err := hex.DecodeString(key)
	return ok && err == nil && len(key) == keyDigits
}

func (c *Cache) loadImage(base string) *image {
	key, _, ok := strings.Cut(base, "-")
	if !ok || c.images[key] != nil {
		return nil
	}
	img := newImage(c.Dir, key)
	img.base = filepath.Join(c.Dir, base)
	text, err := os.ReadFile(img.aside())
	if err != nil || json.Unmarshal(text, &img.facts) != nil {
		return nil
	}
	if info, err := os.Stat(img.aside()); err == nil {
		img.used = info.ModTime()
	}
	if info, err := os.Stat(img.final()); err == nil && img.facts.SHA256 != "" && info.Size() == img.facts.Size {
		img.kept = true
	} else if _, err := os.Stat(img.part()); err != nil {
		return nil
	}
	c.images[key] = img
	return img
}
