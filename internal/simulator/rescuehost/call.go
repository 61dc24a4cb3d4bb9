package rescuehost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"mvdan.cc/sh/v3/syntax"
)

// tool is a command of the system; it gives its exit status.
type tool func(c *call) int

// call is one execution of a tool.
type call struct {
	h       *Host
	proc    *proc // its own process
	shell   *proc // the process that called it
	session *session
	name    string
	args    []string // without the name
	env     []string
	dir     string
	in      io.Reader
	out     io.Writer
	err     io.Writer
}

func (c *call) ctx() context.Context { return c.proc.ctx }

// fail prints "name: message" and gives the status.
func (c *call) fail(status int, format string, a ...any) int {
	fmt.Fprintf(c.err, "%s: %s\n", path.Base(c.name), fmt.Sprintf(format, a...))
	return status
}

func (c *call) printf(format string, a ...any) { fmt.Fprintf(c.out, format, a...) }

func (c *call) abs(name string) string { return absolute(c.dir, name) }

func (c *call) getenv(name string) string {
	for i := len(c.env) - 1; i >= 0; i-- {
		if k, v, _ := strings.Cut(c.env[i], "="); k == name {
			return v
		}
	}
	return ""
}

// open opens a file for reading; "-" is the input.
func (c *call) open(name string) (io.ReadCloser, error) {
	switch {
	case name == "-" || name == "/dev/stdin":
		return io.NopCloser(c.in), nil
	case isSubstitution(name):
		return os.Open(name)
	case strings.HasPrefix(name, "/dev/fd/"):
		d, err := c.proc.fd(strings.TrimPrefix(name, "/dev/fd/"))
		if err != nil {
			return nil, err
		}
		return io.NopCloser(d.io), nil
	}
	f, err := c.h.open(c.abs(name), os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	if f.node.kids != nil {
		return nil, pathError("read", name, syscall.EISDIR)
	}
	return f, nil
}

// create opens a file for writing.
func (c *call) create(name string, flag int) (io.WriteCloser, error) {
	switch {
	case name == "-" || name == "/dev/stdout":
		return writerOf{c.out}, nil
	case name == "/dev/stderr":
		return writerOf{c.err}, nil
	case isSubstitution(name):
		return os.OpenFile(name, os.O_WRONLY, 0)
	}
	return c.h.open(c.abs(name), os.O_WRONLY|flag, 0o644)
}

// why words an error of a file as GNU tools do: "name: No such file or directory".
func why(name string, err error) string {
	var pe *os.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return name + ": " + errText(err)
}

// exec runs a command by name.
func (h *Host) exec(c *call) int {
	name := c.name
	if strings.Contains(name, "/") {
		return h.execPath(c)
	}
	if t, ok := h.tools[name]; ok {
		return t(c)
	}
	for dir := range strings.SplitSeq(c.getenv("PATH"), ":") {
		if i, err := h.tree.stat(path.Join(dir, name), true); err == nil && i.Mode().IsRegular() && i.Mode()&0o111 != 0 {
			c.name = path.Join(dir, name)
			return h.execPath(c)
		}
	}
	if slices.Contains(alsoCommands, name) {
		return c.runBuiltin()
	}
	fmt.Fprintf(c.err, "bash: line 1: %s: command not found\n", name)
	return 127
}

// alsoCommands are builtins that exist as programs too, for those who run them by xargs, timeout or env.
var alsoCommands = []string{"echo", "printf", "true", "false", "test", "[", "pwd"}

func (c *call) runBuiltin() int {
	words := make([]string, 0, len(c.args)+1)
	for _, a := range append([]string{c.name}, c.args...) {
		q, err := syntax.Quote(a, syntax.LangBash)
		if err != nil {
			return c.fail(1, "%v", err)
		}
		words = append(words, q)
	}
	return c.runScript(c.name, strings.Join(words, " "), nil, nil)
}

// execPath runs a command by its path: a script in the file system, or one of the tools.
func (h *Host) execPath(c *call) int {
	where := c.abs(c.name)
	if dir := path.Dir(where); dir == "/bin" || dir == "/sbin" || dir == "/usr/bin" || dir == "/usr/sbin" {
		if t, ok := h.tools[path.Base(where)]; ok {
			return t(c)
		}
	}
	data, err := h.tree.readFile(where)
	if err != nil {
		fmt.Fprintf(c.err, "bash: line 1: %s: %s\n", c.name, errText(errOf(err)))
		if errors.Is(err, fs.ErrNotExist) {
			return 127
		}
		return 126
	}
	if i, err := h.tree.stat(where, true); err == nil && i.Mode()&0o111 == 0 {
		fmt.Fprintf(c.err, "bash: line 1: %s: Permission denied\n", c.name)
		return 126
	}
	return c.runScript(c.name, string(data), nil, c.args)
}

func errOf(err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// runScript runs a script in a shell that takes the place of the call's process.
func (c *call) runScript(name, script string, options, params []string) int {
	s := &shellRun{
		proc: c.proc, name: name, script: script, params: append(append(options, "--"), params...), env: c.env, dir: c.dir,
		stdin: c.in, stdout: c.out, stderr: c.err, session: c.session,
	}
	return c.h.run(s)
}

// become runs another command in this call's process.
func (c *call) become(args []string) int {
	if len(args) == 0 {
		return 0
	}
	next := *c
	next.name, next.args = args[0], args[1:]
	c.proc.rename(args)
	return c.h.exec(&next)
}

// spawn runs another command in a process of its own and waits for it.
func (c *call) spawn(args []string) (*proc, func() int) {
	next := *c
	next.name, next.args = args[0], args[1:]
	next.proc = c.h.procs.start(c.h.ctx, c.proc, args)
	next.shell = c.proc
	return next.proc, func() int {
		status := c.h.exec(&next)
		if sig, dead := next.proc.dead(); dead {
			status = 128 + int(sig)
		}
		c.h.procs.end(next.proc, status)
		return status
	}
}

// option is one that getopt found; a long one has its whole name.
type option struct{ name, value string }

// getopt parses options as GNU getopt_long does: short like "ab:", long like "force" or "size=". Options may stand
// behind arguments, except with a leading "+" in short.
func getopt(args []string, short string, long ...string) (opts []option, rest []string, err error) {
	first := strings.HasPrefix(short, "+")
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch {
		case a == "--":
			return opts, append(rest, args[i+1:]...), nil
		case strings.HasPrefix(a, "--"):
			name, value, has := strings.Cut(a[2:], "=")
			full, wants, err := longOption(name, long)
			if err != nil {
				return nil, nil, err
			}
			if wants && !has {
				if i++; i >= len(args) {
					return nil, nil, fmt.Errorf("option '--%s' requires an argument", full)
				}
				value = args[i]
			}
			opts = append(opts, option{full, value})
		case len(a) > 1 && a[0] == '-':
			for j := 1; j < len(a); j++ {
				at := strings.IndexByte(short, a[j])
				if at < 0 || a[j] == ':' {
					return nil, nil, fmt.Errorf("invalid option -- '%c'", a[j])
				}
				if at+1 >= len(short) || short[at+1] != ':' {
					opts = append(opts, option{name: a[j : j+1]})
					continue
				}
				value := a[j+1:]
				if value == "" {
					if i++; i >= len(args) {
						return nil, nil, fmt.Errorf("option requires an argument -- '%c'", a[j])
					}
					value = args[i]
				}
				opts = append(opts, option{a[j : j+1], value})
				break
			}
		case first:
			return opts, args[i:], nil
		default:
			rest = append(rest, a)
		}
	}
	return opts, rest, nil
}

func longOption(name string, long []string) (full string, wants bool, err error) {
	for _, l := range long {
		bare := strings.TrimSuffix(l, "=")
		if bare == name {
			return bare, bare != l, nil
		}
	}
	return "", false, fmt.Errorf("unrecognized option '--%s'", name)
}

// toolbox is every tool by name.
func toolbox() map[string]tool {
	all := map[string]tool{}
	for _, box := range []map[string]tool{shellTools(), fileTools(), textTools(), streamTools(), blockTools(), partitionTools(), systemTools(), networkTools()} {
		maps.Copy(all, box)
	}
	return all
}
