package imagecache

import (
	"fmt"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// reserve is what a disk keeps free beside images: the database may be on it, too.
const reserve = 64 << 20

// room makes room for an image of a size, unknown if negative: those go that nobody has used for longest.
func (c *Cache) room(img *image, size int64) error {
	if size > c.MaxBytes {
		return c.tooLarge(img.want, size)
	}
	if err := c.trim(img, size); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		free, ok := c.free(c.Dir)
		if !ok || free >= max(size, 0)+reserve {
			break
		}
		if !c.evict() {
			return c.full(img.want, 0, size)
		}
	}
	return nil
}

// trim removes what goes beyond all that images may take, when one of them is to have a size.
func (c *Cache) trim(img *image, size int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.others(img)+max(size, 0) > c.MaxBytes {
		if !c.evict() {
			return fleet.Errorf(fleet.Exhausted, "image %s does not fit: the others are all in use", img.want).
				WithHint("raise the setting image-cache-size, or wait until installs that run have ended")
		}
	}
	img.reserve(size)
	return nil
}

// others is the room that all but one image take. c.mu is held.
func (c *Cache) others(img *image) (sum int64) {
	for _, other := range c.images {
		if other != img {
			n, _, _ := other.size()
			sum += n
		}
	}
	return sum
}

// giveUpOne removes an image when the disk is full.
func (c *Cache) giveUpOne() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.evict()
}

// evict removes the image that was not used for longest. None that is read or fetched is. c.mu is held.
func (c *Cache) evict() bool {
	var oldest *image
	var when time.Time
	for _, img := range c.images {
		if n, idle, used := img.size(); idle && n > 0 && (oldest == nil || used.Before(when)) {
			oldest, when = img, used
		}
	}
	if oldest == nil {
		return false
	}
	c.Log.Info("image leaves the cache", "file", oldest.base, "used", when)
	delete(c.images, oldest.key)
	c.remove(oldest)
	return true
}

// bytesText is an amount for people.
func bytesText(n int64) string {
	units := []string{"bytes", "kB", "MB", "GB"}
	if n < 0 {
		return "an unknown amount"
	}
	x, unit := float64(n), 0
	for x >= 1000 && unit < len(units)-1 {
		x, unit = x/1000, unit+1
	}
	if unit == 0 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%.1f %s", x, units[unit])
}
