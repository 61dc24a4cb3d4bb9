package web_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/web"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

// Goals of the pages, with benchServers servers, and of a log that benchBrowsers follow.
const (
	benchServers  = 5000
	benchBrowsers = 200
	goalPage      = 100 * time.Millisecond
	goalBytes     = 300_000
	goalLine      = 2 * time.Second
)

// fiveThousand are servers in two clusters at four places, most told what they have, 200 with an operation.
func fiveThousand(b *testing.B) *lab {
	b.Helper()
	l := newLab(b)
	robot, _ := l.accounts(b)
	places := []string{"FSN1-DC8", "FSN1-DC14", "NBG1-DC3", "HEL1-DC2"}
	all := make([]fleet.Server, benchServers)
	for i := range all {
		all[i] = fleet.Server{ProviderID: fmt.Sprint(i), Name: fmt.Sprintf("server-%04d", i), Product: "AX41-NVMe", Location: places[i%4], Architecture: fleet.AMD64, Power: fleet.PowerOn, IPv4: fmt.Sprintf("10.0.%d.%d", i/250, i%250+1)}
	}
	l.list(b, robot, all...)
	var clusters []fleet.Cluster
	for _, name := range []string{"prod", "staging"} {
		c, err := l.store.CreateCluster(b.Context(), fleet.Cluster{Name: name, Endpoint: "https://198.51.100.7:6443", TalosVersion: "v1.14.1", KubernetesVersion: "v1.37.0", Secrets: []byte("cluster: {}")})
		must(b, err)
		clusters = append(clusters, c)
	}
	for i := range 400 {
		s := l.serverNamed(b, all[i].Name)
		must(b, l.store.SetFacts(b.Context(), s.ID, someFacts(i)))
		_, err := l.store.Assign(b.Context(), s.ID, fleet.Assignment{ClusterID: clusters[i%2].ID, Role: fleet.Worker})
		must(b, err)
		if i < 200 {
			l.operation(b, fleet.Operation{Kind: "server.install", ServerID: s.ID}, workflow.Change{State: fleet.Waiting, Step: ptr("write the image"), WaitingFor: ptr("the image to be written"), WaitUntil: ptr(time.Now()), Release: true})
		}
	}
	return l
}

// BenchmarkWebPages makes pages as a server does, without a network, and beside them a handler that only sends as many
// bytes.
func BenchmarkWebPages(b *testing.B) {
	l := fiveThousand(b)
	mux := l.pages()
	for _, path := range []string{"/servers", "/servers?search=server-1&sort=-location&page=3", "/servers?state=known&cluster=none", "/servers?problem=uuid", "/search?q=S1234", "/"} {
		b.Run(strings.Trim(strings.ReplaceAll(path, "/", "_"), "?"), func(b *testing.B) {
			measurePage(b, mux, 25, path, nil)
		})
	}
}

// pages are the pages of the lab, to be asked without a network.
func (l *lab) pages() *http.ServeMux {
	mux := http.NewServeMux()
	web.Routes(mux, web.Parts{Version: "test", Manager: l.app.Manager, Operations: l.app.Operations, Reconciler: l.app.Reconciler, Access: l.app.Access, Key: l.app.Key})
	return mux
}

// measurePage asks for a page, or sends a form if there is one, and reports the median of so many times.
func measurePage(b *testing.B, mux http.Handler, times int, path string, form url.Values) {
	b.Helper()
	ask := func(h http.Handler) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		if form != nil {
			r = httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		r.SetBasicAuth("admin", password)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	page := ask(mux)
	if page.Code != http.StatusOK {
		b.Fatal(page.Code, page.Body.String())
	}
	plain := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(page.Body.Bytes()) })
	took := map[string][]time.Duration{}
	for range times {
		for name, h := range map[string]http.Handler{"page": mux, "plain": plain} {
			begun := time.Now()
			ask(h)
			took[name] = append(took[name], time.Since(begun))
		}
	}
	for b.Loop() {
		ask(mux)
	}
	median := func(name string) float64 {
		slices.Sort(took[name])
		return float64(took[name][times/2]) / float64(time.Millisecond)
	}
	b.ReportMetric(median("page"), fmt.Sprintf("ms/page(<=%d)", goalPage.Milliseconds()))
	b.ReportMetric(median("plain"), "ms/plain")
	b.ReportMetric(float64(page.Body.Len()), fmt.Sprintf("bytes(<=%d)", goalBytes))
}

// BenchmarkWebStream has 200 browsers look at one operation: how long until all have a new line of its log.
func BenchmarkWebStream(b *testing.B) {
	l := newLab(b)
	robot, _ := l.accounts(b)
	l.list(b, robot, fleet.Server{ProviderID: "1", Name: "box"})
	op := l.operation(b, fleet.Operation{Kind: "server.install", ServerID: l.serverNamed(b, "box").ID}, workflow.Change{State: fleet.Running, Step: ptr("write the image"), Release: true})
	stream := attr(l.get(b, "/operations/"+op.ID, http.StatusOK).byID("stream"), "sse-connect")
	client := &http.Client{Jar: l.browser.Jar, Transport: &http.Transport{MaxIdleConnsPerHost: benchBrowsers}}
	heard := make(chan string, 10*benchBrowsers)
	ctx, cancel := context.WithCancel(b.Context())
	var readers sync.WaitGroup
	for range benchBrowsers {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.server.URL+stream, nil)
		must(b, err)
		r, err := client.Do(req)
		must(b, err)
		readers.Go(func() {
			defer r.Body.Close()
			lines := bufio.NewScanner(r.Body)
			lines.Buffer(nil, 1<<20)
			for lines.Scan() {
				if _, word, found := bytes.Cut(lines.Bytes(), []byte("sent as ")); found {
					heard <- string(word[:min(4, len(word))])
				}
			}
		})
	}
	b.Cleanup(func() { cancel(); readers.Wait() })
	n, all, first := 0, time.Duration(0), time.Duration(0)
	for b.Loop() {
		n++
		word := fmt.Sprintf("%04d", n)
		begun := time.Now()
		l.change(b, op.ID, workflow.Change{State: fleet.Running, Release: true, Log: []fleet.LogLine{{At: begun, Step: "write the image", Level: "info", Text: "sent as " + word}}})
		for seen := 0; seen < benchBrowsers; {
			select {
			case got := <-heard:
				if got != word {
					continue
				}
				if seen++; seen == 1 {
					first += time.Since(begun)
				}
			case <-time.After(time.Minute):
				b.Fatalf("%d of %d browsers have the line after a minute", seen, benchBrowsers)
			}
		}
		all += time.Since(begun)
	}
	b.ReportMetric(float64(first.Milliseconds())/float64(n), "ms/first-browser")
	b.ReportMetric(float64(all.Milliseconds())/float64(n), fmt.Sprintf("ms/all-%d-browsers(<=%d)", benchBrowsers, goalLine.Milliseconds()))
}
