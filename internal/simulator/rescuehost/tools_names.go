package rescuehost

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/pattern"
)

func toolLs(c *call) int {
	opts, rest, err := getopt(c.args, "la1AdhtrRLFinS", "all", "color", "color=")
	if err != nil {
		return c.fail(2, "%v", err)
	}
	has := func(name string) bool {
		return slices.ContainsFunc(opts, func(o option) bool { return o.name == name })
	}
	if len(rest) == 0 {
		rest = []string{"."}
	}
	status := 0
	for _, name := range rest {
		i, err := c.h.tree.stat(c.abs(name), has("L") || !has("l") && !has("d"))
		if err != nil {
			i, err = c.h.tree.stat(c.abs(name), false)
		}
		if err != nil {
			status = c.fail(2, "cannot access '%s': %s", name, errText(errOf(err)))
			continue
		}
		if !i.IsDir() || has("d") {
			c.lsLine(name, i, has("l"))
			continue
		}
		if len(rest) > 1 {
			c.printf("%s:\n", name)
		}
		entries, _ := c.h.tree.list(c.abs(name))
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), ".") && !has("a") && !has("A") {
				continue
			}
			entry, _ := e.Info()
			c.lsLine(e.Name(), entry, has("l"))
		}
	}
	return status
}

func (c *call) lsLine(name string, i fs.FileInfo, long bool) {
	if !long {
		c.printf("%s\n", name)
		return
	}
	n := i.Sys().(*node)
	arrow := ""
	if n.link != "" {
		arrow = " -> " + n.link
	}
	mode := modeText(i.Mode())
	c.printf("%s 1 root root %8d %s %s%s\n", mode, i.Size(), i.ModTime().Format("Jan _2 15:04"), name, arrow)
}

func modeText(m fs.FileMode) string {
	kind := "-"
	switch {
	case m.IsDir():
		kind = "d"
	case m&fs.ModeSymlink != 0:
		kind = "l"
	case m&fs.ModeCharDevice != 0:
		kind = "c"
	case m&fs.ModeDevice != 0:
		kind = "b"
	}
	return kind + m.Perm().String()[1:]
}

// toolReadlink is readlink and realpath.
func toolReadlink(c *call) int {
	opts, rest, err := getopt(c.args, "femnqs", "canonicalize", "canonicalize-existing", "canonicalize-missing")
	if err != nil {
		return c.fail(1, "%v", err)
	}
	for _, name := range rest {
		if len(opts) == 0 && c.isNamed("readlink") {
			i, err := c.h.tree.stat(c.abs(name), false)
			if err != nil || i.Sys().(*node).link == "" {
				return 1
			}
			c.printf("%s\n", i.Sys().(*node).link)
			continue
		}
		real, err := c.h.tree.real(c.abs(name))
		if err == nil && slices.ContainsFunc(opts, func(o option) bool { return strings.HasSuffix(o.name, "e") && o.name != "canonicalize" }) {
			_, err = c.h.tree.stat(real, true)
		}
		if err != nil {
			return bit(true)
		}
		c.printf("%s\n", real)
	}
	return 0
}

func toolBasename(c *call) int {
	if len(c.args) == 0 {
		return c.fail(1, "missing operand")
	}
	base := path.Base(c.args[0])
	if len(c.args) > 1 && base != c.args[1] {
		base = strings.TrimSuffix(base, c.args[1])
	}
	c.printf("%s\n", base)
	return 0
}

func toolDirname(c *call) int {
	for _, a := range c.args {
		c.printf("%s\n", path.Dir(a))
	}
	return bit(len(c.args) == 0)
}

func toolMktemp(c *call) int {
	opts, rest, err := getopt(c.args, "dqtup:", "directory", "tmpdir=", "suffix=")
	if err != nil {
		return c.fail(1, "%v", err)
	}
	dir, in := false, "/tmp"
	for _, o := range opts {
		switch o.name {
		case "d", "directory":
			dir = true
		case "p", "tmpdir":
			in = o.value
		}
	}
	pattern := "tmp.XXXXXXXXXX"
	if len(rest) > 0 {
		pattern = rest[0]
		if strings.Contains(pattern, "/") {
			in = ""
		}
	}
	stem := strings.TrimRight(pattern, "X")
	name := absolute(c.dir, path.Join(in, fmt.Sprintf("%s%0*d", stem, len(pattern)-len(stem), c.proc.pid)))
	if dir {
		err = c.h.tree.mkdir(name, false)
	} else {
		var f *file
		if f, err = c.h.open(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); err == nil {
			err = f.Close()
		}
	}
	if err != nil {
		return c.fail(1, "failed to create file via template ‘%s’: %s", pattern, errText(errOf(err)))
	}
	c.printf("%s\n", name)
	return 0
}

// toolStat knows the formats that scripts use.
func toolStat(c *call) int {
	opts, rest, err := getopt(c.args, "Lc:tf", "format=", "printf=", "dereference")
	if err != nil {
		return c.fail(1, "%v", err)
	}
	format, follow := "", false
	for _, o := range opts {
		switch o.name {
		case "c", "format":
			format = o.value + "\n"
		case "printf":
			format = o.value
		case "L", "dereference":
			follow = true
		}
	}
	for _, name := range rest {
		i, err := c.h.tree.stat(c.abs(name), follow)
		if err != nil {
			return c.fail(1, "cannot statx '%s': %s", name, errText(errOf(err)))
		}
		kind := map[bool]string{true: "directory", false: "regular file"}[i.IsDir()]
		switch {
		case i.Mode()&fs.ModeCharDevice != 0:
			kind = "character special file"
		case i.Mode()&fs.ModeDevice != 0:
			kind = "block special file"
		case i.Mode()&fs.ModeSymlink != 0:
			kind = "symbolic link"
		}
		if format == "" {
			format = "  File: %n\n  Size: %s\n  Type: %F\n"
		}
		c.printf("%s", strings.NewReplacer("%n", name, "%s", fmt.Sprint(i.Size()), "%a", fmt.Sprintf("%o", i.Mode().Perm()),
			"%A", modeText(i.Mode()), "%F", kind, "%Y", fmt.Sprint(i.ModTime().Unix()), "%U", "root", "%u", "0", "%G", "root", "%g", "0", "%%", "%", `\n`, "\n", `\t`, "\t").Replace(format))
	}
	return 0
}

// toolFind walks directories with the tests -name, -type, -maxdepth, -mindepth and the actions -print, -print0,
// -delete.
func toolFind(c *call) int {
	var roots []string
	args := c.args
	for len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		roots, args = append(roots, args[0]), args[1:]
	}
	name, kind, end, deepest, shallowest, drop := "", "", "\n", 1<<20, 0, false
	for i := 0; i < len(args); i++ {
		value := func() string {
			if i++; i < len(args) {
				return args[i]
			}
			return ""
		}
		switch args[i] {
		case "-name":
			name = value()
		case "-type":
			kind = value()
		case "-maxdepth":
			deepest, _ = strconv.Atoi(value())
		case "-mindepth":
			shallowest, _ = strconv.Atoi(value())
		case "-print":
		case "-print0":
			end = "\x00"
		case "-delete":
			drop = true
		default:
			return c.fail(1, "unknown predicate `%s'", args[i])
		}
	}
	if len(roots) == 0 {
		roots = []string{"."}
	}
	expr, err := pattern.Regexp(name, pattern.EntireString|pattern.Filenames)
	if err != nil {
		return c.fail(1, "%v", err)
	}
	re := regexp.MustCompile(expr)
	status := 0
	var visit func(at string, depth int)
	visit = func(at string, depth int) {
		i, err := c.h.tree.stat(c.abs(at), false)
		if err != nil {
			status = c.fail(1, "‘%s’: %s", at, errText(errOf(err)))
			return
		}
		if i.IsDir() && depth < deepest {
			entries, _ := c.h.tree.list(c.abs(at))
			for _, e := range entries {
				visit(strings.TrimSuffix(at, "/")+"/"+e.Name(), depth+1)
			}
		}
		is := map[string]bool{"": true, "d": i.IsDir(), "f": i.Mode().IsRegular(), "l": i.Mode()&fs.ModeSymlink != 0, "b": i.Mode()&fs.ModeDevice != 0 && i.Mode()&fs.ModeCharDevice == 0}[kind]
		if !is || depth < shallowest || name != "" && !re.MatchString(path.Base(at)) {
			return
		}
		if drop {
			_ = c.h.tree.remove(c.abs(at), true)
			return
		}
		c.printf("%s%s", at, end)
	}
	for _, r := range roots {
		visit(r, 0)
	}
	return status
}
