package schema

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
)

//go:embed talos.txt.gz
var packed []byte

// known is the table, unpacked when somebody first asks.
var known = sync.OnceValue(unpack)

// table holds the documents of all releases, each field with its history.
type table struct {
	releases []string // v1.6.0 ... v1.14.1, oldest first
	kinds    []*entry
	advice   []advice
}

// release is the index of a Talos release in the table.
type release int

// entry is a document, a field, what a list holds ("[]") or what a map holds ("*").
type entry struct {
	name        string
	seen        []span
	forms       []form
	deprecated  release // -1 for what is not deprecated
	instead     string  // as Talos says it
	required    bool
	values      []string // that the documentation names
	description string
	examples    []string
	children    []*entry
	advice      *advice // of a field of V1Alpha1 that documents took over
}

type span struct{ from, to release }

// form is what a field takes in some releases.
type form struct {
	seen   []span
	typ    string
	values []string // that the decoder takes
	strict bool     // the decoder refuses null in a list of these
}

// The types of a form. Every other one is a single value, see decoders.
const (
	object   = "object"
	list     = "list"
	mapping  = "map"
	anything = "any"
)

func unpack() *table {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		panic(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		panic(err)
	}
	return parseTable(string(text))
}

// parseTable reads what tools/configschema wrote: see write there for the columns.
func parseTable(text string) *table {
	first, rest, _ := strings.Cut(text, "\n")
	t := &table{releases: strings.Fields(first), advice: parseAdvice(adviceText)}
	var open []*entry // the entry of each depth above the line
	for line := range strings.Lines(rest) {
		c := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		c = append(c, make([]string, 10-len(c))...)
		depth, e := number(c[0]), parseEntry(c)
		open = append(open[:depth], e)
		if depth == 0 {
			t.kinds = append(t.kinds, e)
			continue
		}
		open[depth-1].children = append(open[depth-1].children, e)
	}
	slices.SortFunc(t.kinds, func(a, b *entry) int {
		if (a.name == V1Alpha1) != (b.name == V1Alpha1) {
			return strings.Compare(b.name, a.name) // lower case is after upper case, and this one is first
		}
		return strings.Compare(a.name, b.name)
	})
	for i, a := range t.advice {
		if e := t.find(V1Alpha1, a.path); e != nil {
			e.advice = &t.advice[i]
		}
	}
	return t
}

func parseEntry(c []string) *entry {
	e := &entry{name: c[1], seen: parseSpans(c[2]), deprecated: -1, instead: c[5], required: c[6] != "", values: parts(c[7]), examples: parts(c[9])}
	for text := range strings.SplitSeq(c[3], "|") {
		seen, rest, _ := strings.Cut(text, " ")
		typ, values, _ := strings.Cut(rest, "=")
		f := form{seen: parseSpans(seen)}
		f.typ, f.strict = strings.CutSuffix(typ, "!")
		if values != "" {
			f.values = strings.Split(values, ",")
		}
		e.forms = append(e.forms, f)
	}
	if c[4] != "" {
		e.deprecated = release(number(c[4]))
	}
	e.description = strings.ReplaceAll(c[8], `\n`, "\n")
	return e
}

func parts(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, "\x1f")
}

func parseSpans(s string) []span {
	var out []span
	for part := range strings.SplitSeq(s, ",") {
		from, to, _ := strings.Cut(part, "-")
		out = append(out, span{release(number(from)), release(number(to))})
	}
	return out
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic("schema: talos.txt.gz: " + err.Error())
	}
	return n
}

// kind finds a document by its name.
func (t *table) kind(name string) *entry {
	i := slices.IndexFunc(t.kinds, func(e *entry) bool { return e.name == name })
	if i < 0 {
		return nil
	}
	return t.kinds[i]
}

// child finds a field, "[]" or "*".
func (e *entry) child(name string) *entry {
	for _, c := range e.children {
		if c.name == name {
			return c
		}
	}
	return nil
}

// in says whether a release knows the entry.
func (e *entry) in(r release) bool { return within(e.seen, r) }

func within(spans []span, r release) bool {
	return slices.ContainsFunc(spans, func(s span) bool { return s.from <= r && r <= s.to })
}

// form is what the entry takes in a release; that of the nearest release that has it where this one does not.
func (e *entry) form(r release) form {
	for _, f := range e.forms {
		if within(f.seen, r) {
			return f
		}
	}
	if r < e.seen[0].from {
		return e.forms[0]
	}
	return e.forms[len(e.forms)-1]
}
