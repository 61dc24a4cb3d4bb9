package rescuehost

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func processTools() map[string]tool {
	return map[string]tool{
		"kill": toolKill, "pkill": toolPgrep, "pgrep": toolPgrep, "pidof": toolPidof, "ps": toolPs, "wait": toolWait,
		"jobs": toolJobs, "killall": toolKillall,
	}
}

var signals = []string{"EXIT", "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM"}

// signalNamed reads a signal: TERM, SIGTERM, 15.
func signalNamed(s string) syscall.Signal {
	if n, err := strconv.Atoi(s); err == nil {
		return syscall.Signal(n)
	}
	i := slices.Index(signals, strings.TrimPrefix(strings.ToUpper(s), "SIG"))
	if i < 0 {
		return syscall.SIGTERM
	}
	return syscall.Signal(i)
}

func signalName(s syscall.Signal) string {
	if int(s) < len(signals) {
		return signals[s]
	}
	return "TERM"
}

// killGroup kills the processes of a group, but not one of them.
func (t *procs) killGroup(group int, sig syscall.Signal, except *proc) bool {
	found := false
	for _, p := range t.all() {
		if p.groupID() == group && p != except {
			t.kill(p, sig)
			found = true
		}
	}
	return found
}

func toolKill(c *call) int {
	sig, args := syscall.SIGTERM, c.args
	for len(args) > 0 && strings.HasPrefix(args[0], "-") && len(args) > 1 {
		switch {
		case args[0] == "--":
		case args[0] == "-s" || args[0] == "-n":
			sig = signalNamed(args[1])
			args = args[1:]
		default:
			sig = signalNamed(args[0][1:])
		}
		last := args[0] == "--"
		args = args[1:]
		if last {
			break
		}
		if n, err := strconv.Atoi(args[0]); err == nil && n < 0 {
			break
		}
	}
	status := 0
	for _, a := range args {
		pid, err := strconv.Atoi(strings.TrimPrefix(a, "%"))
		if err != nil {
			fmt.Fprintf(c.err, "bash: kill: %s: arguments must be process or job IDs\n", a)
			status = 1
			continue
		}
		if !c.killOne(pid, sig) {
			fmt.Fprintf(c.err, "bash: kill: (%d) - No such process\n", pid)
			status = 1
		}
	}
	return status
}

func (c *call) killOne(pid int, sig syscall.Signal) bool {
	if pid < 0 {
		return c.h.procs.killGroup(-pid, sig, c.proc)
	}
	p := c.h.procs.find(pid)
	if p != nil {
		c.h.procs.kill(p, sig)
	}
	return p != nil
}

// toolPgrep is pgrep and pkill.
func toolPgrep(c *call) int {
	args, sig := c.args, syscall.SIGTERM
	if c.isNamed("pkill") && len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' && (args[0][1] >= '0' && args[0][1] <= '9' || args[0][1] >= 'A' && args[0][1] <= 'Z' && args[0] != "-P") {
		sig, args = signalNamed(args[0][1:]), args[1:]
	}
	opts, rest, err := getopt(args, "fxlacnoP:g:u:", "full", "exact", "list-name", "list-full", "count", "signal=")
	if err != nil {
		return c.fail(2, "%v", err)
	}
	full, exact, names, list, count, group, parent := false, false, false, false, false, 0, 0
	for _, o := range opts {
		switch o.name {
		case "f", "full":
			full = true
		case "x", "exact":
			exact = true
		case "l", "list-name":
			names = true
		case "a", "list-full":
			list = true
		case "c", "count":
			count = true
		case "signal":
			sig = signalNamed(o.value)
		case "g":
			group, _ = strconv.Atoi(o.value)
		case "P":
			parent, _ = strconv.Atoi(o.value)
		}
	}
	re, err := regexp.Compile(strings.Join(rest, " "))
	if err != nil {
		return c.fail(2, "%v", err)
	}
	n := 0
	for _, p := range c.h.procs.all() {
		what := p.name()
		if full {
			what = p.command()
		}
		hit := re.MatchString(what) && (!exact || re.FindString(what) == what)
		if !hit || p == c.proc || p == c.shell && full || group != 0 && p.groupID() != group || parent != 0 && p.ppid != parent {
			continue
		}
		n++
		switch {
		case c.isNamed("pkill"):
			c.h.procs.kill(p, sig)
		case count:
		case list:
			c.printf("%d %s\n", p.pid, p.command())
		case names:
			c.printf("%d %s\n", p.pid, p.name())
		default:
			c.printf("%d\n", p.pid)
		}
	}
	if count {
		c.printf("%d\n", n)
	}
	return bit(n == 0)
}

func (c *call) isNamed(name string) bool { return strings.HasSuffix("/"+c.name, "/"+name) }

// bit is the exit status of a test: 0 or 1.
func bit(failed bool) int {
	if failed {
		return 1
	}
	return 0
}

func toolPidof(c *call) int {
	var pids []string
	for _, p := range c.h.procs.all() {
		if slices.Contains(c.args, p.name()) {
			pids = append(pids, strconv.Itoa(p.pid))
		}
	}
	if len(pids) == 0 {
		return 1
	}
	c.printf("%s\n", strings.Join(pids, " "))
	return 0
}

func toolKillall(c *call) int {
	n := 0
	for _, p := range c.h.procs.all() {
		if slices.Contains(c.args, p.name()) {
			c.h.procs.kill(p, syscall.SIGTERM)
			n++
		}
	}
	return bit(n == 0)
}

// toolPs lists processes: all of them with any of a, x, e, A, or those of -p; columns by -o, -f or u.
func toolPs(c *call) int {
	columns, pids, header := "pid,tty,time,comm", []int(nil), true
	args := slices.Clone(c.args)
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		if strings.Contains(args[0], "u") {
			columns = "user,pid,%cpu,%mem,stat,time,args"
		}
		args = args[1:]
	}
	opts, rest, err := getopt(args, "efFAaxwp:o:q:C:u:", "pid=", "no-headers", "forest", "format=")
	if err != nil {
		return c.fail(1, "%v", err)
	}
	var named string
	for _, o := range opts {
		switch o.name {
		case "f", "F":
			columns = "user,pid,ppid,time,args"
		case "p", "pid", "q":
			rest = append(rest, strings.FieldsFunc(o.value, func(r rune) bool { return r == ',' || r == ' ' })...)
		case "o", "format":
			columns = o.value
		case "no-headers":
			header = false
		case "C":
			named = o.value
		}
	}
	for _, r := range rest {
		if pid, err := strconv.Atoi(r); err == nil {
			pids = append(pids, pid)
		}
	}
	names := strings.Split(columns, ",")
	if header = header && slices.ContainsFunc(names, func(n string) bool { return !strings.HasSuffix(n, "=") }); header {
		c.printf("%s\n", strings.TrimRight(row(names, func(n string) string { return strings.ToUpper(n) }), " "))
	}
	shown := 0
	for _, p := range c.h.procs.all() {
		if len(pids) > 0 && !slices.Contains(pids, p.pid) || named != "" && p.name() != named {
			continue
		}
		shown++
		c.printf("%s\n", strings.TrimRight(row(names, func(n string) string { return c.psColumn(p, n) }), " "))
	}
	return bit(shown == 0)
}

func row(names []string, value func(string) string) string {
	var all []string
	for _, n := range names {
		n = strings.TrimSuffix(strings.TrimSpace(n), "=")
		all = append(all, fmt.Sprintf("%-7s", value(n)))
	}
	return strings.Join(all, " ")
}

func (c *call) psColumn(p *proc, name string) string {
	switch name {
	case "pid":
		return fmt.Sprintf("%7d", p.pid)
	case "ppid":
		return fmt.Sprintf("%7d", p.ppid)
	case "pgid", "sid", "pgrp":
		return fmt.Sprintf("%7d", p.groupID())
	case "comm", "ucmd":
		return p.name()
	case "args", "cmd", "command":
		return p.command()
	case "stat", "state", "s":
		return "S"
	case "user":
		return "root"
	case "tty":
		return "?"
	case "etimes":
		return strconv.Itoa(int(time.Since(p.started) / max(1, c.h.w.Real(time.Second))))
	case "time", "etime":
		return "00:00"
	}
	return "0.0"
}

// toolWait waits for jobs of the shell that called it.
func toolWait(c *call) int {
	var jobs []*proc
	for _, a := range c.args {
		if strings.HasPrefix(a, "-") {
			continue
		}
		pid, _ := strconv.Atoi(a)
		p := c.h.procs.job(pid)
		if p == nil {
			fmt.Fprintf(c.err, "bash: wait: pid %s is not a child of this shell\n", a)
			return 127
		}
		jobs = append(jobs, p)
	}
	all := len(jobs) == 0
	if all {
		for _, p := range c.h.procs.all() {
			if p.job && p.ppid == c.shell.pid {
				jobs = append(jobs, p)
			}
		}
	}
	status := 0
	for _, p := range jobs {
		select {
		case <-p.done:
			status = p.status
		case <-c.ctx().Done():
			return 143
		}
	}
	if all {
		return 0
	}
	return status
}

func toolJobs(c *call) int {
	n := 0
	for _, p := range c.h.procs.all() {
		if p.job && p.ppid == c.shell.pid {
			n++
			c.printf("[%d]+  Running                 %s &\n", n, p.command())
		}
	}
	return 0
}
