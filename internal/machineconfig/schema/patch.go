package schema

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// isDelete says whether a map says `$patch: delete`.
func isDelete(n *yaml.Node) bool {
	if n == nil || n.Kind != yaml.MappingNode {
		return false
	}
	v := get(n, "$patch")
	return v != nil && v.Kind == yaml.ScalarNode && v.Value == "delete"
}

// badPatch says what is wrong with a $patch that is not `delete`, or that is in a whole config.
func (l *linter) badPatch(k, v *yaml.Node, at *path) {
	if l.whole && v.Value == "delete" {
		l.add(k, at, Error, UnknownField, "$patch belongs into a patch, this is a whole config", "")
		return
	}
	l.add(v, at, Error, BadPatch, fmt.Sprintf("Talos knows no `$patch: %s`", shown(v.Value)), "only `$patch: delete` is known; maps are merged and lists are appended without it")
}

// deletedDocument judges `$patch: delete` on a document. One that this Talos does not know is deleted in vain, but
// nothing of it reaches a node.
func (l *linter) deletedDocument(doc *yaml.Node) {
	at := (*path)(nil).field("$patch")
	if l.kind == V1Alpha1 {
		l.add(header(doc, "$patch"), at, Error, BadPatch, "the document with machine: and cluster: cannot be deleted", "")
	}
}

// deletedField judges `$patch: delete` on a field that holds a map. The rules are those of the library's
// configloader/internal/decoder/delete.go.
func (l *linter) deletedField(at *path, n *yaml.Node) {
	if at.inList() {
		l.add(header(n, "$patch"), at.field("$patch"), Error, BadPatch, fmt.Sprintf("%s cannot be deleted, because it is inside a list", at),
			"delete the whole element of the list, and add it again as it should be")
	}
}

// deletedElement judges `$patch: delete` on an element of a list, which the first other field selects.
func (l *linter) deletedElement(e *entry, n *yaml.Node, at *path) {
	if at.up.inList() {
		l.add(header(n, "$patch"), at.field("$patch"), Error, BadPatch, fmt.Sprintf("%s cannot be deleted, because its list is inside a list", at),
			"delete the whole element of the outer list, and add it again as it should be")
		return
	}
	i := 0
	for i < len(n.Content) && n.Content[i].Value == "$patch" {
		i += 2
	}
	inner := e.children[0]
	switch {
	case i >= len(n.Content):
		l.add(header(n, "$patch"), at.field("$patch"), Error, BadPatch, "nothing says which element is meant", "write one of its fields beside `$patch: delete`")
	case inner.form(l.at).typ != object:
		l.add(n, at, Error, BadPatch, "only elements that are maps can be deleted", "")
	case inner.child(n.Content[i].Value) == nil:
		l.unknown(inner, n.Content[i], at.field(n.Content[i].Value))
	}
}

// operations judges an RFC 6902 patch, which is made for the V1Alpha1 document.
func (l *linter) operations(docs []*yaml.Node) {
	l.kind = V1Alpha1
	if len(docs) > 1 {
		l.add(docs[1], nil, Error, BadPatch, "a patch by RFC 6902 has one document", "")
	}
	if l.table.minor(l.at) >= 12 && len(docs[0].Content) > 0 {
		l.add(docs[0], nil, Warning, Conflict, "patches by RFC 6902 cannot be used with configs of several documents, as Talos generates them since v1.12",
			"write it as a strategic merge patch: the fields that change, where they are in the config")
	}
	for _, op := range docs[0].Content {
		l.operation(target(op))
	}
}

func (l *linter) operation(op *yaml.Node) {
	if op == nil || op.Kind != yaml.MappingNode {
		if op != nil {
			l.add(op, nil, Error, BadPatch, "an operation of RFC 6902 is a map with op and path", "")
		}
		return
	}
	l.unique(op, nil)
	l.dates(op, nil)
	name, where, value := get(op, "op"), get(op, "path"), get(op, "value")
	known := []string{"add", "remove", "replace", "move", "copy", "test"}
	switch {
	case name == nil:
		l.add(op, nil, Error, BadPatch, "the operation has no op", "write one of "+strings.Join(known, ", "))
	case !slices.Contains(known, name.Value):
		l.add(name, nil, Error, BadPatch, fmt.Sprintf("RFC 6902 has no operation %q", name.Value), "write one of "+strings.Join(known, ", "))
	case (name.Value == "add" || name.Value == "replace") && value == nil:
		l.add(op, nil, Error, BadPatch, "the operation has no value", "")
	case (name.Value == "move" || name.Value == "copy") && get(op, "from") == nil:
		l.add(op, nil, Error, BadPatch, "the operation has no from", "")
	}
	if where == nil {
		l.add(op, nil, Error, BadPatch, "the operation has no path", "")
		return
	}
	removes := name != nil && (name.Value == "remove" || name.Value == "test")
	trail := l.pointer(where)
	if len(trail) > 0 && value != nil && !removes {
		l.set(trail, where, value)
	}
	if from := get(op, "from"); from != nil {
		l.pointer(from)
	}
}

// stop is one entry on the way of a JSON pointer.
type stop struct {
	entry *entry
	path  *path
}

// set judges the value of an operation, and whether something else should be written than the fields on its way.
func (l *linter) set(trail []stop, where, value *yaml.Node) {
	before := len(l.findings)
	last := trail[len(trail)-1]
	l.known(last.entry, where, value, last.path)
	for _, s := range slices.Backward(trail[:len(trail)-1]) {
		if len(l.findings) > before {
			return
		}
		l.judge(s.entry, where, value, s.path, nil)
	}
}

// pointer follows a JSON pointer and says where it leaves what this release knows. It gives the way to the end, or
// nothing where that is unknown or may be anything.
func (l *linter) pointer(n *yaml.Node) []stop {
	if n.Kind != yaml.ScalarNode || variable(n) || n.Value == "" {
		return nil
	}
	if n.Value[0] != '/' {
		l.add(n, nil, Error, BadPatch, fmt.Sprintf("%q is no path of RFC 6902", n.Value), "it begins with / and has / between the fields: /machine/network")
		return nil
	}
	here := stop{l.table.kind(V1Alpha1), nil}
	var trail []stop
	for s := range strings.SplitSeq(n.Value[1:], "/") {
		next, ok := l.next(here, strings.NewReplacer("~1", "/", "~0", "~").Replace(s), n)
		if !ok {
			return nil
		}
		here, trail = next, append(trail, next)
	}
	return trail
}

// next takes one step of a JSON pointer.
func (l *linter) next(from stop, s string, n *yaml.Node) (stop, bool) {
	switch from.entry.form(l.at).typ {
	case mapping:
		return stop{from.entry.children[0], from.path.key(s)}, true
	case list:
		i, err := strconv.Atoi(s)
		if err != nil && s != "-" {
			l.add(n, from.path, Error, BadPatch, fmt.Sprintf("%s is a list, and %q is no place in it", from.path, s), "write the number of the element, from 0, or - for behind the last")
			return stop{}, false
		}
		return stop{from.entry.children[0], from.path.index(i)}, true
	case object:
		c, at := from.entry.child(s), from.path.field(s)
		if c == nil {
			l.unknown(from.entry, &yaml.Node{Value: s, Line: n.Line, Column: n.Column}, at)
			return stop{}, false
		}
		if !c.in(l.at) {
			l.unavailable(n, at, c, at.String(), "")
			return stop{}, false
		}
		return stop{c, at}, true
	}
	return stop{}, false
}
