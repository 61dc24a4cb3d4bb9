package app_test

import (
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/talos-manager/talos-manager/client"
)

// parameter of a route, as the description of the API has it.
type parameter struct {
	Name, In string
	Required bool
}

// addresses are what to ask of a route: each record, and each variant that its parameters have.
func (l *lab) addresses(path string, parameters []parameter) (all []string) {
	l.Helper()
	if strings.HasPrefix(path, "/api/v1/layers/") {
		return l.layerAddresses(strings.TrimPrefix(path, "/api/v1/layers/{scope}/{owner}"))
	}
	collection := strings.Split(strings.TrimPrefix(path, "/api/v1/"), "/")[0]
	queries := []string{""}
	for _, p := range parameters {
		if p.In != "query" || !p.Required {
			continue
		}
		switch p.Name {
		case "talosVersion":
			queries = []string{"?talosVersion=v1.14.1", "?talosVersion=v1.12.0", "?talosVersion=v1.6.0", "?talosVersion=none"}
		case "with":
			queries = []string{"?with=cp-1", "?with=worker-1", "?with=metal-cp-1", "?with=nobody"}
		default:
			l.Fatalf("what is the %s of %s?", p.Name, path)
		}
	}
	for _, record := range l.records(path, collection) {
		at := strings.NewReplacer("{ref}", record, "{id}", record, "{name}", record).Replace(path)
		if strings.Contains(at, "{") {
			l.Fatalf("what is to be asked of %s?", path)
		}
		for _, q := range queries {
			all = append(all, at+q)
		}
	}
	return all
}

// records are those of a collection.
func (l *lab) records(path, collection string) (all []string) {
	l.Helper()
	if !strings.Contains(path, "{") {
		return []string{""}
	}
	switch collection {
	case "accounts":
		return []string{"cloud", "robot", "nobody"}
	case "servers":
		return []string{"cp-1", "worker-1", "metal-cp-1", "nobody"}
	case "clusters":
		return []string{"prod", "old", "nothing"}
	case "configs":
		return []string{"base", "nothing"}
	case "schematics":
		return []string{"nothing"}
	case "recipes":
		recipes, err := l.Recipes(l.Context())
		l.must(err)
		for _, r := range recipes.Items {
			all = append(all, r.Name)
		}
		return all
	case "operations":
		operations, err := l.Operations(l.Context(), client.OperationFilter{})
		l.must(err)
		for _, o := range operations.Items {
			all = append(all, o.ID)
		}
		return all
	}
	l.Fatalf("which %s are there?", collection)
	return nil
}

// layerAddresses are what to ask of each layer, and of each pair of its revisions.
func (l *lab) layerAddresses(below string) (all []string) {
	l.Helper()
	for _, layer := range l.layers() {
		revisions := []string{"current", "draft", "nothing"}
		saved, err := l.LayerRevisions(l.Context(), layer)
		l.must(err)
		for _, r := range saved.Items {
			revisions = append(revisions, r.Revision)
		}
		for _, r := range revisions {
			q := url.Values{}
			if layer.Role != "" {
				q.Set("role", layer.Role)
			}
			if below == "/diff" {
				q.Set("from", r)
				q.Set("to", revisions[len(revisions)-1])
			}
			all = append(all, "/api/v1/layers/"+layer.Scope+"/"+layer.Owner+strings.Replace(below, "{revision}", r, 1)+"?"+q.Encode())
		}
	}
	return all
}

var link = regexp.MustCompile(`(?:href|src|hx-get|hx-sse|sse-connect|data-live|action)="(/[^"]*)"`)

// pages reads every page that a link leads to, beginning with the first, and what it is told while it is looked at.
func (l *lab) pages() {
	l.Helper()
	jar, err := cookiejar.New(nil)
	l.must(err)
	browser := &http.Client{Jar: jar, Timeout: 20 * time.Second}
	resp, err := browser.PostForm(l.url+"/login", url.Values{"password": {password}})
	l.must(err)
	resp.Body.Close()
	seen, queue := map[string]bool{}, []string{"/", "/servers", "/clusters", "/accounts", "/operations", "/events", "/install", "/rescue", "/nothing"}
	var live sync.WaitGroup
	var told atomic.Int32
	for len(queue) > 0 {
		at := strings.ReplaceAll(queue[0], "&amp;", "&")
		queue = queue[1:]
		if seen[at] || len(seen) > 400 {
			continue
		}
		seen[at] = true
		if strings.HasPrefix(at, "/live") {
			live.Go(func() {
				if l.page(browser, at) != "" {
					told.Add(1)
				}
			})
			continue
		}
		text := l.page(browser, at)
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			queue = append(queue, m[1])
		}
	}
	live.Wait()
	if told.Load() == 0 {
		l.Error("no page was told anything while it was looked at")
	}
	for _, s := range []string{"cp-1", "worker-1", "metal-cp-1"} {
		v, err := l.Server(l.Context(), s)
		l.must(err)
		if !seen["/servers/"+v.ID] {
			l.Errorf("no link led to the page of %s", s)
		}
	}
	if len(seen) < 20 {
		l.Errorf("only %d pages: %v", len(seen), seen)
	}
}

// page reads a page; of one that never ends, what comes at first.
func (l *lab) page(browser *http.Client, at string) string {
	l.Helper()
	patience := 20 * time.Second
	if strings.HasPrefix(at, "/live") {
		patience = 500 * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(l.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, l.url+at, nil)
	if err != nil {
		l.Errorf("page %s: %v", at, err)
		return ""
	}
	resp, err := browser.Do(r)
	if err != nil {
		if patience < time.Second && ctx.Err() != nil {
			return "" // it had nothing to say
		}
		l.Errorf("page %s: %v", at, err)
		return ""
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body) // a stream is cut off
	l.said.add("page "+at, string(text))
	return string(text)
}
