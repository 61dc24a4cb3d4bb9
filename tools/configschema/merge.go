package main

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// merger lays the trees of all releases over each other.
type merger struct {
	releases []string
	roots    []*merged
}

// merged is a node with its history. A field whose type changed has a form for each type.
type merged struct {
	name       string
	seen       []span
	forms      []form
	deprecated int // release that says so first, -1 for none
	instead    string
	comment
	children []*merged
}

type span struct{ from, to int }

type form struct {
	typ     string
	values  []string
	pointer bool
	seen    []span
}

func newMerger(releases []string) *merger { return &merger{releases: releases} }

func (m *merger) add(release int, roots []*node) {
	m.roots = m.mergeAll(m.roots, release, roots)
}

func (m *merger) mergeAll(into []*merged, release int, nodes []*node) []*merged {
	for _, n := range nodes {
		i := slices.IndexFunc(into, func(c *merged) bool { return c.name == n.name })
		if i < 0 {
			into = append(into, &merged{name: n.name, deprecated: -1})
			i = len(into) - 1
		}
		m.merge(into[i], release, n)
	}
	return into
}

func (m *merger) merge(to *merged, release int, n *node) {
	if len(to.seen) > 0 && to.seen[len(to.seen)-1].to == release {
		return // a key twice in one struct: the outer one wins
	}
	to.seen = extend(to.seen, release)
	i := slices.IndexFunc(to.forms, func(f form) bool { return f.typ == n.typ && slices.Equal(f.values, n.values) && f.pointer == n.pointer })
	if i < 0 {
		to.forms = append(to.forms, form{typ: n.typ, values: n.values, pointer: n.pointer})
		i = len(to.forms) - 1
	}
	to.forms[i].seen = extend(to.forms[i].seen, release)
	if n.deprecated != "" {
		if to.deprecated < 0 {
			to.deprecated = release
		}
		to.instead = n.deprecated
	}
	if n.description != "" {
		to.description = n.description
	}
	if len(n.examples) > 0 {
		to.examples = n.examples
	}
	if len(n.documented) > 0 {
		to.documented = n.documented
	}
	to.required = n.required
	to.children = m.mergeAll(to.children, release, n.children)
}

func extend(spans []span, release int) []span {
	if last := len(spans) - 1; last >= 0 && spans[last].to == release-1 {
		spans[last].to = release
		return spans
	}
	return append(spans, span{release, release})
}

// write gives the table: a line with all releases, then a line for each node with its fields separated by tabs:
// depth, name, spans, forms, deprecated since, instead, required, documented values, description, examples.
func (m *merger) write(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintln(b, strings.Join(m.releases, " "))
	for _, r := range m.roots {
		m.writeNode(b, 0, r)
	}
	return b.Flush()
}

func (m *merger) writeNode(b *bufio.Writer, depth int, n *merged) {
	forms := make([]string, len(n.forms))
	for i, f := range n.forms {
		typ := f.typ
		if f.pointer {
			typ += "!"
		}
		forms[i] = m.spans(f.seen) + " " + typ + "=" + strings.Join(f.values, ",")
	}
	deprecated, required := "", ""
	if n.deprecated >= 0 {
		deprecated = strconv.Itoa(n.deprecated)
	}
	if n.required {
		required = "required"
	}
	columns := []string{
		strconv.Itoa(depth), n.name, m.spans(n.seen), strings.Join(forms, "|"), deprecated, n.instead, required,
		strings.Join(n.documented, "\x1f"), n.description, strings.Join(n.examples, "\x1f"),
	}
	for i, c := range columns {
		c = strings.ReplaceAll(c, "\t", " ")
		columns[i] = strings.ReplaceAll(c, "\n", `\n`)
	}
	fmt.Fprintln(b, strings.TrimRight(strings.Join(columns, "\t"), "\t"))
	for _, c := range n.children {
		m.writeNode(b, depth+1, c)
	}
}

// spans writes release numbers: 0-75 or 10-20,25-75.
func (m *merger) spans(spans []span) string {
	out := make([]string, len(spans))
	for i, s := range spans {
		out[i] = fmt.Sprintf("%d-%d", s.from, s.to)
	}
	return strings.Join(out, ",")
}
