package schema

import (
	"cmp"
	"fmt"
	"slices"

	"go.yaml.in/yaml/v4"
)

// manyNodes ends the walk of a text whose aliases multiply. No config comes near it.
const manyNodes = 500_000

// Lint checks a patch (strategic merge or RFC 6902, YAML or JSON) or a whole config against a Talos version
// (v1.14.1 or v1.14). Findings are in the order of the text. Text may hold ${variables}: what depends on one is not
// checked. Only an Error is something that a node of that version refuses for sure.
func Lint(text []byte, version string) []Finding {
	t := known()
	docs, failure := parse(text)
	l := linter{table: t, at: t.release(version), entered: map[*yaml.Node]bool{}}
	l.survey(docs)
	if len(docs) > 0 && docs[0].Kind == yaml.SequenceNode {
		l.operations(docs)
	} else {
		l.documents(docs)
	}
	if failure != nil {
		l.findings = append(l.findings, *failure)
	}
	slices.SortStableFunc(l.findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return l.findings
}

// LintUpgrade lists what a later Talos version would find that the present one does not.
func LintUpgrade(text []byte, from, to string) []Finding {
	now := Lint(text, from)
	return slices.DeleteFunc(Lint(text, to), func(f Finding) bool {
		return slices.ContainsFunc(now, func(n Finding) bool {
			return n.Line == f.Line && n.Column == f.Column && n.Problem == f.Problem && n.Path == f.Path && n.Severity == f.Severity
		})
	})
}

// linter walks the documents of one text.
type linter struct {
	table    *table
	at       release
	whole    bool                    // a config, not a patch that Talos' generated config is merged with
	present  map[string][]*yaml.Node // the documents of each kind, without those that only delete
	deleted  map[string]bool         // kinds with a document that `$patch: delete` takes away
	kind     string                  // of the document that is walked
	name     string
	findings []Finding
	visited  int
	left     int                 // documents that are left out
	entered  map[*yaml.Node]bool // anchors above the node that is walked
}

// survey looks at all documents before the first is judged, because some refuse to stand beside others.
func (l *linter) survey(docs []*yaml.Node) {
	l.present, l.deleted = map[string][]*yaml.Node{}, map[string]bool{}
	for _, doc := range docs {
		if doc.Kind != yaml.MappingNode {
			continue
		}
		kind := kindOf(doc)
		if isDelete(doc) {
			l.deleted[kind] = true
			continue
		}
		l.present[kind] = append(l.present[kind], doc)
		if kind == V1Alpha1 && lookup(doc, "machine", "type") != nil && (lookup(doc, "machine", "token") != nil || lookup(doc, "machine", "ca") != nil) {
			l.whole = true
		}
	}
}

func kindOf(doc *yaml.Node) string {
	if k := get(doc, "kind"); k != nil && k.Value != "" {
		return k.Value
	}
	return V1Alpha1
}

func (l *linter) documents(docs []*yaml.Node) {
	for _, doc := range docs {
		l.document(doc)
	}
	if len(docs) == 0 || l.left < len(docs) {
		return
	}
	for i := range l.findings { // nothing is left of the text, and nothing is no patch
		l.findings[i].Severity = Error
	}
}

// document judges one document of a strategic merge patch or config.
func (l *linter) document(doc *yaml.Node) {
	l.kind, l.name = "", ""
	if isNull(doc) {
		return
	}
	if doc.Kind != yaml.MappingNode {
		l.add(doc, nil, Error, Syntax, "a document must be a map, this is "+shape(doc), "")
		return
	}
	if l.dropped(doc) {
		return
	}
	e := l.header(doc)
	if e == nil {
		return
	}
	if isDelete(doc) && !l.whole {
		l.deletedDocument(doc)
		return
	}
	if !e.in(l.at) {
		l.unavailable(header(doc, "kind"), nil, e, "kind "+e.name, l.table.earlier(e.name, l.at))
		return
	}
	l.twice(doc)
	l.fields(e, doc, nil)
	l.together(doc)
}

// dropped says whether the library leaves a document of a patch out without a word: it takes one that has nothing but
// a kind and a name for the rest of a deletion (isEmptyDoc in configloader/internal/decoder/delete.go).
func (l *linter) dropped(doc *yaml.Node) bool {
	for i := 0; i+1 < len(doc.Content); i += 2 {
		k, v := doc.Content[i], doc.Content[i+1]
		if k.Kind != yaml.ScalarNode || v.Kind != yaml.ScalarNode || k.Value != "version" && k.Value != "kind" && k.Value != "name" {
			return false
		}
	}
	if len(doc.Content) == 0 && l.whole {
		l.add(doc, nil, Error, MissingHeader, "the document is empty", "")
		return true
	}
	if l.whole {
		return false
	}
	message, instead := "the document is empty, and is left out", ""
	if kind := get(doc, "kind"); kind != nil {
		message, instead = "the document has no apiVersion and nothing but a name, and is left out", "write `apiVersion: v1alpha1` above `kind: "+shown(kind.Value)+"`"
	}
	l.add(doc, nil, Warning, MissingHeader, message, instead)
	l.left++
	return true
}

// header finds what the document is, by the same rules as Talos' decoder.
func (l *linter) header(doc *yaml.Node) *entry {
	kind, version := get(doc, "kind"), get(doc, "apiVersion")
	legacy := get(doc, "machine") != nil || get(doc, "cluster") != nil || get(doc, "debug") != nil || get(doc, "persist") != nil
	if n := get(doc, "name"); n != nil {
		l.name = shown(n.Value)
	}
	switch {
	case (kind == nil || kind.Value == "") && legacy, kind == nil && isDelete(doc) && version == nil:
		l.kind, l.name = V1Alpha1, ""
		return l.table.kind(V1Alpha1)
	case kind == nil || kind.Value == "":
		l.add(doc, nil, Error, MissingHeader, "the document has no kind", l.guess(doc))
		return nil
	}
	l.kind = shown(kind.Value)
	e := l.table.kind(kind.Value)
	if trap := mistaken(doc); trap != nil {
		l.add(trap, nil, Error, WrongValue, fmt.Sprintf("Talos takes the value %q for the key of that name", trap.Value), "choose another value, or write it above kind and apiVersion")
		return nil
	}
	switch {
	case variable(kind):
		return nil
	case e == nil || e.name == V1Alpha1:
		l.unknownKind(doc, kind, version)
		return nil
	case version == nil && (!legacy || isDelete(doc)):
		l.add(kind, nil, Error, MissingHeader, "the document has no apiVersion", "write `apiVersion: v1alpha1` above `kind: "+e.name+"`")
	case version != nil && version.Value != "v1alpha1" && !variable(version):
		l.add(version, nil, Error, WrongValue, "there is no "+shown(version.Value)+" of "+e.name, "write `apiVersion: v1alpha1`")
	}
	return e
}

// mistaken finds a value that Talos' decoder takes for the key kind or apiVersion, because it looks at keys and values
// alike, and the last one wins.
func mistaken(doc *yaml.Node) *yaml.Node {
	var last [2]*yaml.Node
	for i, n := range doc.Content {
		switch {
		case n.Value == "kind":
			last[0] = n
		case n.Value == "apiVersion":
			last[1] = n
		default:
			continue
		}
		if i == len(doc.Content)-1 {
			return n
		}
	}
	for _, n := range last {
		if i := slices.Index(doc.Content, n); n != nil && i%2 == 1 {
			return n
		}
	}
	return nil
}

// guess finds the kinds that have the fields of a document without one.
func (l *linter) guess(doc *yaml.Node) string {
	var found string
	for _, e := range l.table.kinds {
		if e.name == V1Alpha1 || !e.in(l.at) {
			continue
		}
		fits := true
		for i := 0; i+1 < len(doc.Content) && fits; i += 2 {
			fits = e.child(doc.Content[i].Value) != nil
		}
		if fits && found != "" {
			return "write `apiVersion: v1alpha1` and `kind: ...` first"
		}
		if fits {
			found = e.name
		}
	}
	if found == "" && l.table.find(V1Alpha1, "machine."+doc.Content[0].Value) != nil {
		return "put it below `machine:`"
	}
	if found == "" && l.table.find(V1Alpha1, "cluster."+doc.Content[0].Value) != nil {
		return "put it below `cluster:`"
	}
	return "write `apiVersion: v1alpha1` and `kind: " + cmp.Or(found, "...") + "` first"
}

func (l *linter) unknownKind(doc, kind, version *yaml.Node) {
	instead := ""
	if near := nearest(kind.Value, l.kindNames()); near != "" {
		instead = "did you mean " + near + "?"
		if e := l.table.kind(near); !e.in(l.at) {
			instead = "did you mean " + near + ", known since Talos " + l.table.say(e.seen[0].from) + "?"
		}
	} else if version != nil && (get(doc, "metadata") != nil || version.Value == "v1") {
		instead = "put Kubernetes manifests into a KubeInlineManifestConfig"
		if k := l.table.kind("KubeInlineManifestConfig"); !k.in(l.at) {
			instead = "put Kubernetes manifests into cluster.inlineManifests"
		}
	}
	l.add(kind, nil, Error, UnknownKind, "no Talos version has a kind "+l.kind, instead)
}

func (l *linter) kindNames() []string {
	var names []string
	for _, e := range l.table.kinds {
		if e.name != V1Alpha1 {
			names = append(names, e.name)
		}
	}
	return names
}

// twice finds a document of a whole config that is there already. Patches may touch a document twice.
func (l *linter) twice(doc *yaml.Node) {
	if !l.whole {
		return
	}
	for _, other := range l.present[l.kind] {
		if other == doc {
			return
		}
		if n := get(other, "name"); l.kind == V1Alpha1 || (n == nil && l.name == "") || (n != nil && n.Value == l.name) {
			l.add(header(doc, "kind"), nil, Error, DuplicateKey, "the document "+l.kind+" "+l.name+" is there already", "")
			return
		}
	}
}

// header is the value in a map to point at; the map where there is none.
func header(doc *yaml.Node, key string) *yaml.Node {
	return orSelf(get(doc, key), doc)
}

// add records a finding at a node.
func (l *linter) add(n *yaml.Node, p *path, s Severity, problem Problem, message, instead string) {
	l.findings = append(l.findings, Finding{
		Line: n.Line, Column: n.Column, Kind: l.kind, Name: l.name, Path: shown(p.String()),
		Severity: s, Problem: problem, Message: shown(message), Instead: instead,
	})
}
