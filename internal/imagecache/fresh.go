package imagecache

import (
	"context"
	"net/http"
	"time"
)

// stillTrue asks the source whether it still has the file that we have, unless somebody asked lately. A source that
// does not answer, or does not say, has it: an outage stops nobody.
func (c *Cache) stillTrue(ctx context.Context, img *image, w wanted) bool {
	select {
	case img.asking <- struct{}{}:
		defer func() { <-img.asking }()
	case <-ctx.Done():
		return true
	}
	img.mu.Lock()
	had, due := img.facts, img.whole && time.Since(img.asked) > c.times.fresh
	img.mu.Unlock()
	if !due {
		return true
	}
	said, err := c.head(ctx, w)
	if err != nil {
		c.Log.Warn("the source of an image does not answer; what we have is used", "image", w.String(), "error", err)
	}
	if err == nil && !had.same(said) {
		return false
	}
	img.mu.Lock()
	img.asked = time.Now()
	img.mu.Unlock()
	return true
}

func (c *Cache) head(ctx context.Context, w wanted) (facts, error) {
	ctx, cancel := context.WithTimeout(ctx, c.times.check)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, w.source, nil)
	if err != nil {
		return facts{}, err
	}
	req.Header.Set("Accept-Encoding", "identity")
	resp, err := c.Client.Do(req)
	if err != nil {
		return facts{}, unreachable(w, err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return facts{}, statusError(w, resp)
	}
	return facts{Size: resp.ContentLength, ETag: resp.Header.Get("ETag"), Modified: resp.Header.Get("Last-Modified")}, nil
}
