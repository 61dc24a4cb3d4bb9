package rescuehost

import "io"

// window is a part of a device.
type window struct {
	d           device
	start, size int64
}

func windowOf(d device, start, size int64) window { return window{d, start, size} }

func (w window) ReadAt(b []byte, off int64) (int, error) {
	if off >= w.size {
		return 0, io.EOF
	}
	short := false
	if int64(len(b)) > w.size-off {
		b, short = b[:w.size-off], true
	}
	n, err := w.d.ReadAt(b, w.start+off)
	if err == nil && short {
		err = io.EOF
	}
	return n, err
}
