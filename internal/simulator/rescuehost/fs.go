package rescuehost

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// tree is the file system of one boot: all in memory, nothing of the real machine's. Paths are absolute.
type tree struct {
	mu    sync.RWMutex
	root  *node
	limit int64 // bytes that regular files may take
	used  int64
	now   func() time.Time
}

// node is a file. What it is follows from which field is set: kids (directory), link (symlink), dev (device),
// gen (content made when opened); else a regular file.
type node struct {
	mode  fs.FileMode
	mtime time.Time
	data  []byte
	kids  map[string]*node
	link  string
	dev   device
	gen   func() []byte
	set   func([]byte) error // writing to a generated file
}

// device is what stands behind a device node.
type device interface {
	ReadAt(p []byte, off int64) (int, error)
	WriteAt(p []byte, off int64) (int, error)
	Size() int64 // -1: a character device
}

func newTree(now func() time.Time, limit int64) *tree {
	t := &tree{now: now, limit: limit}
	t.root = t.newDir()
	return t
}

func (t *tree) newDir() *node {
	return &node{mode: fs.ModeDir | 0o755, mtime: t.now(), kids: map[string]*node{}}
}

// maxLinks is how many symlinks a path may go through.
const maxLinks = 20

// walk finds a node. follow says whether a symlink at the end is followed. It also gives the parent directory and
// the last name, with which a node that does not exist can be made. t.mu is held.
func (t *tree) walk(name string, follow bool) (n, parent *node, base string, err error) {
	parts := strings.Split(strings.Trim(path.Clean("/"+name), "/"), "/")
	stack := []*node{t.root}
	links := 0
	for i := 0; i < len(parts); i++ {
		dir, part := stack[len(stack)-1], parts[i]
		switch part {
		case "", ".":
			continue
		case "..":
			stack = stack[:max(1, len(stack)-1)]
			continue
		}
		if dir.kids == nil {
			return nil, nil, "", syscall.ENOTDIR
		}
		kid := dir.kids[part]
		last := i == len(parts)-1
		if kid == nil {
			if last {
				return nil, dir, part, syscall.ENOENT
			}
			return nil, nil, "", syscall.ENOENT
		}
		if kid.link != "" && (follow || !last) {
			if links++; links > maxLinks {
				return nil, nil, "", syscall.ELOOP
			}
			rest := parts[i+1:]
			parts, i = append(strings.Split(kid.link, "/"), rest...), -1
			if strings.HasPrefix(kid.link, "/") {
				stack = stack[:1]
			}
			continue
		}
		if last {
			return kid, dir, part, nil
		}
		stack = append(stack, kid)
	}
	return stack[len(stack)-1], nil, "", nil
}

// real gives the path of a node without symlinks and dots.
func (t *tree) real(name string) (string, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for range maxLinks {
		name = path.Clean("/" + name)
		at, next := "", ""
		parts := strings.Split(strings.Trim(name, "/"), "/")
		for i, part := range parts {
			n, _, _, err := t.walk(at+"/"+part, false)
			if err != nil && (err != syscall.ENOENT || i < len(parts)-1) {
				return "", err
			}
			if n != nil && n.link != "" {
				target := n.link
				if !strings.HasPrefix(target, "/") {
					target = at + "/" + target
				}
				next = target + "/" + strings.Join(parts[i+1:], "/")
				break
			}
			at += "/" + part
		}
		if next == "" {
			return name, nil
		}
		name = next
	}
	return "", syscall.ELOOP
}

func pathError(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &os.PathError{Op: op, Path: name, Err: err}
}

// errText is an error as the C library words it.
func errText(err error) string {
	var e syscall.Errno
	if errors.As(err, &e) {
		text := e.Error()
		return strings.ToUpper(text[:1]) + text[1:]
	}
	return err.Error()
}

// put makes or replaces a node, its directories too. It is how the system is furnished.
func (t *tree) put(name string, n *node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	dir := t.mkdirs(path.Dir(name))
	if n.mtime.IsZero() {
		n.mtime = t.now()
	}
	dir.kids[path.Base(name)] = n
}

func (t *tree) text(name, content string) { t.put(name, &node{mode: 0o644, data: []byte(content)}) }
func (t *tree) symlink(name, target string) {
	t.put(name, &node{mode: fs.ModeSymlink | 0o777, link: target})
}

func (t *tree) generated(name string, gen func() []byte) {
	t.put(name, &node{mode: 0o444, gen: gen})
}

// mkdirs makes a directory and its parents. t.mu is held. It goes through symlinks; a file in the way is replaced,
// which only furnishing does.
func (t *tree) mkdirs(name string) *node {
	n, _, _, err := t.walk(name, true)
	if err == nil && n.kids != nil {
		return n
	}
	parent := t.mkdirs(path.Dir(path.Clean(name)))
	kid := t.newDir()
	parent.kids[path.Base(name)] = kid
	return kid
}

// mkdir makes a directory; all makes its parents too and accepts an existing one.
func (t *tree) mkdir(name string, all bool) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	n, parent, base, err := t.walk(name, true)
	switch {
	case err == nil && all && n.kids != nil:
		return nil
	case err == nil:
		return syscall.EEXIST
	case parent != nil:
		parent.kids[base] = t.newDir()
		return nil
	case !all:
		return err
	}
	at := ""
	for part := range strings.SplitSeq(strings.Trim(path.Clean(name), "/"), "/") {
		at += "/" + part
		n, parent, base, err := t.walk(at, true)
		if err == nil && n.kids != nil {
			continue
		}
		if err == nil || parent == nil {
			return syscall.ENOTDIR
		}
		parent.kids[base] = t.newDir()
	}
	return nil
}

// remove deletes a file, with all a directory and what is in it.
func (t *tree) remove(name string, all bool) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	n, parent, base, err := t.walk(name, false)
	switch {
	case err != nil:
		return err
	case parent == nil:
		return syscall.EBUSY
	case len(n.kids) > 0 && !all:
		return syscall.ENOTEMPTY
	}
	t.used -= sizeOf(n)
	delete(parent.kids, base)
	return nil
}

func sizeOf(n *node) int64 {
	sum := int64(len(n.data))
	for _, kid := range n.kids {
		sum += sizeOf(kid)
	}
	return sum
}

// rename moves a file; an existing file at the new name goes.
func (t *tree) rename(from, to string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	n, parent, base, err := t.walk(from, false)
	if err != nil {
		return err
	}
	old, newParent, newBase, err := t.walk(to, false)
	if err != nil && newParent == nil {
		return err
	}
	if parent == nil || newParent == nil {
		return syscall.EBUSY
	}
	if old != nil && old != n {
		t.used -= sizeOf(old)
	}
	delete(parent.kids, base)
	newParent.kids[newBase] = n
	return nil
}

// stat describes a file.
func (t *tree) stat(name string, follow bool) (fs.FileInfo, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	n, _, _, err := t.walk(name, follow)
	if err != nil {
		return nil, pathError("stat", name, err)
	}
	return infoOf(path.Base(path.Clean("/"+name)), n), nil
}

func infoOf(name string, n *node) info {
	i := info{name: name, mode: n.mode, mtime: n.mtime, size: int64(len(n.data)), node: n}
	if n.dev != nil {
		i.size = 0
	}
	return i
}

// list gives the entries of a directory by name.
func (t *tree) list(name string) ([]fs.DirEntry, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	n, _, _, err := t.walk(name, true)
	if err == nil && n.kids == nil {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return nil, pathError("open", name, err)
	}
	var all []fs.DirEntry
	for _, base := range slices.Sorted(maps.Keys(n.kids)) {
		all = append(all, fs.FileInfoToDirEntry(infoOf(base, n.kids[base])))
	}
	return all, nil
}

// readFile gives the content of a file; devices are not read.
func (t *tree) readFile(name string) ([]byte, error) {
	t.mu.RLock()
	n, _, _, err := t.walk(name, true)
	if err != nil {
		t.mu.RUnlock()
		return nil, pathError("open", name, err)
	}
	data, gen, dir := slices.Clone(n.data), n.gen, n.kids != nil
	t.mu.RUnlock()
	switch {
	case dir:
		return nil, pathError("read", name, syscall.EISDIR)
	case gen != nil:
		return gen(), nil
	}
	return data, nil
}

// info implements fs.FileInfo.
type info struct {
	name  string
	mode  fs.FileMode
	mtime time.Time
	size  int64
	node  *node
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.size }
func (i info) Mode() fs.FileMode  { return i.mode }
func (i info) ModTime() time.Time { return i.mtime }
func (i info) IsDir() bool        { return i.mode.IsDir() }
func (i info) Sys() any           { return i.node }
