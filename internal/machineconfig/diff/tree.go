package diff

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Limits of what is compared. Full configs have some 2,000 values, 12 levels deep; YAML aliases can make a page of
// text mean more values than there is memory.
const (
	maxValues = 500_000
	maxDepth  = 200
)

// nature of a value.
type nature int8

const (
	null nature = iota
	scalar
	list
	dict
)

// value is a YAML value with its aliases and merges resolved.
type value struct {
	nature nature
	node   *yaml.Node        // what it was written as; nil for one made here
	keys   []string          // of a dict, as written
	dict   map[string]*value // of a dict
	items  []*value          // of a list
}

func (v *value) isNull() bool { return v == nil || v.nature == null }

// nothing is null and what holds nothing.
func (v *value) nothing() bool {
	return v.isNull() || len(v.items) == 0 && len(v.dict) == 0 && v.text() == ""
}

// get finds a key of a dict, nil where there is none or v is something else.
func (v *value) get(key string) *value {
	if v == nil {
		return nil
	}
	return v.dict[key]
}

// text is the text of a scalar, "" of anything else.
func (v *value) text() string {
	if v == nil || v.nature != scalar {
		return ""
	}
	return v.node.Value
}

// document is one config document.
type document struct {
	kind, apiVersion, name string
	root                   *value
}

func (d *document) id() string { return d.kind + "\x00" + d.apiVersion + "\x00" + d.name }

// v1alpha1Kind stands for the kind of the document that has none.
const v1alpha1Kind = "v1alpha1"

// parse reads the documents of a config. No text means no documents.
func parse(text []byte) (docs []document, err error) {
	defer func() { // as the library does around the same parser
		if p := recover(); p != nil {
			err = fleet.Errorf(fleet.Invalid, "machine config: the YAML cannot be read: %v", p)
		}
	}()
	reader := yaml.NewDecoder(bytes.NewReader(text))
	b := builder{}
	for {
		var node yaml.Node
		if err := reader.Decode(&node); errors.Is(err, io.EOF) {
			return docs, nil
		} else if err != nil {
			return nil, fleet.Errorf(fleet.Invalid, "machine config: %w", err)
		}
		root, err := b.build(&node, 0)
		if err != nil {
			return nil, err
		}
		if root.isNull() {
			continue
		}
		if root.nature != dict {
			return nil, fleet.Errorf(fleet.Invalid, "machine config: line %d: a document must be a map", node.Line).
				WithHint("a machine config starts with `version: v1alpha1`, or with `apiVersion:` and `kind:`")
		}
		docs = append(docs, identify(root))
	}
}

// identify finds what a document is called. Two of the same identity are told apart by their order later.
func identify(root *value) document {
	d := document{kind: root.get("kind").text(), apiVersion: root.get("apiVersion").text(), root: root}
	if d.kind == "" {
		d.kind, d.apiVersion = v1alpha1Kind, ""
		return d
	}
	d.name = root.get("name").text()
	return d
}

// builder makes values of nodes and counts them.
type builder struct{ count int }

func (b *builder) build(n *yaml.Node, depth int) (*value, error) {
	if b.count++; b.count > maxValues || depth > maxDepth {
		return nil, fleet.Errorf(fleet.Invalid, "machine config: line %d: too many values or levels for a machine config", n.Line)
	}
	switch n.Kind {
	case yaml.DocumentNode:
		if len(n.Content) == 0 {
			return &value{node: n}, nil
		}
		return b.build(n.Content[0], depth+1)
	case yaml.AliasNode:
		return b.build(n.Alias, depth+1)
	case yaml.SequenceNode:
		v := &value{nature: list, node: n, items: make([]*value, 0, len(n.Content))}
		for _, c := range n.Content {
			item, err := b.build(c, depth+1)
			if err != nil {
				return nil, err
			}
			v.items = append(v.items, item)
		}
		return v, nil
	case yaml.MappingNode:
		return b.mapping(n, depth)
	case yaml.ScalarNode:
		if n.ShortTag() == "!!null" {
			return &value{node: n}, nil
		}
		return &value{nature: scalar, node: n}, nil
	}
	return &value{node: n}, nil
}

func (b *builder) mapping(n *yaml.Node, depth int) (*value, error) {
	v := &value{nature: dict, node: n, dict: make(map[string]*value, len(n.Content)/2)}
	var merges []*value
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, node := n.Content[i], n.Content[i+1]
		child, err := b.build(node, depth+1)
		if err != nil {
			return nil, err
		}
		if key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		if key.Kind != yaml.ScalarNode {
			return nil, fleet.Errorf(fleet.Invalid, "machine config: line %d: a key must be text", key.Line)
		}
		if key.ShortTag() == "!!merge" {
			merges = append(merges, child)
			continue
		}
		if _, twice := v.dict[key.Value]; !twice {
			v.keys = append(v.keys, key.Value)
		}
		v.dict[key.Value] = child
	}
	for _, m := range merges {
		v.merge(m)
	}
	return v, nil
}

// merge takes over what v has not itself, from a map or a list of maps (YAML's <<).
func (v *value) merge(from *value) {
	for _, item := range from.items {
		v.merge(item)
	}
	for _, key := range from.keys {
		if _, own := v.dict[key]; !own {
			v.keys = append(v.keys, key)
			v.dict[key] = from.dict[key]
		}
	}
}

// plain gives the value as encoding/json knows values. Redaction is the caller's.
func (v *value) plain() any {
	if v == nil {
		return nil
	}
	switch v.nature {
	case list:
		out := make([]any, len(v.items))
		for i, item := range v.items {
			out[i] = item.plain()
		}
		return out
	case dict:
		out := make(map[string]any, len(v.dict))
		for key, item := range v.dict {
			out[key] = item.plain()
		}
		return out
	case scalar:
		return v.scalar()
	}
	return nil
}

// scalar gives text, a bool or a number. What JSON cannot hold (dates, .inf, binary) stays text.
func (v *value) scalar() any {
	switch v.node.ShortTag() {
	case "!!bool", "!!int":
		var out any
		if v.node.Decode(&out) == nil {
			return out
		}
	case "!!float":
		var out float64
		if v.node.Decode(&out) == nil && !strings.ContainsAny(v.node.Value, "nN") {
			return out
		}
	}
	return v.node.Value
}
