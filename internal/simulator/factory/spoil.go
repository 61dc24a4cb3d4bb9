package factory

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// spoil applies the faults of a download.
func (f *Factory) spoil(w http.ResponseWriter, r *http.Request, content io.ReadSeeker) (http.ResponseWriter, io.ReadSeeker) {
	size, err := content.Seek(0, io.SeekEnd)
	if err != nil {
		return w, content
	}
	_, _ = content.Seek(0, io.SeekStart)
	if f.fires(func(x *Faults) *int { return &x.Corrupt }) {
		content = &flipped{ReadSeeker: content, at: size / 2}
	}
	if f.fires(func(x *Faults) *int { return &x.Truncated }) {
		w = &cut{ResponseWriter: w, left: size / 2}
	}
	f.mu.Lock()
	speed := f.faults.BytesPerSecond
	f.mu.Unlock()
	if speed > 0 {
		w = &slow{ResponseWriter: w, ctx: r.Context(), world: f.world, speed: speed}
	}
	return w, content
}

// flipped changes one byte of what it reads.
type flipped struct {
	io.ReadSeeker
	at, off int64
}

func (f *flipped) Seek(offset int64, whence int) (int64, error) {
	n, err := f.ReadSeeker.Seek(offset, whence)
	f.off = n
	return n, err
}

func (f *flipped) Read(p []byte) (int, error) {
	n, err := f.ReadSeeker.Read(p)
	if i := f.at - f.off; i >= 0 && i < int64(n) {
		p[i] ^= 0x55
	}
	f.off += int64(n)
	return n, err
}

// cut breaks the connection after some bytes of body; Content-Length has promised more.
type cut struct {
	http.ResponseWriter
	left int64
}

func (c *cut) Write(p []byte) (int, error) {
	if int64(len(p)) < c.left {
		c.left -= int64(len(p))
		return c.ResponseWriter.Write(p)
	}
	_, _ = c.ResponseWriter.Write(p[:c.left])
	_ = http.NewResponseController(c.ResponseWriter).Flush()
	panic(http.ErrAbortHandler)
}

func (c *cut) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// slow lets so many bytes pass in a second of the world.
type slow struct {
	http.ResponseWriter
	ctx   context.Context
	world *world.World
	speed int64
}

func (s *slow) Write(p []byte) (int, error) {
	if !s.world.Sleep(s.ctx, time.Duration(int64(len(p))*int64(time.Second)/s.speed)) {
		return 0, s.ctx.Err()
	}
	return s.ResponseWriter.Write(p)
}

func (s *slow) Unwrap() http.ResponseWriter { return s.ResponseWriter }
