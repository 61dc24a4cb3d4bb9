package schema

import (
	"slices"
	"strings"
)

// Item is a completion.
type Item struct {
	Label  string // what is shown: the key, kind or value
	Insert string // what is written instead of the word before the cursor
	Info   Info
}

// Complete lists what can be written at a position (both from 1, columns in characters) of an unfinished text, best
// first: fields that must be there, then by name, deprecated ones last.
func Complete(text []byte, line, column int, version string) []Item {
	t := known()
	r := t.release(version)
	p := locate(text, line, column)
	if p.inValue && len(p.path) == 1 {
		switch p.path[0] {
		case "kind":
			return t.kindItems(p.word, r)
		case "apiVersion":
			return matching([]Item{{Label: "v1alpha1", Insert: "v1alpha1"}}, p.word)
		}
	}
	e, at, ok := t.walk(p, r)
	if !ok {
		return nil
	}
	if p.inValue {
		return t.valueItems(e, p, at, r)
	}
	return t.fieldItems(e, p, at, r)
}

// walk follows a place through the table.
func (t *table) walk(p place, r release) (*entry, *pattern, bool) {
	e := t.kind(p.kind)
	if e == nil || !e.in(r) {
		return nil, nil, false
	}
	var at *pattern
	for _, s := range p.path {
		next := e.step(s)
		if next == nil || !next.in(r) {
			return nil, nil, false
		}
		if next.name == "[]" || next.name == "*" {
			s = "[]"
		}
		e, at = next, at.step(s)
	}
	return e, at, true
}

func (t *table) kindItems(word string, r release) []Item {
	var out []Item
	for _, e := range t.kinds {
		if e.in(r) && e.name != V1Alpha1 {
			out = append(out, Item{Label: e.name, Insert: e.name, Info: t.info(e.name, "", e, r)})
		}
	}
	return matching(out, word)
}

func (t *table) valueItems(e *entry, p place, at *pattern, r release) []Item {
	i := t.info(p.kind, at.String(), e, r)
	values := i.Values
	if e.form(r).typ == "bool" {
		values = []string{"true", "false"}
	}
	if e.form(r).typ == list || e.form(r).typ == object {
		return nil
	}
	var out []Item
	for _, v := range values {
		out = append(out, Item{Label: v, Insert: quoted(v, e.form(r).typ), Info: i})
	}
	return matching(out, p.word)
}

// quoted keeps YAML from reading a word as true or false, or a number as no text.
func quoted(v, typ string) string {
	if typ == "enum" || typ == "bool" {
		return v // decoded from what is written
	}
	if v == "" || strings.ContainsAny(v, ":#{}[],&*!|>'\"%@`") || strings.Trim(v, "0123456789.") == "" {
		return "'" + v + "'"
	}
	return v
}

func (t *table) fieldItems(e *entry, p place, at *pattern, r release) []Item {
	if len(p.path) == 0 && p.kind == V1Alpha1 && !slices.Contains(p.present, "machine") && !slices.Contains(p.present, "cluster") {
		head := Item{Label: "apiVersion", Insert: "apiVersion: v1alpha1\nkind: ", Info: Info{Description: "Begins a document of its own kind.", Since: t.sayMinor(0)}}
		return append(t.children(e, p, at, r), matching([]Item{head}, p.word)...)
	}
	return t.children(e, p, at, r)
}

func (t *table) children(e *entry, p place, at *pattern, r release) []Item {
	var out []Item
	for _, c := range e.children {
		if !c.in(r) || c.name == "[]" || c.name == "*" || slices.Contains(p.present, c.name) {
			continue
		}
		out = append(out, Item{Label: c.name, Insert: c.name + ":" + behind(c, r), Info: t.info(p.kind, at.step(c.name).String(), c, r)})
	}
	slices.SortStableFunc(out, func(a, b Item) int {
		if x, y := rank(a), rank(b); x != y {
			return x - y
		}
		return strings.Compare(a.Label, b.Label)
	})
	return matching(out, p.word)
}

// behind is what follows the colon: a value comes on the same line, maps and lists on the next.
func behind(e *entry, r release) string {
	switch e.form(r).typ {
	case object, mapping, list:
		return ""
	}
	return " "
}

func rank(i Item) int {
	switch {
	case i.Info.Deprecated != "":
		return 2
	case i.Info.Required:
		return 0
	}
	return 1
}

// matching keeps the items that begin with a word, then those that hold it.
func matching(items []Item, word string) []Item {
	word = strings.ToLower(strings.Trim(word, `"' `))
	if word == "" {
		return items
	}
	var first, then []Item
	for _, i := range items {
		switch label := strings.ToLower(i.Label); {
		case strings.HasPrefix(label, word):
			first = append(first, i)
		case strings.Contains(label, word):
			then = append(then, i)
		}
	}
	return append(first, then...)
}
