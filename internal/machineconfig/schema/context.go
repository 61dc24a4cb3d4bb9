package schema

import (
	"strings"
	"unicode/utf8"
)

// place is where the cursor is in a text that may not be finished: the names of the maps and lists around it, found by
// indentation and brackets. Texts that can be parsed are looked up in their nodes instead, where that is possible.
type place struct {
	kind    string   // of the document
	path    []string // field names, "[]" for an element of a list
	word    string   // what stands before the cursor of the key or value
	inValue bool     // the cursor is behind "key:"
	present []string // keys that the map has already
}

// locate finds the place of a position (both from 1, columns in characters).
func locate(text []byte, line, column int) place {
	lines := strings.Split(string(text), "\n")
	line = min(max(line, 1), len(lines))
	first, last := bounds(lines, line-1)
	before := cut(lines[line-1], column-1)
	p := place{kind: kindIn(lines[first:last])}
	if head := strings.TrimSpace(strings.Join(lines[first:last], "\n")); strings.HasPrefix(head, "{") || strings.HasPrefix(head, "[") {
		p.flow(strings.Join(append(lines[first:line-1:line-1], before), "\n"))
		return p
	}
	p.block(lines[first:last], line-1-first, before)
	return p
}

// cut is the beginning of a line, in characters.
func cut(line string, characters int) string {
	for i := range line {
		if characters <= 0 {
			return line[:i]
		}
		characters--
	}
	return line
}

// bounds gives the lines of the document that a line is in.
func bounds(lines []string, at int) (first, last int) {
	first, last = 0, len(lines)
	for i, l := range lines {
		if !strings.HasPrefix(l, "---") {
			continue
		}
		if i <= at {
			first = i + 1
			continue
		}
		last = i
		break
	}
	return min(first, at), max(last, at+1)
}

func kindIn(lines []string) string {
	for _, l := range lines {
		for _, start := range []string{"kind:", `"kind":`, `{"kind":`, "{kind:"} {
			if v, ok := strings.CutPrefix(strings.TrimRight(l, " \r"), start); ok {
				v, _, _ = strings.Cut(v, " #")
				if v = strings.Trim(v, ` "',}`); v != "" {
					return v
				}
			}
		}
		if _, v, ok := strings.Cut(l, `"kind":`); ok && strings.Count(l, "{") <= 1 {
			v, _, _ = strings.Cut(v, ",")
			return strings.Trim(v, ` "}`)
		}
	}
	return V1Alpha1
}

// row is a line of block style: what it nests under, and its key.
type row struct {
	dashes []int // columns of "- "
	indent int   // column of what comes behind them
	key    string
	rest   string // behind "key:"
	hasKey bool
}

func readRow(line string) row {
	var r row
	i := 0
	for i < len(line) {
		switch {
		case line[i] == ' ':
			i++
		case line[i] == '-' && (i+1 == len(line) || line[i+1] == ' '):
			r.dashes = append(r.dashes, i)
			i++
		default:
			r.indent = i
			r.read(line[i:])
			return r
		}
	}
	r.indent = len(line)
	return r
}

func (r *row) read(s string) {
	if strings.HasPrefix(s, "#") {
		return
	}
	end := strings.Index(s, ": ")
	if end < 0 && strings.HasSuffix(strings.TrimRight(s, " \r"), ":") {
		end = strings.LastIndexByte(s, ':')
	}
	if end < 0 {
		r.rest = s
		return
	}
	r.key, r.rest, r.hasKey = strings.Trim(s[:end], `"'`), s[end+1:], true
}

func (r *row) empty() bool { return !r.hasKey && r.rest == "" && len(r.dashes) == 0 }

// block finds the place by indentation.
func (p *place) block(lines []string, at int, before string) {
	here := readRow(before)
	var inner place
	if here.hasKey {
		p.inValue = true
		value := strings.TrimLeft(here.rest, " ")
		if strings.HasPrefix(value, "{") || strings.HasPrefix(value, "[") {
			inner.flow(value)
			p.inValue, p.present = inner.inValue, inner.present
			value = inner.word
		}
		p.word = value
	} else {
		p.word = here.rest
	}
	limit := here.indent
	up := climb(&limit, here.dashes)
	for i := at - 1; i >= 0 && (limit > 0 || inList(up)); i-- {
		r := readRow(strings.TrimRight(lines[i], "\r"))
		if r.empty() || strings.HasPrefix(strings.TrimSpace(lines[i]), "#") {
			continue
		}
		p.rise(r, &limit, &up)
	}
	for i := len(up) - 1; i >= 0; i-- {
		p.path = append(p.path, up[i])
	}
	if here.hasKey {
		p.path = append(p.path, here.key)
	}
	p.path = append(p.path, inner.path...)
	if !p.inValue && len(inner.path) == 0 && !here.hasKey {
		p.present = append(p.present, keysBeside(lines, at, here)...)
	}
}

// climb turns the dashes of a line into list elements, the inner one first.
func climb(limit *int, dashes []int) []string {
	var up []string
	for i := len(dashes) - 1; i >= 0; i-- {
		up = append(up, "[]")
		*limit = dashes[i]
	}
	return up
}

func inList(up []string) bool { return len(up) > 0 && up[len(up)-1] == "[]" }

// rise takes a line above into account: a parent is further left than all below it. A list may stand as far left as
// the key that holds it.
func (p *place) rise(r row, limit *int, up *[]string) {
	parent := r.indent < *limit || inList(*up) && r.indent == *limit && len(r.dashes) == 0
	if r.hasKey && parent {
		*up = append(*up, r.key)
		*limit = r.indent
	}
	for i := len(r.dashes) - 1; i >= 0; i-- {
		if r.dashes[i] < *limit {
			*up = append(*up, "[]")
			*limit = r.dashes[i]
		}
	}
}

// keysBeside lists the keys of the map that a line is in.
func keysBeside(lines []string, at int, here row) []string {
	var keys []string
	look := func(line string) bool {
		r := readRow(strings.TrimRight(line, "\r"))
		switch {
		case r.empty() || strings.HasPrefix(strings.TrimSpace(line), "#"):
			return true
		case r.indent < here.indent:
			return false
		case r.indent == here.indent && r.hasKey:
			keys = append(keys, r.key)
		}
		return r.indent > here.indent || len(r.dashes) == 0
	}
	if len(here.dashes) == 0 {
		for i := at - 1; i >= 0 && look(lines[i]); i-- {
		}
	}
	for i := at + 1; i < len(lines); i++ {
		if r := readRow(lines[i]); len(r.dashes) > 0 && r.indent <= here.indent || !look(lines[i]) {
			break
		}
	}
	return keys
}

// flow finds the place by brackets, in JSON and in YAML that looks like it.
func (p *place) flow(s string) {
	type frame struct {
		list  bool
		key   string
		value bool // behind the colon
		keys  []string
	}
	var stack []frame
	word, quote := "", byte(0)
	for i := 0; i < len(s); i++ {
		c := s[i]
		top := len(stack) - 1
		switch {
		case quote != 0 && c == '\\' && quote == '"':
			i++
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word += string(c)
		case c == '"' || c == '\'':
			quote, word = c, ""
		case c == '{' || c == '[':
			stack, word = append(stack, frame{list: c == '['}), ""
		case (c == '}' || c == ']') && top >= 0:
			stack, word = stack[:top], ""
		case c == ',' && top >= 0:
			stack[top].key, stack[top].value, word = "", false, ""
		case c == ':' && top >= 0 && !stack[top].list && !stack[top].value:
			stack[top].key, stack[top].value, word = strings.TrimSpace(word), true, ""
			stack[top].keys = append(stack[top].keys, stack[top].key)
		case c == ' ' || c == '\n' || c == '\t' || c == '\r':
			if word != "" {
				word += " "
			}
		default:
			word += string(c)
		}
	}
	for _, f := range stack {
		switch {
		case f.list:
			p.path = append(p.path, "[]")
		case f.value:
			p.path = append(p.path, f.key)
		}
	}
	if len(stack) > 0 {
		f := stack[len(stack)-1]
		p.inValue, p.present = f.list || f.value, f.keys
		if p.inValue {
			p.present = nil
		}
	}
	p.word = strings.TrimSpace(word)
	if !utf8.ValidString(p.word) {
		p.word = ""
	}
}
