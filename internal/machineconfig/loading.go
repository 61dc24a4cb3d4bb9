package machineconfig

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/config/configloader"
	"go.yaml.in/yaml/v4"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// explainLoading says in which line of a patch, as it was written, the library found what it does not take. text is
// what the library read, nodes the same with the positions of the original.
func explainLoading(cause error, text string, nodes []*yaml.Node) error {
	lines := originalLines(text, nodes)
	message := cause.Error()
	doc := nodes[0]
	if m := documentLine.FindStringSubmatch(message); m != nil {
		doc = documentAt(nodes, lines.of(m[1]))
	}
	kind := scalarAt(doc, "kind")
	switch {
	case errors.Is(cause, configloader.ErrNoConfig):
		return at(doc, "", "a document with nothing but its kind changes nothing").WithHint("write apiVersion: v1alpha1 and what is to change, or leave the document out")
	case strings.HasSuffix(message, "missing kind"):
		return at(doc, "", "a document with neither kind nor machine: or cluster:").
			WithHint("%s", kindless)
	case strings.HasSuffix(message, "missing apiVersion"):
		return at(doc, "", "document %s without apiVersion", kind).WithHint("write apiVersion: v1alpha1")
	case strings.HasSuffix(message, "not registered"):
		return at(doc, "", "there is no document %s %s", scalarAt(doc, "apiVersion"), kind).WithHint("apiVersion is v1alpha1; compare kind with the reference of this Talos version")
	case strings.Contains(message, unknownKeysFound):
		return explainUnknown(cause, doc)
	case strings.Contains(message, "null value is not allowed"):
		return explainNull(message, lines)
	case strings.Contains(message, "patch delete statements"):
		return explainDelete(message, doc)
	}
	if m := constructErrors.FindStringSubmatch(message); m != nil {
		return explainTypes(m[1], doc, lines)
	}
	return at(doc, "", "%s", withoutValues(message))
}

var (
	documentLine    = regexp.MustCompile(`\(line (\d+)\)|statements at line (\d+)`)
	constructErrors = regexp.MustCompile(`(?s)construct errors: (.*)`)
	oneError        = regexp.MustCompile(`(?s)^(?:line (\d+)|<unknown position>): (.*)$`)
	cannotConstruct = regexp.MustCompile("(?s)cannot construct !!(\\w+)(?: `.*`)? into (.+)")
	nullValue       = regexp.MustCompile(`null value is not allowed at "([^"]*)" \(line (\d+)\)`)
	quotedValue     = regexp.MustCompile("`[^`]*`")
)

const unknownKeysFound = "unknown keys found during decoding:\n"

// withoutValues takes the values out of a message of the YAML library, which cuts them short: half a secret could
// not be recognised as one.
func withoutValues(message string) string { return quotedValue.ReplaceAllString(message, "the value") }

// lineMap is the line as it was written of each line that was read.
type lineMap map[int]int

func (m lineMap) of(line string) int {
	n, _ := strconv.Atoi(line)
	for ; n > 0; n-- {
		if original, ok := m[n]; ok {
			return original
		}
	}
	return 1
}

func originalLines(text string, nodes []*yaml.Node) lineMap {
	m := lineMap{}
	read, err := parseDocuments(text)
	if err != nil || len(read) != len(nodes) {
		return m
	}
	for i := range read {
		m.pair(read[i], nodes[i])
	}
	return m
}

func (m lineMap) pair(read, original *yaml.Node) {
	if _, ok := m[read.Line]; !ok {
		m[read.Line] = original.Line
	}
	for i := range min(len(read.Content), len(original.Content)) {
		m.pair(read.Content[i], original.Content[i])
	}
}

// documentAt is the last document that begins at a line or before it.
func documentAt(nodes []*yaml.Node, line int) *yaml.Node {
	doc := nodes[0]
	for _, n := range nodes {
		if n.Line <= line {
			doc = n
		}
	}
	return doc
}

// explainTypes is for values of a wrong type.
func explainTypes(list string, doc *yaml.Node, lines lineMap) error {
	first, more, _ := strings.Cut(list, "; line ")
	m := oneError.FindStringSubmatch(first)
	if m == nil {
		return at(doc, "", "%s", withoutValues(first))
	}
	line, message, hint := lines.of(m[1]), m[2], ""
	if c := cannotConstruct.FindStringSubmatch(message); c != nil {
		message, hint = fmt.Sprintf("%s where %s is wanted", yamlWord(c[1]), goWord(c[2])), noAdvice
	}
	n, path := valueOn(doc, "", line)
	if n == nil {
		n = &yaml.Node{Line: line, Column: 1}
	}
	e := at(n, path, "%s", withoutValues(message))
	if more != "" {
		hint = strings.TrimPrefix(hint+"; there is more after it", "; ")
	}
	return e.WithHint("%s", hint)
}

// valueOn finds the first value that begins on a line.
func valueOn(n *yaml.Node, path string, line int) (*yaml.Node, string) {
	for i, child := range n.Content {
		p := path
		switch {
		case n.Kind == yaml.SequenceNode:
			p = elementPath(path, i)
		case i%2 == 0:
			continue
		default:
			p = keyPath(path, n.Content[i-1].Value)
		}
		if len(child.Content) == 0 {
			if child.Line == line {
				return child, p
			}
			continue
		}
		if found, at := valueOn(child, p, line); found != nil {
			return found, at
		}
		if child.Line == line {
			return child, p
		}
	}
	return nil, ""
}

func yamlWord(tag string) string {
	if w, ok := map[string]string{"str": "text", "int": "a number", "float": "a number", "bool": "true or false", "seq": "a list", "map": "a map", "null": "nothing"}[tag]; ok {
		return w
	}
	return tag
}

func goWord(typ string) string {
	switch {
	case strings.HasPrefix(typ, "int"), strings.HasPrefix(typ, "uint"):
		return "a whole number"
	case typ == "bool":
		return "true or false"
	case typ == "string":
		return "text"
	case typ == "time.Duration":
		return "a duration such as 1h30m"
	case strings.HasPrefix(typ, "[]"), strings.HasSuffix(typ, "List"):
		return "a list"
	case strings.HasPrefix(typ, "map["), strings.HasSuffix(typ, "Config"), strings.HasSuffix(typ, "Spec"):
		return "a map"
	}
	return typ[strings.LastIndexByte(typ, '.')+1:]
}

func explainNull(message string, lines lineMap) error {
	m := nullValue.FindStringSubmatch(message)
	if m == nil {
		return fleet.Errorf(fleet.Invalid, "%s", withoutValues(message))
	}
	return at(&yaml.Node{Line: lines.of(m[2]), Column: 1}, m[1], "nothing where a value is wanted").WithHint("remove the line, or write what it is to be")
}

func explainDelete(message string, doc *yaml.Node) error {
	n := keyNamed(doc, "$patch")
	if n == nil {
		n = doc
	}
	why := message[strings.LastIndex(message, ": ")+2:]
	return at(n, "", "$patch: delete: %s", why).
		WithHint("a document is deleted with apiVersion, kind and, where it has one, name; a list element by its first key beside $patch; a key by its path")
}

// keyNamed finds a key in a document.
func keyNamed(n *yaml.Node, key string) *yaml.Node {
	for i, child := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 && child.Value == key {
			return child
		}
		if found := keyNamed(child, key); found != nil {
			return found
		}
	}
	return nil
}

// explainUnknown names the first key that no document has.
func explainUnknown(cause error, doc *yaml.Node) error {
	var tree yaml.Node
	_, list, _ := strings.Cut(cause.Error(), unknownKeysFound)
	if err := yaml.Unmarshal([]byte(list), &tree); err == nil && len(tree.Content) == 1 {
		if n, path := firstUnknown(tree.Content[0], doc, ""); n != nil {
			return at(n, path, "no such field").WithHint("%s", noAdvice)
		}
	}
	return at(doc, "", "a field that Talos does not know")
}

// firstUnknown follows a tree of unknown keys, in which known siblings and list elements are left out.
func firstUnknown(unknown, n *yaml.Node, path string) (*yaml.Node, string) {
	switch {
	case unknown.Kind == yaml.MappingNode && n.Kind == yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			below := valueAt(unknown, key.Value)
			if below == nil {
				continue
			}
			if equalShape(below, n.Content[i+1]) && (path != "" || !slices.Contains(v1alpha1Keys(), key.Value)) {
				return key, keyPath(path, key.Value)
			}
			if found, at := firstUnknown(below, n.Content[i+1], keyPath(path, key.Value)); found != nil {
				return found, at
			}
		}
	case unknown.Kind == yaml.SequenceNode && n.Kind == yaml.SequenceNode:
		for i, e := range n.Content {
			for _, u := range unknown.Content {
				if found, at := firstUnknown(u, e, elementPath(path, i)); found != nil {
					return found, at
				}
			}
		}
	}
	return nil, ""
}

// equalShape says whether everything below a key is in the tree of unknown keys: then the key itself is unknown.
func equalShape(unknown, n *yaml.Node) bool {
	if unknown.Kind != n.Kind || len(unknown.Content) != len(n.Content) {
		return unknown.Kind != yaml.MappingNode && unknown.Kind != yaml.SequenceNode || n.Kind == yaml.AliasNode
	}
	for i := range n.Content {
		j := i
		if n.Kind == yaml.MappingNode {
			key := n.Content[i&^1].Value
			j = slices.IndexFunc(unknown.Content, func(k *yaml.Node) bool { return k.Value == key })
			if j < 0 {
				return false
			}
			j += i & 1
		}
		if !equalShape(unknown.Content[j], n.Content[i]) {
			return false
		}
	}
	return true
}

// unknownKeys lists the paths of the unknown keys an error of the library names, without the places in lists.
func unknownKeys(cause error) []string {
	_, list, found := strings.Cut(cause.Error(), unknownKeysFound)
	var tree yaml.Node
	if !found || yaml.Unmarshal([]byte(list), &tree) != nil || len(tree.Content) != 1 {
		return nil
	}
	var out []string
	var walk func(n *yaml.Node, path string)
	walk = func(n *yaml.Node, path string) {
		if n.Kind != yaml.MappingNode {
			out = append(out, path)
			return
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			walk(n.Content[i+1], keyPath(path, n.Content[i].Value))
		}
	}
	walk(tree.Content[0], "")
	return out
}
