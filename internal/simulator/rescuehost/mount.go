package rescuehost

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// mounted is a mount. Those of a volume of the world (world.Volume) show its files and write them back when they
// are unmounted or synced, if they changed.
type mounted struct {
	source, target, kind, opts string
	dev                        block // nil: not a device
	volume                     *world.Volume
	root, covered, parent      *node
	base                       string
}

// mount mounts a device's volume.
func (h *Host) mount(b block, target, kind, opts string) error {
	v, err := world.ReadVolume(b, 0, b.Size())
	switch {
	case errors.Is(err, world.ErrNoVolume):
		return errors.New("wrong fs type, bad option, bad superblock on /dev/" + b.base() + ", missing codepage or helper program, or other error.")
	case err != nil:
		return errors.New("mount(2) system call failed: Structure needs cleaning.")
	case kind != "" && kind != "auto" && kind != v.Kind:
		return errors.New("wrong fs type, bad option, bad superblock on /dev/" + b.base() + ", missing codepage or helper program, or other error.")
	}
	if h.mountedAt(b) != nil {
		return fmt.Errorf("/dev/%s already mounted on %s.", b.base(), h.mountedAt(b).target)
	}
	t := h.tree
	t.mu.Lock()
	n, parent, base, err := t.walk(target, true)
	if err != nil || n.kids == nil || parent == nil {
		t.mu.Unlock()
		return errors.New("mount point does not exist.")
	}
	m := &mounted{
		source: "/dev/" + b.base(), target: path.Clean(target), kind: v.Kind, opts: opts, dev: b, volume: v,
		root: t.newDir(), covered: n, parent: parent, base: base,
	}
	parent.kids[base] = m.root
	for name, data := range v.Files {
		dir := t.mkdirs(path.Join(target, path.Dir(name)))
		dir.kids[path.Base(name)] = &node{mode: 0o644, mtime: t.now(), data: slices.Clone(data)}
		t.used += int64(len(data))
	}
	t.mu.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mounts = append(h.mounts, m)
	return nil
}

// mountedAt gives the mount of a device, nil if it is not mounted.
func (h *Host) mountedAt(b block) *mounted {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, m := range h.mounts {
		if m.dev != nil && m.dev.base() == b.base() {
			return m
		}
	}
	return nil
}

// unmount ends a mount given by its target or its device.
func (h *Host) unmount(name string) error {
	h.mu.Lock()
	i := slices.IndexFunc(h.mounts, func(m *mounted) bool { return m.target == name || m.source == name && m.dev != nil })
	if i < 0 {
		h.mu.Unlock()
		return syscall.EINVAL
	}
	m := h.mounts[i]
	h.mounts = slices.Delete(h.mounts, i, i+1)
	h.mu.Unlock()
	err := h.flush(m)
	if m.root == nil {
		return err
	}
	h.tree.mu.Lock()
	defer h.tree.mu.Unlock()
	h.tree.used -= sizeOf(m.root)
	m.parent.kids[m.base] = m.covered
	return err
}

// flush writes a volume back if its files changed.
func (h *Host) flush(m *mounted) error {
	if m.volume == nil || strings.Contains(","+m.opts+",", ",ro,") {
		return nil
	}
	files := map[string][]byte{}
	h.tree.mu.RLock()
	collect(m.root, "", files)
	h.tree.mu.RUnlock()
	if maps.EqualFunc(files, m.volume.Files, bytes.Equal) {
		return nil
	}
	m.volume.Files = files
	d, start := place(m.dev)
	if d == nil || h.ctx.Err() != nil {
		return syscall.EIO
	}
	return m.volume.Write(d.Disk, start, m.dev.Size())
}

func collect(n *node, at string, into map[string][]byte) {
	for name, kid := range n.kids {
		where := path.Join(at, name)
		if kid.kids != nil {
			collect(kid, where, into)
			continue
		}
		if kid.mode&fs.ModeType == 0 {
			into[where] = slices.Clone(kid.data)
		}
	}
}

// sync writes everything back.
func (h *Host) sync() {
	h.mu.Lock()
	all := slices.Clone(h.mounts)
	h.mu.Unlock()
	for _, m := range all {
		_ = h.flush(m)
	}
}

// unmountAll is what a clean shutdown does.
func (h *Host) unmountAll() { h.sync() }

// mountLines is what mount prints; /proc/mounts is close to it.
func (h *Host) mountLines() []*mounted {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.mounts)
}
