package schema

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// path is where in a document something is. Steps are fields, indexes of lists, and keys of maps.
type path struct {
	up   *path
	name string // of a field, or key of a map
	kind step
	at   int // index in a list
}

type step int

const (
	field step = iota
	index
	key
)

func (p *path) field(name string) *path { return &path{p, name, field, 0} }
func (p *path) index(i int) *path       { return &path{p, "", index, i} }
func (p *path) key(name string) *path   { return &path{p, name, key, 0} }

// String is machine.network.interfaces[0].addresses or machine.registries.mirrors["docker.io"].
func (p *path) String() string { return p.write(false) }

// pattern is the same with [] for every index and key.
func (p *path) pattern() string { return p.write(true) }

func (p *path) write(pattern bool) string {
	if p == nil {
		return ""
	}
	before := p.up.write(pattern)
	switch {
	case p.kind != field && pattern:
		return before + "[]"
	case p.kind == index:
		return before + "[" + strconv.Itoa(p.at) + "]"
	case p.kind == key || strings.ContainsAny(p.name, `.[]" `) || p.name == "":
		return before + "[" + strconv.Quote(p.name) + "]"
	case before == "":
		return p.name
	}
	return before + "." + p.name
}

// inList says whether a step of the path is an element of a list.
func (p *path) inList() bool {
	for ; p != nil; p = p.up {
		if p.kind == index {
			return true
		}
	}
	return false
}

// split cuts a path as String and pattern write it into its steps; those in brackets keep them.
func split(path string) []string {
	var out []string
	for path != "" {
		if path[0] != '[' {
			end := strings.IndexAny(path, ".[")
			if end < 0 {
				end = len(path)
			}
			out = append(out, path[:end])
			path = strings.TrimPrefix(path[end:], ".")
			continue
		}
		end := closing(path)
		out = append(out, path[:end])
		path = strings.TrimPrefix(path[end:], ".")
	}
	return out
}

// closing gives the end of the bracket that a path begins with; quotes may hold brackets.
func closing(path string) int {
	if quoted, err := strconv.QuotedPrefix(path[1:]); err == nil && len(path) > 1+len(quoted) && path[1+len(quoted)] == ']' {
		return len(quoted) + 2
	}
	if end := strings.IndexByte(path, ']'); end >= 0 {
		return end + 1
	}
	return len(path)
}

// find gives the entry of a path, nil where there is none. What a free form holds has no entry.
func (t *table) find(kind, path string) *entry {
	e := t.kind(kind)
	for _, s := range split(path) {
		if e == nil {
			return nil
		}
		e = e.step(s)
	}
	return e
}

// step goes one step down.
func (e *entry) step(s string) *entry {
	for _, name := range []string{"[]", "*"} {
		if c := e.child(name); c != nil && len(e.children) == 1 {
			return c
		}
	}
	if strings.HasPrefix(s, "[") {
		return nil
	}
	return e.child(s)
}

// lookup finds a value in a mapping by its keys; nil where one is missing.
func lookup(n *yaml.Node, keys ...string) *yaml.Node {
	for _, k := range keys {
		if n = get(n, k); n == nil {
			return nil
		}
	}
	return n
}

func get(n *yaml.Node, key string) *yaml.Node {
	n = target(n)
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// target follows an alias.
func target(n *yaml.Node) *yaml.Node {
	if n != nil && n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}
