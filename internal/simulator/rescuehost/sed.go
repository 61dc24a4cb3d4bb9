package rescuehost

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// sedCommand is one command of a sed script: s, p, d, q, =, a, i, c, y or a group.
type sedCommand struct {
	from, to *sedAddress
	negated  bool
	verb     byte
	re       *regexp.Regexp // s
	text     string         // replacement of s, text of a, i, c, status of q
	which    int            // s///2
	global   bool
	print    bool
	block    []*sedCommand
	active   bool // between from and to
}

// sedAddress is a line number, $ or a pattern.
type sedAddress struct {
	line int
	last bool
	re   *regexp.Regexp
}

type sedParser struct {
	s        string
	extended bool
}

// toolSed knows the common part of sed.
func toolSed(c *call) int {
	opts, rest, err := getopt(c.args, "nrEsi:e:f:uz", "quiet", "silent", "regexp-extended", "in-place", "in-place=", "expression=", "file=", "version")
	args := c.args
	if err != nil || hasBareI(args) {
		opts, rest, err = getopt(bareI(args), "nrEse:f:uz", "quiet", "silent", "regexp-extended", "in-place", "in-place=", "expression=", "file=")
	}
	if err != nil {
		return c.fail(1, "%v", err)
	}
	var scripts []string
	quiet, extended, inPlace := false, false, false
	for _, o := range opts {
		switch o.name {
		case "n", "quiet", "silent":
			quiet = true
		case "r", "E", "regexp-extended":
			extended = true
		case "i", "in-place":
			inPlace = true
		case "e", "expression":
			scripts = append(scripts, o.value)
		case "f", "file":
			data, err := c.h.tree.readFile(c.abs(o.value))
			if err != nil {
				return c.fail(1, "couldn't open file %s", why(o.value, err))
			}
			scripts = append(scripts, string(data))
		}
	}
	if len(scripts) == 0 {
		if len(rest) == 0 {
			return c.fail(1, "no script specified")
		}
		scripts, rest = rest[:1], rest[1:]
	}
	p := &sedParser{s: strings.Join(scripts, "\n"), extended: extended}
	program, err := p.commands(false)
	if err != nil {
		return c.fail(1, "-e expression #1: %v", err)
	}
	if len(rest) == 0 {
		rest = []string{"-"}
	}
	if inPlace {
		return c.sedInPlace(program, rest, quiet)
	}
	return c.sedFiles(program, rest, quiet)
}

// hasBareI: -i takes its suffix only when joined to it.
func hasBareI(args []string) bool {
	for _, a := range args {
		if a == "--" {
			return false
		}
		if len(a) > 1 && a[0] == '-' && a[1] != '-' && strings.Contains(a, "i") && !strings.HasPrefix(a, "-e") {
			return true
		}
	}
	return false
}

// bareI replaces -i, alone or among other flags, by --in-place.
func bareI(args []string) []string {
	var out []string
	for _, a := range args {
		if len(a) > 1 && a[0] == '-' && a[1] != '-' && !strings.HasPrefix(a, "-e") {
			if i := strings.IndexByte(a, 'i'); i > 0 {
				out = append(out, "--in-place")
				if i > 1 {
					out = append(out, a[:i])
				}
				continue
			}
		}
		out = append(out, a)
	}
	return out
}

func (c *call) sedFiles(program []*sedCommand, files []string, quiet bool) int {
	var all []io.Reader
	status := 0
	for _, name := range files {
		r, err := c.open(name)
		if err != nil {
			status = c.fail(2, "can't read %s", why(name, err))
			continue
		}
		defer r.Close()
		all = append(all, r)
	}
	code, err := runSed(program, io.MultiReader(all...), c.out, quiet)
	if err != nil {
		return c.fail(4, "%v", err)
	}
	return max(status, code)
}

func (c *call) sedInPlace(program []*sedCommand, files []string, quiet bool) int {
	for _, name := range files {
		data, err := c.h.tree.readFile(c.abs(name))
		if err != nil {
			return c.fail(4, "can't read %s", why(name, err))
		}
		var out bytes.Buffer
		if _, err := runSed(program, bytes.NewReader(data), &out, quiet); err != nil {
			return c.fail(4, "%v", err)
		}
		f, err := c.create(name, os.O_TRUNC)
		if err == nil {
			_, err = f.Write(out.Bytes())
			_ = f.Close()
		}
		if err != nil {
			return c.fail(4, "couldn't open file %s", why(name, err))
		}
	}
	return 0
}

// commands parses up to the end, or up to } in a group.
func (p *sedParser) commands(group bool) ([]*sedCommand, error) {
	var all []*sedCommand
	for {
		p.s = strings.TrimLeft(p.s, " \t\n;")
		if p.s == "" {
			if group {
				return nil, errors.New("unmatched `{'")
			}
			return all, nil
		}
		if p.s[0] == '}' {
			p.s = p.s[1:]
			return all, nil
		}
		if p.s[0] == '#' {
			_, p.s, _ = strings.Cut(p.s, "\n")
			continue
		}
		c, err := p.command()
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
}

func (p *sedParser) command() (*sedCommand, error) {
	c := &sedCommand{}
	var err error
	if c.from, err = p.address(); err != nil {
		return nil, err
	}
	if c.from != nil && strings.HasPrefix(p.s, ",") {
		p.s = p.s[1:]
		if c.to, err = p.address(); err != nil || c.to == nil {
			return nil, errors.New("unexpected `,'")
		}
	}
	p.s = strings.TrimLeft(p.s, " \t")
	for strings.HasPrefix(p.s, "!") {
		c.negated = true
		p.s = strings.TrimLeft(p.s[1:], " \t")
	}
	if p.s == "" {
		return nil, errors.New("missing command")
	}
	c.verb, p.s = p.s[0], p.s[1:]
	switch c.verb {
	case 's':
		return c, p.substitute(c)
	case 'y':
		parts, err := p.delimited(2)
		if err != nil {
			return nil, err
		}
		c.text = parts[0] + "\x00" + parts[1]
	case '{':
		c.block, err = p.commands(true)
	case 'a', 'i', 'c':
		text, rest, _ := strings.Cut(p.s, "\n")
		p.s = rest
		c.text = strings.TrimPrefix(strings.TrimLeft(text, " \t"), `\`)
	case 'q', 'Q':
		digits := strings.TrimLeft(p.s, " ")
		i := strings.IndexFunc(digits, func(r rune) bool { return r < '0' || r > '9' })
		if i < 0 {
			i = len(digits)
		}
		c.text, p.s = digits[:i], digits[i:]
	case 'p', 'd', '=', 'n':
	default:
		return nil, fmt.Errorf("unknown command: `%c'", c.verb)
	}
	return c, err
}

func (p *sedParser) address() (*sedAddress, error) {
	p.s = strings.TrimLeft(p.s, " \t")
	if p.s == "" {
		return nil, nil
	}
	switch ch := p.s[0]; {
	case ch >= '0' && ch <= '9':
		i := strings.IndexFunc(p.s, func(r rune) bool { return r < '0' || r > '9' })
		if i < 0 {
			i = len(p.s)
		}
		n, err := strconv.Atoi(p.s[:i])
		p.s = p.s[i:]
		return &sedAddress{line: n}, err
	case ch == '$':
		p.s = p.s[1:]
		return &sedAddress{last: true}, nil
	case ch == '/' || ch == '\\' && len(p.s) > 1:
		if ch == '\\' {
			p.s = p.s[1:]
		}
		parts, err := p.delimited(1)
		if err != nil {
			return nil, err
		}
		fold := strings.HasPrefix(p.s, "I")
		p.s = strings.TrimPrefix(p.s, "I")
		re, err := compile(parts[0], p.extended, fold)
		return &sedAddress{re: re}, err
	}
	return nil, nil
}

// delimited reads n parts that end with the character that stands first.
func (p *sedParser) delimited(n int) ([]string, error) {
	if p.s == "" {
		return nil, errors.New("unterminated command")
	}
	end := p.s[0]
	p.s = p.s[1:]
	var parts []string
	for range n {
		var b strings.Builder
		for {
			if p.s == "" {
				return nil, errors.New("unterminated `s' command")
			}
			ch := p.s[0]
			p.s = p.s[1:]
			if ch == end {
				break
			}
			if ch == '\\' && p.s != "" {
				if p.s[0] == end {
					b.WriteByte(end)
				} else {
					b.WriteByte('\\')
					b.WriteByte(p.s[0])
				}
				p.s = p.s[1:]
				continue
			}
			if ch == '[' && len(parts) == 0 {
				if close := bracketEnd("["+p.s, 0) - 1; close <= len(p.s) && strings.HasSuffix(p.s[:close], "]") {
					b.WriteByte(ch)
					b.WriteString(p.s[:close])
					p.s = p.s[close:]
					continue
				}
			}
			b.WriteByte(ch)
		}
		parts = append(parts, b.String())
	}
	return parts, nil
}

func (p *sedParser) substitute(c *sedCommand) error {
	parts, err := p.delimited(2)
	if err != nil {
		return err
	}
	fold := false
	for p.s != "" && strings.IndexByte("gpIiMme123456789", p.s[0]) >= 0 {
		switch f := p.s[0]; {
		case f == 'g':
			c.global = true
		case f == 'p':
			c.print = true
		case f == 'I' || f == 'i':
			fold = true
		case f >= '1' && f <= '9':
			c.which = int(f - '0')
		}
		p.s = p.s[1:]
	}
	c.text = parts[1]
	c.re, err = compile(parts[0], p.extended, fold)
	return err
}

// sedRun is the state of a run.
type sedRun struct {
	out    io.Writer
	line   string
	number int
	last   bool
	after  []string
	quit   bool
	status int
	err    error
}

func runSed(program []*sedCommand, in io.Reader, out io.Writer, quiet bool) (int, error) {
	run := &sedRun{out: out}
	next, has := "", false
	step := func(line string, last bool) bool {
		run.line, run.last, run.after = line, last, nil
		run.number++
		kept := run.apply(program)
		if kept && !quiet {
			run.print(run.line)
		}
		for _, a := range run.after {
			run.print(a)
		}
		return !run.quit && run.err == nil
	}
	err := lines(in, func(line string) bool {
		goOn := true
		if has {
			goOn = step(next, false)
		}
		next, has = line, goOn
		return goOn
	})
	if has && !run.quit && run.err == nil {
		step(next, true)
	}
	if err == nil {
		err = run.err
	}
	return run.status, err
}

func (r *sedRun) print(s string) {
	if _, err := io.WriteString(r.out, s+"\n"); err != nil && r.err == nil {
		r.err = err
	}
}

// apply runs commands on the line; false if it was deleted.
func (r *sedRun) apply(program []*sedCommand) bool {
	for _, c := range program {
		if c.selects(r) == c.negated {
			continue
		}
		switch c.verb {
		case 's':
			r.substitute(c)
		case 'p':
			r.print(r.line)
		case 'd':
			return false
		case '=':
			r.print(strconv.Itoa(r.number))
		case 'q', 'Q':
			r.quit = true
			r.status, _ = strconv.Atoi(c.text)
			return c.verb == 'q'
		case 'a':
			r.after = append(r.after, c.text)
		case 'i':
			r.print(c.text)
		case 'c':
			r.print(c.text)
			return false
		case 'y':
			r.line = transliterate(r.line, c.text)
		case '{':
			if !r.apply(c.block) || r.quit {
				return !r.quit
			}
		}
	}
	return true
}

func transliterate(line, text string) string {
	from, to, _ := strings.Cut(text, "\x00")
	f, t := []rune(from), []rune(to)
	return strings.Map(func(x rune) rune {
		for i := range f {
			if f[i] == x && i < len(t) {
				return t[i]
			}
		}
		return x
	}, line)
}

func (c *sedCommand) selects(r *sedRun) bool {
	if c.from == nil {
		return true
	}
	if c.to == nil {
		return c.from.matches(r)
	}
	if c.active {
		c.active = !(c.to.matches(r) || c.to.line > 0 && r.number >= c.to.line)
		return c.to.line == 0 || r.number <= c.to.line
	}
	if !c.from.matches(r) {
		return false
	}
	c.active = c.to.line == 0 || c.to.line > r.number
	return true
}

func (a *sedAddress) matches(r *sedRun) bool {
	switch {
	case a.re != nil:
		return a.re.MatchString(r.line)
	case a.last:
		return r.last
	}
	return a.line == r.number
}

func (r *sedRun) substitute(c *sedCommand) {
	var b strings.Builder
	at, n, changed := 0, 0, false
	for _, m := range c.re.FindAllStringSubmatchIndex(r.line, -1) {
		n++
		if c.which > 0 && n < c.which {
			continue
		}
		if (c.which > 0 && n > c.which || c.which == 0 && n > 1) && !c.global {
			break
		}
		b.WriteString(r.line[at:m[0]])
		b.WriteString(expandSed(c.text, r.line, m))
		at, changed = m[1], true
	}
	if !changed {
		return
	}
	b.WriteString(r.line[at:])
	r.line = b.String()
	if c.print {
		r.print(r.line)
	}
}

// expandSed fills & and \1 into a replacement.
func expandSed(text, line string, m []int) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch ch := text[i]; {
		case ch == '&':
			b.WriteString(line[m[0]:m[1]])
		case ch == '\\' && i+1 < len(text):
			i++
			switch d := text[i]; {
			case d >= '0' && d <= '9':
				if k := 2 * int(d-'0'); k+1 < len(m) && m[k] >= 0 {
					b.WriteString(line[m[k]:m[k+1]])
				}
			case d == 'n':
				b.WriteByte('\n')
			case d == 't':
				b.WriteByte('\t')
			default:
				b.WriteByte(d)
			}
		default:
			b.WriteByte(ch)
		}
	}
	return b.String()
}
