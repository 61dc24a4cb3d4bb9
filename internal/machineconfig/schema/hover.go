package schema

import (
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// Hover explains the kind or field at a position (both from 1, columns in characters): of its key, or of its value.
func Hover(text []byte, line, column int, version string) (Info, bool) {
	t := known()
	r := t.release(version)
	p, ok := pointedAt(text, line, column)
	if !ok {
		p, ok = onLine(text, line, column)
	}
	if !ok {
		return Info{}, false
	}
	if len(p.path) == 1 && p.path[0] == "kind" {
		p.path = nil // the document itself says more than its header
	}
	e, at, ok := t.walk(p, newest(t, p.kind, r))
	if !ok {
		return Info{}, false
	}
	return t.info(p.kind, at.String(), e, r), true
}

// newest is the release to look a kind up in: documents that are too new are explained too.
func newest(t *table, kind string, r release) release {
	if e := t.kind(kind); e != nil && !e.in(r) {
		return e.seen[len(e.seen)-1].to
	}
	return r
}

// pointedAt finds the node at a position of a text that can be parsed.
func pointedAt(text []byte, line, column int) (place, bool) {
	docs, failure := parse(text)
	if failure != nil {
		return place{}, false
	}
	for _, doc := range docs {
		if path, ok := under(doc, nil, line, column, 0); ok {
			return place{kind: kindOf(doc), path: path}, true
		}
	}
	return place{}, false
}

// under searches a node for the key or value that covers a position.
func under(n *yaml.Node, path []string, line, column, depth int) ([]string, bool) {
	if depth > 100 {
		return nil, false
	}
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			at := append(path[:len(path):len(path)], n.Content[i].Value)
			if covers(n.Content[i], line, column) {
				return at, true
			}
			if found, ok := under(n.Content[i+1], at, line, column, depth+1); ok {
				return found, true
			}
		}
	case yaml.SequenceNode:
		for _, item := range n.Content {
			if found, ok := under(item, append(path[:len(path):len(path)], "[]"), line, column, depth+1); ok {
				return found, true
			}
		}
	case yaml.ScalarNode:
		return path, covers(n, line, column)
	}
	return nil, false
}

// covers says whether a scalar is at a position. Of one with several lines only the first is known.
func covers(n *yaml.Node, line, column int) bool {
	width := utf8.RuneCountInString(n.Value)
	if n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
		width += 2
	}
	return n.Kind == yaml.ScalarNode && n.Line == line && n.Column <= column && column <= n.Column+width
}

// onLine takes the key of a line of a text that cannot be parsed.
func onLine(text []byte, line, column int) (place, bool) {
	lines := strings.Split(string(text), "\n")
	if line < 1 || line > len(lines) {
		return place{}, false
	}
	r := readRow(strings.TrimRight(lines[line-1], "\r"))
	if !r.hasKey || column <= r.indent {
		return place{}, false
	}
	return locate(text, line, max(column, r.indent+utf8.RuneCountInString(r.key)+3)), true
}
