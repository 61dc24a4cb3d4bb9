package web_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

// sent is an event of a stream.
type sent struct{ name, id, data string }

// listen opens the stream that a page names.
func (l *lab) listen(t *testing.T, p *page) <-chan sent {
	t.Helper()
	return l.listenAt(t, attr(p.byID("stream"), "sse-connect"), "")
}

func (l *lab) listenAt(t *testing.T, address, last string) <-chan sent {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.server.URL+address, nil)
	must(t, err)
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	r, err := (&http.Client{Jar: l.browser.Jar}).Do(req)
	must(t, err)
	if kind := r.Header.Get("Content-Type"); r.StatusCode != http.StatusOK || kind != "text/event-stream" {
		t.Fatalf("%s: %s, %s", address, r.Status, kind)
	}
	out := make(chan sent, 1000)
	go func() {
		defer close(out)
		defer r.Body.Close()
		var e sent
		for lines := bufio.NewScanner(r.Body); lines.Scan(); {
			name, value, _ := strings.Cut(lines.Text(), ": ")
			switch name {
			case "event":
				e.name = value
			case "id":
				e.id = value
			case "data":
				e.data += value + "\n"
			case "":
				if e.name != "" {
					out <- e
				}
				e = sent{}
			}
		}
	}()
	return out
}

// await gives the next event of this name whose data contains the words, and what came before it.
func await(t *testing.T, events <-chan sent, name, words string) (sent, []sent) {
	t.Helper()
	var before []sent
	timeout := time.After(5 * time.Second)
	for {
		select {
		case e, open := <-events:
			if !open {
				t.Fatalf("the stream ended before %s %q; before it came %v", name, words, before)
			}
			if e.name == name && strings.Contains(e.data, words) {
				return e, before
			}
			before = append(before, e)
		case <-timeout:
			t.Fatalf("no %s with %q came; what came: %v", name, words, before)
		}
	}
}

// rootID is the id of the element that an event carries.
func rootID(t *testing.T, e sent) string {
	t.Helper()
	nodes, err := html.ParseFragment(strings.NewReader(e.data), &html.Node{Type: html.ElementNode, Data: "template", DataAtom: atom.Template})
	must(t, err)
	for _, n := range nodes {
		if n.Type == html.ElementNode {
			return attr(n, "id")
		}
	}
	return ""
}

func TestAChangeReachesTheTableOfServers(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	robot, _ := l.accounts(t)
	l.list(t, robot, fleet.Server{ProviderID: "1", Name: "a-1", Product: "AX41"}, fleet.Server{ProviderID: "2", Name: "a-2", Product: "AX41"})
	s := l.serverNamed(t, "a-1")
	p := l.get(t, "/servers", http.StatusOK)
	events := l.listen(t, p)

	must(t, l.store.SetObserved(t.Context(), s.ID, "a-1", "ready", fleet.PowerOff, false, time.Now()))
	e, before := await(t, events, "patch", "Off")
	if id := rootID(t, e); id != "server-"+s.ID || len(before) > 0 {
		t.Errorf("patched %q after %v, want the one row", id, before)
	}
	l.list(t, robot, fleet.Server{ProviderID: "1", Name: "a-1"}, fleet.Server{ProviderID: "2", Name: "a-2"}, fleet.Server{ProviderID: "3", Name: "a-3"})
	e, _ = await(t, events, "patch", "a-3")
	if id := rootID(t, e); id != "servers-table" {
		t.Errorf("a new server patched %q, want the table", id)
	}
	l.operation(t, fleet.Operation{Kind: "server.install", ServerID: s.ID}, workflow.Change{State: fleet.Waiting, Step: ptr("boot Talos"), WaitingFor: ptr("the machine"), WaitUntil: ptr(time.Now()), Release: true})
	await(t, events, "patch", "Boot Talos: waiting for the machine")
	await(t, events, "patch", "1 operation")
}

func TestALogIsFollowedWithoutGapsOrRepeats(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	robot, _ := l.accounts(t)
	l.list(t, robot, fleet.Server{ProviderID: "1", Name: "a-1"})
	s := l.serverNamed(t, "a-1")
	line := func(text string) []fleet.LogLine {
		return []fleet.LogLine{{At: time.Now(), Step: "boot", Level: "info", Text: text}}
	}
	op := l.operation(t, fleet.Operation{Kind: "server.rescue", ServerID: s.ID}, workflow.Change{State: fleet.Waiting, Step: ptr("boot"), WaitUntil: ptr(time.Now()), Release: true, Log: line("first")})
	for _, path := range []string{"/operations/" + op.ID, "/servers/" + s.ID} {
		p := l.get(t, path, http.StatusOK)
		p.has(t, "first")
		l.change(t, op.ID, workflow.Change{State: fleet.Waiting, Release: true, Log: line("between page and stream of " + path)})
		events := l.listen(t, p)
		e, before := await(t, events, "log", "between page and stream of "+path)
		for _, b := range before {
			if b.name == "log" {
				t.Errorf("%s: a line came that the page has: %v", path, b)
			}
		}
		l.change(t, op.ID, workflow.Change{State: fleet.Waiting, Release: true, Log: line("two\nlines, \r<b>not bold</b>")})
		next, _ := await(t, events, "log", "&lt;b&gt;not bold")
		if e.id == "" || e.id == next.id {
			t.Errorf("%s: ids %q and %q", path, e.id, next.id)
		}
		again := l.listenAt(t, attr(p.byID("stream"), "sse-connect"), e.id)
		if _, before := await(t, again, "log", "not bold"); len(before) > 0 && before[0].name == "log" {
			t.Errorf("%s: a resumed stream repeats %v", path, before)
		}
	}
	events := l.listen(t, l.get(t, "/operations/"+op.ID, http.StatusOK))
	l.change(t, op.ID, workflow.Change{State: fleet.Failed, Error: ptr("it burnt"), Finished: ptr(time.Now()), Release: true})
	await(t, events, "patch", "It burnt")
	await(t, events, "patch", "Retry")
}

func TestManyChangesAreToldAtMostAFewTimesASecond(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	robot, _ := l.accounts(t)
	l.list(t, robot, fleet.Server{ProviderID: "1", Name: "a-1"})
	s := l.serverNamed(t, "a-1")
	events := l.listen(t, l.get(t, "/servers", http.StatusOK))
	begun := time.Now()
	for i := range 100 {
		must(t, l.store.SetObserved(t.Context(), s.ID, fmt.Sprintf("a-%d", i), "ready", fleet.PowerOn, false, time.Now()))
	}
	must(t, l.store.SetObserved(t.Context(), s.ID, "the-last", "ready", fleet.PowerOn, false, time.Now()))
	_, before := await(t, events, "patch", "the-last")
	if most := 2 + int(time.Since(begun).Seconds()*4); len(before) > most {
		t.Errorf("%d patches in %s, want at most %d", len(before), time.Since(begun), most)
	}
}

// Another operation begins while a server's page is open: the page turns to it, with its log from the beginning.
func TestAServersPageTurnsToItsNewOperation(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	robot, _ := l.accounts(t)
	l.list(t, robot, fleet.Server{ProviderID: "1", Name: "a-1"})
	s := l.serverNamed(t, "a-1")
	log := []fleet.LogLine{{At: time.Now(), Level: "info", Text: "one line"}, {At: time.Now(), Level: "info", Text: "and another"}}
	l.operation(t, fleet.Operation{Kind: "server.rescue", ServerID: s.ID}, workflow.Change{State: fleet.Succeeded, Finished: ptr(time.Now()), Release: true, Log: log})
	events := l.listen(t, l.get(t, "/servers/"+s.ID, http.StatusOK))
	op := l.operation(t, fleet.Operation{Kind: "server.install", ServerID: s.ID}, workflow.Change{State: fleet.Running, Log: log[:1]})
	e, _ := await(t, events, "patch", "Install Talos</a>")
	if rootID(t, e) != "server-latest" || !strings.Contains(e.data, `id="log-`+op.ID) {
		t.Errorf("patched %s", e.data)
	}
	await(t, events, "log", "line-"+op.ID+"-1")
}

func TestAStreamThatMissedNothingSendsNothing(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.populate(t)
	for _, path := range []string{"/", "/servers", "/servers/server-1", "/clusters", "/clusters/prod", "/accounts", "/operations", "/events"} {
		p := l.get(t, path, http.StatusOK)
		events := l.listen(t, p)
		select {
		case e := <-events:
			t.Errorf("%s: %v", path, e)
		case <-time.After(50 * time.Millisecond):
		}
	}
	p := l.get(t, "/servers", http.StatusOK)
	robot, err := l.store.Account(t.Context(), "robot")
	must(t, err)
	l.list(t, robot, fleet.Server{ProviderID: "1000", Name: "renamed"})
	await(t, l.listen(t, p), "patch", "renamed")
}

func TestARecordThatGoesReloadsItsPage(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.populate(t)
	c, err := l.store.Cluster(t.Context(), "empty")
	must(t, err)
	events := l.listen(t, l.get(t, "/clusters/empty", http.StatusOK))
	must(t, l.store.RemoveCluster(t.Context(), c.ID))
	await(t, events, "reload", "")
}
