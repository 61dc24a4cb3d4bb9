package host

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
)

// tree is the file system as it is now, by absolute path. Directories are made for the files in them.
type tree map[string]File

// enter puts a file and its parents into the tree; a later one replaces it.
func (t tree) enter(f File) {
	t[f.Path] = f
	for dir := path.Dir(f.Path); ; dir = path.Dir(dir) {
		if _, ok := t[dir]; !ok {
			t[dir] = File{Path: dir, Dir: true, Mode: 0o755}
		}
		if dir == "/" {
			return
		}
	}
}

// lstat finds a file without following a link at its end; links on the way are followed.
func (t tree) lstat(name string) (File, error) {
	clean := path.Clean(name)
	if f, ok := t[clean]; ok {
		return f, nil
	}
	for dir := path.Dir(clean); dir != "/" && dir != "."; dir = path.Dir(dir) {
		if f, ok := t[dir]; ok && f.Link != "" {
			return t.lstat(path.Join(target(f), strings.TrimPrefix(clean, dir)))
		}
	}
	return File{}, fmt.Errorf("lstat %s: no such file or directory", name)
}

// stat finds a file and follows links.
func (t tree) stat(name string) (File, error) {
	f, err := t.lstat(name)
	for i := 0; err == nil && f.Link != "" && i < 8; i++ {
		f, err = t.lstat(target(f))
	}
	if err != nil || name == "" || !path.IsAbs(name) {
		return File{}, fmt.Errorf("stat %s: no such file or directory", name)
	}
	return f, nil
}

func target(f File) string {
	if path.IsAbs(f.Link) {
		return f.Link
	}
	return path.Join(path.Dir(f.Path), f.Link)
}

// walk lists root and what is under it, at most depth levels down (negative: all), in the order of filepath.Walk.
// Links on the way to the root are followed; the names stay those that were asked for.
func (t tree) walk(asked string, depth int) ([]File, error) {
	found, err := t.lstat(asked)
	if err != nil {
		return nil, err
	}
	root := found.Path
	var all []File
	for _, name := range slices.SortedFunc(maps.Keys(t), byElements) {
		if name != root && !strings.HasPrefix(name, strings.TrimSuffix(root, "/")+"/") {
			continue
		}
		if depth >= 0 && levels(name)-levels(root) > depth {
			continue
		}
		f := t[name]
		f.Path = path.Join(asked, strings.TrimPrefix(name, root))
		all = append(all, f)
	}
	return all, nil
}

// byElements orders paths as a walk meets them: a directory's contents before its next sibling.
func byElements(a, b string) int {
	return slices.Compare(strings.Split(strings.Trim(a, "/"), "/"), strings.Split(strings.Trim(b, "/"), "/"))
}

func levels(name string) int {
	if name == "/" {
		return 0
	}
	return strings.Count(name, "/")
}

// relative is a path as seen from root: the root itself is "."; a root that is a file keeps its name.
func relative(root, name string, dir bool) string {
	if root == name {
		if dir {
			return "."
		}
		return path.Base(name)
	}
	return strings.TrimPrefix(strings.TrimPrefix(name, strings.TrimSuffix(root, "/")), "/")
}

func (f File) size() int64 {
	switch {
	case f.Dir:
		return 4096
	case f.Link != "":
		return int64(len(f.Link))
	case f.Size != 0:
		return f.Size
	}
	return int64(len(f.Contents))
}

// mode in Go's bits, which is what Talos sends.
func (f File) mode() fs.FileMode {
	mode := fs.FileMode(f.Mode)
	switch {
	case f.Link != "":
		return fs.ModeSymlink | 0o777
	case mode == 0 && f.Dir:
		mode = 0o755
	case mode == 0:
		mode = 0o644
	}
	if f.Dir {
		mode |= fs.ModeDir
	}
	return mode
}
