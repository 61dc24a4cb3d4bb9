package world

import (
	"bytes"
	"errors"
	"io"
	"sync"
)

// chunk is the unit in which a disk remembers what was written.
const chunk = 64 << 10

// piece is a chunk; a shared one is never changed.
type piece struct {
	data   []byte
	shared bool
}

// ErrIO is what a failing disk says.
var ErrIO = errors.New("input/output error")

// Disk is a sparse block device: what was never written, or was written as zeroes, takes no memory. It
// implements io.ReaderAt and io.WriterAt and survives power cuts.
type Disk struct {
	Name       string // sda, nvme0n1
	Model      string
	Serial     string
	WWN        string // as lsblk prints it: eui.…, 0x5002…, "" if none
	SizeBytes  int64
	Rotational bool
	Transport  string // nvme, sata, scsi

	mu      sync.RWMutex
	machine *Machine
	chunks  map[int64]piece
	written int64
}

func (d *Disk) attach(m *Machine) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.machine = m
}

// ReadAt reads; never written is zero.
func (d *Disk) ReadAt(p []byte, off int64) (int, error) {
	if off >= d.SizeBytes {
		return 0, io.EOF
	}
	n, short := len(p), error(nil)
	if int64(n) > d.SizeBytes-off {
		n, short = int(d.SizeBytes-off), io.EOF
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	for done := 0; done < n; {
		at := off + int64(done)
		inside := int(at % chunk)
		part := min(n-done, chunk-inside)
		if c := d.chunks[at/chunk].data; c != nil {
			copy(p[done:done+part], c[inside:])
		} else {
			clear(p[done : done+part])
		}
		done += part
	}
	return n, short
}

// WriteAt writes. A disk with the fault DiskFails says ErrIO past its middle.
func (d *Disk) WriteAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > d.SizeBytes {
		return 0, errors.New("no space left on device")
	}
	if d.machine != nil && d.machine.Faulty().DiskFails && off > 16<<20 {
		return 0, ErrIO
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.chunks == nil {
		d.chunks = map[int64]piece{}
	}
	for done := 0; done < len(p); {
		at := off + int64(done)
		inside := int(at % chunk)
		part := min(len(p)-done, chunk-inside)
		d.put(at/chunk, inside, p[done:done+part])
		done += part
	}
	d.written += int64(len(p))
	return len(p), nil
}

// put changes one chunk. d.mu is held.
func (d *Disk) put(index int64, inside int, p []byte) {
	if d.chunks[index].data == nil && zero(p) {
		return
	}
	if len(p) == chunk {
		delete(d.chunks, index)
		if !zero(p) {
			d.chunks[index] = d.same(p)
		}
		return
	}
	c := d.own(index)
	copy(c, d.chunks[index].data)
	copy(c[inside:], p)
	d.chunks[index] = piece{data: c}
	if zero(p) && zero(c) {
		delete(d.chunks, index)
	}
}

// own gives a chunk that may be changed. d.mu is held.
func (d *Disk) own(index int64) []byte {
	if c := d.chunks[index]; c.data != nil && !c.shared {
		return c.data
	}
	return make([]byte, chunk)
}

// same gives a whole chunk of that content, one that another disk of the world has already if there is one.
func (d *Disk) same(p []byte) piece {
	if d.machine == nil {
		return piece{data: bytes.Clone(p)}
	}
	return piece{data: d.machine.World.shared.of(p), shared: true}
}

// Discard forgets a range, as TRIM on a device that then reads zero.
func (d *Disk) Discard(off, n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range d.chunks {
		start := i * chunk
		switch {
		case start >= off && start+chunk <= off+n:
			delete(d.chunks, i)
		case start < off+n && start+chunk > off:
			from, to := max(off, start)-start, min(off+n, start+chunk)-start
			c := d.own(i)
			copy(c, d.chunks[i].data)
			clear(c[from:to])
			d.chunks[i] = piece{data: c}
		}
	}
}

// Zero says whether a range reads as zero, without reading it.
func (d *Disk) Zero(off, n int64) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for i, c := range d.chunks {
		from, to := max(off, i*chunk)-i*chunk, min(off+n, (i+1)*chunk)-i*chunk
		if from < to && !zero(c.data[from:to]) {
			return false
		}
	}
	return true
}

// Written counts the bytes written since the disk was made.
func (d *Disk) Written() int64 {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.written
}

// Used is the memory its contents take, what it shares with other disks included.
func (d *Disk) Used() int64 {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return int64(len(d.chunks)) * chunk
}

func zero(p []byte) bool {
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
