package diff

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strconv"
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
	w := writer{mask: newMask(nil, a, b), numbers: map[string]int{}}
	before, err := w.config(a)
	if err != nil {
		return "", err
	}
	after, err := w.config(b)
	if err != nil {
		return "", err
	}
	return textdiff.Diff(before, after)
}

// Redact writes a machine config, patch or secrets bundle anew without its secrets, for people: documents and fields in
// one order, without comments.
func Redact(text []byte) (string, error) {
	docs, err := parse(text)
	if err != nil {
		return "", err
	}
	w := writer{mask: newMask(nil, docs)}
	return w.config(docs)
}

// writer writes configs in the one form in which what means the same looks the same.
type writer struct {
	mask    *mask
	numbers map[string]int // of secrets, in the order in which they are met; nil where all look the same
}

func (w *writer) config(docs []document) (string, error) {
	docs = slices.Clone(docs)
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
		text, err := yaml.Marshal(w.node(shapes()[d.kind], "", d.root))
		if err != nil {
			return "", fmt.Errorf("write %s: %w", d.kind, err)
		}
		out.Write(text)
	}
	return out.String(), nil
}

func (w *writer) node(s *shape, name string, v *value) *yaml.Node {
	switch {
	case v.isNull():
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}
	case s != nil && s.secret && !(v.nature == scalar && v.text() == ""):
		return w.secret(fmt.Sprint(v.plain()), Secret)
	case v.nature == dict:
		return w.dict(s, v)
	case v.nature == list:
		return w.list(s, name, v)
	}
	text := w.mask.text(v.text())
	if s.plain() && suspect(name) && !worthless[strings.ToLower(v.text())] {
		text = Secret
	}
	if text != v.text() {
		return w.secret(v.text(), text)
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

// secret writes a text that holds a secret, numbered by what it is.
func (w *writer) secret(raw, text string) *yaml.Node {
	if w.numbers != nil {
		n, known := w.numbers[raw]
		if !known {
			n = len(w.numbers) + 1
			w.numbers[raw] = n
		}
		text = strings.ReplaceAll(text, Secret, strings.TrimSuffix(Secret, "]")+" "+strconv.Itoa(n)+"]")
	}
	var node yaml.Node
	node.SetString(text)
	return &node
}

func (w *writer) dict(s *shape, v *value) *yaml.Node {
	out := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for _, key := range keysOf(s, v, nil) {
		item := v.dict[key]
		if s != nil && s.form == object && s.field(key).unsaid(item) && s.field(key) != nil {
			continue
		}
		var name yaml.Node
		name.SetString(w.mask.text(key))
		out.Content = append(out.Content, &name, w.node(s.field(key), key, item))
	}
	return out
}

func (w *writer) list(s *shape, name string, v *value) *yaml.Node {
	items := v.items
	if s != nil && s.form == listed && (s.list.set || s.list.key != "") && !s.list.ordered {
		items = slices.Clone(items)
		if _, ok := keyed(s.list.key, v); ok && s.list.key != "" {
			slices.SortStableFunc(items, func(a, b *value) int { return cmp.Compare(a.name(s.list.key), b.name(s.list.key)) })
		} else if s.list.set {
			slices.SortStableFunc(items, func(a, b *value) int { return cmp.Compare(fmt.Sprint(a.plain()), fmt.Sprint(b.plain())) })
		}
	}
	out := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	for _, item := range items {
		out.Content = append(out.Content, w.node(s.field(""), name, item))
	}
	return out
}
