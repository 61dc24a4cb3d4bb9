package rescuehost

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// toolFallocate makes room in a file. On a device it takes content away: the kernel promises that what was punched
// reads as zero, and refuses where the device cannot do that. Source: Linux block/fops.c, blkdev_fallocate.
func toolFallocate(c *call) int {
	opts, rest, err := getopt(c.args, "cdil:no:pvxz", "length=", "offset=", "punch-hole", "zero-range", "keep-size", "posix", "verbose")
	if err != nil || len(rest) != 1 {
		return c.fail(1, "no filename specified")
	}
	off, length, punch := int64(0), int64(-1), false
	for _, o := range opts {
		switch o.name {
		case "o", "offset":
			off, err = number(o.value)
		case "l", "length":
			length, err = number(o.value)
		case "p", "punch-hole":
			punch = true
		}
		if err != nil {
			return c.fail(1, "failed to parse size")
		}
	}
	b, err := c.h.device(c.dir, rest[0])
	if err != nil {
		return toolTruncate(c)
	}
	d, start := place(b)
	switch {
	case !punch || d == nil || d.Rotational || c.h.opt.TrimIsAdvisory:
		return c.fail(1, "%s: fallocate failed: Operation not supported", rest[0])
	case off%world.Sector != 0 || length%world.Sector != 0 || length <= 0 || off+length > b.Size():
		return c.fail(1, "%s: fallocate failed: Invalid argument", rest[0])
	}
	if err := d.discard(start+off, length); err != nil {
		return c.fail(1, "%s: fallocate failed: %s", rest[0], errText(err))
	}
	return 0
}

// toolCksum is POSIX' checksum of the input: CRC-32 of the bytes and of their number.
func toolCksum(c *call) int {
	if len(c.args) > 0 {
		return c.fail(1, "only the input is read")
	}
	sum := newPosixCRC()
	if status := c.pump(sum, c.in); status != 0 {
		return status
	}
	c.printf("%d %d\n", sum.value(), sum.n)
	return 0
}

// posixCRC is most significant bit first, unlike hash/crc32.
type posixCRC struct {
	table [256]uint32
	crc   uint32
	n     int64
}

func newPosixCRC() *posixCRC {
	p := &posixCRC{}
	for i := range p.table {
		crc := uint32(i) << 24
		for range 8 {
			if crc&(1<<31) != 0 {
				crc = crc<<1 ^ 0x04c11db7
			} else {
				crc <<= 1
			}
		}
		p.table[i] = crc
	}
	return p
}

// Write adds bytes.
func (p *posixCRC) Write(b []byte) (int, error) {
	crc := p.crc
	for _, x := range b {
		crc = crc<<8 ^ p.table[byte(crc>>24)^x]
	}
	p.crc, p.n = crc, p.n+int64(len(b))
	return len(b), nil
}

func (p *posixCRC) value() uint32 {
	crc := p.crc
	for n := p.n; n > 0; n >>= 8 {
		crc = crc<<8 ^ p.table[byte(crc>>24)^byte(n)]
	}
	return ^crc
}

// unpackTo writes to a file; zeroes are left out where it is asked for and it is a device, as zstd --sparse does.
func unpackTo(w io.Writer, sparse bool) io.Writer {
	if f, ok := w.(*file); ok && sparse && f.node.dev != nil {
		return writeFunc(func(p []byte) (int, error) {
			if blank(p) {
				f.off += int64(len(p))
				return len(p), nil
			}
			return f.Write(p)
		})
	}
	return w
}

type writeFunc func(p []byte) (int, error)

func (f writeFunc) Write(p []byte) (int, error) { return f(p) }

// goesOn refuses to go on in the middle when the server begins at the beginning.
func (t *transfer) goesOn(res *http.Response) failure {
	if t.resume == 0 || res.StatusCode == http.StatusPartialContent && strings.HasPrefix(res.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", t.resume)) {
		return failure{}
	}
	return failure{33, "HTTP server doesn't seem to support byte ranges. Cannot resume.", false}
}

// dumpHeaders is -D.
func (t *transfer) dumpHeaders(res *http.Response) failure {
	if t.dump == "" {
		return failure{}
	}
	w, err := t.c.create(t.dump, os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return failure{23, "Failed to open " + t.dump, false}
	}
	defer w.Close()
	fmt.Fprintf(w, "%s %s\r\n", res.Proto, res.Status)
	if res.ContentLength >= 0 && res.Header.Get("Content-Length") == "" {
		fmt.Fprintf(w, "Content-Length: %d\r\n", res.ContentLength)
	}
	_ = res.Header.Write(w)
	fmt.Fprint(w, "\r\n")
	return failure{}
}

// watched ends a body that does not move for the time of --speed-time.
func (t *transfer) watched(body io.Reader, stop func()) (io.Reader, func() bool) {
	if t.stall == 0 {
		return body, func() bool { return false }
	}
	var late atomic.Bool
	limit := max(t.c.h.w.Real(t.stall), 20*time.Second) // who serves may be busy, in a fast world
	timer := time.AfterFunc(limit, func() { late.Store(true); stop() })
	return readFunc(func(p []byte) (int, error) {
		timer.Reset(limit)
		n, err := body.Read(p)
		timer.Stop() // the time in which nobody reads does not count
		return n, err
	}), late.Load
}

// writeOut prints the format of -w, which a failed transfer prints too.
func (t *transfer) writeOut(u string) {
	if t.format == "" {
		return
	}
	w, format := t.c.out, t.format
	if rest, ok := strings.CutPrefix(format, "%{stderr}"); ok {
		w, format = t.c.err, rest
	}
	code := fmt.Sprintf("%03d", t.status)
	fmt.Fprint(w, strings.NewReplacer("%{http_code}", code, "%{response_code}", code, "%{size_download}", strconv.FormatInt(t.got, 10),
		"%{url_effective}", u, "%{header_json}", "{}", `\n`, "\n", `\t`, "\t").Replace(format))
}
