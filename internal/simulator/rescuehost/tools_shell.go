package rescuehost

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

func shellTools() map[string]tool {
	return map[string]tool{
		"bash": toolBash, "sh": toolBash, "dash": toolBash, "env": toolEnv, "printenv": toolPrintenv, "nohup": toolNohup,
		"setsid": toolSetsid, "nice": toolNice, "ionice": toolNice, "stdbuf": toolNice, "sudo": toolNice, "timeout": toolTimeout,
		"flock": toolFlock, "xargs": toolXargs, "which": toolWhich, "__hash": toolHash, "sleep": toolSleep,
	}
}

// toolBash runs a command string, a script file, or its input.
func toolBash(c *call) int {
	var options []string
	command, stdin := "", false
	args := c.args
	for len(args) > 0 && (strings.HasPrefix(args[0], "-") || strings.HasPrefix(args[0], "+")) && args[0] != "-" {
		a := args[0]
		args = args[1:]
		switch {
		case a == "--":
		case a == "--norc" || a == "--noprofile" || a == "--login" || a == "--posix":
			continue
		case a == "--version":
			c.printf("GNU bash, version 5.2.15(1)-release (x86_64-pc-linux-gnu)\n")
			return 0
		case strings.HasPrefix(a, "--"):
			return c.fail(2, "%s: invalid option", a)
		default:
			if strings.Contains(a, "c") && !strings.HasSuffix(a, "o") {
				command = "c"
			}
			stdin = stdin || strings.Contains(a, "s")
			if flags := keepFlags(a); len(flags) > 1 {
				options = append(options, flags)
			}
			if strings.HasSuffix(a, "o") && len(args) > 0 {
				options = append(options, mendSet([]string{"set", a[:1] + "o", args[0]})[1:]...)
				args = args[1:]
			}
			continue
		}
		break
	}
	switch {
	case command != "":
		if len(args) == 0 {
			return c.fail(2, "-c: option requires an argument")
		}
		name, params := "bash", []string(nil)
		if len(args) > 1 {
			name, params = args[1], args[2:]
		}
		return c.runScript(name, args[0], options, params)
	case !stdin && len(args) > 0:
		data, err := c.h.tree.readFile(c.abs(args[0]))
		if err != nil {
			return c.fail(127, "%s", why(args[0], err))
		}
		return c.runScript(args[0], string(data), options, args[1:])
	}
	data, err := io.ReadAll(c.in)
	if err != nil {
		return 1
	}
	c.in = strings.NewReader("")
	return c.runScript("bash", string(data), options, args)
}

func toolEnv(c *call) int {
	args := c.args
	for len(args) > 0 {
		switch {
		case args[0] == "-i" || args[0] == "-":
			c.env = nil
		case args[0] == "-u" && len(args) > 1:
			c.unset(args[1])
			args = args[1:]
		case strings.HasPrefix(args[0], "-"):
			return c.fail(125, "invalid option %s", args[0])
		case strings.Contains(args[0], "="):
			name, _, _ := strings.Cut(args[0], "=")
			c.unset(name)
			c.env = append(c.env, args[0])
		default:
			return c.become(args)
		}
		args = args[1:]
	}
	for _, kv := range c.env {
		c.printf("%s\n", kv)
	}
	return 0
}

func (c *call) unset(name string) {
	c.env = slices.DeleteFunc(slices.Clone(c.env), func(kv string) bool { return strings.HasPrefix(kv, name+"=") })
}

func toolPrintenv(c *call) int {
	if len(c.args) == 0 {
		return toolEnv(c)
	}
	value := c.getenv(c.args[0])
	if value == "" {
		return 1
	}
	c.printf("%s\n", value)
	return 0
}

// toolNohup runs a command; nothing here sends HUP, as sshd sends none to a session without a terminal.
func toolNohup(c *call) int {
	if len(c.args) == 0 {
		return c.fail(125, "missing operand")
	}
	return c.become(c.args)
}

// toolSetsid gives a command its own process group.
func toolSetsid(c *call) int {
	opts, rest, err := getopt(c.args, "+fwc", "fork", "wait", "ctty")
	if err != nil || len(rest) == 0 {
		return c.fail(1, "no command specified")
	}
	c.proc.lead()
	for _, o := range opts {
		if o.name == "f" || o.name == "fork" {
			p, run := c.spawn(rest)
			p.lead()
			if c.session != nil && (c.session.owns(c.out) || c.session.owns(c.err)) {
				release := c.session.hold()
				go func() { defer release(); run() }()
				return 0
			}
			go run()
			return 0
		}
	}
	return c.become(rest)
}

// toolNice is a wrapper whose options change nothing here.
func toolNice(c *call) int {
	args := c.args
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		takes := slices.Contains([]string{"-n", "-c", "-p", "-u", "-i", "-o", "-e"}, args[0]) && c.name != "sudo"
		args = args[1:]
		if takes && len(args) > 0 {
			args = args[1:]
		}
	}
	return c.become(args)
}

// seconds reads a duration as sleep and timeout take it: 1.5, 10s, 2m, 1h, 1d.
func seconds(s string) (time.Duration, error) {
	unit := time.Second
	if i := strings.IndexAny(s, "smhd"); i == len(s)-1 && i > 0 {
		unit = map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour}[s[i]]
		s = s[:i]
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("invalid time interval '%s'", s)
	}
	return time.Duration(n * float64(unit)), nil
}

// toolSleep sleeps in time of the world.
func toolSleep(c *call) int {
	if len(c.args) == 0 {
		return c.fail(1, "missing operand")
	}
	var sum time.Duration
	for _, a := range c.args {
		if a == "infinity" {
			a = "1000d"
		}
		d, err := seconds(a)
		if err != nil {
			return c.fail(1, "%v", err)
		}
		sum += d
	}
	c.h.pause(c.ctx(), sum)
	return 0
}

// toolTimeout ends a command and all it started after a time of the world.
func toolTimeout(c *call) int {
	opts, rest, err := getopt(c.args, "+s:k:v", "signal=", "kill-after=", "preserve-status", "foreground", "verbose")
	if err != nil || len(rest) < 2 {
		return c.fail(125, "missing operand")
	}
	limit, err := seconds(rest[0])
	if err != nil {
		return c.fail(125, "%v", err)
	}
	sig, late := signalNamed("TERM"), 124
	for _, o := range opts {
		switch o.name {
		case "s", "signal":
			sig = signalNamed(o.value)
		}
	}
	c.proc.lead()
	child, run := c.spawn(rest[1:])
	ended := make(chan int, 1)
	go func() { ended <- run() }()
	timer := time.NewTimer(c.h.limit(limit))
	defer timer.Stop()
	if limit == 0 {
		timer.Stop()
	}
	select {
	case status := <-ended:
		return status
	case <-timer.C:
		c.h.procs.killGroup(c.proc.groupID(), sig, c.proc)
	case <-c.ctx().Done():
		c.h.procs.kill(child, sig)
	}
	<-ended
	return late
}

// toolFlock takes a lock on a file for a command, or on an open descriptor.
func toolFlock(c *call) int {
	opts, rest, err := getopt(c.args, "+sxneuw:oE:Fc:", "shared", "exclusive", "nonblock", "nb", "unlock", "wait=", "timeout=", "close", "conflict-exit-code=", "no-fork", "command=", "verbose")
	if err != nil || len(rest) == 0 {
		return c.fail(64, "bad usage")
	}
	shared, unlock, conflict, wait := false, false, 1, time.Duration(-1)
	for _, o := range opts {
		switch o.name {
		case "s", "shared":
			shared = true
		case "u", "unlock":
			unlock = true
		case "n", "nonblock", "nb":
			wait = 0
		case "w", "wait", "timeout":
			if wait, err = seconds(o.value); err != nil {
				return c.fail(64, "%v", err)
			}
		case "E", "conflict-exit-code":
			conflict, _ = strconv.Atoi(o.value)
		}
	}
	if _, err := strconv.Atoi(rest[0]); err == nil && len(rest) == 1 {
		d, err := c.shell.fd(rest[0])
		if err != nil {
			return c.fail(65, "%v", err)
		}
		if unlock {
			c.h.procs.giveBack(d)
			return 0
		}
		return c.lock(d.name, d, shared, wait, conflict)
	}
	f, err := c.h.open(c.abs(rest[0]), os.O_RDONLY|os.O_CREATE, 0o644)
	if err != nil {
		return c.fail(66, "cannot open lock file %s", why(rest[0], err))
	}
	d := &descriptor{name: f.name, io: f}
	c.h.procs.setFD(c.proc, "lock", d)
	if status := c.lock(f.name, d, shared, wait, conflict); status != 0 {
		return status
	}
	command := rest[1:]
	if len(command) == 2 && (command[0] == "-c" || command[0] == "--command") {
		command = []string{"bash", "-c", command[1]}
	}
	if len(command) == 0 {
		return c.fail(64, "requires a command")
	}
	_, run := c.spawn(command)
	status := run()
	c.h.procs.setFD(c.proc, "lock", nil)
	return status
}

// lock waits for a lock, for ever if wait is negative.
func (c *call) lock(name string, d *descriptor, shared bool, wait time.Duration, conflict int) int {
	var late <-chan time.Time
	if wait > 0 {
		t := time.NewTimer(c.h.w.Real(wait))
		defer t.Stop()
		late = t.C
	}
	for {
		changed := c.h.procs.changed()
		if c.h.procs.tryLock(name, d, shared) {
			return 0
		}
		if wait == 0 {
			return conflict
		}
		select {
		case <-changed:
		case <-late:
			return conflict
		case <-c.ctx().Done():
			return 143
		}
	}
}

func toolXargs(c *call) int {
	opts, rest, err := getopt(c.args, "+0rn:I:d:P:L:t", "null", "no-run-if-empty", "max-args=", "delimiter=")
	if err != nil {
		return c.fail(1, "%v", err)
	}
	split, each, replace, skipEmpty := "", 0, "", false
	for _, o := range opts {
		switch o.name {
		case "0", "null":
			split = "\x00"
		case "d", "delimiter":
			split = strings.NewReplacer(`\n`, "\n", `\t`, "\t", `\0`, "\x00").Replace(o.value)
		case "n", "max-args", "L":
			each, _ = strconv.Atoi(o.value)
		case "I":
			replace, each, split = o.value, 1, "\n"
		case "r", "no-run-if-empty":
			skipEmpty = true
		}
	}
	data, _ := io.ReadAll(c.in)
	items := strings.Fields(string(data))
	if split != "" {
		items = slices.DeleteFunc(strings.Split(string(data), split), func(s string) bool { return s == "" })
	}
	if len(rest) == 0 {
		rest = []string{"echo"}
	}
	if len(items) == 0 && (skipEmpty || replace != "") {
		return 0
	}
	if each == 0 {
		each = max(1, len(items))
	}
	worst := 0
	for first := 0; first == 0 || first < len(items); first += each {
		group := items[min(first, len(items)):min(first+each, len(items))]
		if status := c.xargsRun(rest, group, replace); status != 0 {
			worst = 123
		}
	}
	return worst
}

func (c *call) xargsRun(command, group []string, replace string) int {
	args := slices.Clone(command)
	if replace != "" {
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], replace, group[0])
		}
	} else {
		args = append(args, group...)
	}
	_, run := c.spawn(args)
	return run()
}

func toolWhich(c *call) int {
	status := 0
	for _, name := range c.args {
		if strings.HasPrefix(name, "-") {
			continue
		}
		if found := c.find(name); found != "" {
			c.printf("%s\n", found)
		} else {
			status = 1
		}
	}
	return status
}

// find gives the path of a command.
func (c *call) find(name string) string {
	if strings.Contains(name, "/") {
		if i, err := c.h.tree.stat(c.abs(name), true); err == nil && !i.IsDir() {
			return name
		}
		return ""
	}
	for dir := range strings.SplitSeq(c.getenv("PATH"), ":") {
		if i, err := c.h.tree.stat(path.Join(dir, name), true); err == nil && i.Mode().IsRegular() && i.Mode()&0o111 != 0 {
			return path.Join(dir, name)
		}
	}
	return ""
}

func toolHash(c *call) int {
	for _, name := range c.args {
		if !strings.HasPrefix(name, "-") && c.find(name) == "" {
			return c.fail(1, "%s: not found", name)
		}
	}
	return 0
}

// lines reads text line by line; a last line without its end counts.
func lines(r io.Reader, each func(line string) bool) error {
	b := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := b.ReadString('\n')
		if line != "" && !each(strings.TrimSuffix(line, "\n")) {
			return nil
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
