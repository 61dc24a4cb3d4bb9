package machineconfig

import (
	"fmt"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"
)

// comparison carries the origins of one state of a config over to the next, patched one.
type comparison struct {
	*tracer
	patch    string
	document *parsed
	changed  bool
}

// all says that the patch made a node and everything below it.
func (c *comparison) all(n *yaml.Node) {
	c.changed = true
	c.by[n] = c.patch
	for _, child := range n.Content {
		c.all(child)
	}
}

// gone notes that the patch took away a value.
func (c *comparison) gone(path string, n *yaml.Node) {
	c.changed = true
	*c.removed = append(*c.removed, Origin{c.document.kind, c.document.name, path, 0, c.patch})
}

func (c *comparison) node(path string, old, n *yaml.Node) {
	if old.Kind != n.Kind || n.Kind == yaml.ScalarNode && (old.Value != n.Value || old.ShortTag() != n.ShortTag()) {
		c.all(n)
		return
	}
	c.by[n] = c.by[old]
	switch n.Kind {
	case yaml.MappingNode:
		c.mapping(path, old, n)
	case yaml.SequenceNode:
		c.sequence(path, old, n)
	}
}

func (c *comparison) mapping(path string, old, n *yaml.Node) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if before := valueAt(old, key.Value); before != nil {
			c.node(keyPath(path, key.Value), before, value)
		} else {
			c.all(value)
		}
	}
	for i := 0; i+1 < len(old.Content); i += 2 {
		if key := old.Content[i].Value; valueAt(n, key) == nil {
			c.gone(keyPath(path, key), old.Content[i+1])
		}
	}
}

// sequence pairs the elements of two lists: first those that are equal, then those that have the same identity, such
// as the name of an interface, then what is left by its place.
func (c *comparison) sequence(path string, old, n *yaml.Node) {
	pair := make([]*yaml.Node, len(n.Content))
	taken := make([]bool, len(old.Content))
	for _, same := range []func(a, b *yaml.Node) bool{equal, sameIdentity} {
		for i, e := range n.Content {
			for j, o := range old.Content {
				if pair[i] == nil && !taken[j] && same(o, e) {
					pair[i], taken[j] = o, true
				}
			}
		}
	}
	for i, e := range n.Content {
		switch {
		case pair[i] != nil:
		case i < len(old.Content) && !taken[i] && e.Kind == yaml.ScalarNode:
			pair[i], taken[i] = old.Content[i], true
		}
		if pair[i] == nil {
			c.all(e)
			continue
		}
		c.node(elementPath(path, i), pair[i], e)
	}
	for j, o := range old.Content {
		if !taken[j] {
			c.gone(elementPath(path, j), o)
		}
	}
}

func equal(a, b *yaml.Node) bool {
	if a.Kind != b.Kind || len(a.Content) != len(b.Content) || a.Value != b.Value || a.ShortTag() != b.ShortTag() {
		return false
	}
	for i := range a.Content {
		if !equal(a.Content[i], b.Content[i]) {
			return false
		}
	}
	return true
}

// sameIdentity says whether two elements of a list are the same thing in two states: their first key, which names
// them in every list of Talos, has the same value.
func sameIdentity(a, b *yaml.Node) bool {
	if a.Kind != yaml.MappingNode || b.Kind != yaml.MappingNode {
		return false
	}
	for _, key := range []string{"interface", "deviceSelector", "vlanId", "name", "path", "network", "destination"} {
		va, vb := valueAt(a, key), valueAt(b, key)
		if va != nil && vb != nil {
			return equal(va, vb)
		}
	}
	return false
}

var plainKey = regexp.MustCompile(`^[A-Za-z0-9_$-]+$`)

// keyPath and elementPath write paths as the schema's findings do.
func keyPath(path, key string) string {
	switch {
	case !plainKey.MatchString(key):
		return fmt.Sprintf("%s[%q]", path, key)
	case path == "":
		return key
	}
	return path + "." + key
}

func elementPath(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

// dotted is a path of keys and [0] elements in one text.
func dotted(keys []string) string {
	path := ""
	for _, k := range keys {
		if strings.HasPrefix(k, "[") {
			path += k
			continue
		}
		path = keyPath(path, k)
	}
	return path
}
