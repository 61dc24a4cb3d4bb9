package modernise

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// rule moves one field of the document with machine: and cluster: to where Talos has it now.
type rule struct {
	path string // machine.network.hostname
	// since is the first minor whose nodes know the new form.
	since int
	// must is the first minor that refuses the old form beside what is generated for it; 0 where all take it still.
	must int
	doc  string // the document that is generated for it. A patch that deletes that one may keep the old form
	why  string
	move func(w *rewriter, f field)
}

// field is an old field on its way out. What a rule does not carry over it gives back with keep.
type field struct {
	path string
	key  *yaml.Node
	val  *yaml.Node
	line int
}

// rewriter turns a source into new documents.
type rewriter struct {
	minor   int
	o       Options
	vars    *variables
	docs    []*document // those of the source
	fresh   []*document
	old     *document // the v1alpha1 document that is being rewritten
	to      []string  // documents that the present rule wrote
	text    *source
	changes []Change
	notes   []Note
	image   Schematic
}

func newRewriter(src *source, minor int, o Options) (*rewriter, error) {
	w := &rewriter{minor: minor, o: o, vars: &src.vars, docs: src.docs, text: src}
	if !src.isOps {
		return w, nil
	}
	if slices.ContainsFunc(src.docs, func(d *document) bool { return d.root != nil }) {
		return nil, fleet.Errorf(fleet.Invalid, "patch: a list of operations and documents in one text").
			WithHint("make two patches of them")
	}
	return w, nil
}

func (w *rewriter) run() {
	if w.text.isOps {
		if w.minor < multiDocument {
			return
		}
		w.fromOperations(w.text.ops)
	}
	for _, d := range slices.Clone(w.docs) {
		switch {
		case d.root == nil:
		case d.kind == "":
			w.old = d
			w.tooNew()
			w.shortAddresses()
			for _, r := range rules() {
				w.apply(r)
			}
			w.tidy(d)
		default:
			w.other(d)
		}
	}
}

// tooNew drops the switch that only newer versions have, and that means what older ones do anyway.
func (w *rewriter) tooNew() {
	if w.minor >= multiDocument {
		return
	}
	path := "machine.install.grubUseUKICmdline"
	if key, val := w.take(strings.Split(path, ".")); key != nil {
		w.to = nil
		w.change(field{path: path, key: key, val: val, line: key.Line}, "known since Talos v1.12; before, kernel arguments are always those of the config", oldestSupported)
	}
}

// apply moves the field of a rule if the version wants that.
func (w *rewriter) apply(r rule) {
	must := r.must
	switch {
	case r.path == kernelArguments:
		must = kernelArgumentsRefused(w.old.root)
	case strings.HasPrefix(r.path, "machine.systemDiskEncryption.") && w.encrypted(r.path):
		must = volumeCrypto
	}
	refused := must != 0 && w.minor >= must
	if w.minor < r.since || !refused && !w.o.All || w.dropped(r.doc) {
		return
	}
	key, val := w.take(strings.Split(r.path, "."))
	if key == nil {
		return
	}
	f := field{path: r.path, key: key, val: val, line: key.Line}
	w.to = nil
	before := len(w.changes)
	notes := len(w.notes)
	r.move(w, f)
	if isDelete(val) && len(w.to) == 0 && len(w.notes) == notes && at(w.old.root, strings.Split(r.path, ".")...) == nil {
		w.note(ByHand, f, "deleting %s has no counterpart: delete the documents by their names, or what set it", r.path)
	}
	for _, d := range w.docs {
		if d.kept {
			w.note(Hint, f, "the %s of the same patch says otherwise, and its value stays", d.id())
			d.kept = false
		}
	}
	if len(w.changes) > before { // the rule said it in more detail
		return
	}
	if at(w.old.root, strings.Split(r.path, ".")...) != nil && len(w.to) == 0 { // it gave all of it back
		return
	}
	w.change(f, r.why, r.since)
}

// dropped says whether the patch itself deletes the document that stands in the way of an old form.
func (w *rewriter) dropped(kind string) bool {
	return kind != "" && slices.ContainsFunc(w.docs, func(d *document) bool { return d.kind == kind && isDelete(d.root) })
}

func (w *rewriter) change(f field, why string, since int) {
	w.old.touched = true
	w.changes = append(w.changes, Change{
		Line: f.line, Path: w.vars.show(f.path), To: w.to, Why: w.vars.show(why), Since: version(since),
	})
	w.to = nil
}

func version(minor int) string { return fmt.Sprintf("v1.%d", minor) }

// take removes a field and its emptied parents. The comments above those go with it.
func (w *rewriter) take(path []string) (key, val *yaml.Node) {
	parents := []*yaml.Node{w.old.root}
	for _, name := range path[:len(path)-1] {
		next := child(parents[len(parents)-1], name)
		if next == nil || next.Kind != yaml.MappingNode {
			return nil, nil
		}
		parents = append(parents, next)
	}
	key, val = remove(parents[len(parents)-1], path[len(path)-1])
	if key == nil {
		return nil, nil
	}
	for i := len(parents) - 1; i > 0 && len(parents[i].Content) == 0; i-- {
		first := i == 1 && index(parents[0], path[0]) == 0
		parent, _ := remove(parents[i-1], path[i-1])
		if !first { // what begins a patch is about all of it, and goes to the top
			key.HeadComment = joinComments(parent.HeadComment, key.HeadComment)
		}
	}
	return key, val
}

// keep puts a field, or a rest of it, back into the old document.
func (w *rewriter) keep(path string, key, val *yaml.Node) {
	names := strings.Split(path, ".")
	m := w.old.root
	for _, name := range names[:len(names)-1] {
		m = inner(m, name)
	}
	put(m, renamed(key, names[len(names)-1]), val)
}

func (w *rewriter) note(kind NoteKind, f field, format string, args ...any) {
	w.notes = append(w.notes, Note{Kind: kind, Line: f.line, Path: w.vars.show(f.path), Text: w.vars.show(fmt.Sprintf(format, args...))})
}

// place says who gets a new document.
type place bool

const (
	everyone      place = false
	controlPlanes place = true
)

// doc finds or makes the document of a kind and name that a rule writes to.
func (w *rewriter) doc(kind, name string, where place) *document {
	apart := where == controlPlanes && w.o.Role == ""
	for _, d := range slices.Concat(w.fresh, w.docs) {
		if d.root != nil && d.kind == kind && d.name == name && d.controlPlane == apart && !isDelete(d.root) {
			d.touched = true
			w.wrote(d)
			return d
		}
	}
	d := &document{kind: kind, name: name, touched: true, controlPlane: apart}
	if d.root = mapping(); kind != "" {
		d.root.Content = append(d.root.Content, scalar("apiVersion"), scalar("v1alpha1"), scalar("kind"), scalar(kind))
	}
	if name != "" {
		d.root.Content = append(d.root.Content, scalar("name"), scalar(name))
	}
	if where == controlPlanes && w.o.Role == fleet.Worker {
		return d // has no effect on a worker, which may not have it
	}
	w.fresh = append(w.fresh, d)
	w.wrote(d)
	return d
}

func (w *rewriter) wrote(d *document) {
	if id := w.vars.show(d.id()); !slices.Contains(w.to, id) {
		w.to = append(w.to, id)
	}
}

// delete makes a document that deletes the generated one.
func (w *rewriter) delete(kind, name string, where place, key *yaml.Node) {
	d := w.doc(kind, name, where)
	put(d.root, renamed(key, "$patch"), scalar("delete"))
}

// set writes a value below a path of keys. key gives the comments and may be nil.
func (d *document) set(key, val *yaml.Node, path ...string) {
	m := d.root
	for _, name := range path[:len(path)-1] {
		m = inner(m, name)
	}
	if old := child(m, path[len(path)-1]); d.given && old != nil && old.Kind == yaml.ScalarNode {
		d.kept = d.kept || old.Value != val.Value // Talos prefers the document too
		return
	}
	put(m, renamed(key, path[len(path)-1]), block(val))
}

// inner finds or makes the mapping below a key.
func inner(m *yaml.Node, name string) *yaml.Node {
	i := index(m, name)
	if i < 0 {
		m.Content = append(m.Content, scalar(name), mapping())
		return m.Content[len(m.Content)-1]
	}
	if m.Content[i+1].Kind != yaml.MappingNode { // no version takes what was there
		m.Content[i+1] = mapping()
	}
	return m.Content[i+1]
}

// clash says whether the patch itself writes the document that would have to go. Then both stay, and a person decides.
func (w *rewriter) clash(f field, kind string) bool {
	if !slices.ContainsFunc(w.docs, func(d *document) bool { return d.given && d.kind == kind && !isDelete(d.root) }) {
		return false
	}
	w.keep(f.path, f.key, f.val)
	w.note(ByHand, f, "only the older section has what stands here, and Talos refuses it beside the %s of the same patch: keep one", kind)
	return true
}

// tidy drops a v1alpha1 document of which nothing is left.
func (w *rewriter) tidy(d *document) {
	if !d.touched {
		return
	}
	if v := index(d.root, "version"); v >= 0 && len(d.root.Content) == 2 {
		d.root.Content = nil
	}
	block(d.root)
	if len(d.root.Content) == 0 {
		d.root = nil
		d.raw = ""
	}
}

func (w *rewriter) changed() bool { return len(w.changes) > 0 }
