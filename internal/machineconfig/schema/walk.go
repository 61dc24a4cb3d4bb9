package schema

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// value judges a value by what its entry takes in this release.
func (l *linter) value(e *entry, n *yaml.Node, p *path) {
	if l.visited++; l.visited > manyNodes {
		return
	}
	if n.Anchor != "" || n.Kind == yaml.AliasNode {
		if n = target(n); n == nil || l.entered[n] {
			return
		}
		l.entered[n] = true
		defer delete(l.entered, n)
	}
	if isNull(n) || n.Kind == yaml.ScalarNode && variable(n) {
		return
	}
	f := e.form(l.at)
	switch {
	case f.typ == anything:
		l.free(n, p)
	case f.typ == object && n.Kind == yaml.MappingNode:
		l.fields(e, n, p)
	case f.typ == mapping && n.Kind == yaml.MappingNode:
		l.unique(n, p)
		for i := 0; i+1 < len(n.Content); i += 2 {
			k := n.Content[i]
			if k.ShortTag() == "!!merge" && e.children[0].form(l.at).typ != anything {
				l.mergeKey(k, p.key(k.Value))
				continue
			}
			l.element(e, n.Content[i+1], p.key(k.Value))
		}
		l.dates(n, p)
	case f.typ == list && n.Kind == yaml.SequenceNode:
		for i, item := range n.Content {
			if isDelete(item) && !l.whole {
				l.deletedElement(e, item, p.index(i))
				continue
			}
			l.element(e, item, p.index(i))
		}
	case f.typ == object || f.typ == mapping || f.typ == list:
		l.add(n, p, Error, WrongType, fmt.Sprintf("%s wants %s, not %s", p, article(f), shape(n)), "")
	default:
		l.scalar(e, f, n, p)
	}
}

// element judges what a list or map holds.
func (l *linter) element(e *entry, n *yaml.Node, p *path) {
	inner := e.children[0]
	if inner.form(l.at).strict && isNull(orSelf(target(n), n)) {
		severity := Error
		if l.table.minor(l.at) < 14 {
			severity = Warning // Talos takes it, and may crash over it
		}
		l.add(n, p, severity, WrongType, p.String()+" is empty", "leave it out, or write what belongs there")
		return
	}
	if isDelete(n) && !l.whole {
		l.deletedField(p, n)
		return
	}
	l.value(inner, n, p)
}

func orSelf(n, self *yaml.Node) *yaml.Node {
	if n == nil {
		return self
	}
	return n
}

// fields judges the fields of an object.
func (l *linter) fields(e *entry, n *yaml.Node, p *path) {
	l.unique(n, p)
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		at := p.field(k.Value)
		c := e.child(k.Value)
		switch {
		case k.Kind != yaml.ScalarNode || variable(k):
		case k.Value == "<<" && c == nil:
			l.mergeKey(k, at)
		case k.Value == "$patch" && c == nil:
			l.badPatch(k, v, at)
		case c == nil:
			l.unknown(e, k, at)
		case isDelete(v) && !l.whole:
			l.deletedField(at, v)
		case !c.in(l.at):
			l.unavailable(k, at, c, at.String(), l.earlierField(c, at))
		default:
			l.known(c, k, v, at)
		}
	}
}

// known judges a field that the release has: its value, and whether something else should be written.
func (l *linter) known(c *entry, k, v *yaml.Node, at *path) {
	before := len(l.findings)
	l.value(c, v, at)
	if l.kind == V1Alpha1 {
		l.judge(c, k, v, at, l.findings[before:])
	}
}

func (l *linter) mergeKey(k *yaml.Node, at *path) {
	l.add(k, at, Error, UnknownField, "Talos does not know merge keys (<<)", "write the fields out, or repeat the whole value with an alias")
}

// unique finds keys that are there twice, or are no text.
func (l *linter) unique(n *yaml.Node, p *path) {
	seen := make(map[string]*yaml.Node, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		if target(k).Kind != yaml.ScalarNode {
			l.add(k, p, Error, WrongType, "a key must be text, not "+shape(target(k)), "")
			continue
		}
		if first := seen[k.Value]; first != nil {
			l.add(k, p.field(k.Value), Error, DuplicateKey, fmt.Sprintf("%s is there twice, first in line %d", p.field(k.Value), first.Line), "")
			continue
		}
		seen[k.Value] = k
	}
}

// dates finds keys which the YAML decoder takes for dates.
func (l *linter) dates(n *yaml.Node, p *path) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if k := n.Content[i]; k.ShortTag() == "!!timestamp" {
			l.add(k, p.key(k.Value), Error, WrongType, "a key must be text: put quotes around "+k.Value, "")
		}
	}
}

// free walks what may hold anything: only keys that are there twice are wrong in it.
func (l *linter) free(n *yaml.Node, p *path) {
	if l.visited++; l.visited > manyNodes {
		return
	}
	switch n.Kind {
	case yaml.MappingNode:
		l.unique(n, p)
		for i := 0; i+1 < len(n.Content); i += 2 {
			l.free(n.Content[i+1], p.key(n.Content[i].Value))
		}
	case yaml.SequenceNode:
		for i, item := range n.Content {
			l.free(item, p.index(i))
		}
	}
}

// scalar judges a single value.
func (l *linter) scalar(e *entry, f form, n *yaml.Node, p *path) {
	if err := checkScalar(f, n); err != nil {
		problem := WrongType
		if n.Kind == yaml.ScalarNode && f.typ != "bool" {
			problem = WrongValue
		}
		instead := ""
		if near := nearest(n.Value, f.values); near != "" {
			instead = "did you mean " + near + "?"
		}
		l.add(n, p, Error, problem, p.String()+": "+err.Error(), instead)
		return
	}
	if strings.HasPrefix(f.typ, "size") && strings.HasPrefix(n.Value, "-") && l.table.minor(l.at) < 13 {
		l.add(n, p, Error, TooNew, p.String()+": sizes below zero are known since Talos v1.13", "")
	}
	if len(e.values) == 0 {
		return
	}
	allowed, severity := l.closed(p.pattern())
	if len(allowed) > 0 && n.Value != "" && !slices.Contains(allowed, n.Value) {
		l.add(n, p, severity, WrongValue, fmt.Sprintf("%s: %q is not one of %s", p, n.Value, strings.Join(allowed, ", ")), "")
	}
}

// closed gives the values of a text field which Talos checks after decoding, where it knows no others.
func (l *linter) closed(pattern string) ([]string, Severity) {
	if l.kind != V1Alpha1 {
		return nil, Error
	}
	switch pattern {
	case "machine.type":
		return []string{"controlplane", "worker", "init", "join"}, Error
	case "machine.logging.destinations[].format":
		return []string{"json_lines"}, Error
	case "cluster.network.cni.name":
		return []string{"flannel", "custom", "none"}, Error
	case "machine.install.diskSelector.type":
		if l.table.minor(l.at) < 9 {
			return []string{"ssd", "hdd", "nvme", "sd"}, Error
		}
		return []string{"ssd", "hdd", "nvme", "sd"}, Warning
	case "machine.files[].op":
		return []string{"create", "append", "overwrite"}, Warning
	}
	return nil, Error
}
