package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/talos-manager/talos-manager/internal/web/webtest"
)

// No page needs an inline script or style (get refuses those that have one), so that browsers are told to run none.
func TestNoPageNeedsInlineScriptOrStyle(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.populate(t)
	for _, path := range append(l.paths(t), "/nowhere") {
		want := http.StatusOK
		if path == "/nowhere" {
			want = http.StatusNotFound
		}
		p := l.get(t, path, want)
		for _, why := range lax(p.header.Get("Content-Security-Policy")) {
			t.Errorf("%s: %s", path, why)
		}
	}
}

// lax says what a Content-Security-Policy lets through that it should not.
func lax(policy string) []string {
	var out []string
	allowed := map[string]string{}
	for part := range strings.SplitSeq(policy, ";") {
		name, sources, _ := strings.Cut(strings.TrimSpace(part), " ")
		allowed[name] = sources
		for _, source := range strings.Fields(sources) {
			if source != "'self'" && source != "'none'" && !(name == "img-src" && source == "data:") {
				out = append(out, name+" allows "+source)
			}
		}
	}
	if allowed["default-src"] != "'none'" {
		out = append(out, "what no rule is about is allowed: "+allowed["default-src"])
	}
	for _, name := range []string{"script-src", "style-src", "connect-src", "img-src", "font-src", "form-action"} {
		if allowed[name] == "" {
			out = append(out, "no rule for "+name)
		}
	}
	for _, name := range []string{"base-uri", "frame-ancestors"} {
		if allowed[name] != "'none'" {
			out = append(out, name+" is not none")
		}
	}
	return out
}

func TestALaxPolicyIsNoticed(t *testing.T) {
	t.Parallel()
	const strict = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
	if why := lax(strict); len(why) > 0 {
		t.Errorf("strict: %v", why)
	}
	for _, with := range [][2]string{
		{"script-src 'self'", "script-src 'self' 'unsafe-inline'"},
		{"style-src 'self'", "style-src 'unsafe-inline'"},
		{"script-src 'self'", "script-src 'self' 'unsafe-eval'"},
		{"connect-src 'self'", "connect-src *"},
		{"default-src 'none'", "default-src 'self'"},
		{"; base-uri 'none'", ""},
		{"; script-src 'self'", ""},
		{strict, ""},
	} {
		if len(lax(strings.Replace(strict, with[0], with[1], 1))) == 0 {
			t.Errorf("%q is taken for strict", with)
		}
	}
}

// A real browser with JavaScript off: it logs in, filters, asks for the servers of one cluster, and submits forms; one is refused
// and keeps what was typed.
func TestEverythingWorksWithoutJavaScript(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.populate(t)
	b := l.tab(t, webtest.Options{NoScript: true}, "/servers")
	b.Says("1–7 of 7")
	b.Click("#filter-search")
	b.Keys("server-4\r")
	b.Says("1–1 of 1", "node-4")
	b.Press("Search")
	b.Says("Go to", "Sync all accounts")
	b.Click("#search-words")
	b.Keys("server-6\r")
	b.Says("Search for server-6")
	b.Click("main .hit")
	b.Says("are not known yet")
	b.Go("/clusters")
	b.Press("Create a cluster")
	b.Click("#cluster-name")
	b.Keys("Not A Name")
	b.Click("#cluster-endpoint")
	b.Keys("https://new.example.com:6443")
	b.Press("Create the cluster")
	b.Until("the refusal is shown", `document.querySelector(".notice.broken")`)
	b.Until("what was typed is kept", `document.querySelector("#cluster-name").value === "Not A Name"`)
	b.Click("#cluster-name")
	webtest.Eval[bool](b, `(document.querySelector("#cluster-name").select(), true)`)
	b.Keys("staging\r")
	b.Says("Created staging")
	b.Click(".running")
	b.Until("the link leads to a page", `location.search === "?state=active"`)
	if got := b.Path(); got != (&url.URL{Path: "/operations", RawQuery: "state=active"}).String() {
		t.Errorf("what is running leads to %s", got)
	}
}
