package diff

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/textdiff"
	"go.yaml.in/yaml/v4"
)

// Unified compares two machine configs as diff -u does, for those who want to see the lines around. Both are written
// anew first: documents and fields in one order, without comments, what says nothing, and secrets. A secret is
// numbered, so that one that differs is seen to. It is "" where both mean the same.
func Unified(old, new []byte) (string, error) {
	if bytes.Equal(old, new) {
		return "", nil
	}
	a, err := parse(old)
	if err != nil {
		return "", err
	}
	b, err := parse(new)
	if err != nil {
		return "", err
	}
	w := writer{newMask(nil, a, b)}
	before, err := w.config(a, b)
	if err != nil {
		return "", err
	}
	after, err := w.config(b, a)
	if err != nil {
		return "", err
	}
	if strings.Count(before, "\n")*strings.Count(after, "\n") > mostLines {
		return textdiff.Diff(before, after)
	}
	return hunks(splitLines(before), splitLines(after)), nil
}

// Redact writes a machine config, patch or secrets bundle anew without its secrets, for people: documents and fields in
// one order, without comments.
func Redact(text []byte) (string, error) {
	docs, err := parse(text)
	if err != nil {
		return "", err
	}
	w := writer{newMask(nil, docs)}
	return w.config(docs, nil)
}

// writer writes configs in the one form in which what means the same looks the same.
type writer struct {
	mask *mask
}

// config writes documents. A field that says nothing is left out, but where the other side says something.
func (w *writer) config(docs, other []document) (string, error) {
	docs = slices.Clone(docs)
	others := map[string]*value{}
	for _, d := range other {
		others[d.id()] = d.root
	}
	slices.SortStableFunc(docs, func(a, b document) int {
		if slices.Contains(orderedDocuments, a.kind) && a.kind == b.kind {
			return 0
		}
		first := func(d document) int { return min(1, len(strings.TrimPrefix(d.kind, v1alpha1Kind))) }
		return cmp.Or(cmp.Compare(first(a), first(b)), cmp.Compare(a.id(), b.id()))
	})
	var out strings.Builder
	for i, d := range docs {
		if i > 0 {
			out.WriteString("---\n")
		}
		text, err := yaml.Marshal(w.node(shapes()[d.kind], "", d.root, others[d.id()]))
		if err != nil {
			return "", fmt.Errorf("write %s: %w", d.kind, err)
		}
		out.Write(text)
	}
	return out.String(), nil
}

func (w *writer) node(s *shape, name string, v, other *value) *yaml.Node {
	switch {
	case v.isNull():
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}
	case s != nil && s.secret && !(v.nature == scalar && v.text() == ""):
		return textOf(w.mask.whole(v.plain())).node
	case v.nature == dict:
		return w.dict(s, v, other)
	case v.nature == list:
		return w.list(s, name, v, other)
	}
	if strings.HasPrefix(v.text(), "-----BEGIN ") {
		v = textOf(strings.TrimSpace(v.text()) + "\n")
	}
	text := w.mask.text(v.text())
	if s.plain() && suspect(name) && !worthless[strings.ToLower(v.text())] {
		text = w.mask.label(v.text())
	}
	if text != v.text() {
		return textOf(text).node
	}
	node := *v.node
	node.Anchor, node.HeadComment, node.LineComment, node.FootComment = "", "", "", ""
	if node.Tag == "!!str" || node.Tag == "" {
		node.Style &= yaml.LiteralStyle
		if node.Tag == "" && v.node.ShortTag() == "!!str" {
			node.Tag = "!!str"
		}
	}
	return &node
}

func textOf(text string) *value {
	var node yaml.Node
	node.SetString(text)
	return &value{nature: scalar, node: &node}
}

func (w *writer) dict(s *shape, v, other *value) *yaml.Node {
	out := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for _, key := range keysOf(s, v, nil) {
		item := v.dict[key]
		if field := s.field(key); s != nil && s.form == object && field != nil && field.unsaid(item) && field.unsaid(other.get(key)) {
			continue
		}
		out.Content = append(out.Content, textOf(w.mask.text(key)).node, w.node(s.field(key), key, item, other.get(key)))
	}
	return out
}

func (w *writer) list(s *shape, name string, v, other *value) *yaml.Node {
	items := v.items
	if s != nil && s.form == listed && (s.list.set || s.list.key != "") && !s.list.ordered {
		items = slices.Clone(items)
		if _, ok := keyed(s.list.key, v); ok && s.list.key != "" {
			slices.SortStableFunc(items, func(a, b *value) int { return cmp.Compare(a.name(s.list.key), b.name(s.list.key)) })
		} else if s.list.set {
			slices.SortStableFunc(items, func(a, b *value) int { return cmp.Compare(fmt.Sprint(a.plain()), fmt.Sprint(b.plain())) })
		}
	}
	var partners *value
	if s != nil && s.form == listed && s.list.key != "" && other != nil {
		partners, _ = keyed(s.list.key, other)
	}
	out := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	for _, item := range items {
		var partner *value
		if partners != nil {
			partner = partners.dict[item.name(s.list.key)]
		}
		out.Content = append(out.Content, w.node(s.field(""), name, item, partner))
	}
	return out
}
