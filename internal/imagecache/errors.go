package imagecache

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"syscall"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// String names an image for people.
func (w wanted) String() string { return fleet.ShownURL(w.source) }

// sourceError says why a source gave no more. What is our disk's fault stays so.
func (d *download) sourceError(ctx context.Context, err error) error {
	if e, ok := errors.AsType[*fleet.Error](err); ok {
		return e
	}
	if errors.Is(err, errChanged) {
		return err
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return unreachable(d.want, err)
}

func unreachable(w wanted, err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok { // its text has the whole address
		err = e.Err
	}
	return fleet.Errorf(fleet.Unavailable, "fetch image %s: %w", w, err).WithHint("check that this machine reaches it, or try again later")
}

func statusError(w wanted, resp *http.Response) error {
	kind, hint := fleet.Unavailable, "try again later"
	switch code := resp.StatusCode; {
	case code == http.StatusNotFound || code == http.StatusGone:
		kind, hint = fleet.NotFound, "check its address; of a factory: the Talos version and the schematic"
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		kind, hint = fleet.Forbidden, "its server wants a login: put it into the address, as https://USER:PASSWORD@…"
	case code == http.StatusTooManyRequests || code == http.StatusRequestTimeout:
	case code < http.StatusInternalServerError:
		kind, hint = fleet.Invalid, "check its address"
	}
	return fleet.Errorf(kind, "fetch image %s: its server answers %s", w, resp.Status).WithHint("%s", hint)
}

// diskError is a failure of our own disk. Trying again at once does not help. Nil stays nil.
func (d *download) diskError(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return d.cache.full(d.want, d.n, d.facts.Size)
	}
	return fleet.Errorf(fleet.Internal, "keep image %s: %w", d.want, err).WithHint("look at %s on the machine that talos-manager runs on", d.cache.Dir)
}

func (c *Cache) full(w wanted, n, size int64) error {
	return fleet.Errorf(fleet.Exhausted, "no space left in %s for image %s: %s of %s are there", c.Dir, w, bytesText(n), bytesText(size)).
		WithHint("make room on that disk, or install without --via-manager")
}

func (c *Cache) tooLarge(w wanted, size int64) error {
	return fleet.Errorf(fleet.Exhausted, "image %s does not fit: it has %s, all images together may have %s", w, bytesText(size), bytesText(c.MaxBytes)).
		WithHint("raise the setting image-cache-size, or install without --via-manager")
}
