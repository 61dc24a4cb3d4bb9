package web_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// page is an answer, parsed.
type page struct {
	root   *html.Node
	source string
	path   string
	header http.Header
}

func (p *page) all(match func(*html.Node) bool) []*html.Node {
	var out []*html.Node
	for n := range p.root.Descendants() {
		if n.Type == html.ElementNode && match(n) {
			out = append(out, n)
		}
	}
	return out
}

func (p *page) tags(names ...string) []*html.Node {
	return p.all(func(n *html.Node) bool { return slices.Contains(names, n.Data) })
}

func (p *page) byID(id string) *html.Node {
	for _, n := range p.all(func(n *html.Node) bool { return attr(n, "id") == id }) {
		return n
	}
	return nil
}

// text is what a person reads, in one line.
func (p *page) text() string { return textOf(p.root) }

func (p *page) has(t testing.TB, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(p.text(), w) {
			t.Errorf("%s does not say %q:\n%s", p.path, w, p.text())
		}
	}
}

func (p *page) hasNot(t testing.TB, words ...string) {
	t.Helper()
	for _, w := range words {
		if strings.Contains(p.text(), w) {
			t.Errorf("%s says %q", p.path, w)
		}
	}
}

func (p *page) form(t testing.TB, action string) *html.Node {
	t.Helper()
	for _, f := range p.tags("form") {
		if attr(f, "action") == action {
			return f
		}
	}
	t.Fatalf("%s has no form for %s:\n%s", p.path, action, p.text())
	return nil
}

func (p *page) hasForm(action string) bool {
	return slices.ContainsFunc(p.tags("form"), func(f *html.Node) bool { return attr(f, "action") == action })
}

// fieldsOf is what a browser sends if nothing is typed.
func fieldsOf(form *html.Node) url.Values {
	values := url.Values{}
	for n := range form.Descendants() {
		name := attr(n, "name")
		if n.Type != html.ElementNode || name == "" {
			continue
		}
		switch n.Data {
		case "input":
			kind := attr(n, "type")
			if (kind == "checkbox" || kind == "radio") && !hasAttr(n, "checked") {
				continue
			}
			values.Add(name, attr(n, "value"))
		case "textarea":
			values.Add(name, rawOf(n))
		case "select":
			values.Add(name, chosenOf(n))
		}
	}
	return values
}

// rawOf is the text of an element as it stands, with its line breaks.
func rawOf(n *html.Node) string {
	var text strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			text.WriteString(d.Data)
		}
	}
	return text.String()
}

func chosenOf(list *html.Node) string {
	first, any := "", false
	for n := range list.Descendants() {
		if n.Data != "option" {
			continue
		}
		if hasAttr(n, "selected") {
			return attr(n, "value")
		}
		if !any {
			first, any = attr(n, "value"), true
		}
	}
	return first
}

func hasField(form *html.Node, name string) bool {
	for n := range form.Descendants() {
		if n.Type == html.ElementNode && attr(n, "name") == name {
			return true
		}
	}
	return false
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func hasAttr(n *html.Node, name string) bool {
	return slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == name })
}

func textOf(n *html.Node) string {
	var words []string
	for d := range n.Descendants() {
		if d.Type == html.TextNode && d.Parent.Data != "script" && d.Parent.Data != "style" {
			words = append(words, strings.Fields(d.Data)...)
		}
	}
	return strings.Join(words, " ")
}

// check holds a page to what every page promises: one heading and one main part, fields with labels, ids used
// once, buttons and links with words, nothing inline, nothing from elsewhere.
func (p *page) check(t testing.TB) {
	t.Helper()
	for _, tag := range []string{"h1", "main", "title"} {
		if n := len(p.tags(tag)); n != 1 {
			t.Errorf("%s has %d <%s>", p.path, n, tag)
		}
	}
	p.checkIDs(t)
	p.checkFields(t)
	p.checkWords(t)
	p.checkNothingInline(t)
}

func (p *page) checkIDs(t testing.TB) {
	t.Helper()
	seen := map[string]bool{}
	for _, n := range p.all(func(n *html.Node) bool { return attr(n, "id") != "" }) {
		id := attr(n, "id")
		if seen[id] {
			t.Errorf("%s has two elements %q", p.path, id)
		}
		seen[id] = true
	}
	for _, n := range p.all(func(n *html.Node) bool { return true }) {
		for _, name := range []string{"for", "aria-describedby", "aria-labelledby"} {
			for _, id := range strings.Fields(attr(n, name)) {
				if !seen[id] {
					t.Errorf("%s: %s=%q names nothing", p.path, name, id)
				}
			}
		}
	}
}

func (p *page) checkFields(t testing.TB) {
	t.Helper()
	labelled := map[string]bool{}
	for _, n := range p.tags("label") {
		labelled[attr(n, "for")] = true
	}
	for _, n := range p.tags("input", "select", "textarea") {
		if attr(n, "type") == "hidden" || labelled[attr(n, "id")] && attr(n, "id") != "" || insideOf(n, "label") {
			continue
		}
		t.Errorf("%s: field %q has no label", p.path, attr(n, "name"))
	}
}

func insideOf(n *html.Node, tag string) bool {
	for a := range n.Ancestors() {
		if a.Data == tag {
			return true
		}
	}
	return false
}

func (p *page) checkWords(t testing.TB) {
	t.Helper()
	for _, n := range p.tags("button", "a", "summary", "th", "legend", "option", "h1", "h2", "h3") {
		if textOf(n) == "" && attr(n, "aria-label") == "" {
			t.Errorf("%s: a <%s> without words: %v", p.path, n.Data, n.Attr)
		}
	}
	for _, n := range p.tags("img") {
		if !hasAttr(n, "alt") {
			t.Errorf("%s: an image without alt", p.path)
		}
	}
	for _, n := range p.tags("svg") {
		if attr(n, "aria-hidden") != "true" {
			t.Errorf("%s: a picture that is read aloud", p.path)
		}
	}
	if strings.Contains(p.text(), "Are you sure") {
		t.Errorf("%s asks whether one is sure instead of saying what is lost", p.path)
	}
}

// checkNothingInline holds the page to the Content-Security-Policy.
func (p *page) checkNothingInline(t testing.TB) {
	t.Helper()
	for _, n := range p.all(func(n *html.Node) bool { return true }) {
		for _, a := range n.Attr {
			if a.Key == "style" || strings.HasPrefix(a.Key, "on") {
				t.Errorf("%s: <%s> has %s inline", p.path, n.Data, a.Key)
			}
			outside := strings.Contains(a.Val, "//") && (a.Key == "src" || a.Key == "href" || a.Key == "action" || a.Key == "formaction")
			if outside || strings.HasPrefix(strings.ToLower(a.Val), "javascript:") {
				t.Errorf("%s: <%s %s=%q> leads elsewhere", p.path, n.Data, a.Key, a.Val)
			}
		}
		if n.Data == "style" || n.Data == "script" && attr(n, "src") == "" {
			t.Errorf("%s: an inline <%s>", p.path, n.Data)
		}
	}
}
