package rescuehost

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

func textTools() map[string]tool {
	return map[string]tool{
		"cat": toolCat, "tac": toolTac, "head": toolHead, "tail": toolTail, "grep": toolGrep, "egrep": toolGrep, "fgrep": toolGrep, "sed": toolSed,
		"cut": toolCut, "tr": toolTr, "sort": toolSort, "uniq": toolUniq, "wc": toolWc, "tee": toolTee, "seq": toolSeq, "expr": toolExpr, "yes": toolYes,
	}
}

// inputs opens the files of the arguments, or the input if there are none; it says which could not be opened.
func (c *call) inputs(names []string) (io.Reader, int) {
	if len(names) == 0 {
		return c.in, 0
	}
	status := 0
	var all []io.Reader
	for _, name := range names {
		r, err := c.open(name)
		if err != nil {
			status = c.fail(1, "%s", why(name, err))
			continue
		}
		all = append(all, r)
	}
	return io.MultiReader(all...), status
}

// pump copies until the end of the input; an output nobody reads ends the process by SIGPIPE, quietly.
func (c *call) pump(w io.Writer, r io.Reader) int {
	_, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{c.bounded(r)}, make([]byte, 256<<10))
	switch {
	case err == nil:
		return 0
	case c.ctx().Err() != nil:
		return 143
	case isPipe(err):
		return 141
	}
	return c.fail(1, "%s", errText(errOf(err)))
}

func isPipe(err error) bool {
	return errors.Is(err, os.ErrClosed) || errors.Is(err, io.ErrClosedPipe) || errors.Is(err, io.EOF) || strings.Contains(err.Error(), "broken pipe")
}

func toolCat(c *call) int {
	opts, rest, err := getopt(c.args, "nvAeEtTus")
	if err != nil {
		return c.fail(1, "%v", err)
	}
	status := 0
	if len(rest) == 0 {
		rest = []string{"-"}
	}
	for _, name := range rest {
		r, err := c.open(name)
		if err != nil {
			status = c.fail(1, "%s", why(name, err))
			continue
		}
		if len(opts) > 0 && opts[0].name == "n" {
			n := 0
			_ = lines(r, func(l string) bool { n++; c.printf("%6d\t%s\n", n, l); return true })
			continue
		}
		s := c.pump(c.out, r)
		_ = r.Close()
		if s != 0 {
			return s
		}
	}
	return status
}

func toolTac(c *call) int {
	in, status := c.inputs(c.args)
	var all []string
	_ = lines(in, func(l string) bool { all = append(all, l); return true })
	for _, l := range slices.Backward(all) {
		c.printf("%s\n", l)
	}
	return status
}

// counted reads -n 5, -c 5 and the old -5 of head and tail.
func (c *call) counted() (n int64, bytesWanted, fromStart bool, rest []string, follow bool, err error) {
	args := slices.Clone(c.args)
	for i, a := range args {
		if len(a) > 1 && a[0] == '-' && a[1] >= '0' && a[1] <= '9' {
			args[i] = "-n" + a[1:]
		}
	}
	opts, rest, err := getopt(args, "n:c:qvfFs:", "lines=", "bytes=", "quiet", "silent", "follow", "pid=", "retry")
	n = 10
	for _, o := range opts {
		switch o.name {
		case "n", "lines", "c", "bytes":
			bytesWanted = o.name == "c" || o.name == "bytes"
			fromStart = strings.HasPrefix(o.value, "+")
			if n, err = number(strings.TrimLeft(o.value, "+-")); err != nil {
				return
			}
			if strings.HasPrefix(o.value, "-") && c.isNamed("head") {
				n = -n
			}
		case "f", "F", "follow":
			follow = true
		}
	}
	return
}

func toolHead(c *call) int {
	n, byBytes, _, rest, _, err := c.counted()
	if err != nil {
		return c.fail(1, "invalid number: %v", err)
	}
	in, status := c.inputs(rest)
	if byBytes && n >= 0 {
		if s := c.pump(c.out, io.LimitReader(in, n)); s != 0 {
			return s
		}
		return status
	}
	var held []string
	count := int64(0)
	if n == 0 {
		return status
	}
	err = lines(in, func(l string) bool {
		if n < 0 {
			if held = append(held, l); int64(len(held)) > -n {
				c.printf("%s\n", held[0])
				held = held[1:]
			}
			return true
		}
		count++
		_, e := fmt.Fprintln(c.out, l)
		return count < n && e == nil
	})
	if err != nil {
		return c.fail(1, "error reading: %v", err)
	}
	return status
}

func toolTail(c *call) int {
	n, byBytes, fromStart, rest, follow, err := c.counted()
	if err != nil {
		return c.fail(1, "invalid number: %v", err)
	}
	in, status := c.inputs(rest)
	data, _ := io.ReadAll(c.bounded(in))
	switch {
	case byBytes && fromStart:
		data = data[min(max(0, n-1), int64(len(data))):]
	case byBytes:
		data = data[max(0, int64(len(data))-n):]
	default:
		data = lastLines(data, n, fromStart)
	}
	if _, err := c.out.Write(data); err != nil {
		return 141
	}
	if follow && len(rest) > 0 {
		return c.follow(rest[0])
	}
	return status
}

func lastLines(data []byte, n int64, fromStart bool) []byte {
	all := bytes.SplitAfter(data, []byte("\n"))
	if len(all) > 0 && len(all[len(all)-1]) == 0 {
		all = all[:len(all)-1]
	}
	if fromStart {
		all = all[min(max(0, n-1), int64(len(all))):]
	} else {
		all = all[max(0, int64(len(all))-n):]
	}
	return bytes.Join(all, nil)
}

// follow prints what is added to a file, until the process ends.
func (c *call) follow(name string) int {
	data, _ := c.h.tree.readFile(c.abs(name))
	at := len(data)
	for c.h.pause(c.ctx(), time.Second) {
		data, _ := c.h.tree.readFile(c.abs(name))
		if at > len(data) {
			at = 0
		}
		if _, err := c.out.Write(data[at:]); err != nil {
			return 141
		}
		at = len(data)
	}
	return 143
}
