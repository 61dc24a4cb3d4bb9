package imagecache

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

const (
	block     = 256 << 10
	syncEvery = 32 << 20 // bytes, or some seconds
	syncAfter = 5 * time.Second
)

// errChanged says that a source has another file than the one that was begun.
var errChanged = errors.New("the file was replaced while it was being fetched")

// download is the work on one image.
type download struct {
	*image
	cache  *Cache
	want   wanted
	file   *os.File
	hash   hash.Hash
	n      int64 // bytes there
	facts  facts
	sure   bool // in this life the source has said that what we have is of its file
	synced time.Time
}

// fetch makes an image whole, or says why it cannot.
func (c *Cache) fetch(ctx context.Context, img *image) {
	begun := time.Now()
	d := &download{image: img, cache: c, hash: sha256.New()}
	img.mu.Lock()
	d.want, d.facts = img.want, img.facts
	img.mu.Unlock()
	err := d.run(ctx)
	log := c.Log.With("image", d.want.String())
	if err == nil {
		log.Info("image is in the cache", "bytes", d.facts.Size, "sha256", d.facts.SHA256, "took", time.Since(begun).Round(time.Millisecond))
		img.finish()
		return
	}
	if ctx.Err() == nil {
		log.Warn("image not fetched", "bytes", d.n, "error", err)
	}
	img.stop(err)
	if errors.Is(err, errChanged) || fleet.KindOf(err) == fleet.Refused {
		c.drop(img)
	}
}

func (d *download) run(ctx context.Context) (err error) {
	if d.kept {
		if d.prove() == nil {
			return nil
		}
		if err := d.begin(); err != nil {
			return err
		}
	}
	if d.file, err = d.open(); err != nil {
		return d.diskError(err)
	}
	if err := d.goOn(); err != nil {
		return d.diskError(err)
	}
	for failed := 0; ; failed++ {
		before := d.n
		err := d.attempt(ctx)
		if err == nil || !temporary(err) || ctx.Err() != nil {
			return err
		}
		if d.n > before {
			failed = 0
		}
		if failed+1 >= d.cache.times.tries {
			return err
		}
		d.cache.Log.Info("fetching an image goes on", "image", d.want.String(), "bytes", d.n, "error", err)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(d.cache.times.backoff << min(failed, 4)):
		}
	}
}

// temporary says that trying again may help.
func temporary(err error) bool {
	return !errors.Is(err, errChanged) && fleet.KindOf(err) == fleet.Unavailable
}

// prove reads a file of an earlier run: it may have been cut by a power failure, or by somebody.
func (d *download) prove() error {
	file, err := d.open()
	if err != nil {
		return err
	}
	if _, err := io.Copy(d.hash, file); err != nil {
		return err
	}
	if got := hex.EncodeToString(d.hash.Sum(nil)); got != d.facts.SHA256 {
		d.cache.Log.Warn("an image on disk is not what it was", "image", d.want.String(), "sha256", got)
		return errChanged
	}
	return nil
}

// begin throws away what there is. Nobody reads it yet.
func (d *download) begin() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.image.file != nil && d.kept {
		d.image.file.Close()
		d.image.file = nil
	}
	d.kept = false
	d.hash.Reset()
	d.n, d.facts, d.image.facts = 0, facts{Size: -1}, facts{Size: -1}
	if err := d.remove(); err != nil {
		return err
	}
	if d.file == nil {
		return nil
	}
	file, err := os.OpenFile(d.part(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	d.file.Close()
	d.file, d.image.file = file, file
	return nil
}

// goOn takes up the part that is there, as far as it is surely on disk.
func (d *download) goOn() error {
	info, err := d.file.Stat()
	if err != nil {
		return err
	}
	d.n = min(info.Size(), d.facts.Synced)
	if d.shown { // of this run of the program: no power has failed
		d.n = info.Size()
	}
	d.hash.Reset()
	if err := d.file.Truncate(d.n); err != nil {
		return err
	}
	_, err = io.Copy(d.hash, io.NewSectionReader(d.file, 0, d.n))
	return err
}

// attempt is one request to the source.
func (d *download) attempt(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stall := time.AfterFunc(d.cache.times.stall, func() {
		cancel(fleet.Errorf(fleet.Unavailable, "nothing came for %s", d.cache.times.stall))
	})
	defer stall.Stop()
	resp, err := d.ask(ctx)
	if err != nil {
		return d.sourceError(ctx, err)
	}
	defer resp.Body.Close()
	body := &watched{resp.Body, func() { stall.Reset(d.cache.times.stall) }}
	if err := d.judge(resp, body); err != nil {
		return d.sourceError(ctx, err)
	}
	if err := d.copy(body); err != nil {
		return d.sourceError(ctx, err)
	}
	if d.facts.Size >= 0 && d.n < d.facts.Size {
		return d.sourceError(ctx, io.ErrUnexpectedEOF)
	}
	return d.end()
}

// watched is a body that tells when something comes.
type watched struct {
	body io.Reader
	came func()
}

// Read reads.
func (w *watched) Read(p []byte) (int, error) {
	n, err := w.body.Read(p)
	if n > 0 {
		w.came()
	}
	return n, err
}

func (d *download) ask(ctx context.Context) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.want.source, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept-Encoding", "identity") // or lengths and ranges are of something else
	if since := d.facts.ifRange(); d.n > 0 && (since != "" || d.want.sum != "") {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", d.n))
		if since != "" {
			req.Header.Set("If-Range", since)
		}
	}
	return d.cache.Client.Do(req)
}

// judge reads what the source says of its file, and makes d.n the place that the body begins at.
func (d *download) judge(resp *http.Response, body io.Reader) error {
	said := facts{Size: resp.ContentLength, ETag: resp.Header.Get("ETag"), Modified: resp.Header.Get("Last-Modified")}
	from, size, ok := contentRange(resp.Header.Get("Content-Range"))
	switch resp.StatusCode {
	case http.StatusPartialContent:
		said.Size = size
		if ok && from == d.n && size >= 0 && d.facts.same(said) {
			return d.agreed()
		}
		return d.other()
	case http.StatusRequestedRangeNotSatisfiable:
		if size == d.n && size == d.facts.Size {
			return d.agreed() // the body, an error page, is not read: nothing is missing
		}
		return d.other()
	case http.StatusOK:
		return d.judgeWhole(resp, body, said)
	}
	return statusError(d.want, resp)
}

// judgeWhole judges an answer with the whole file: of a source that knows no ranges, or gave nothing to ask them by.
func (d *download) judgeWhole(resp *http.Response, body io.Reader, said facts) error {
	if (d.n > 0 || d.shown) && d.facts.same(said) {
		if again, err := d.again(body); again || err != nil {
			return err
		}
		return d.other()
	}
	if d.n > 0 || d.shown {
		if err := d.replaced(); err != nil {
			return err
		}
	}
	if said.Size < 0 && d.want.sum == "" && resp.ProtoMajor == 1 && len(resp.TransferEncoding) == 0 {
		return fleet.Errorf(fleet.Invalid, "image %s: its server does not say how long it is", d.want).
			WithHint("give its checksum (--image-sha256), or put it on another server")
	}
	return d.first(said)
}

// again reads what we have once more, and says whether it is the same.
func (d *download) again(body io.Reader) (bool, error) {
	sum := sha256.New()
	if _, err := io.CopyN(sum, body, d.n); err != nil {
		return false, err
	}
	if !bytes.Equal(sum.Sum(nil), d.hash.Sum(nil)) {
		return false, nil
	}
	return true, d.agreed()
}

// other is a range that is none of what we have: the file is another one, or the source cannot do ranges well.
func (d *download) other() error {
	if err := d.replaced(); err != nil {
		return err
	}
	return fleet.Errorf(fleet.Unavailable, "image %s: it is fetched from its beginning again", d.want)
}

// replaced begins anew if nobody has read anything yet.
func (d *download) replaced() error {
	if d.shown {
		return fmt.Errorf("image %s: %w", d.want, errChanged)
	}
	return d.diskError(d.begin())
}

// first takes the facts of a file that is fetched from its beginning.
func (d *download) first(said facts) error {
	if said.Size == 0 {
		return fleet.Errorf(fleet.Refused, "image %s is empty", d.want)
	}
	if err := d.cache.room(d.image, said.Size); err != nil {
		return err
	}
	d.n = 0
	d.hash.Reset()
	said.Mark = said.mark(d.key)
	d.facts = said
	return d.agreed()
}

// agreed lets readers begin.
func (d *download) agreed() error {
	if _, err := d.file.Seek(d.n, io.SeekStart); err != nil {
		return d.diskError(err)
	}
	if !d.sure {
		d.sure = true
		if err := d.sync(); err != nil {
			return d.diskError(err)
		}
	}
	d.came(d.n, d.facts)
	return nil
}

// copy takes what comes.
func (d *download) copy(body io.Reader) error {
	buf := make([]byte, block)
	if d.facts.Size >= 0 {
		body = io.LimitReader(body, d.facts.Size-d.n)
	}
	for {
		n, err := body.Read(buf)
		if n > 0 {
			if err := d.write(buf[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (d *download) write(p []byte) error {
	for done := 0; done < len(p); {
		n, err := d.file.Write(p[done:])
		done += n
		if err == nil {
			continue
		}
		if !errors.Is(err, syscall.ENOSPC) || !d.cache.giveUpOne() {
			return d.diskError(err)
		}
	}
	d.hash.Write(p)
	d.n += int64(len(p))
	if d.facts.Size < 0 && d.n > d.cache.MaxBytes {
		return d.cache.tooLarge(d.want, d.n)
	}
	if d.n-d.facts.Synced >= syncEvery || time.Since(d.synced) > syncAfter {
		if err := d.sync(); err != nil {
			return d.diskError(err)
		}
	}
	d.came(d.n, d.facts)
	return nil
}

// sync notes how much is surely on disk.
func (d *download) sync() error {
	d.synced = time.Now()
	if err := d.file.Sync(); err != nil {
		return err
	}
	d.facts.Synced = d.n
	return d.keep(d.facts)
}

// end proves the whole and gives it its name.
func (d *download) end() error {
	d.facts.SHA256, d.facts.Size = hex.EncodeToString(d.hash.Sum(nil)), d.n
	if d.want.sum != "" && !strings.EqualFold(d.want.sum, d.facts.SHA256) {
		return fleet.Errorf(fleet.Refused, "image %s has checksum %s, expected was %s", d.want, d.facts.SHA256, d.want.sum).
			WithHint("check the checksum that was given, or whether the file was replaced")
	}
	if err := d.cache.trim(d.image, d.n); err != nil { // its length may not have been known before
		return err
	}
	if err := d.sync(); err != nil {
		return d.diskError(err)
	}
	d.came(d.n, d.facts)
	return d.diskError(os.Rename(d.part(), d.final()))
}

// contentRange reads "bytes 5-9/10" and "bytes */10"; size is -1 if it is not said.
func contentRange(text string) (from, size int64, ok bool) {
	text, ok = strings.CutPrefix(text, "bytes ")
	span, total, slash := strings.Cut(text, "/")
	size, err := strconv.ParseInt(total, 10, 64)
	if err != nil {
		size = -1
	}
	first, _, _ := strings.Cut(span, "-")
	from, err = strconv.ParseInt(first, 10, 64)
	return from, size, ok && slash && err == nil
}
