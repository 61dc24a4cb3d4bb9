package modernise

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// source is a patch taken apart.
type source struct {
	docs  []*document // strategic merge
	ops   []*yaml.Node
	isOps bool
	vars  variables
	// written are the comments, wherever they stand.
	written []string
}

// document is one document of a patch: of the old one, or a new one.
type document struct {
	kind, name   string // kind is "" for the document with machine: and cluster:
	raw          string // the text of an old one that was not touched
	separator    string // the line before it: "---", perhaps with a comment
	root         *yaml.Node
	touched      bool
	controlPlane bool // goes to Result.ControlPlane
	given        bool // of the old patch
	kept         bool // it had a value that an old field would have replaced
}

func (d *document) id() string {
	if d.kind == "" {
		return "v1alpha1"
	}
	return strings.TrimSpace(d.kind + " " + d.name)
}

// variables are the ${names} of a patch. While it is taken apart a word that is safe anywhere in YAML stands for each.
type variables struct {
	prefix string
	texts  []string // by number: "${vlan}"
}

var variable = regexp.MustCompile(`\$\$\{|\$\{[^}\n]*\}`)

func (v *variables) hide(text string) string {
	v.prefix = "zqv"
	for strings.Contains(text, v.prefix) {
		v.prefix += "q"
	}
	seen := map[string]int{}
	return variable.ReplaceAllStringFunc(text, func(s string) string {
		i, known := seen[s]
		if !known {
			i = len(v.texts)
			seen[s] = i
			v.texts = append(v.texts, s)
		}
		return v.prefix + strconv.Itoa(i) + "z"
	})
}

func (v *variables) show(text string) string {
	for i, s := range v.texts {
		text = strings.ReplaceAll(text, v.prefix+strconv.Itoa(i)+"z", s)
	}
	return text
}

// has says whether a hidden variable is in text.
func (v *variables) has(text string) bool {
	return len(v.texts) > 0 && strings.Contains(text, v.prefix)
}

// maxNodes bounds what aliases can grow to.
const maxNodes = 200_000

// read takes a patch apart.
func read(text string) (src *source, err error) {
	defer func() {
		if p := recover(); p != nil { // the YAML library panics on some malformed input
			src, err = nil, fleet.Errorf(fleet.Invalid, "patch: %v", p)
		}
	}()
	src = &source{}
	hidden := src.vars.hide(strings.ReplaceAll(text, "\r\n", "\n"))
	line := 0
	for _, chunk := range split(hidden) {
		root, err := parse(chunk.text, line)
		if err != nil {
			return nil, fleet.Errorf(fleet.Invalid, "patch: %s", src.vars.show(err.Error())).
				WithHint("a patch is a strategic merge patch or RFC 6902, in YAML or JSON")
		}
		line += strings.Count(chunk.separator, "\n") + strings.Count(chunk.text, "\n")
		if err := src.add(chunk, root); err != nil {
			return nil, err
		}
	}
	return src, nil
}

func (s *source) add(c chunk, root *yaml.Node) error {
	doc := &document{raw: c.text, separator: c.separator, root: root}
	s.gather(c, root)
	switch {
	case root == nil: // comments only
	case root.Kind == yaml.SequenceNode:
		s.isOps = true
		s.ops = append(s.ops, root.Content...)
		return nil
	case root.Kind != yaml.MappingNode:
		return fleet.Errorf(fleet.Invalid, "patch: line %d: want a map or a list of operations, have %q", root.Line, s.vars.show(root.Value))
	default:
		if root.Style&yaml.FlowStyle != 0 {
			s.vars.plain(root)
		}
		doc.kind, doc.name, doc.given = value(root, "kind"), value(root, "name"), true
	}
	s.docs = append(s.docs, doc)
	return nil
}

// gather notes all comments: those of nodes, and whole lines that the parser may have lost.
func (s *source) gather(c chunk, root *yaml.Node) {
	s.written = commentsOf(root, s.written)
	var texts []string
	var walk func(n *yaml.Node)
	walk = func(n *yaml.Node) {
		if n == nil {
			return
		}
		if n.Kind == yaml.ScalarNode && strings.Contains(n.Value, "\n") {
			for line := range strings.Lines(n.Value) {
				texts = append(texts, strings.TrimSpace(line))
			}
		}
		for _, child := range n.Content {
			walk(child)
		}
	}
	walk(root)
	for line := range strings.Lines(c.separator + c.text) {
		line = strings.TrimSpace(line)
		if after, ok := strings.CutPrefix(line, "--- #"); ok {
			line = "#" + after
		}
		if strings.HasPrefix(line, "#") && !slices.Contains(texts, line) {
			s.written = append(s.written, line)
		}
	}
}

func (s *source) blank() bool {
	for _, d := range s.docs {
		if d.root != nil {
			return false
		}
	}
	return len(s.ops) == 0
}

type chunk struct{ separator, text string }

// split cuts a text at the lines that begin a YAML document. Inside a document no line can start with "---".
func split(text string) []chunk {
	var out []chunk
	cur := chunk{}
	for line := range strings.Lines(text) {
		if bare := strings.TrimRight(line, "\n"); bare == "---" || strings.HasPrefix(bare, "--- ") {
			if cur.separator != "" || strings.TrimSpace(cur.text) != "" {
				out = append(out, cur)
				cur = chunk{}
			}
			cur = chunk{separator: cur.text + line}
			continue
		}
		cur.text += line
	}
	return append(out, cur)
}

// parse reads one document; nil for one without content. Lines of the nodes are counted from the start of the patch.
func parse(text string, before int) (*yaml.Node, error) {
	var doc yaml.Node
	dec := yaml.NewDecoder(strings.NewReader(text))
	if err := dec.Decode(&doc); err != nil {
		if blank(text) {
			return nil, nil
		}
		if node, ok := parseJSON(text); ok {
			return node, nil
		}
		return nil, fmt.Errorf("%s%w", where(before), err)
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) == 0 || doc.Content[0].Tag == "!!null" {
		return nil, nil
	}
	root := doc.Content[0]
	root.HeadComment = joinComments(doc.HeadComment, root.HeadComment)
	root.FootComment = joinComments(root.FootComment, doc.FootComment)
	count := 0
	if root = expand(root, before, &count, 0); root == nil {
		return nil, fmt.Errorf("its aliases make it too large")
	}
	return root, nil
}

func where(before int) string {
	if before == 0 {
		return ""
	}
	return fmt.Sprintf("in the document after line %d: ", before)
}

// parseJSON reads JSON that is no YAML, because it is indented with tabs.
func parseJSON(text string) (*yaml.Node, bool) {
	var b bytes.Buffer
	if err := json.Indent(&b, []byte(text), "", "  "); err != nil {
		return nil, false
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(b.Bytes(), &doc); err != nil || len(doc.Content) == 0 {
		return nil, false
	}
	return doc.Content[0], true
}

// expand replaces aliases and merge keys by what they stand for (they cannot cross documents) and shifts lines.
func expand(n *yaml.Node, lines int, count *int, depth int) *yaml.Node {
	if *count++; *count > maxNodes || depth > 1000 {
		return nil
	}
	if n.Kind == yaml.AliasNode {
		target := expand(n.Alias, lines, count, depth+1)
		if target != nil {
			target.Line = n.Line + lines
		}
		return target
	}
	c := *n
	c.Anchor, c.Content, c.Line = "", nil, n.Line+lines
	for _, child := range n.Content {
		e := expand(child, lines, count, depth+1)
		if e == nil {
			return nil
		}
		c.Content = append(c.Content, e)
	}
	if c.Kind == yaml.MappingNode {
		mergeKeys(&c)
	}
	return &c
}

func mergeKeys(m *yaml.Node) {
	_, from := remove(m, "<<")
	if from == nil {
		return
	}
	sources := []*yaml.Node{from}
	if from.Kind == yaml.SequenceNode {
		sources = from.Content
	}
	for _, s := range sources {
		for _, p := range pairs(s) {
			if index(m, p[0].Value) < 0 {
				m.Content = append(m.Content, p[0], p[1])
			}
		}
	}
}

// write is a document as text.
func (d *document) write() (string, error) {
	if !d.touched {
		return d.raw, nil
	}
	var b bytes.Buffer
	dump, err := yaml.NewDumper(&b, yaml.WithV3Defaults(), yaml.WithIndent(2), yaml.WithLineWidth(-1))
	if err != nil {
		return "", err
	}
	if err := dump.Dump(d.root); err != nil {
		return "", err
	}
	if err := dump.Close(); err != nil {
		return "", err
	}
	return b.String(), nil
}
