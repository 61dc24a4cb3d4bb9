package rescuehost

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

// copyJob is a dd.
type copyJob struct {
	c                                        *call
	from, to                                 string
	in, out                                  int64 // block sizes
	count, skip, seek                        int64
	countBytes, skipBytes, seekBytes         bool
	full, notrunc, nocreat, sparse, progress bool
	quiet                                    bool
	noerror                                  bool

	r              io.Reader
	w              io.Writer
	at             io.WriterAt // of w, where blocks can be left out
	off            int64
	held           []byte // for output blocks other than input blocks
	inFull, inPart int64
	wrote, written int64
	outPart        int64
	started        time.Time
	said           int64
	skipped        bool // the last block was left out
}

// toolDd copies blocks as GNU dd does: a short read of a pipe is a short block unless iflag=fullblock.
func toolDd(c *call) int {
	j := &copyJob{c: c, in: 512, out: 512, count: -1, started: time.Now()}
	for _, a := range c.args {
		name, value, ok := strings.Cut(a, "=")
		if !ok {
			return c.fail(1, "unrecognized operand ‘%s’", a)
		}
		if err := j.operand(name, value); err != nil {
			return c.fail(1, "%v", err)
		}
	}
	if status := j.open(); status != 0 {
		return status
	}
	status := j.copy()
	if f, ok := j.w.(io.Closer); ok && j.to != "" {
		_ = f.Close()
	}
	if f, ok := j.r.(io.Closer); ok && j.from != "" {
		_ = f.Close()
	}
	j.report()
	return status
}

func (j *copyJob) operand(name, value string) error {
	switch name {
	case "if":
		j.from = value
		return nil
	case "of":
		j.to = value
		return nil
	case "status":
		j.progress, j.quiet = value == "progress", value == "none"
		return nil
	case "conv", "iflag", "oflag":
		return j.flags(name, value)
	}
	n, err := number(strings.TrimSuffix(value, "c"))
	if err != nil {
		return fmt.Errorf("invalid number: ‘%s’", value)
	}
	switch name {
	case "bs":
		j.in, j.out = n, n
	case "ibs":
		j.in = n
	case "obs":
		j.out = n
	case "count":
		j.count = n
		j.countBytes = j.countBytes || strings.HasSuffix(value, "B")
	case "skip", "iseek":
		j.skip = n
		j.skipBytes = j.skipBytes || strings.HasSuffix(value, "B")
	case "seek", "oseek":
		j.seek = n
		j.seekBytes = j.seekBytes || strings.HasSuffix(value, "B")
	default:
		return fmt.Errorf("unrecognized operand ‘%s=%s’", name, value)
	}
	if n <= 0 && strings.HasSuffix(name, "bs") {
		return fmt.Errorf("invalid number: ‘%s’", value)
	}
	return nil
}

func (j *copyJob) flags(name, value string) error {
	for f := range strings.SplitSeq(value, ",") {
		switch f {
		case "fullblock":
			j.full = true
		case "count_bytes":
			j.countBytes = true
		case "skip_bytes":
			j.skipBytes = true
		case "seek_bytes":
			j.seekBytes = true
		case "notrunc":
			j.notrunc = true
		case "nocreat":
			j.nocreat = true
		case "sparse":
			j.sparse = true
		case "noerror":
			j.noerror = true
		case "fsync", "fdatasync", "direct", "sync", "dsync", "nonblock", "noatime", "nocache", "excl":
		default:
			return fmt.Errorf("invalid %s flag: ‘%s’", name, f)
		}
	}
	return nil
}

func scale(n, block int64, bytes bool) int64 {
	if bytes {
		return n
	}
	return n * block
}

func (j *copyJob) open() int {
	c := j.c
	j.r, j.w = c.in, c.out
	skip, seek := scale(j.skip, j.in, j.skipBytes), scale(j.seek, j.out, j.seekBytes)
	if j.from != "" && j.from != "/dev/stdin" {
		f, err := c.open(j.from)
		if err != nil {
			return c.fail(1, "failed to open '%s': %s", j.from, errText(errOf(err)))
		}
		j.r = f
		if f, ok := f.(*file); ok && skip > 0 {
			f.off, skip = skip, 0
		}
	}
	if skip > 0 {
		if _, err := io.CopyN(io.Discard, j.r, skip); err != nil && err != io.EOF {
			return c.fail(1, "error reading '%s': %s", j.from, errText(err))
		}
	}
	if j.to == "" || j.to == "/dev/stdout" {
		return 0
	}
	flag := os.O_CREATE
	if j.nocreat {
		flag = 0
	}
	if !j.notrunc && seek == 0 {
		flag |= os.O_TRUNC
	}
	w, err := c.create(j.to, flag)
	if err != nil {
		return c.fail(1, "failed to open '%s': %s", j.to, errText(errOf(err)))
	}
	j.w = w
	if f, ok := w.(*file); ok {
		if seek > 0 && !j.notrunc && f.node.dev == nil {
			_ = f.truncate(seek)
		}
		f.off, j.off = seek, seek
		j.at = f
	}
	return 0
}

// moveAtOnce is how much of a block is moved at once: a block may be large, and many machines copy at the same time.
const moveAtOnce = 256 << 10

// copy moves blocks until the end, the count, or an error.
func (j *copyJob) copy() int {
	buf := make([]byte, min(j.in, moveAtOnce))
	left := int64(-1)
	if j.count >= 0 {
		left = scale(j.count, j.in, j.countBytes)
	}
	for blocks := int64(0); j.countBytes || j.count < 0 || blocks < j.count; blocks++ {
		want := j.in
		if j.countBytes && left >= 0 {
			want = min(want, left)
		}
		if want == 0 {
			break
		}
		n, err, status := j.block(buf, want)
		if status != 0 {
			return status
		}
		left -= n
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			break
		}
		if err != nil && j.c.ctx().Err() == nil {
			return j.c.fail(1, "error reading '%s': %s", nameOr(j.from, "standard input"), errText(errOf(err)))
		}
		if j.c.ctx().Err() != nil {
			return 143
		}
	}
	return j.finish()
}

// block moves one block: one read of a pipe, else as much as the block holds.
func (j *copyJob) block(buf []byte, want int64) (moved int64, err error, status int) {
	_, isFile := j.r.(*file)
	for moved < want && err == nil {
		p, n := buf[:min(int64(len(buf)), want-moved)], 0
		if j.full || isFile {
			n, err = io.ReadFull(j.r, p)
		} else {
			n, err = j.r.Read(p)
		}
		moved += int64(n)
		if n > 0 {
			if status = j.put(p[:n]); status != 0 {
				break
			}
		}
		if !j.full && !isFile {
			break
		}
	}
	if moved > 0 {
		j.countIn(moved)
	}
	return moved, err, status
}

func nameOr(name, or string) string {
	if name == "" {
		return or
	}
	return name
}

// countIn counts an input block, and the output block that it becomes when both have one size.
func (j *copyJob) countIn(n int64) {
	full := n == j.in
	if full {
		j.inFull++
	} else {
		j.inPart++
	}
	if j.in != j.out {
		return
	}
	if full {
		j.wrote++
	} else {
		j.outPart++
	}
}

// put writes a block, gathered to output blocks if their size is another.
func (j *copyJob) put(p []byte) int {
	if j.in == j.out {
		return j.write(p)
	}
	j.held = append(j.held, p...)
	for int64(len(j.held)) >= j.out {
		if status := j.write(j.held[:j.out]); status != 0 {
			return status
		}
		j.held = j.held[j.out:]
	}
	return 0
}

func (j *copyJob) write(p []byte) int {
	if j.sparse && j.at != nil && blank(p) {
		j.w.(*file).off += int64(len(p))
		j.skipped = true
	} else {
		n, err := j.w.Write(p)
		j.skipped = false
		if err != nil {
			j.written += int64(n)
			if isPipe(err) {
				return 141
			}
			if j.said > 0 {
				fmt.Fprintln(j.c.err) // an error does not stand behind the progress
			}
			return j.c.fail(1, "error writing '%s': %s", nameOr(j.to, "standard output"), errText(errOf(err)))
		}
	}
	j.written += int64(len(p))
	if j.in != j.out {
		if int64(len(p)) == j.out {
			j.wrote++
		} else {
			j.outPart++
		}
	}
	if j.progress && j.written-j.said >= 8<<20 {
		j.said = j.written
		fmt.Fprintf(j.c.err, "\r%s", j.line())
	}
	return 0
}

func blank(p []byte) bool {
	for len(p) >= 8 {
		if p[0]|p[1]|p[2]|p[3]|p[4]|p[5]|p[6]|p[7] != 0 {
			return false
		}
		p = p[8:]
	}
	for _, b := range p {
		if b != 0 {
			return false
		}
	}
	return true
}

// finish writes what is left, and the length of a sparse file.
func (j *copyJob) finish() int {
	if len(j.held) > 0 {
		if status := j.write(j.held); status != 0 {
			return status
		}
	}
	if f, ok := j.w.(*file); ok && j.skipped && f.node.dev == nil && f.off > f.size() {
		_ = f.truncate(f.off)
	}
	return 0
}

func (j *copyJob) line() string {
	took := max(j.c.worldSince(j.started).Seconds(), 0.000001)
	human := ""
	if j.written >= 1000 {
		human = fmt.Sprintf(" (%s, %s)", decimal(float64(j.written), 1000, "kMGTP", "B"), decimal(float64(j.written), 1024, "KMGTP", "iB"))
	}
	return fmt.Sprintf("%d bytes%s copied, %s s, %s/s", j.written, human, strconv.FormatFloat(took, 'g', 6, 64), decimal(float64(j.written)/took, 1000, "kMGTP", "B"))
}

func decimal(n, base float64, units, suffix string) string {
	i := -1
	for n >= base && i < len(units)-1 {
		n /= base
		i++
	}
	if i < 0 {
		return fmt.Sprintf("%.0f B", n)
	}
	if n < 10 {
		return fmt.Sprintf("%.1f %c%s", n, units[i], suffix)
	}
	return fmt.Sprintf("%.0f %c%s", n, units[i], suffix)
}

func (j *copyJob) report() {
	if j.quiet {
		return
	}
	if j.progress && j.written > 0 {
		fmt.Fprintf(j.c.err, "\r%s\n", j.line())
	}
	fmt.Fprintf(j.c.err, "%d+%d records in\n%d+%d records out\n%s\n", j.inFull, j.inPart, j.wrote, j.outPart, j.line())
}

// worldSince is the time of the world since a moment of the wall clock.
func (c *call) worldSince(t time.Time) time.Duration {
	second := c.h.w.Real(time.Second)
	if second <= 0 {
		return time.Since(t)
	}
	return time.Duration(float64(time.Since(t)) / float64(second) * float64(time.Second))
}
