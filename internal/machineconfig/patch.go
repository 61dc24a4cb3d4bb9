package machineconfig

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/siderolabs/talos/pkg/machinery/config/config"
	"github.com/siderolabs/talos/pkg/machinery/config/configloader"
	"go.yaml.in/yaml/v4"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// prepared is a patch that is read as far as it can be without a server. It is shared: nothing changes it.
type prepared struct {
	*template
	same     *filled // with no variables: what it is for every server
	constant bool    // no variable decides which keys there are, and nothing is deleted
	types    atomic.Pointer[[]reflect.Type]
	// types of the documents of a constant strategic merge, once the library has read it for some server.
}

// filled is a patch for one server: its variables have their values.
type filled struct {
	nodes []*yaml.Node      // positions are those of the text as it was written
	merge []config.Document // of a strategic merge
	ops   []operation       // of RFC 6902
}

// prepare reads a patch. Its format is seen by its first document: a map is a strategic merge, a list RFC 6902.
func prepare(text string) (*prepared, error) {
	t, err := parseTemplate(text)
	if err != nil {
		return nil, err
	}
	p := &prepared{template: t}
	if len(t.places) > 0 {
		p.constant = !t.isJSONPatch() && !slices.ContainsFunc(t.docs, variable)
		return p, checkFormat(t.docs)
	}
	p.same, err = load(t.docs, func() (string, error) { return t.text, nil })
	return p, err
}

// with fills in the variables.
func (p *prepared) with(v Variables) (*filled, error) {
	if p.same != nil {
		return p.same, nil
	}
	nodes, err := p.fill(v)
	if err != nil {
		return nil, err
	}
	if types := p.types.Load(); types != nil {
		if f, ok := construct(nodes, *types); ok {
			return f, nil
		}
	}
	f, err := loadNodes(nodes)
	if err == nil && p.constant && len(f.merge) == len(nodes) {
		types := make([]reflect.Type, len(f.merge))
		for i, d := range f.merge {
			types[i] = reflect.TypeOf(d).Elem()
		}
		p.types.Store(&types)
	}
	return f, err
}

// variable says whether the keys of a document may differ between servers, or one deletes.
func variable(n *yaml.Node) bool {
	for i, child := range n.Content {
		key := n.Kind == yaml.MappingNode && i%2 == 0
		if key && (child.Value == "$patch" || strings.ContainsFunc(child.Value, func(r rune) bool { return r >= firstMark })) {
			return true
		}
		if child.Kind == yaml.AliasNode || child.Tag == "!!null" || variable(child) {
			return true
		}
	}
	return false
}

// construct makes the documents of a strategic merge from their nodes: what the library does after it read the text,
// without its check for unknown keys, which the same keys have passed. Where it goes wrong, it is left to the library
// to say why.
func construct(nodes []*yaml.Node, types []reflect.Type) (f *filled, ok bool) {
	defer func() {
		if recover() != nil {
			f, ok = nil, false
		}
	}()
	f = &filled{nodes: nodes}
	for i, n := range nodes {
		target := reflect.New(types[i]).Interface()
		doc, isDocument := target.(config.Document)
		if !isDocument || n.Decode(target) != nil {
			return nil, false
		}
		f.merge = append(f.merge, doc)
	}
	return f, true
}

func loadNodes(nodes []*yaml.Node) (*filled, error) {
	return load(nodes, func() (string, error) { return encodeNodes(nodes) })
}

func (t *template) isJSONPatch() bool { return len(t.docs) > 0 && t.docs[0].Kind == yaml.SequenceNode }

// checkFormat refuses what is neither a strategic merge nor RFC 6902.
func checkFormat(docs []*yaml.Node) error {
	for i, d := range docs {
		switch {
		case d.Kind == yaml.MappingNode && (i == 0 || docs[0].Kind == yaml.MappingNode):
		case d.Kind == yaml.SequenceNode && len(docs) == 1:
		case d.Kind == yaml.SequenceNode, docs[0].Kind == yaml.SequenceNode:
			return at(d, "", "a JSON patch (RFC 6902) is a list in one document, with no other beside it").
				WithHint("put its operations into one list, and documents into another patch")
		default:
			return at(d, "", "neither a map nor a list").
				WithHint("a patch is a map as in a machine config, or a list of operations (RFC 6902)")
		}
	}
	return nil
}

// load has the library read a patch: text gives the same as nodes.
func load(nodes []*yaml.Node, text func() (string, error)) (*filled, error) {
	f := &filled{nodes: nodes}
	if err := checkFormat(nodes); err != nil || len(nodes) == 0 {
		return f, err
	}
	if nodes[0].Kind == yaml.SequenceNode {
		ops, err := operations(nodes[0])
		f.ops = ops
		return f, err
	}
	s, err := text()
	if err != nil {
		return f, err
	}
	p, err := configloader.NewFromBytes([]byte(s), configloader.WithAllowPatchDelete(), configloader.WithNoValidation())
	if err != nil {
		return f, explainLoading(err, s, nodes)
	}
	f.merge = p.Documents()
	return f, nil
}

// apply changes the config.
func (f *filled) apply(d *documents) error {
	if f.ops != nil {
		return d.applyOperations(f.ops)
	}
	if len(f.merge) == 0 {
		return nil
	}
	return d.merge(f.merge)
}

// at is an error at a node of a patch.
func at(n *yaml.Node, path, format string, args ...any) *fleet.Error {
	text := fmt.Sprintf(format, args...)
	if path != "" {
		text = path + ": " + text
	}
	return fleet.Errorf(fleet.Invalid, "line %d, column %d: %s", n.Line, n.Column, text)
}
