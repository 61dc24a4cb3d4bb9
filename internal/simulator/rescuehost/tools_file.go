package rescuehost

import (
	"io"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

func fileTools() map[string]tool {
	return map[string]tool{
		"mkdir": toolMkdir, "rmdir": toolRmdir, "rm": toolRm, "mv": toolMv, "cp": toolCp, "ln": toolLn, "chmod": toolChmod, "chown": toolChmod,
		"touch": toolTouch, "ls": toolLs, "readlink": toolReadlink, "realpath": toolReadlink, "basename": toolBasename, "dirname": toolDirname,
		"mktemp": toolMktemp, "stat": toolStat, "truncate": toolTruncate, "find": toolFind, "install": toolInstall, "sync": toolSync,
	}
}

func toolMkdir(c *call) int {
	opts, rest, err := getopt(c.args, "pm:v", "parents", "mode=")
	if err != nil {
		return c.fail(1, "%v", err)
	}
	parents := slices.ContainsFunc(opts, func(o option) bool { return o.name == "p" || o.name == "parents" })
	status := 0
	for _, name := range rest {
		if err := c.h.tree.mkdir(c.abs(name), parents); err != nil {
			status = c.fail(1, "cannot create directory ‘%s’: %s", name, errText(err))
		}
	}
	return status
}

func toolRmdir(c *call) int {
	for _, name := range c.args {
		if i, err := c.h.tree.stat(c.abs(name), false); err == nil && !i.IsDir() {
			return c.fail(1, "failed to remove '%s': Not a directory", name)
		}
		if err := c.h.tree.remove(c.abs(name), false); err != nil {
			return c.fail(1, "failed to remove '%s': %s", name, errText(err))
		}
	}
	return 0
}

func toolRm(c *call) int {
	opts, rest, err := getopt(c.args, "rRfvd", "recursive", "force")
	if err != nil {
		return c.fail(1, "%v", err)
	}
	all, force, status := false, false, 0
	for _, o := range opts {
		all = all || strings.Contains("rR recursive", o.name)
		force = force || o.name == "f" || o.name == "force"
	}
	for _, name := range rest {
		i, err := c.h.tree.stat(c.abs(name), false)
		switch {
		case err != nil && force:
			continue
		case err != nil:
			status = c.fail(1, "cannot remove '%s': %s", name, errText(errOf(err)))
			continue
		case i.IsDir() && !all:
			status = c.fail(1, "cannot remove '%s': Is a directory", name)
			continue
		}
		if err := c.h.tree.remove(c.abs(name), all); err != nil {
			status = c.fail(1, "cannot remove '%s': %s", name, errText(err))
		}
	}
	return status
}

// into gives the path that a source gets at a target, which may be a directory.
func (c *call) into(source, target string) string {
	if i, err := c.h.tree.stat(c.abs(target), true); err == nil && i.IsDir() {
		return path.Join(c.abs(target), path.Base(source))
	}
	return c.abs(target)
}

func toolMv(c *call) int {
	_, rest, err := getopt(c.args, "fnvT", "force")
	if err != nil || len(rest) < 2 {
		return c.fail(1, "missing file operand")
	}
	target := rest[len(rest)-1]
	for _, name := range rest[:len(rest)-1] {
		if err := c.h.tree.rename(c.abs(name), c.into(name, target)); err != nil {
			return c.fail(1, "cannot stat '%s': %s", name, errText(err))
		}
	}
	return 0
}

func toolCp(c *call) int {
	opts, rest, err := getopt(c.args, "arRfpvnLdT", "recursive", "archive", "sparse=", "preserve", "force")
	if err != nil || len(rest) < 2 {
		return c.fail(1, "missing file operand")
	}
	deep := slices.ContainsFunc(opts, func(o option) bool { return slices.Contains([]string{"a", "r", "R", "recursive", "archive"}, o.name) })
	target := rest[len(rest)-1]
	for _, name := range rest[:len(rest)-1] {
		i, err := c.h.tree.stat(c.abs(name), true)
		if err != nil {
			return c.fail(1, "cannot stat '%s': %s", name, errText(errOf(err)))
		}
		if i.IsDir() && !deep {
			return c.fail(1, "-r not specified; omitting directory '%s'", name)
		}
		if err := c.copy(c.abs(name), c.into(name, target)); err != nil {
			return c.fail(1, "%s", why(name, err))
		}
	}
	return 0
}

func (c *call) copy(from, to string) error {
	i, err := c.h.tree.stat(from, true)
	if err != nil {
		return err
	}
	if i.IsDir() {
		if err := c.h.tree.mkdir(to, true); err != nil {
			return err
		}
		entries, err := c.h.tree.list(from)
		for _, e := range entries {
			if err := c.copy(path.Join(from, e.Name()), path.Join(to, e.Name())); err != nil {
				return err
			}
		}
		return err
	}
	in, err := c.h.open(from, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	out, err := c.h.open(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, i.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{out}, struct{ io.Reader }{c.bounded(in)}, make([]byte, 1<<20))
	_ = out.Close()
	return err
}

// bounded makes a long read end with the process.
func (c *call) bounded(r io.Reader) io.Reader {
	return readFunc(func(p []byte) (int, error) {
		if err := c.ctx().Err(); err != nil {
			return 0, err
		}
		return r.Read(p)
	})
}

type readFunc func(p []byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

func toolLn(c *call) int {
	opts, rest, err := getopt(c.args, "sfnvrT", "symbolic", "force")
	if err != nil || len(rest) < 1 {
		return c.fail(1, "missing file operand")
	}
	symbolic, force := false, false
	for _, o := range opts {
		symbolic = symbolic || o.name == "s" || o.name == "symbolic"
		force = force || o.name == "f" || o.name == "force"
	}
	target := "."
	if len(rest) > 1 {
		target = rest[1]
	}
	where := c.into(rest[0], target)
	if force {
		_ = c.h.tree.remove(where, false)
	}
	if _, err := c.h.tree.stat(where, false); err == nil {
		return c.fail(1, "failed to create symbolic link '%s': File exists", target)
	}
	if symbolic {
		c.h.tree.symlink(where, rest[0])
		return 0
	}
	i, err := c.h.tree.stat(c.abs(rest[0]), true)
	if err != nil {
		return c.fail(1, "failed to access '%s': %s", rest[0], errText(errOf(err)))
	}
	c.h.tree.put(where, i.Sys().(*node))
	return 0
}

func toolChmod(c *call) int {
	_, rest, err := getopt(c.args, "Rvf", "recursive")
	if c.isNamed("chown") {
		return bit(err != nil)
	}
	if err != nil || len(rest) < 2 {
		return c.fail(1, "missing operand")
	}
	for _, name := range rest[1:] {
		i, err := c.h.tree.stat(c.abs(name), true)
		if err != nil {
			return c.fail(1, "cannot access '%s': %s", name, errText(errOf(err)))
		}
		mode, err := newMode(rest[0], i.Mode())
		if err != nil {
			return c.fail(1, "invalid mode: ‘%s’", rest[0])
		}
		c.h.tree.mu.Lock()
		i.Sys().(*node).mode = mode
		c.h.tree.mu.Unlock()
	}
	return 0
}

func newMode(s string, old fs.FileMode) (fs.FileMode, error) {
	if n, err := strconv.ParseUint(s, 8, 32); err == nil {
		return old&^0o777 | fs.FileMode(n)&0o777, nil
	}
	m := regexp.MustCompile(`^([ugoa]*)([-+=])([rwxX]*)$`).FindStringSubmatch(s)
	if m == nil {
		return 0, syscall.EINVAL
	}
	var bits fs.FileMode
	for _, r := range m[3] {
		bits |= map[rune]fs.FileMode{'r': 0o444, 'w': 0o222, 'x': 0o111, 'X': 0o111}[r]
	}
	who := fs.FileMode(0)
	for _, r := range m[1] {
		who |= map[rune]fs.FileMode{'u': 0o700, 'g': 0o070, 'o': 0o007, 'a': 0o777}[r]
	}
	if who == 0 {
		who = 0o777
	}
	switch m[2] {
	case "+":
		return old | bits&who, nil
	case "-":
		return old &^ (bits & who), nil
	}
	return old&^who | bits&who, nil
}

func toolTouch(c *call) int {
	_, rest, err := getopt(c.args, "acmd:r:t:", "date=")
	if err != nil {
		return c.fail(1, "%v", err)
	}
	for _, name := range rest {
		f, err := c.h.open(c.abs(name), os.O_WRONLY|os.O_CREATE, 0o644)
		if err != nil {
			if i, e := c.h.tree.stat(c.abs(name), true); e == nil && i.IsDir() {
				continue
			}
			return c.fail(1, "cannot touch '%s': %s", name, errText(errOf(err)))
		}
		c.h.tree.mu.Lock()
		f.node.mtime = c.h.tree.now()
		c.h.tree.mu.Unlock()
		_ = f.Close()
	}
	return 0
}

// toolTruncate is truncate -s and fallocate -l.
func toolTruncate(c *call) int {
	opts, rest, err := getopt(c.args, "cs:l:x", "size=", "length=")
	if err != nil {
		return c.fail(1, "%v", err)
	}
	size := int64(-1)
	for _, o := range opts {
		if o.value != "" {
			if size, err = number(o.value); err != nil {
				return c.fail(1, "Invalid number: ‘%s’", o.value)
			}
		}
	}
	if size < 0 || len(rest) == 0 {
		return c.fail(1, "you must specify either ‘--size’ or ‘--reference’")
	}
	for _, name := range rest {
		f, err := c.h.open(c.abs(name), os.O_WRONLY|os.O_CREATE, 0o644)
		if err == nil {
			err = f.truncate(size)
			_ = f.Close()
		}
		if err != nil {
			return c.fail(1, "%s", why(name, err))
		}
	}
	return 0
}

// number reads a size with the suffixes of GNU tools: 4M and 4MiB are binary, 4MB is decimal.
func number(s string) (int64, error) {
	i := strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' })
	if i < 0 {
		i = len(s)
	}
	n, err := strconv.ParseInt(s[:i], 10, 64)
	if err != nil {
		return 0, err
	}
	suffix := s[i:]
	if suffix == "" || suffix == "B" {
		return n, nil
	}
	if suffix == "s" || suffix == "b" {
		return n * 512, nil
	}
	power := strings.IndexByte("kmgtp", suffix[0]|0x20)
	if power < 0 {
		return 0, syscall.EINVAL
	}
	base := int64(1024)
	if len(suffix) == 2 && suffix[1] == 'B' {
		base = 1000
	}
	for range power + 1 {
		n *= base
	}
	return n, nil
}

// toolInstall copies files with a mode, and makes directories with -d.
func toolInstall(c *call) int {
	opts, rest, err := getopt(c.args, "dm:Do:g:", "mode=", "directory")
	if err != nil || len(rest) == 0 {
		return c.fail(1, "missing file operand")
	}
	mode, dirs := "755", false
	for _, o := range opts {
		switch o.name {
		case "d", "directory":
			dirs = true
		case "m", "mode":
			mode = o.value
		}
	}
	if dirs {
		c.args = append([]string{"-p"}, rest...)
		return toolMkdir(c)
	}
	if len(rest) < 2 {
		return c.fail(1, "missing destination file operand")
	}
	target := rest[len(rest)-1]
	for _, name := range rest[:len(rest)-1] {
		to := c.into(name, target)
		_ = c.h.tree.mkdir(path.Dir(to), true)
		data, err := io.ReadAll(must(c.open(name)))
		if err == nil {
			var f io.WriteCloser
			if f, err = c.create(to, os.O_CREATE|os.O_TRUNC); err == nil {
				_, err = f.Write(data)
				_ = f.Close()
			}
		}
		if err != nil {
			return c.fail(1, "cannot stat '%s': %s", name, errText(errOf(err)))
		}
		c.args = []string{mode, to}
		if status := toolChmod(c); status != 0 {
			return status
		}
	}
	return 0
}

// must turns an error of opening into one of reading.
func must(r io.ReadCloser, err error) io.Reader {
	if err != nil {
		return readFunc(func([]byte) (int, error) { return 0, err })
	}
	return r
}

func toolSync(c *call) int {
	c.h.sync()
	return 0
}
