package rescuehost

import (
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"sync"
	"syscall"
)

// file is an open file. It reads and writes at its offset; devices and regular files also at any other.
type file struct {
	tree   *tree
	node   *node
	name   string
	flag   int
	closed func() // after a device was written

	mu      sync.Mutex
	off     int64
	made    []byte // content of a generated file
	written bool
	shut    bool
}

// open opens a file by its absolute path, with the flags of package os.
func (t *tree) open(name string, flag int, perm fs.FileMode) (*file, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n, parent, base, err := t.walk(name, true)
	writing := flag&(os.O_WRONLY|os.O_RDWR) != 0
	switch {
	case err != nil && flag&os.O_CREATE != 0 && parent != nil:
		n = &node{mode: perm & 0o777, mtime: t.now(), data: []byte{}}
		parent.kids[base] = n
	case err != nil:
		return nil, pathError("open", name, err)
	case n.kids != nil && writing:
		return nil, pathError("open", name, syscall.EISDIR)
	}
	if flag&os.O_TRUNC != 0 && writing && n.dev == nil && n.gen == nil {
		t.used -= int64(len(n.data))
		n.data = []byte{}
		n.mtime = t.now()
	}
	f := &file{tree: t, node: n, name: path.Clean("/" + name), flag: flag}
	if n.gen != nil && !writing {
		f.made = n.gen()
	}
	return f, nil
}

// ReadAt reads at an offset.
func (f *file) ReadAt(p []byte, off int64) (int, error) {
	n := f.node
	switch {
	case n.dev != nil:
		return n.dev.ReadAt(p, off)
	case n.kids != nil:
		return 0, pathError("read", f.name, syscall.EISDIR)
	}
	f.tree.mu.RLock()
	defer f.tree.mu.RUnlock()
	data := n.data
	if n.gen != nil {
		data = f.made
	}
	if off >= int64(len(data)) {
		return 0, io.EOF
	}
	k := copy(p, data[off:])
	if k < len(p) {
		return k, io.EOF
	}
	return k, nil
}

func (f *file) Read(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.shut {
		return 0, os.ErrClosed
	}
	n, err := f.ReadAt(p, f.off)
	f.off += int64(n)
	if n > 0 && err == io.EOF {
		err = nil
	}
	return n, err
}

// WriteAt writes at an offset; a regular file grows.
func (f *file) WriteAt(p []byte, off int64) (int, error) {
	n := f.node
	f.written = true
	switch {
	case f.flag&(os.O_WRONLY|os.O_RDWR) == 0:
		return 0, pathError("write", f.name, syscall.EBADF)
	case n.dev != nil:
		return writeDevice(n.dev, p, off)
	case n.gen != nil:
		if n.set == nil {
			return 0, pathError("write", f.name, syscall.EACCES)
		}
		return len(p), n.set(p)
	}
	t := f.tree
	t.mu.Lock()
	defer t.mu.Unlock()
	grow := off + int64(len(p)) - int64(len(n.data))
	if grow > 0 {
		if t.used+grow > t.limit {
			return 0, pathError("write", f.name, syscall.ENOSPC)
		}
		n.data = slices.Grow(n.data, int(grow))[:off+int64(len(p))]
		t.used += grow
	}
	n.mtime = t.now()
	return copy(n.data[off:], p), nil
}

// writeDevice writes what fits; past the end there is no space left.
func writeDevice(d device, p []byte, off int64) (int, error) {
	size := d.Size()
	if size < 0 || off+int64(len(p)) <= size {
		return d.WriteAt(p, off)
	}
	fits := max(0, size-off)
	if fits > 0 {
		if n, err := d.WriteAt(p[:fits], off); err != nil {
			return n, err
		}
	}
	return int(fits), syscall.ENOSPC
}

func (f *file) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.shut {
		return 0, os.ErrClosed
	}
	if f.flag&os.O_APPEND != 0 && f.node.dev == nil {
		f.tree.mu.RLock()
		f.off = int64(len(f.node.data))
		f.tree.mu.RUnlock()
	}
	n, err := f.WriteAt(p, f.off)
	f.off += int64(n)
	return n, err
}

// Close closes; a device that was written is looked at again by the kernel and udev.
func (f *file) Close() error {
	f.mu.Lock()
	if f.shut {
		f.mu.Unlock()
		return os.ErrClosed
	}
	f.shut = true
	tell := f.written && f.closed != nil
	f.mu.Unlock()
	if tell {
		f.closed()
	}
	return nil
}

// truncate sets the length of a regular file.
func (f *file) truncate(size int64) error {
	t := f.tree
	t.mu.Lock()
	defer t.mu.Unlock()
	n := f.node
	if n.dev != nil || n.gen != nil {
		return nil
	}
	grow := size - int64(len(n.data))
	if t.used+grow > t.limit {
		return syscall.ENOSPC
	}
	t.used += grow
	if grow <= 0 {
		n.data = n.data[:size]
		return nil
	}
	old := len(n.data)
	n.data = slices.Grow(n.data, int(grow))[:size]
	clear(n.data[old:])
	return nil
}

// size is the length of what can be read: of a device its size.
func (f *file) size() int64 {
	if f.node.dev != nil {
		return f.node.dev.Size()
	}
	f.tree.mu.RLock()
	defer f.tree.mu.RUnlock()
	if f.node.gen != nil {
		return int64(len(f.made))
	}
	return int64(len(f.node.data))
}

// charDevice is a character device.
type charDevice struct {
	read  func(p []byte) (int, error)
	write func(p []byte) (int, error)
}

func (c charDevice) ReadAt(p []byte, _ int64) (int, error)  { return c.read(p) }
func (c charDevice) WriteAt(p []byte, _ int64) (int, error) { return c.write(p) }
func (charDevice) Size() int64                              { return -1 }
