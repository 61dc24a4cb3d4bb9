package diff

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Compare says what a change from the old machine config to the new one changes. No text means no config. key, where
// there is one, makes short fingerprints of secrets, by which one sees in two diffs whether it is the same one; it
// must be secret itself. Errors are fleet.Invalid.
func Compare(old, new, key []byte) (*Diff, error) {
	if bytes.Equal(old, new) {
		return &Diff{}, nil
	}
	a, err := parse(old)
	if err != nil {
		return nil, err
	}
	b, err := parse(new)
	if err != nil {
		return nil, err
	}
	d := &Diff{Documents: compareDocuments(a, b), MachineType: machineType(b), Incomplete: len(b) > 0 && !hasV1Alpha1(b)}
	d.V1Alpha1 = differingUnits(a, b, d)
	if len(d.Documents) > 0 {
		newMask(key, a, b).diff(d)
	}
	return d, nil
}

func hasV1Alpha1(docs []document) bool {
	return slices.ContainsFunc(docs, func(d document) bool { return d.kind == v1alpha1Kind })
}

func machineType(docs []document) string {
	for _, d := range docs {
		if of := d.root.get("machine").get("type").text(); d.kind == v1alpha1Kind && (of == "controlplane" || of == "worker") {
			return of
		}
	}
	return ""
}

// compareDocuments pairs the documents by what they are called, in the order of the new config; those it lost come
// last.
func compareDocuments(a, b []document) []Document {
	var out []Document
	before := map[string][]document{}
	for _, d := range a {
		before[d.id()] = append(before[d.id()], d)
	}
	for _, d := range b {
		id := d.id()
		if twins := before[id]; len(twins) > 0 {
			before[id] = twins[1:]
			out = appendDocument(out, Changed, &twins[0], &d)
			continue
		}
		out = appendDocument(out, Added, nil, &d)
	}
	for _, d := range a {
		if lost := before[d.id()]; len(lost) > 0 {
			before[d.id()] = lost[1:]
			out = appendDocument(out, Removed, &lost[0], nil)
		}
	}
	for _, kind := range orderedDocuments {
		out = appendMoved(out, kind, a, b)
	}
	slices.SortStableFunc(out, func(x, y Document) int { return cmp.Compare(rank(x), rank(y)) })
	return out
}

// appendMoved adds that documents of a kind stand in another order.
func appendMoved(out []Document, kind string, a, b []document) []Document {
	before, after := namesOf(kind, a), namesOf(kind, b)
	stayed := slices.DeleteFunc(slices.Clone(before), func(n string) bool { return !slices.Contains(after, n) })
	stay := slices.DeleteFunc(slices.Clone(after), func(n string) bool { return !slices.Contains(before, n) })
	if slices.Equal(stayed, stay) {
		return out
	}
	change := Change{Op: Moved, Old: texts(stayed), New: texts(stay)}
	return append(out, Document{Kind: kind, APIVersion: "v1alpha1", Op: Moved, Changes: []Change{change}})
}

func namesOf(kind string, docs []document) []string {
	var out []string
	for _, d := range docs {
		if d.kind == kind {
			out = append(out, d.name)
		}
	}
	return out
}

// rank puts the v1alpha1 document first.
func rank(d Document) int {
	if d.Kind == v1alpha1Kind {
		return 0
	}
	return 1
}

func appendDocument(out []Document, op Op, a, b *document) []Document {
	d := cmp.Or(b, a)
	var c comparer
	var from, to *value
	if a != nil {
		from = a.root
	}
	if b != nil {
		to = b.root
	}
	c.object(shapes()[d.kind], place{}, from, to)
	if op == Changed && len(c.changes) == 0 {
		return out
	}
	return append(out, Document{Kind: d.kind, APIVersion: d.apiVersion, Name: d.name, Op: op, Changes: c.changes})
}

// place is where a value is: as people and as the schema package name it.
type place struct{ path, field string }

func (p place) key(name string, s *shape) place {
	step := "." + name
	if !plainKey(name) {
		step = "[" + strconv.Quote(name) + "]"
	}
	if p.path == "" {
		step = strings.TrimPrefix(step, ".")
	}
	field := join(p.field, name)
	switch {
	case s != nil && s.form == named:
		field = join(p.field, "*")
	case s == nil || s.form == free:
		field = p.field // the schema knows nothing below
	}
	return place{p.path + step, field}
}

// item is an element of a list of this shape.
func (p place) item(label string, s *shape) place {
	field := p.field
	if s != nil && s.form == listed {
		field += "[]"
	}
	return place{p.path + "[" + label + "]", field}
}

func plainKey(s string) bool {
	if s == "" {
		return false
	}
	for i, r := range s {
		letter := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || r != '-' && (r < '0' || r > '9')) {
			return false
		}
	}
	return true
}

// comparer collects changes. With probe set it stops at the first.
type comparer struct {
	changes []Change
	probe   bool
}

func (c *comparer) done() bool { return c.probe && len(c.changes) > 0 }

func (c *comparer) record(s *shape, p place, a, b *value) {
	change := Change{Op: Changed, Path: p.path, Field: p.field}
	switch {
	case b.isNull():
		change.Op = Removed
	case a.nothing():
		change.Op = Added
	case b.nothing():
		change.Op = Removed
	}
	if !c.probe {
		change.Old, change.New = hold(s, a), hold(s, b)
	}
	c.changes = append(c.changes, change)
}

// value compares two values of one shape; nil is one that is not written.
func (c *comparer) value(s *shape, p place, a, b *value) {
	if c.done() || a == b || a.isNull() && b.isNull() || s.unsaid(a) && s.unsaid(b) {
		return
	}
	if !c.within(s, p, a, b) && !sameLeaf(s, a, b) {
		c.record(s, p, a, b)
	}
}

// within descends into maps and lists, also where one side has none, so that each field and element is a change of
// its own. It says whether it could.
func (c *comparer) within(s *shape, p place, a, b *value) bool {
	form := s.formOf()
	alone := form == object || form == named || form == listed && s.list != listRule{}
	x, y := a, b
	if alone && a.isNull() {
		x = &value{nature: b.nature}
	}
	if alone && b.isNull() {
		y = &value{nature: a.nature}
	}
	count := len(c.changes)
	switch {
	case form != leaf && form != listed && both(dict, x, y):
		c.object(s, p, x, y)
	case form != leaf && form != named && form != object && both(list, x, y):
		c.list(s, p, x, y)
	default:
		return false
	}
	if (x != a || y != b) && len(c.changes) == count {
		c.record(s, p, a, b) // that it is there is all it says, like nodeID: {}
	}
	return true
}

func only(of nature, v *value) bool { return v != nil && v.nature == of }

// both says whether neither value is of another nature than this.
func both(of nature, a, b *value) bool { return only(of, a) && only(of, b) }

// object compares key by key: the fields which the library knows in its order, then the others by name.
func (c *comparer) object(s *shape, p place, a, b *value) {
	for _, key := range keysOf(s, a, b) {
		if p.path == "" && (key == "kind" || key == "apiVersion" || key == "name") && (s == nil || s.fields["kind"] != nil) {
			continue // what the document is called
		}
		if x, y := a.get(key), b.get(key); s != nil && s.form == named && (x == nil) != (y == nil) {
			c.entry(s.elem, p.key(key, s), x, y)
		} else {
			c.value(s.field(key), p.key(key, s), x, y)
		}
		if c.done() {
			return
		}
	}
}

// entry records a key that only one map has. An entry is a change even where its value says nothing.
func (c *comparer) entry(s *shape, p place, a, b *value) {
	empty := &value{nature: dict}
	if a == nil && b.isNull() {
		b = empty
	} else if b == nil && a.isNull() {
		a = empty
	}
	c.record(s, p, a, b)
}

func keysOf(s *shape, a, b *value) []string {
	var keys []string
	known := map[string]bool{}
	if s != nil && s.form == object {
		for _, key := range s.order {
			if a.get(key) != nil || b.get(key) != nil {
				keys, known[key] = append(keys, key), true
			}
		}
	}
	rest := map[string]bool{}
	for _, v := range []*value{a, b} {
		if v == nil {
			continue
		}
		for _, key := range v.keys {
			if !known[key] {
				rest[key] = true
			}
		}
	}
	return append(keys, slices.Sorted(maps.Keys(rest))...)
}

// formOf is how values of a shape are compared: those of an unknown one by what they are.
func (s *shape) formOf() form {
	if s == nil {
		return free
	}
	return s.form
}

// equal compares deeply.
func equal(s *shape, a, b *value) bool {
	c := comparer{probe: true}
	c.value(s, place{}, a, b)
	return len(c.changes) == 0
}
