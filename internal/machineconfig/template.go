package machineconfig

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// A template is a patch as YAML nodes, in which every ${name} is found but not filled in. Substitution works on the
// values of scalars, so that nothing a variable holds can change the structure of a document: before the text is
// parsed, each ${name} is replaced, letter for letter, by private characters, which YAML takes as part of a plain,
// quoted or block scalar, wherever it stands, and which leave lines and columns alone.
type template struct {
	text   string
	places []place      // every ${, in the order of the text
	docs   []*yaml.Node // what is in its documents; empty ones are left out
}

// place is where a ${ stands.
type place struct {
	offset  int // of the first $
	runes   int // the private characters that stand for it
	name    string
	escaped bool // $${: it stands for a plain ${
	open    bool // the } is missing
}

const (
	firstMark = '\U000F0000' // the first character of a place says which it is
	lastMark  = '\U000FFFEF'
	filler    = '\U00100000' // the others
)

// parseTemplate finds the variables of a patch and parses it. JSON is YAML, too.
func parseTemplate(text string) (*template, error) {
	t := &template{text: text}
	masked, err := t.mask()
	if err != nil {
		return nil, err
	}
	t.docs, err = parseDocuments(masked)
	return t, err
}

// mask notes the places and gives the text with private characters instead of them.
func (t *template) mask() (string, error) {
	if !strings.Contains(t.text, "${") {
		return t.text, nil
	}
	if i := strings.IndexFunc(t.text, func(r rune) bool { return r >= firstMark }); i >= 0 {
		return "", wrongAt(t.text, i, "a character for private use, which cannot stand beside variables")
	}
	var out strings.Builder
	for at := 0; ; {
		i := strings.Index(t.text[at:], "${")
		if i < 0 {
			out.WriteString(t.text[at:])
			return out.String(), nil
		}
		p, end := placeAt(t.text, at, at+i)
		if firstMark+rune(len(t.places)) > lastMark {
			return "", wrongAt(t.text, p.offset, "too many variables in one patch")
		}
		out.WriteString(t.text[at:p.offset])
		out.WriteRune(firstMark + rune(len(t.places)))
		out.WriteString(strings.Repeat(string(filler), p.runes-1))
		t.places = append(t.places, p)
		at = end
	}
}

// placeAt reads the place whose ${ is at i, and where it ends. Text before from belongs to another one.
func placeAt(text string, from, i int) (p place, end int) {
	inside := text[i+2:]
	if n := strings.IndexAny(inside, "}\n"); n >= 0 && inside[n] == '}' {
		p.name, end = inside[:n], i+2+n+1
	} else {
		p.open, end = true, i+2
	}
	p.offset = i
	if i > from && text[i-1] == '$' {
		p.offset, p.escaped = i-1, true
		if p.open || !simple(p.name) {
			end = i + 2 // only $${ itself: what follows may be any text
			p.name, p.open = "", true
		}
	}
	p.runes = utf8.RuneCountInString(text[p.offset:end])
	return p, end
}

// simple says whether an escaped name is one that YAML takes as it is.
func simple(name string) bool {
	return strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == ""
}

// plain is what an escaped place stands for.
func (p place) plain() string {
	if p.open {
		return "${"
	}
	return "${" + p.name + "}"
}

// parseDocuments parses YAML and gives what is in each document, without comments.
func parseDocuments(text string) (docs []*yaml.Node, err error) {
	defer func() { // the library does the same: a parser that panics must not take the program with it
		if r := recover(); r != nil {
			docs, err = nil, fleet.Errorf(fleet.Invalid, "no YAML: %v", r)
		}
	}()
	dec := yaml.NewDecoder(strings.NewReader(text))
	for {
		var n yaml.Node
		err := dec.Decode(&n)
		switch {
		case errors.Is(err, io.EOF):
			return docs, nil
		case err != nil:
			return nil, syntaxError(err)
		}
		for _, root := range n.Content {
			if root.Kind != yaml.ScalarNode || root.Tag != "!!null" {
				docs = append(docs, root)
			}
		}
	}
}

// syntaxError says where YAML is broken.
func syntaxError(err error) error {
	e, ok := errors.AsType[*yaml.LoadError](err)
	if !ok || e.Mark.Line == 0 {
		_, why, found := strings.Cut(err.Error(), "<unknown position>: ")
		if !found {
			why = err.Error()
		}
		return fleet.Errorf(fleet.Invalid, "no YAML: %s", why).WithHint("it must be plain text in UTF-8")
	}
	return fleet.Errorf(fleet.Invalid, "line %d, column %d: no YAML: %s", e.Mark.Line, max(e.Mark.Column, 1), e.Message).
		WithHint("look at the indentation and the quotes there and on the line before; YAML wants spaces, no tabs")
}

// fill gives a copy of the documents in which every variable has its value. Nodes keep the positions of the text as
// it was written.
func (t *template) fill(v Variables) ([]*yaml.Node, error) {
	f := filling{template: t, variables: v, copies: map[*yaml.Node]*yaml.Node{}}
	out := make([]*yaml.Node, len(t.docs))
	for i, doc := range t.docs {
		out[i] = f.copy(doc, false)
	}
	return out, f.err
}

type filling struct {
	*template
	variables Variables
	copies    map[*yaml.Node]*yaml.Node // of anchors
	err       error                     // the first one
}

// copy copies a node in the plainest style that says the same.
func (f *filling) copy(n *yaml.Node, key bool) *yaml.Node {
	c := &yaml.Node{Kind: n.Kind, Tag: n.Tag, Value: n.Value, Anchor: n.Anchor, Line: n.Line, Column: n.Column, Style: n.Style & yaml.TaggedStyle}
	switch n.Kind {
	case yaml.AliasNode:
		c.Alias = f.copies[n.Alias]
	case yaml.ScalarNode:
		f.scalar(c, n, key)
	default:
		c.Content = make([]*yaml.Node, len(n.Content))
	}
	if n.Anchor != "" {
		f.copies[n] = c
	}
	for i, child := range n.Content {
		c.Content[i] = f.copy(child, n.Kind == yaml.MappingNode && i%2 == 0)
	}
	return c
}

const quotedStyles = yaml.SingleQuotedStyle | yaml.DoubleQuotedStyle | yaml.LiteralStyle | yaml.FoldedStyle

// scalar fills in the variables of a scalar. A plain one that is a number or a truth value afterwards is one; all
// else that contains a variable is text.
func (f *filling) scalar(c, n *yaml.Node, key bool) {
	value, filled := f.expand(n.Value)
	c.Value = value
	if filled && n.Style&yaml.TaggedStyle == 0 {
		c.Tag = "!!str"
		if n.Style&quotedStyles == 0 && !key {
			c.Tag = plainTag(value)
		}
	}
	if c.Tag == "!!str" || c.Tag == "" {
		c.Tag, c.Style = "!!str", yaml.DoubleQuotedStyle
	} else if n.Style&yaml.TaggedStyle != 0 {
		c.Style |= n.Style & quotedStyles
	}
}

// plainTag is what YAML takes a plain scalar for: a number, a truth value, or else text. Nothing is null.
func plainTag(value string) string {
	const digits = "0123456789"
	switch {
	case value == "" || len(value) > 64, !strings.ContainsRune(digits+"+-.tTfFyYnNoO", rune(value[0])),
		strings.Count(value, ".") > 1, strings.ContainsAny(value, "/ "): // most of the variables there are
		return "!!str"
	case value[0] != '0' && strings.Trim(value, digits) == "":
		return "!!int"
	}
	var n yaml.Node
	if yaml.Unmarshal([]byte(value), &n) != nil || len(n.Content) != 1 || n.Content[0].Kind != yaml.ScalarNode || n.Content[0].Value != value {
		return "!!str"
	}
	switch tag := n.Content[0].Tag; tag {
	case "!!int", "!!float", "!!bool":
		return tag
	}
	return "!!str"
}

// expand fills in the places of one value.
func (f *filling) expand(value string) (_ string, filled bool) {
	if len(f.places) == 0 || !strings.ContainsFunc(value, func(r rune) bool { return r >= firstMark }) {
		return value, false
	}
	var out strings.Builder
	skip := 0
	for _, r := range value {
		switch {
		case skip > 0:
			skip--
		case r >= firstMark && int(r-firstMark) < len(f.places):
			p := f.places[r-firstMark]
			skip = p.runes - 1
			out.WriteString(f.value(p))
		default:
			out.WriteRune(r)
		}
	}
	return out.String(), true
}

func (f *filling) value(p place) string {
	if p.escaped {
		return p.plain()
	}
	value, known := f.variables[p.name]
	switch {
	case p.open:
		f.wrong(p, "${ without }")
	case !known:
		f.wrong(p, fmt.Sprintf("unknown variable ${%s}", p.name))
	case value == "":
		f.wrong(p, fmt.Sprintf("variable ${%s} has no value for this server", p.name))
	case !utf8.ValidString(value):
		f.wrong(p, fmt.Sprintf("variable ${%s} is no text", p.name))
	}
	return value
}

func (f *filling) wrong(p place, why string) {
	if f.err != nil {
		return
	}
	f.err = wrongAt(f.text, p.offset, why).WithHint("%s", f.variables.hint(p.name))
}
