package rescuehost

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

// isBuiltin says whether bash has it built in.
func isBuiltin(name string) bool { return interp.IsBuiltin(name) }

// onCall sees every simple command before it runs. It stops dead processes, runs the commands that rewrite put in,
// and mends builtins that the interpreter lacks or would let see the real machine.
func (h *Host) onCall(ctx context.Context, args []string) ([]string, error) {
	s, p, hc := h.current(ctx)
	if args[0] == "__exiting" {
		p.enterExit()
	}
	if sig, dead := p.dead(); dead {
		return nil, killed{sig}
	}
	if err := h.ctx.Err(); err != nil {
		return nil, err
	}
	if s.session != nil && s.session.broken(hc.Stdout) && isPrinting(args[0]) {
		h.procs.kill(p, 13) // SIGPIPE: nobody reads what it prints
		return nil, killed{13}
	}
	switch args[0] {
	case "__fork":
		return h.fork(s, p, args)
	case "__child":
		h.child(s, hc)
		return []string{"eval", "__self=$__bang"}, nil
	case "__done":
		var status int
		_, _ = fmt.Sscan(args[1], &status)
		h.procs.end(p, status)
		return []string{"true"}, nil
	case "__exiting":
		return exiting(p, hc), nil
	case "__open", "__close":
		return h.descriptors(p, hc, args), nil
	}
	return h.mend(s, hc, args), nil
}

func isPrinting(name string) bool { return name == "echo" || name == "printf" }

// fork gives a background job its process id.
func (h *Host) fork(s *shellRun, p *proc, args []string) ([]string, error) {
	var hold func()
	if s.session != nil {
		hold = s.session.hold()
	}
	job := h.procs.startJob(h.ctx, p, []string{"bash", "-c", args[2]}, args[1] == "1", hold)
	return []string{"eval", fmt.Sprintf("__bang=%d", job.pid)}, nil
}

// child runs first in a job: a job that has its output elsewhere does not keep the session open.
func (h *Host) child(s *shellRun, hc interp.HandlerContext) {
	var pid int
	_, _ = fmt.Sscan(hc.Env.Get("__bang").Str, &pid)
	job := h.procs.job(pid)
	if job == nil || s.session == nil || s.session.owns(hc.Stdout) || s.session.owns(hc.Stderr) {
		return
	}
	job.mu.Lock()
	hold := job.hold
	job.hold = nil
	job.mu.Unlock()
	if hold != nil {
		hold()
	}
}

// exiting runs first in an EXIT trap, and leaves $? as it was.
func exiting(p *proc, hc interp.HandlerContext) []string {
	status := hc.LastExitStatus
	if sig, _ := p.dead(); sig != 0 {
		status = 128 + int(sig)
	}
	return []string{"eval", fmt.Sprintf("(exit %d)", status)}
}

// descriptors opens and closes the high file descriptors.
func (h *Host) descriptors(p *proc, hc interp.HandlerContext, args []string) []string {
	if args[0] == "__close" {
		for n := range strings.SplitSeq(args[1], ",") {
			h.procs.setFD(p, n, nil)
		}
		return []string{"eval", fmt.Sprintf("(exit %s)", args[2])}
	}
	number, mode, name := args[1], args[2], args[3]
	if mode == "dup" {
		return h.duplicate(p, hc, number, name)
	}
	flags := map[string]int{
		"w": os.O_WRONLY | os.O_CREATE | os.O_TRUNC, "a": os.O_WRONLY | os.O_CREATE | os.O_APPEND,
		"r": os.O_RDONLY, "u": os.O_RDWR | os.O_CREATE,
	}[mode]
	f, err := h.open(absolute(hc.Dir, name), flags, 0o644)
	if err != nil {
		fmt.Fprintf(hc.Stderr, "bash: %s: %s\n", name, errText(err))
		return []string{"false"}
	}
	h.procs.setFD(p, number, &descriptor{name: f.name, io: f})
	return []string{"true"}
}

// duplicate is 3>&1 and 3>&-.
func (h *Host) duplicate(p *proc, hc interp.HandlerContext, number, of string) []string {
	var d *descriptor
	switch of {
	case "-":
	case "0":
		d = &descriptor{io: readerOf{hc.Stdin}}
	case "1":
		d = &descriptor{io: writerOf{hc.Stdout}}
	case "2":
		d = &descriptor{io: writerOf{hc.Stderr}}
	default:
		var err error
		if d, err = p.fd(of); err != nil {
			fmt.Fprintf(hc.Stderr, "bash: %v\n", err)
			return []string{"false"}
		}
	}
	h.procs.setFD(p, number, d)
	return []string{"true"}
}

type readerOf struct{ io.Reader }

func (readerOf) Write([]byte) (int, error) { return 0, os.ErrInvalid }
func (readerOf) Close() error              { return nil }

// mend changes calls of builtins.
func (h *Host) mend(s *shellRun, hc interp.HandlerContext, args []string) []string {
	name, rest := args[0], args[1:]
	if s.functions[name] {
		return args
	}
	switch name {
	case "kill", "wait", "jobs":
		return append([]string{"/bin/" + name}, rest...)
	case "bg", "fg", "disown", "umask", "ulimit", "enable", "history", "bind", "complete", "suspend":
		return []string{"true"}
	case "logout":
		return append([]string{"exit"}, rest...)
	case "hash":
		return append([]string{"/bin/__hash"}, rest...)
	case "command", "type":
		return h.mendCommand(s, args)
	case "eval":
		return []string{"eval", s.taught(strings.Join(rest, " "))}
	case "source", ".":
		return h.mendSource(s, hc, args)
	case "trap":
		return mendTrap(args)
	case "set":
		return mendSet(args)
	case "shopt":
		return mendShopt(args)
	case "read":
		return mendRead(args)
	case "printf":
		return mendPrintf(args)
	}
	return args
}

// taught rewrites text that the shell will run and remembers its functions.
func (s *shellRun) taught(text string) string {
	if f, err := syntax.NewParser().Parse(strings.NewReader(text), ""); err == nil {
		s.learn(rewrite(f))
	}
	return rewriteText(text)
}

// mendCommand answers "command -v" and "type" from our own tools.
func (h *Host) mendCommand(s *shellRun, args []string) []string {
	rest := slices.Clone(args[1:])
	looking := args[0] == "type"
	for len(rest) > 0 && strings.HasPrefix(rest[0], "-") {
		looking = looking || strings.ContainsAny(rest[0], "vV")
		rest = rest[1:]
	}
	switch {
	case len(rest) == 0:
		return []string{"true"}
	case !looking && slices.Contains([]string{"kill", "wait", "jobs"}, rest[0]):
		return append([]string{"/bin/" + rest[0]}, rest[1:]...)
	case !looking:
		return append([]string{"command"}, rest...)
	}
	if s.functions[rest[0]] || isBuiltin(rest[0]) {
		return []string{"echo", rest[0]}
	}
	return append([]string{"/bin/which"}, rest...)
}

// mendSource reads a file of ours into an eval.
func (h *Host) mendSource(s *shellRun, hc interp.HandlerContext, args []string) []string {
	if len(args) < 2 {
		return []string{"false"}
	}
	text, err := h.tree.readFile(absolute(hc.Dir, args[1]))
	if err != nil {
		fmt.Fprintf(hc.Stderr, "bash: %s: %s\n", args[1], errText(err))
		return []string{"false"}
	}
	return []string{"eval", s.taught(string(text))}
}

// mendTrap keeps what the interpreter knows, EXIT and ERR. Other signals end a process of ours anyway.
func mendTrap(args []string) []string {
	rest := args[1:]
	if len(rest) > 0 && rest[0] == "--" {
		rest = rest[1:]
	}
	if len(rest) < 2 {
		return args
	}
	code, names := rest[0], []string{}
	for _, name := range rest[1:] {
		switch strings.TrimPrefix(strings.ToUpper(name), "SIG") {
		case "EXIT", "0":
			names = append(names, "EXIT")
		case "ERR":
			names = append(names, "ERR")
		}
	}
	if len(names) == 0 {
		return []string{"true"}
	}
	if code != "-" && code != "" {
		code = rewriteText(code)
		if slices.Contains(names, "EXIT") {
			code = "__exiting; " + code
		}
	}
	return append([]string{"trap", code}, names...)
}

// mendSet drops options the interpreter does not know and that change nothing here.
func mendSet(args []string) []string {
	out := []string{"set"}
	for i := 1; i < len(args); i++ {
		a := args[i]
		switch {
		case a == "--" || a == "-" || !strings.HasPrefix(a, "-") && !strings.HasPrefix(a, "+"):
			return append(out, args[i:]...)
		case a[1:] == "o" || strings.HasSuffix(a, "o"):
			flags := keepFlags(a[:len(a)-1])
			if len(flags) > 1 {
				out = append(out, flags)
			}
			if i+1 < len(args) {
				i++
				if slices.Contains([]string{"allexport", "errexit", "noexec", "noglob", "nounset", "xtrace", "pipefail"}, args[i]) {
					out = append(out, a[:1]+"o", args[i])
				}
			}
		default:
			if flags := keepFlags(a); len(flags) > 1 {
				out = append(out, flags)
			}
		}
	}
	if len(out) == 1 && len(args) > 1 {
		return []string{"true"}
	}
	return out
}

func keepFlags(a string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("-+aenfux", r) {
			return r
		}
		return -1
	}, a)
}

func mendShopt(args []string) []string {
	known := []string{"dotglob", "expand_aliases", "extglob", "globstar", "nocaseglob", "nullglob"}
	out := []string{"shopt"}
	for _, a := range args[1:] {
		if strings.HasPrefix(a, "-") || slices.Contains(known, a) {
			out = append(out, a)
		}
	}
	if len(out) < 3 && len(args) > 1 {
		return []string{"true"}
	}
	return out
}

// mendRead drops the time-out, which a stream of ours does not need.
func mendRead(args []string) []string {
	out := []string{"read"}
	for i := 1; i < len(args); i++ {
		switch {
		case args[i] == "-t" && i+1 < len(args):
			i++
		case strings.HasPrefix(args[i], "-t"):
		default:
			out = append(out, args[i])
		}
	}
	return out
}

// mendPrintf turns printf -v into an assignment.
func mendPrintf(args []string) []string {
	if len(args) < 4 || args[1] != "-v" || !syntax.ValidName(args[2]) {
		return args
	}
	words := make([]string, 0, len(args))
	for _, a := range args[3:] {
		q, err := syntax.Quote(a, syntax.LangBash)
		if err != nil {
			return args
		}
		words = append(words, q)
	}
	return []string{"eval", args[2] + "=$(printf " + strings.Join(words, " ") + ")"}
}
