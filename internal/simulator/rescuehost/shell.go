package rescuehost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
	"time"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

// shellRun is one run of a shell.
type shellRun struct {
	proc      *proc
	name      string // $0
	script    string
	params    []string // set options and positional parameters, as interp.Params takes them
	env       []string
	dir       string
	stdin     io.Reader
	stdout    io.Writer
	stderr    io.Writer
	functions map[string]bool
	session   *session // nil: not of an SSH session
}

type runKey struct{}

// killed is how a shell learns that its process is dead.
type killed struct{ signal syscall.Signal }

func (k killed) Error() string { return "killed" }

// run runs a script and gives its exit status.
func (h *Host) run(s *shellRun) int {
	file, err := syntax.NewParser().Parse(strings.NewReader(s.script), s.name)
	if err != nil {
		fmt.Fprintf(s.stderr, "bash: %v\n", err)
		return 2
	}
	s.learn(rewrite(file))
	runner, err := h.runner(s)
	if err != nil {
		fmt.Fprintf(s.stderr, "bash: %v\n", err)
		return 2
	}
	return s.status(runner.Run(context.WithValue(h.ctx, runKey{}, s), file))
}

func (s *shellRun) learn(functions []string) {
	if s.functions == nil {
		s.functions = map[string]bool{}
	}
	for _, f := range functions {
		s.functions[f] = true
	}
}

// status turns the end of a run into an exit status.
func (s *shellRun) status(err error) int {
	var code interp.ExitStatus
	var k killed
	switch {
	case err == nil:
		return 0
	case errors.As(err, &k):
		return 128 + int(k.signal)
	case errors.As(err, &code):
		return int(code)
	case errors.Is(err, context.Canceled):
		return 137
	}
	fmt.Fprintf(s.stderr, "bash: %v\n", err)
	return 1
}

func (h *Host) runner(s *shellRun) (*interp.Runner, error) {
	env := environ{exported: s.env, own: map[string]string{
		"__pid": fmt.Sprint(s.proc.pid), "__ppid": fmt.Sprint(s.proc.ppid),
		"HOSTNAME": h.name, "UID": "0", "EUID": "0", "GID": "0",
	}}
	r, err := interp.New(
		interp.Env(env), interp.Dir("/"), interp.StdIO(s.stdin, s.stdout, s.stderr), interp.Params(s.params...),
		interp.CallHandler(h.onCall),
		interp.ExecHandlers(func(interp.ExecHandlerFunc) interp.ExecHandlerFunc { return h.onExec }),
		interp.OpenHandler(h.onOpen), interp.ReadDirHandler2(h.onReadDir),
		interp.StatHandler(h.onStat), interp.AccessHandler(h.onAccess),
	)
	if err != nil {
		return nil, err
	}
	r.Dir = s.dir // not by interp.Dir, which asks the real file system
	return r, nil
}

// environ is the environment of a shell: what it inherited, and variables of our own that are not exported.
type environ struct {
	exported []string
	own      map[string]string
}

func (e environ) Get(name string) expand.Variable {
	if v, ok := e.own[name]; ok {
		return expand.Variable{Set: true, Kind: expand.String, Str: v}
	}
	for i := len(e.exported) - 1; i >= 0; i-- {
		if k, v, _ := strings.Cut(e.exported[i], "="); k == name {
			return expand.Variable{Set: true, Exported: true, Kind: expand.String, Str: v}
		}
	}
	return expand.Variable{}
}

func (e environ) Each(f func(name string, v expand.Variable) bool) {
	for _, kv := range e.exported {
		k, _, _ := strings.Cut(kv, "=")
		if !f(k, e.Get(k)) {
			return
		}
	}
	for k := range e.own {
		if !f(k, e.Get(k)) {
			return
		}
	}
}

// exportedOf gives the environment that a command gets.
func exportedOf(env expand.Environ) []string {
	var all []string
	env.Each(func(name string, v expand.Variable) bool {
		if v.Exported && v.Kind == expand.String && name != "PWD" && !strings.HasPrefix(name, "__") {
			all = append(all, name+"="+v.Str)
		}
		return true
	})
	return all
}

// current gives the run and the process that a handler is called for: the background job it is in, or the shell.
func (h *Host) current(ctx context.Context) (*shellRun, *proc, interp.HandlerContext) {
	hc := interp.HandlerCtx(ctx)
	s, _ := ctx.Value(runKey{}).(*shellRun)
	var pid int
	if _, err := fmt.Sscan(hc.Env.Get("__self").Str, &pid); err == nil {
		if p := h.procs.job(pid); p != nil {
			return s, p, hc
		}
	}
	return s, s.proc, hc
}

// onExec runs a command that is no builtin and no function.
func (h *Host) onExec(ctx context.Context, args []string) error {
	s, p, hc := h.current(ctx)
	c := &call{h: h, name: args[0], args: args[1:], env: append(exportedOf(hc.Env), "PWD="+hc.Dir), dir: hc.Dir, out: hc.Stdout, err: hc.Stderr, in: strings.NewReader(""), session: s.session, shell: p}
	if hc.Stdin != nil {
		c.in = hc.Stdin
	}
	if p.takePlace(args) {
		c.proc = p
		return exitStatus(c.unblocked())
	}
	c.proc = h.procs.start(h.ctx, p, args)
	status := c.unblocked()
	if sig, dead := c.proc.dead(); dead {
		status = 128 + int(sig)
	}
	h.procs.end(c.proc, status)
	return exitStatus(status)
}

// unblocked runs a command whose reads and writes of pipes end when its process is killed.
func (c *call) unblocked() int {
	in, _ := c.in.(*os.File)
	out, _ := c.out.(*os.File)
	past := time.Unix(1, 0)
	stop := context.AfterFunc(c.ctx(), func() {
		if in != nil {
			_ = in.SetReadDeadline(past)
		}
		if out != nil {
			_ = out.SetWriteDeadline(past)
		}
	})
	status := c.h.exec(c)
	if !stop() { // others may use the pipes on
		if in != nil {
			_ = in.SetReadDeadline(time.Time{})
		}
		if out != nil {
			_ = out.SetWriteDeadline(time.Time{})
		}
	}
	return status
}

func exitStatus(status int) error {
	if status == 0 {
		return nil
	}
	return interp.ExitStatus(uint8(status))
}

func absolute(dir, name string) string {
	if strings.HasPrefix(name, "/") {
		return path.Clean(name)
	}
	return path.Join(dir, name)
}

// onOpen opens a redirection. A reader is a real pipe, because the interpreter's input must be a file.
func (h *Host) onOpen(ctx context.Context, name string, flag int, perm os.FileMode) (io.ReadWriteCloser, error) {
	_, p, hc := h.current(ctx)
	if number, ok := strings.CutPrefix(name, "/dev/fd/"); ok && shortFD.MatchString(number) {
		d, err := p.fd(number)
		if err != nil {
			return nil, &os.PathError{Op: "open", Path: number, Err: syscall.EBADF}
		}
		if flag&os.O_WRONLY != 0 {
			return kept{d.io}, nil
		}
		return reader(d.io, false)
	}
	switch name {
	case "/dev/stdout":
		return writerOf{hc.Stdout}, nil
	case "/dev/stderr":
		return writerOf{hc.Stderr}, nil
	}
	f, err := h.open(absolute(hc.Dir, name), flag, perm)
	if err != nil {
		var pe *os.PathError
		if errors.As(err, &pe) {
			return nil, &os.PathError{Op: "bash", Path: name, Err: errors.New(errText(pe.Err))}
		}
		return nil, err
	}
	if flag&(os.O_WRONLY|os.O_RDWR) != 0 {
		return f, nil
	}
	if f.node.kids != nil {
		return f, nil
	}
	return reader(f, true)
}

// reader gives a pipe that is filled from r until its reader closes it.
func reader(r io.ReadWriteCloser, closing bool) (io.ReadWriteCloser, error) {
	pr, pw, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	go func() {
		_, _ = io.CopyBuffer(struct{ io.Writer }{pw}, struct{ io.Reader }{r}, make([]byte, 64<<10))
		_ = pw.Close()
		if closing {
			_ = r.Close()
		}
	}()
	return pr, nil
}

// kept is a descriptor that a redirection uses but does not close.
type kept struct{ io.ReadWriteCloser }

func (kept) Close() error { return nil }

// writerOf makes a writer a file.
type writerOf struct{ io.Writer }

func (writerOf) Read([]byte) (int, error) { return 0, io.EOF }
func (writerOf) Close() error             { return nil }

func (h *Host) onReadDir(_ context.Context, name string) ([]fs.DirEntry, error) {
	return h.tree.list(name)
}

func (h *Host) onStat(_ context.Context, name string, follow bool) (fs.FileInfo, error) {
	return h.tree.stat(name, follow)
}

func (h *Host) onAccess(_ context.Context, name string, mode interp.AccessMode) error {
	i, err := h.tree.stat(name, true)
	if err != nil {
		return err
	}
	if mode&interp.AccessExec != 0 && !i.IsDir() && i.Mode()&0o111 == 0 {
		return pathError("access", name, syscall.EACCES)
	}
	return nil
}
