package schema

import "strings"

// V1Alpha1 names the document without a kind, which holds machine: and cluster:.
const V1Alpha1 = "v1alpha1"

// Info is what is known of a document kind or a field of it.
type Info struct {
	Kind        string   // KubeSpanConfig, or V1Alpha1
	Path        string   // machine.network.interfaces[].addresses; "" for the document itself
	Type        string   // for people: "text", "list of maps", "size like 10GB"
	Values      []string // those it can have, where they are known
	Required    bool
	Since       string // first Talos version that knows it, v1.12 or v1.12.9; the first of the table when it is older
	Until       string // last Talos version that knows it; "" when the newest does
	Deprecated  string // first Talos version that calls it deprecated, no later than the one asked for; "" when none does
	Instead     string // what to write then
	Description string // paragraphs in lines of their own
	Examples    []string
}

// Versions lists the Talos minors of the table, v1.6 first.
func Versions() []string {
	t := known()
	var out []string
	for r := range t.releases {
		if r == 0 || t.minor(release(r-1)) != t.minor(release(r)) {
			out = append(out, t.sayMinor(release(r)))
		}
	}
	return out
}

// Kinds lists the document kinds which a Talos version knows, V1Alpha1 first, then by name.
func Kinds(version string) []Info {
	t := known()
	r := t.release(version)
	var out []Info
	for _, e := range t.kinds {
		if e.in(r) {
			out = append(out, t.info(e.name, "", e, r))
		}
	}
	return out
}

// Field finds a field by its path: list elements are [] or [0], map values [] or ["key"], "" is the document itself.
// It is false when the Talos version does not know it.
func Field(kind, path, version string) (Info, bool) {
	t := known()
	r := t.release(version)
	e := t.find(kind, path)
	if e == nil || !e.in(r) {
		return Info{}, false
	}
	var p *pattern
	for _, s := range split(path) {
		p = p.step(s)
	}
	return t.info(kind, p.String(), e, r), true
}

// pattern builds the path of an entry.
type pattern struct{ text string }

func (p *pattern) String() string {
	if p == nil {
		return ""
	}
	return p.text
}

func (p *pattern) step(s string) *pattern {
	switch {
	case strings.HasPrefix(s, "["), s == "*":
		return &pattern{p.String() + "[]"}
	case p == nil:
		return &pattern{s}
	}
	return &pattern{p.text + "." + s}
}

// info describes an entry as a release sees it.
func (t *table) info(kind, path string, e *entry, r release) Info {
	f := e.form(r)
	i := Info{
		Kind: kind, Path: path, Type: typeName(e, r), Values: f.values, Required: e.required,
		Since: t.say(e.seen[0].from), Description: e.description, Examples: e.examples,
	}
	if len(i.Values) == 0 && f.typ != mapping {
		i.Values = e.values
	}
	if last := e.seen[len(e.seen)-1].to; int(last) < len(t.releases)-1 {
		i.Until = t.releases[last]
	}
	if e.deprecated >= 0 && e.deprecated <= r {
		i.Deprecated, i.Instead = t.say(e.deprecated), t.instead(e, r)
	}
	return i
}

// typeName is the type of an entry for people, without an article.
func typeName(e *entry, r release) string {
	f := e.form(r)
	switch f.typ {
	case list, mapping:
		return f.typ + " of " + plural(typeName(e.children[0], r))
	case object:
		return "map"
	case "enum", "disk type":
		return "text"
	}
	s := article(f)
	for _, a := range []string{"a ", "an "} {
		s = strings.TrimPrefix(s, a)
	}
	return s
}

func plural(s string) string {
	word, rest, more := strings.Cut(s, " ")
	switch {
	case word == "text", word == "true", word == "anything", word == "base64", strings.HasSuffix(word, "s"):
		return s
	case strings.HasSuffix(word, "x"), word == "address":
		word += "es"
	case word == "whole":
		return strings.Replace(s, "number", "numbers", 1)
	default:
		word += "s"
	}
	if more {
		return word + " " + rest
	}
	return word
}
