package web_test

import (
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/web"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

// crawl opens every page that can be reached by links, and gives their addresses.
func crawl(t *testing.T, l *lab) []string {
	t.Helper()
	seen, queue := map[string]bool{"/": true}, []string{"/"}
	var out []string
	for len(queue) > 0 {
		path := queue[0]
		queue = queue[1:]
		if strings.HasSuffix(path, ".txt") {
			continue
		}
		out = append(out, path)
		for _, a := range l.get(t, path, http.StatusOK).tags("a") {
			to, _, _ := strings.Cut(attr(a, "href"), "#")
			if to != "" && !seen[to] {
				seen[to] = true
				queue = append(queue, to)
			}
		}
	}
	return out
}

func TestEveryPageIsSoundWithoutRecords(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	crawl(t, l)
	for path, words := range map[string][]string{
		"/":           {"From nothing to the first cluster", "Add an account", "ssh-ed25519", "Nothing running"},
		"/servers":    {"No servers yet", "Add an account"},
		"/clusters":   {"No clusters yet", "Create a cluster"},
		"/accounts":   {"No accounts yet", "Try and add", "SHA256:"},
		"/operations": {"Nothing was done yet"},
		"/events":     {"Nothing happened yet"},
		"/install":    {"No server is free", "Add a server by hand"},
		"/rescue":     {"No server was chosen"},
	} {
		l.get(t, path, http.StatusOK).has(t, words...)
	}
}

func TestEveryPageIsSoundWithRecords(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.populate(t)
	paths := crawl(t, l)
	for _, want := range []string{"/servers/", "/clusters/", "/operations/"} {
		if !slices.ContainsFunc(paths, func(p string) bool { return strings.HasPrefix(p, want) }) {
			t.Errorf("no link leads to %s…", want)
		}
	}
	if len(paths) < 25 {
		t.Errorf("only %d pages are linked: %v", len(paths), paths)
	}
	for path, words := range map[string][]string{
		"/":                        {"Needs you", "Asks", "401 unauthorized", "Not Ready", "prod", "Control planes"},
		"/servers":                 {"server-1", "node-1", "Installing", "Write the image: waiting for the image to be written", "Not Ready", "Joining", "1–7 of 7"},
		"/servers?state=ready":     {"server-3"},
		"/servers/server-0":        {"Free", "nvme0n1", "eui.0000000000000000", "ext4 on nvme0n1p1, linux_raid_member", "512 GB", "64 GiB", "Assign to a cluster"},
		"/servers/server-1":        {"Write the image: waiting for the image to be written", "500 MB of 1 GB", "its UUID was another", "Open the operation"},
		"/servers/server-3":        {"It runs as a node", "Take out of the cluster"},
		"/servers/server-6":        {"are not known yet"},
		"/clusters/prod":           {"node-3", "not bootstrapped yet", "Bootstrap is under way", "Download talosconfig"},
		"/clusters/empty":          {"Empty", "Choose servers", "nobody can log in to them any more"},
		"/accounts":                {"Works", "Problem", "401 unauthorized"},
		"/operations":              {"Asks", "Failed", "Cancelled", "Done", "Waiting", "Bootstrap etcd"},
		"/operations?state=failed": {"Install Talos", "the disk is gone"},
		"/events":                  {"created prod at", "rule.delete"},
		"/events?search=prod":      {"created prod at"},
	} {
		l.get(t, path, http.StatusOK).has(t, words...)
	}
	l.get(t, "/servers?state=ready", http.StatusOK).hasNot(t, "server-1")
	l.get(t, "/servers", http.StatusOK).hasNot(t, "server-7")
	l.get(t, "/servers?missing=true", http.StatusOK).has(t, "server-7", "Its account does not list it any more")
	l.get(t, "/servers?search=100.14", http.StatusOK).has(t, "server-4", "1–1 of 1")
	l.get(t, "/servers?search=nothing", http.StatusOK).has(t, "No server matches")
	p := l.submit(t, l.get(t, "/servers", http.StatusOK), "/servers", url.Values{"search": {"server-4"}, "role": {"worker"}}, http.StatusOK)
	if p.has(t, "1–1 of 1"); attr(p.byID("filter-search"), "value") != "server-4" || p.byID("server-"+l.serverNamed(t, "server-4").ID) == nil {
		t.Error("the filter without JavaScript does not filter, or forgets what was searched")
	}
	l.get(t, "/nowhere", http.StatusNotFound).has(t, "There is no page /nowhere", "1 question")
	l.get(t, "/servers/server-7", http.StatusOK).has(t, "was cancelled at its provider")
}

func TestWhatIsNotThereIsSaidSo(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	for _, path := range []string{"/servers/nobody", "/clusters/nobody", "/operations/nobody", "/no/such/page", "/assets/none.js", "/operations/nobody/log.txt", "/live/servers/nobody", "/live/install"} {
		l.get(t, path, http.StatusNotFound).has(t, "Not found")
	}
	l.get(t, "/servers?sort=password", http.StatusUnprocessableEntity).has(t, "cannot be sorted by")
}

func TestNobodyUnknownSeesAnything(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.populate(t)
	stranger := l.newBrowser(t)
	stranger.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	var routes []string
	for _, path := range web.PagePaths() {
		routes = append(routes, "GET "+path, "GET /live"+path)
	}
	for _, route := range append(routes, web.ActionRoutes()...) {
		method, path, found := strings.Cut(route, " ")
		if !found {
			method, path = http.MethodGet, "/anything"
		}
		path = strings.NewReplacer("{$}", "", "{ref}", "server-1", "{id}", "x").Replace(path)
		req, err := http.NewRequest(method, l.server.URL+path, nil)
		must(t, err)
		r, err := stranger.Do(req)
		must(t, err)
		body, err := io.ReadAll(r.Body)
		r.Body.Close()
		must(t, err)
		switch {
		case strings.HasPrefix(path, "/live/"):
			if r.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s: %s", route, r.Status)
			}
		case r.StatusCode != http.StatusSeeOther || !strings.HasPrefix(r.Header.Get("Location"), "/login"):
			t.Errorf("%s: %s to %q", route, r.Status, r.Header.Get("Location"))
		}
		if strings.Contains(string(body), "server-1") && !strings.Contains(path, "server-1") {
			t.Errorf("%s shows records", route)
		}
	}
	for path, asset := range map[string]bool{"/login": false, "/favicon.ico": true} {
		r, err := stranger.Get(l.server.URL + path)
		must(t, err)
		r.Body.Close()
		if !asset && r.StatusCode != http.StatusOK || asset && !strings.HasPrefix(r.Header.Get("Location"), "/assets/icon.svg") {
			t.Errorf("%s: %s", path, r.Status)
		}
	}
}

func TestLoginLeadsBackAndNowhereElse(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	for _, c := range []struct{ reason, next, want string }{
		{"where one wanted to go", "/servers?state=ready", "/servers?state=ready"},
		{"another site", "https://evil.example", "/"},
		{"another site without a scheme", "//evil.example", "/"},
		{"another site by backslash", `/\evil.example`, "/"},
		{"a stream is no page", "/live/servers", "/"},
		{"nothing", "", "/"},
	} {
		b := l.newBrowser(t)
		b.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		r, err := b.PostForm(l.server.URL+"/login", url.Values{"password": {password}, "next": {c.next}})
		must(t, err)
		r.Body.Close()
		if got := r.Header.Get("Location"); r.StatusCode != http.StatusSeeOther || got != c.want {
			t.Errorf("%s: %s to %q, want %q", c.reason, r.Status, got, c.want)
		}
	}
	l.browser = l.newBrowser(t)
	p := l.get(t, "/clusters", http.StatusOK)
	if p.path != "/login?next=%2Fclusters" {
		t.Fatalf("led to %s", p.path)
	}
	l.submit(t, p, "/login", url.Values{"password": {"wrong"}}, http.StatusUnauthorized).has(t, "The password is wrong")
	if in := l.submit(t, p, "/login", url.Values{"password": {password}}, http.StatusOK); in.path != "/clusters" {
		t.Errorf("after the login: %s", in.path)
	}
	if out := l.submit(t, l.get(t, "/", http.StatusOK), "/logout", nil, http.StatusOK); out.path != "/login" {
		t.Errorf("after the logout: %s", out.path)
	}
	if p := l.get(t, "/servers", http.StatusOK); !strings.HasPrefix(p.path, "/login") {
		t.Error("still known after the logout")
	}
}

// A page asked for by a name in the address shows it; nothing of it may become HTML.
func TestNamesAreNeverHTML(t *testing.T) {
	t.Parallel()
	const evil = `<script>alert(1)</script><img src=x onerror=alert(2)>"'`
	l := newLab(t)
	robot, cloud := l.accounts(t)
	l.list(t, robot, fleet.Server{ProviderID: "1", Name: evil, Product: evil, Location: evil, Status: evil, Architecture: fleet.AMD64, IPv4: "198.51.100.1"})
	s := l.serverNamed(t, evil)
	f := someFacts(1)
	f.UUID, f.CPU, f.Dmidecode, f.Manufacturer = "00000000-0000-0000-0000-000000000000", evil, evil, evil
	f.Disks[0].Model, f.Disks[0].Serial, f.Disks[0].Contents = evil, evil, []string{evil}
	must(t, l.store.SetFacts(t.Context(), s.ID, f))
	must(t, l.store.AccountChecked(t.Context(), cloud.ID, time.Now(), evil))
	op := l.operation(t, fleet.Operation{Kind: "server.install", ServerID: s.ID, Actor: evil}, workflow.Change{
		State: fleet.Asking, Step: ptr(evil), Question: ptr(evil), Release: true, Steps: []fleet.OperationStep{{Name: evil, State: fleet.Asking, Attempts: 2, Error: evil}},
		Log: []fleet.LogLine{{Step: evil, Level: "info", Text: evil}},
	})
	_, err := l.store.AddEvent(t.Context(), fleet.Event{Actor: evil, Verb: evil, Subject: "server", TargetID: `"><b>`, Text: evil})
	must(t, err)
	q := url.QueryEscape(evil)
	for _, path := range []string{
		"/", "/servers", "/servers/" + s.ID, "/accounts", "/operations", "/operations/" + op.ID, "/events", "/servers?search=" + q, "/events?search=" + q,
		"/servers?sort=&state=" + q + "&cluster=" + q, "/install?server=" + s.ID, "/rescue?server=" + s.ID, "/operations?state=" + q,
	} {
		p := l.get(t, path, http.StatusOK)
		if len(p.tags("b")) > 0 || strings.Contains(p.source, "<script>alert") || strings.Contains(p.source, "<img src=x") {
			t.Errorf("%s: a name became HTML", path)
		}
	}
	l.get(t, "/servers/"+s.ID, http.StatusOK).has(t, "<script>alert(1)</script>", "Hi, We have found that this server has an invalid SMBIOS UUID")
	l.get(t, "/servers/"+url.PathEscape(evil), http.StatusOK)
	l.get(t, "/clusters/"+url.PathEscape(evil), http.StatusNotFound)
	l.get(t, "/install?server="+q+"x", http.StatusNotFound)
}

func TestAssetsAreKeptByBrowsers(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	p := l.get(t, "/", http.StatusOK)
	if p.header.Get("Content-Security-Policy") == "" || p.header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers of a page: %v", p.header)
	}
	total := 0
	for _, n := range p.tags("script", "link") {
		to := attr(n, "src") + attr(n, "href")
		req, err := http.NewRequest(http.MethodGet, l.server.URL+to, nil)
		must(t, err)
		req.Header.Set("Accept-Encoding", "gzip")
		r, err := http.DefaultTransport.RoundTrip(req)
		must(t, err)
		body, err := io.ReadAll(r.Body)
		r.Body.Close()
		must(t, err)
		if r.StatusCode != http.StatusOK || !strings.Contains(r.Header.Get("Cache-Control"), "immutable") || r.Header.Get("Content-Encoding") != "gzip" {
			t.Errorf("%s: %s %v", to, r.Status, r.Header)
		}
		if n.Data == "script" {
			total += len(body)
		}
	}
	if total > 60_000 {
		t.Errorf("scripts weigh %d bytes compressed, 60000 are the end", total)
	}
}

func TestColoursCanBeChosen(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	for _, theme := range []string{"dark", "light", ""} {
		r, err := l.browser.PostForm(l.server.URL+"/theme", url.Values{"theme": {theme}, "next": {"/events"}})
		p := l.read(t, r, err, http.StatusOK)
		if got := attr(p.tags("html")[0], "data-theme"); got != theme || p.path != "/events" {
			t.Errorf("theme %q at %s, want %q", got, p.path, theme)
		}
	}
}

// app.js rewrites times as they pass; it must say what the server says.
func TestTheScriptKnowsTheServersWords(t *testing.T) {
	t.Parallel()
	script, err := os.ReadFile("assets/app.js")
	must(t, err)
	for _, d := range []time.Duration{0, 30 * time.Second, 5 * time.Minute, 3 * time.Hour, 90 * time.Hour} {
		for _, text := range []string{web.Age(d), web.Span(d)} {
			for _, word := range regexp.MustCompile(`[a-z]+( [a-z]+)*`).FindAllString(text, -1) {
				if !strings.Contains(string(script), word) {
					t.Errorf("app.js does not know %q of %q", word, text)
				}
			}
		}
	}
}

func TestWithoutTheDatabaseThePageSaysSo(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	must(t, l.store.Close())
	r, err := l.browser.Get(l.server.URL + "/servers")
	must(t, err)
	p := l.read(t, r, nil, r.StatusCode)
	if r.StatusCode < 500 {
		t.Errorf("status %s", r.Status)
	}
	p.hasNot(t, "Nothing running")
	p.has(t, "To the overview")
}
