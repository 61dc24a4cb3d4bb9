package world

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// window is how much one direction of a pipe holds before a writer waits. SSH peers both write before they
// read, which a pipe without a buffer does not survive.
const window = 256 << 10

// pipe returns two ends of a buffered, full-duplex connection.
func pipe(a, b net.Addr) (net.Conn, net.Conn) {
	up, down := newStream(), newStream()
	return &conn{r: down, w: up, local: a, remote: b}, &conn{r: up, w: down, local: b, remote: a}
}

type conn struct {
	r, w          *stream
	local, remote net.Addr
}

func (c *conn) Read(p []byte) (int, error)  { return c.r.read(p) }
func (c *conn) Write(p []byte) (int, error) { return c.w.write(p) }
func (c *conn) Close() error                { c.r.close(); c.w.close(); return nil }
func (c *conn) CloseWrite() error           { c.w.close(); return nil }
func (c *conn) LocalAddr() net.Addr         { return c.local }
func (c *conn) RemoteAddr() net.Addr        { return c.remote }

func (c *conn) SetDeadline(t time.Time) error {
	c.r.reading.set(c.r, t)
	c.w.writing.set(c.w, t)
	return nil
}
func (c *conn) SetReadDeadline(t time.Time) error  { c.r.reading.set(c.r, t); return nil }
func (c *conn) SetWriteDeadline(t time.Time) error { c.w.writing.set(c.w, t); return nil }

// stream is one direction of a pipe.
type stream struct {
	mu               sync.Mutex
	changed          *sync.Cond
	buf              []byte
	closed           bool
	reading, writing deadline
}

func newStream() *stream {
	s := &stream{}
	s.changed = sync.NewCond(&s.mu)
	return s
}

func (s *stream) read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.buf) == 0 {
		switch {
		case s.closed:
			return 0, io.EOF
		case s.reading.passed():
			return 0, os.ErrDeadlineExceeded
		case len(p) == 0:
			return 0, nil
		}
		s.changed.Wait()
	}
	n := copy(p, s.buf)
	s.buf = s.buf[n:]
	if len(s.buf) == 0 {
		s.buf = nil
	}
	s.changed.Broadcast()
	return n, nil
}

func (s *stream) write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	written := 0
	for len(p) > 0 {
		switch {
		case s.closed:
			return written, io.ErrClosedPipe
		case s.writing.passed():
			return written, os.ErrDeadlineExceeded
		case len(s.buf) >= window:
			s.changed.Wait()
			continue
		}
		n := min(len(p), window-len(s.buf))
		s.buf = append(s.buf, p[:n]...)
		p, written = p[n:], written+n
		s.changed.Broadcast()
	}
	return written, nil
}

func (s *stream) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.reading.stop()
	s.writing.stop()
	s.changed.Broadcast()
}

// deadline of one direction; guarded by its stream's mutex.
type deadline struct {
	at    time.Time
	alarm *time.Timer
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func (d *deadline) stop() {
	if d.alarm != nil {
		d.alarm.Stop()
		d.alarm = nil
	}
}

func (d *deadline) set(s *stream, t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d.stop()
	d.at = t
	if !t.IsZero() && !s.closed {
		d.alarm = time.AfterFunc(time.Until(t), func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.changed.Broadcast()
		})
	}
	s.changed.Broadcast()
}
