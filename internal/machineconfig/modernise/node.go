package modernise

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// The helpers here work on YAML nodes, because nodes keep comments and the way a value was written.

func scalar(value string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: value}
}

func boolean(value bool) *yaml.Node {
	text := "false"
	if value {
		text = "true"
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: text}
}

func mapping(pairs ...*yaml.Node) *yaml.Node {
	return &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Content: pairs}
}

func sequence(items ...*yaml.Node) *yaml.Node {
	return &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Content: items}
}

// deleted is the value that tells the library to delete what it stands for.
func deleted() *yaml.Node { return mapping(scalar("$patch"), scalar("delete")) }

// isDelete says whether n is nothing but a `$patch: delete`.
func isDelete(n *yaml.Node) bool {
	v := child(n, "$patch")
	return v != nil && v.Value == "delete"
}

// holdsDelete says whether there is a `$patch: delete` anywhere in n.
func holdsDelete(n *yaml.Node) bool {
	if n == nil {
		return false
	}
	return isDelete(n) || slices.ContainsFunc(n.Content, holdsDelete)
}

// index finds the position of a key in a mapping's content; -1 where there is none.
func index(m *yaml.Node, key string) int {
	if m == nil || m.Kind != yaml.MappingNode {
		return -1
	}
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			return i
		}
	}
	return -1
}

// child gives the value of a key, nil where there is none.
func child(m *yaml.Node, key string) *yaml.Node {
	if i := index(m, key); i >= 0 {
		return m.Content[i+1]
	}
	return nil
}

// value gives the text of a scalar below m, "" where there is none.
func value(m *yaml.Node, key string) string {
	if n := child(m, key); n != nil && n.Kind == yaml.ScalarNode && n.Tag != "!!null" {
		return n.Value
	}
	return ""
}

// at walks down a path of keys.
func at(m *yaml.Node, path ...string) *yaml.Node {
	for _, key := range path {
		m = child(m, key)
	}
	return m
}

// pairs lists keys and values of a mapping.
func pairs(m *yaml.Node) [][2]*yaml.Node {
	if m == nil || m.Kind != yaml.MappingNode {
		return nil
	}
	var out [][2]*yaml.Node
	for i := 0; i+1 < len(m.Content); i += 2 {
		out = append(out, [2]*yaml.Node{m.Content[i], m.Content[i+1]})
	}
	return out
}

// items lists the elements of a sequence; a null or missing one has none.
func items(n *yaml.Node) []*yaml.Node {
	if n == nil || n.Kind != yaml.SequenceNode {
		return nil
	}
	return n.Content
}

// isTrue reads a boolean; known is false where it is a variable or no boolean.
func isTrue(n *yaml.Node) (yes, known bool) {
	if n == nil || n.Kind != yaml.ScalarNode {
		return false, false
	}
	switch strings.ToLower(n.Value) {
	case "true", "yes", "on", "y":
		return true, true
	case "false", "no", "off", "n":
		return false, true
	}
	return false, false
}

// put sets a key of a mapping: a mapping is merged into one that is there, a sequence appended, the rest replaced.
func put(m, key, val *yaml.Node) {
	i := index(m, key.Value)
	if i < 0 {
		m.Content = append(m.Content, key, val)
		return
	}
	old := m.Content[i+1]
	switch {
	case old.Kind == yaml.MappingNode && val.Kind == yaml.MappingNode && !isDelete(old) && !isDelete(val):
		for _, p := range pairs(val) {
			put(old, p[0], p[1])
		}
	case old.Kind == yaml.SequenceNode && val.Kind == yaml.SequenceNode:
		old.Content = append(old.Content, val.Content...)
	default:
		m.Content[i+1] = val
	}
	m.Content[i].HeadComment = joinComments(m.Content[i].HeadComment, key.HeadComment)
}

// remove takes a key out of a mapping and gives it back with its value; nil where there is none.
func remove(m *yaml.Node, key string) (k, v *yaml.Node) {
	i := index(m, key)
	if i < 0 {
		return nil, nil
	}
	k, v = m.Content[i], m.Content[i+1]
	m.Content = slices.Delete(m.Content, i, i+2)
	return k, v
}

// renamed is a copy of a key under another name, with its comments.
func renamed(key *yaml.Node, name string) *yaml.Node {
	k := scalar(name)
	if key != nil {
		k.HeadComment, k.LineComment, k.FootComment = key.HeadComment, key.LineComment, key.FootComment
	}
	return k
}

// changed is a copy of a scalar with another text, with its comments and place.
func changedTo(n *yaml.Node, text string) *yaml.Node {
	c := *n
	c.Value, c.Tag, c.Style = text, "!!str", 0
	return &c
}

func joinComments(a, b string) string {
	if a == "" || b == "" || a == b {
		return a + strings.TrimPrefix(b, a)
	}
	return a + "\n" + b
}

// clone copies a node with all below it.
func clone(n *yaml.Node) *yaml.Node {
	if n == nil {
		return nil
	}
	c := *n
	c.Content = nil
	for _, child := range n.Content {
		c.Content = append(c.Content, clone(child))
	}
	return &c
}

// block writes n and all below in block style: values that moved must not depend on how their parent was written, and
// a variable inside braces would end them.
func block(n *yaml.Node) *yaml.Node {
	if n == nil {
		return nil
	}
	if n.Kind != yaml.ScalarNode && len(n.Content) > 0 {
		n.Style &^= yaml.FlowStyle
	}
	for _, c := range n.Content {
		block(c)
	}
	return n
}

// plain drops the quotes of keys and of text that needs none, for patches that were JSON.
func (v *variables) plain(n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!str" && !v.has(n.Value) { // a variable in quotes is text, whatever its value
		n.Style = 0
		if strings.Contains(n.Value, "\n") {
			n.Style = yaml.LiteralStyle
		}
	}
	for _, c := range n.Content {
		v.plain(c)
	}
}
