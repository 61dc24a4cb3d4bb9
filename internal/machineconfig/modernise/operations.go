package modernise

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// fromOperations makes a strategic merge patch of RFC 6902 operations, because those cannot patch more than one
// document. The paths mean the single document that older versions generate, so its lists say what an index means.
func (w *rewriter) fromOperations(ops []*yaml.Node) {
	d := &document{root: mapping(), touched: true}
	w.docs = []*document{d}
	w.old = d
	base := generatedTree()
	for _, op := range ops {
		w.fromOperation(d, op, base)
	}
	if len(d.root.Content) == 0 {
		d.root, d.raw = nil, ""
	}
}

func (w *rewriter) fromOperation(d *document, op, base *yaml.Node) {
	what, path := value(op, "op"), value(op, "path")
	f := field{path: path, line: op.Line}
	key, val := scalar(""), child(op, "value")
	key.Line = op.Line
	if len(op.Content) > 0 {
		key.HeadComment = joinComments(op.HeadComment, op.Content[0].HeadComment)
	}
	switch what {
	case "add", "replace":
		if val == nil {
			val = scalar("")
		}
	case "remove":
		val = deleted()
	case "test":
		w.note(Hint, f, "a test has no counterpart in a merge patch: it is left out")
		return
	default:
		w.note(ByHand, f, "%q has no counterpart in a merge patch", what)
		return
	}
	steps, why := mergePath(path, base)
	if why != "" {
		w.note(ByHand, f, "%s: %s", what, why)
		return
	}
	w.vars.plain(val)
	if w.listReplaced(what, steps, val, base) {
		w.note(ByHand, f, "%s replaces a list that is generated; a merge appends to it", what)
	}
	if !insert(d.root, steps, key, block(val)) {
		w.note(ByHand, f, "%s: an operation before it wrote something else there", what)
		return
	}
	w.changes = append(w.changes, Change{
		Line: op.Line, Path: w.vars.show(path), To: []string{"v1alpha1"}, Since: version(multiDocument),
		Why: "RFC 6902 cannot patch a config of more than one document",
	})
}

// listReplaced says whether a value would be appended to a generated list where the operation replaced that.
func (w *rewriter) listReplaced(what string, steps []step, val, base *yaml.Node) bool {
	if what == "remove" || val.Kind != yaml.SequenceNode {
		return false
	}
	var at []string
	for _, s := range steps {
		if s.list {
			return false
		}
		at = append(at, s.key)
	}
	last := at[len(at)-1]
	return last != "podSubnets" && last != "serviceSubnets" && len(items(atPath(base, at))) > 0
}

func atPath(m *yaml.Node, path []string) *yaml.Node { return at(m, path...) }

// step is one part of a JSON pointer in the words of a merge: a key, or an element of a list known by its own key.
type step struct {
	key   string
	list  bool
	name  string // "name", "interface", ...: by which the element is merged; "" appends a new one
	value string
}

// mergeKeys are the fields by which elements of a list are merged.
func mergeFields() []string { return []string{"name", "interface", "vlanId", "deviceSelector"} }

func mergePath(path string, base *yaml.Node) (steps []step, why string) {
	if !strings.HasPrefix(path, "/") {
		return nil, "the whole config cannot be replaced by a merge"
	}
	parts := strings.Split(path[1:], "/")
	here := base
	for i, part := range parts {
		part = strings.NewReplacer("~1", "/", "~0", "~").Replace(part)
		index, err := strconv.Atoi(part)
		switch {
		case part == "-":
			if i != len(parts)-1 {
				return nil, "- is only for the end of a path"
			}
			steps = append(steps, step{list: true})
			here = nil
		case err == nil && (here == nil || here.Kind != yaml.MappingNode):
			s, elem, ok := element(here, index)
			if !ok {
				return nil, "a merge cannot name element " + part + " of a list: write its interface or name"
			}
			steps = append(steps, s)
			here = elem
		default:
			steps = append(steps, step{key: part})
			here = child(here, part)
		}
	}
	return steps, ""
}

// element says how a merge names an element of a generated list.
func element(list *yaml.Node, index int) (step, *yaml.Node, bool) {
	all := items(list)
	if index < 0 || index >= len(all) {
		return step{}, nil, false
	}
	for _, name := range mergeFields() {
		if v := value(all[index], name); v != "" {
			return step{list: true, name: name, value: v}, all[index], true
		}
	}
	return step{}, nil, false
}

// insert writes a value below the steps of a path. It is false where a step leads into something else.
func insert(m *yaml.Node, steps []step, key, val *yaml.Node) bool {
	s := steps[0]
	if s.list != (m.Kind == yaml.SequenceNode) || !s.list && m.Kind != yaml.MappingNode || isDelete(m) {
		return false
	}
	next := mapping()
	if len(steps) > 1 && steps[1].list {
		next = sequence()
	}
	switch {
	case len(steps) == 1 && s.list:
		val.HeadComment = joinComments(key.HeadComment, val.HeadComment)
		if s.name != "" {
			merged := mapping(scalar(s.name), scalar(s.value))
			for _, p := range pairs(val) {
				put(merged, p[0], p[1])
			}
			val = merged
		}
		m.Content = append(m.Content, val)
	case len(steps) == 1:
		k := scalar(s.key)
		k.HeadComment, k.Line = key.HeadComment, key.Line
		if i := index(m, s.key); i >= 0 {
			m.Content[i+1] = val // a later operation wins
			return true
		}
		m.Content = append(m.Content, k, val)
	case s.list:
		return insert(elementOf(m, s), steps[1:], key, val)
	default:
		if child(m, s.key) == nil {
			k := scalar(s.key)
			k.Line = key.Line
			m.Content = append(m.Content, k, next)
		}
		return insert(child(m, s.key), steps[1:], key, val)
	}
	return true
}

// elementOf finds or makes the element of a list that a step names.
func elementOf(list *yaml.Node, s step) *yaml.Node {
	for _, n := range list.Content {
		if s.name != "" && value(n, s.name) == s.value {
			return n
		}
	}
	n := mapping()
	if s.name != "" {
		n.Content = append(n.Content, scalar(s.name), scalar(s.value))
	}
	list.Content = append(list.Content, n)
	return n
}
