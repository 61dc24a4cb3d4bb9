package machineconfig

import (
	"crypto/sha256"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Explained is a rendered config and where each of its values comes from. By is always the name of a patch, of one of
// our own ("talos-manager: hostname"), or "" for what Talos generates.
type Explained struct {
	YAML    []byte   // what Render gives; holds secrets
	Lines   []string // who set line i+1 of it
	Values  []Origin // every scalar, and every empty list and map, in the order of the text
	Removed []Origin // what patches took away; Line is 0
	Idle    []string // patches that changed nothing
	// Warnings are what Talos says of the config though it takes it.
	Warnings []string
}

// Origin is a value and who set it.
type Origin struct {
	Kind, Name string // of the document; Kind is "v1alpha1" for the one with machine: and cluster:
	Path       string // machine.network.interfaces[0].addresses; map keys with dots as mirrors["docker.io"]
	Line       int
	By         string
}

// Explain renders a config and says of each value which patch set it: the last one that changed it. It takes several
// times as long as Render.
func Explain(in Input) (Explained, error) { return newMaker().explain(&in) }

func (m *maker) explain(in *Input) (Explained, error) {
	secrets := sha256.Sum256(in.Secrets)
	text, err := m.render(in, secrets)
	if err != nil {
		return Explained{}, err
	}
	k, err := m.begin(in, secrets)
	if err != nil {
		return Explained{}, err
	}
	out := Explained{YAML: text}
	t := tracer{by: map[*yaml.Node]string{}, removed: &out.Removed}
	d := k.start()
	d.memory = nil
	if _, err := t.look("", d); err != nil {
		return Explained{}, err
	}
	for _, s := range k.steps {
		if err := s.apply(d); err != nil {
			return Explained{}, err
		}
		changed, err := t.look(s.name, d)
		if err != nil {
			return Explained{}, err
		}
		if !changed && s.user != nil {
			out.Idle = append(out.Idle, s.name)
		}
	}
	t.report(&out)
	c, err := d.container()
	if err == nil {
		out.Warnings = warningsOf(c)
	}
	return out, err
}

// tracer follows values from patch to patch.
type tracer struct {
	docs    []*parsed
	by      map[*yaml.Node]string // of every node of docs but aliases
	removed *[]Origin
}

// parsed is one document of a config in the state after some patch.
type parsed struct {
	kind, name string
	root       *yaml.Node // a mapping
	line       int        // of the root in the whole text
}

// look compares the config after a patch with what it was before.
func (t *tracer) look(name string, d *documents) (changed bool, err error) {
	docs, err := parse(d)
	if err != nil {
		return false, err
	}
	c := comparison{tracer: t, patch: name}
	for _, d := range docs {
		c.document = d
		old := find(t.docs, d)
		if old == nil {
			c.all(d.root)
			continue
		}
		c.node("", old.root, d.root)
	}
	for _, old := range t.docs {
		if find(docs, old) == nil {
			c.document = old
			c.gone("", old.root)
		}
	}
	t.docs = docs
	return c.changed, nil
}

func find(docs []*parsed, like *parsed) *parsed {
	for _, d := range docs {
		if d.kind == like.kind && d.name == like.name {
			return d
		}
	}
	return nil
}

// parse parses the text of a config: what people see is what is compared.
func parse(d *documents) ([]*parsed, error) {
	text, err := d.encode()
	if err != nil {
		return nil, err
	}
	return parseText(text)
}

func parseText(text []byte) ([]*parsed, error) {
	roots, err := parseDocuments(string(text))
	if err != nil {
		return nil, err
	}
	var out []*parsed
	for _, root := range roots {
		p := &parsed{kind: scalarAt(root, "kind"), root: root, line: root.Line}
		if p.kind == "" {
			p.kind = "v1alpha1"
		} else {
			p.name = scalarAt(root, "name")
		}
		out = append(out, p)
	}
	return out, nil
}

func scalarAt(mapping *yaml.Node, key string) string {
	if v := valueAt(mapping, key); v != nil && v.Kind == yaml.ScalarNode {
		return v.Value
	}
	return ""
}

func valueAt(mapping *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return mapping.Content[i+1]
		}
	}
	return nil
}

// report writes the origin of every value and line.
func (t *tracer) report(out *Explained) {
	lines := strings.Count(string(out.YAML), "\n")
	set := make([]bool, lines+1)
	out.Lines = make([]string, lines)
	mark := func(line int, by string) {
		if line >= 1 && line <= lines && !set[line-1] {
			out.Lines[line-1], set[line-1] = by, true
		}
	}
	for _, d := range t.docs {
		mark(d.line-1, t.by[d.root]) // its ---
		t.values(d, "", d.root, func(path string, key, value *yaml.Node) {
			by := t.by[value]
			if key != nil {
				mark(key.Line, by)
			}
			if len(value.Content) == 0 {
				mark(value.Line, by)
				out.Values = append(out.Values, Origin{d.kind, d.name, path, value.Line, by})
			}
		})
	}
	for i := 1; i < lines; i++ { // the rest of a text of several lines
		if !set[i] {
			out.Lines[i] = out.Lines[i-1]
		}
	}
}

// values visits everything below a node, in the order of the text.
func (t *tracer) values(d *parsed, path string, n *yaml.Node, visit func(path string, key, value *yaml.Node)) {
	for i, child := range n.Content {
		switch {
		case n.Kind == yaml.SequenceNode:
			at := elementPath(path, i)
			visit(at, nil, child)
			t.values(d, at, child, visit)
		case i%2 == 1:
			at := keyPath(path, n.Content[i-1].Value)
			visit(at, n.Content[i-1], child)
			t.values(d, at, child, visit)
		}
	}
}
