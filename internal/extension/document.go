package extension

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// document is one YAML file while it is checked.
type document struct {
	file     string
	talos    versions // that it must work on
	problems Problems
	merged   int // how many << were followed
}

// field is one that a mapping may have.
type field struct {
	name  string
	check func(n *yaml.Node, at string)
}

// parse gives the document's root mapping; nil if there is none, and then says why.
func (d *document) parse(text []byte) *yaml.Node {
	dec := yaml.NewDecoder(strings.NewReader(string(text)))
	var root, next yaml.Node
	err := dec.Decode(&root)
	switch {
	case errors.Is(err, io.EOF), err == nil && (len(root.Content) == 0 || null(root.Content[0])):
		d.add(Problem{Line: 1, Text: "there is nothing in it"})
		return nil
	case err != nil:
		d.add(Problem{Line: lineOf(err), Text: "this is not YAML: " + err.Error(), Hint: "indent with spaces, and quote texts with special characters"})
		return nil
	}
	if err := dec.Decode(&next); err == nil {
		d.add(Problem{Line: next.Line, Text: "Talos reads only the first document of the file", Hint: "write one file for each service, without ---"})
	}
	return root.Content[0]
}

var lineForm = regexp.MustCompile(`(?:\bL[0-9]+\.C[0-9]+-L|\bL|line )([0-9]+)`) // of L1.C7-L2.C1, where it went wrong

// lineOf finds the line in an error of the YAML library, which has no field for it. 0 if it names none.
func lineOf(err error) int {
	found := lineForm.FindStringSubmatch(err.Error())
	if found == nil {
		return 0
	}
	line, _ := strconv.Atoi(found[1])
	return line
}

func (d *document) add(p Problem) {
	p.File = d.file
	d.problems = append(d.problems, p)
}

func (d *document) fail(n *yaml.Node, at, hint, format string, args ...any) {
	d.add(Problem{Line: n.Line, Field: at, Text: fmt.Sprintf(format, args...), Hint: hint})
}

func (d *document) warn(n *yaml.Node, at, hint, format string, args ...any) {
	d.add(Problem{Warning: true, Line: n.Line, Field: at, Text: fmt.Sprintf(format, args...), Hint: hint})
}

// mapping checks each field by its own check, and says of the others that Talos ignores them. It gives the fields
// that are there; nil if n is no mapping.
func (d *document) mapping(n *yaml.Node, at string, known ...field) map[string]*yaml.Node {
	if n = resolve(n); n.Kind != yaml.MappingNode {
		d.fail(n, at, "write fields below it, one a line: "+known[0].name+": …", "%s is not a mapping of fields", describe(n))
		return nil
	}
	given := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Tag == "!!merge" {
			d.merge(given, value, at, known)
			continue
		}
		if given[key.Value] != nil {
			d.fail(key, join(at, key.Value), "keep one of the two", "it is there twice; Talos refuses the whole file for that")
			continue
		}
		given[key.Value] = value
		d.one(key, value, at, known)
	}
	return given
}

// merge adds the fields of a mapping, or of several, that << names.
func (d *document) merge(given map[string]*yaml.Node, from *yaml.Node, at string, known []field) {
	from = resolve(from)
	if d.merged++; d.merged > 20 { // it may contain itself
		if d.merged == 21 {
			d.fail(from, at, "write the fields themselves", "there are too many << in the file")
		}
		return
	}
	parts := []*yaml.Node{from}
	if from.Kind == yaml.SequenceNode {
		parts = from.Content
	}
	for _, part := range parts {
		for name, v := range d.mapping(part, at, known...) {
			if given[name] == nil {
				given[name] = v
			}
		}
	}
}

func (d *document) one(key, value *yaml.Node, at string, known []field) {
	names := make([]string, 0, len(known))
	for _, f := range known {
		if f.name == key.Value {
			if !null(value) {
				f.check(value, join(at, f.name))
			}
			return
		}
		names = append(names, f.name)
	}
	hint := "the fields here are " + strings.Join(names, ", ")
	if near := fleet.Nearest(key.Value, names); len(near) > 0 {
		hint = "write " + near[0]
	}
	d.fail(key, join(at, key.Value), hint, "there is no such field, so Talos ignores it")
}

// items checks each item of a list.
func (d *document) items(check func(n *yaml.Node, at string)) func(n *yaml.Node, at string) {
	return func(n *yaml.Node, at string) {
		if n = resolve(n); n.Kind != yaml.SequenceNode {
			d.fail(n, at, "begin each item in a line of its own with a dash: - …", "%s is not a list", describe(n))
			return
		}
		for i, item := range n.Content {
			at := fmt.Sprintf("%s[%d]", at, i)
			if null(item) {
				d.fail(item, at, "write something after the dash, or remove it", "the item is empty, so Talos leaves it out")
				continue
			}
			check(item, at)
		}
	}
}

// texts checks a field of text by what it says. Talos takes every scalar for text.
func (d *document) texts(check func(n *yaml.Node, at, text string)) func(n *yaml.Node, at string) {
	return func(n *yaml.Node, at string) {
		if n = resolve(n); n.Kind != yaml.ScalarNode {
			d.fail(n, at, "write one value on the line, in quotes if it has special characters", "%s is not a text", describe(n))
			return
		}
		check(n, at, n.Value)
	}
}

// anyText is the check of a text that may be anything.
func anyText(*yaml.Node, string, string) {}

// flag checks a field that is true or false.
func (d *document) flag(n *yaml.Node, at string) {
	var on bool
	if n = resolve(n); n.Decode(&on) != nil {
		d.fail(n, at, "write true or false", "%s is neither true nor false", describe(n))
	}
}

// path checks a text that has to be an absolute path.
func (d *document) path(n *yaml.Node, at string) {
	d.texts(func(n *yaml.Node, at, text string) {
		if !strings.HasPrefix(text, "/") {
			d.fail(n, at, "begin it with a slash: "+strconv.Quote("/"+strings.TrimPrefix(text, "./")), "%q is not an absolute path", text)
		}
	})(n, at)
}

// choice checks a text that has to be one of some words; Talos does not mind their case.
func (d *document) choice(words ...string) func(n *yaml.Node, at string) {
	return d.texts(func(n *yaml.Node, at, text string) {
		for _, w := range words {
			if strings.EqualFold(w, text) {
				return
			}
		}
		hint := "write one of these"
		if near := fleet.Nearest(text, words); len(near) > 0 {
			hint = "write " + near[0]
		} else if len(words) == 1 {
			hint = "write " + words[0]
		}
		d.fail(n, at, hint, "%q is none of %s", text, strings.Join(words, ", "))
	})
}

// need says that a field is missing, or that there is nothing in it.
func (d *document) need(in *yaml.Node, given map[string]*yaml.Node, at, name, hint string) {
	switch n := given[name]; {
	case given == nil: // it is no mapping, which was said
	case n == nil:
		d.fail(in, join(at, name), hint, "it is missing")
	case null(n), n.Kind == yaml.ScalarNode && n.Value == "":
		d.fail(n, join(at, name), hint, "there is nothing in it")
	}
}

// resolve follows an alias to what it stands for.
func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// null says whether a value is left out or written as null.
func null(n *yaml.Node) bool {
	n = resolve(n)
	return n.Kind == yaml.ScalarNode && n.Tag == "!!null"
}

// describe names a value as its writer sees it.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	return strconv.Quote(n.Value)
}

func join(at, name string) string {
	if at == "" {
		return name
	}
	return at + "." + name
}
