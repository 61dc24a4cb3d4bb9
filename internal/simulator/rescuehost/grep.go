package rescuehost

import (
	"io"
	"regexp"
	"strconv"
	"strings"
)

func toolGrep(c *call) int {
	opts, rest, err := getopt(c.args, "qvcinloLxwEFGPshHre:f:m:A:B:C:aR", "quiet", "silent", "invert-match", "count", "ignore-case", "fixed-strings",
		"extended-regexp", "perl-regexp", "only-matching", "line-number", "max-count=", "color", "color=", "no-messages", "word-regexp", "line-regexp", "text", "line-buffered")
	if err != nil {
		return c.fail(2, "%v", err)
	}
	g := grep{c: c, mode: map[string]string{"egrep": "E", "fgrep": "F"}[c.name]}
	for _, o := range opts {
		if err := g.option(o); err != nil {
			return c.fail(2, "%v", err)
		}
	}
	if g.patterns == nil {
		if len(rest) == 0 {
			return c.fail(2, "Usage: grep [OPTION]... PATTERNS [FILE]...")
		}
		g.patterns, rest = strings.Split(rest[0], "\n"), rest[1:]
	}
	if err := g.compile(); err != nil {
		return c.fail(2, "%v", err)
	}
	if g.recursive {
		rest = c.filesBelow(rest)
	}
	if len(rest) == 0 {
		rest = []string{"-"}
	}
	g.named = len(rest) > 1 && !g.noName || g.withName
	return g.files(rest)
}

type grep struct {
	c                                                  *call
	mode                                               string // F, E, P or basic
	patterns                                           []string
	re                                                 *regexp.Regexp
	quiet, invert, count, fold, numbers, list, without bool
	only, line, word, silent, recursive                bool
	named, noName, withName                            bool
	limit, before, after                               int
	hits                                               int
}

func (g *grep) option(o option) (err error) {
	switch o.name {
	case "q", "quiet", "silent":
		g.quiet = true
	case "v", "invert-match":
		g.invert = true
	case "c", "count":
		g.count = true
	case "i", "ignore-case":
		g.fold = true
	case "n", "line-number":
		g.numbers = true
	case "l":
		g.list = true
	case "L":
		g.without = true
	case "o", "only-matching":
		g.only = true
	case "x", "line-regexp":
		g.line = true
	case "w", "word-regexp":
		g.word = true
	case "s", "no-messages":
		g.silent = true
	case "h":
		g.noName = true
	case "H":
		g.withName = true
	case "r", "R":
		g.recursive = true
	case "E", "F", "P":
		g.mode = o.name
	case "fixed-strings":
		g.mode = "F"
	case "extended-regexp":
		g.mode = "E"
	case "perl-regexp":
		g.mode = "P"
	case "e":
		g.patterns = append(g.patterns, strings.Split(o.value, "\n")...)
	case "f":
		data, e := io.ReadAll(must(g.c.open(o.value)))
		g.patterns, err = append(g.patterns, strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")...), e
	case "m", "max-count":
		g.limit, err = strconv.Atoi(o.value)
	case "A":
		g.after, err = strconv.Atoi(o.value)
	case "B":
		g.before, err = strconv.Atoi(o.value)
	case "C":
		g.after, err = strconv.Atoi(o.value)
		g.before = g.after
	}
	return err
}

func (g *grep) compile() error {
	var all []string
	for _, p := range g.patterns {
		switch g.mode {
		case "F":
			p = regexp.QuoteMeta(p)
		case "E":
			p = literalBackslashes(p)
		case "P":
		default:
			p = literalBackslashes(basicToExtended(p))
		}
		all = append(all, "(?:"+p+")")
	}
	expr := strings.Join(all, "|")
	if g.word {
		expr = `\b(?:` + expr + `)\b`
	}
	if g.line {
		expr = `^(?:` + expr + `)$`
	}
	if g.fold {
		expr = "(?i)" + expr
	}
	re, err := regexp.Compile(expr)
	if err == nil && g.mode != "P" {
		re.Longest()
	}
	g.re = re
	return err
}

func (g *grep) files(names []string) int {
	failed := false
	for _, name := range names {
		r, err := g.c.open(name)
		if err != nil {
			if failed = true; !g.silent {
				g.c.fail(2, "%s", why(name, err))
			}
			continue
		}
		g.file(name, r)
		_ = r.Close()
		if g.quiet && g.hits > 0 {
			return 0
		}
	}
	if failed {
		return 2
	}
	return bit(g.hits == 0)
}

func (g *grep) file(name string, r io.Reader) {
	prefix := ""
	if g.named {
		prefix = name + ":"
	}
	n, hits, trailing := 0, 0, 0
	var held []string
	_ = lines(g.c.bounded(r), func(l string) bool {
		n++
		if g.re.MatchString(l) == g.invert {
			if trailing > 0 && !g.quiet && !g.count && !g.list {
				trailing--
				g.c.printf("%s%s\n", strings.Replace(prefix, ":", "-", 1), l)
			} else if g.before > 0 {
				held = append(held, l)[max(0, len(held)+1-g.before):]
			}
			return true
		}
		hits++
		if g.quiet || g.list || g.without {
			return false
		}
		if !g.count {
			for _, h := range held {
				g.c.printf("%s%s\n", strings.Replace(prefix, ":", "-", 1), h)
			}
			held, trailing = nil, g.after
			g.show(prefix, n, l)
		}
		return g.limit == 0 || hits < g.limit
	})
	g.hits += hits
	switch {
	case g.quiet:
	case g.list && hits > 0, g.without && hits == 0:
		g.c.printf("%s\n", name)
	case g.count:
		g.c.printf("%s%d\n", prefix, hits)
	}
}

func (g *grep) show(prefix string, n int, l string) {
	if g.numbers {
		prefix += strconv.Itoa(n) + ":"
	}
	if !g.only {
		g.c.printf("%s%s\n", prefix, l)
		return
	}
	for _, m := range g.re.FindAllString(l, -1) {
		if m != "" {
			g.c.printf("%s%s\n", prefix, m)
		}
	}
}

// filesBelow lists the files in directories.
func (c *call) filesBelow(names []string) []string {
	var all []string
	for _, name := range names {
		i, err := c.h.tree.stat(c.abs(name), true)
		if err != nil || !i.IsDir() {
			all = append(all, name)
			continue
		}
		entries, _ := c.h.tree.list(c.abs(name))
		for _, e := range entries {
			all = append(all, c.filesBelow([]string{strings.TrimSuffix(name, "/") + "/" + e.Name()})...)
		}
	}
	return all
}
