package api_test

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/client"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

func TestOperationsAreStartedListedAndStopped(t *testing.T) {
	l := open(t)
	l.assigned()
	_, err := l.InstallServer(t.Context(), "worker-1", client.InstallOptions{})
	l.want(err, client.Invalid, 422, "belongs to no cluster", "server assign")
	o, err := l.InstallServer(t.Context(), "cp-1", client.InstallOptions{Wipe: true})
	l.must(err)
	if o.Kind != "server.install" || o.Server.Name != "cp-1" || o.Cluster.Name != "prod" || o.Actor != "lab" || o.State != client.Pending {
		t.Errorf("operation %+v", o)
	}
	_, err = l.RescueServer(t.Context(), "cp-1")
	l.want(err, client.Conflict, 409, o.ID, "")

	s, err := l.Server(t.Context(), "cp-1")
	l.must(err)
	if s.Operation == nil || s.Operation.ID != o.ID {
		t.Errorf("the server does not say what is done to it: %+v", s.Operation)
	}
	for _, c := range []struct {
		why  string
		f    client.OperationFilter
		want int
	}{
		{"all: installing the first control plane bootstraps its cluster", client.OperationFilter{}, 2},
		{"of a server, by its name", client.OperationFilter{Server: "cp-1"}, 1},
		{"of a server that has none", client.OperationFilter{Server: "worker-1"}, 0},
		{"of a cluster", client.OperationFilter{Cluster: "prod"}, 2},
		{"of a kind", client.OperationFilter{Kind: "cluster.bootstrap"}, 1},
		{"that are not over", client.OperationFilter{States: []string{"active"}}, 2},
		{"that failed", client.OperationFilter{States: []string{"failed", "cancelled"}}, 0},
		{"one", client.OperationFilter{Limit: 1}, 1},
	} {
		got, err := l.Operations(t.Context(), c.f)
		l.must(err)
		if len(got.Items) != c.want {
			t.Errorf("%s: %d", c.why, len(got.Items))
		}
	}
	newest, err := l.Operations(t.Context(), client.OperationFilter{Limit: 1})
	l.must(err)
	older, err := l.Operations(t.Context(), client.OperationFilter{Before: newest.Items[0].ID})
	l.must(err)
	if len(older.Items) != 1 || older.Items[0].ID != o.ID {
		t.Errorf("the page before: %+v", older.Items)
	}
	_, err = l.Operations(t.Context(), client.OperationFilter{Before: "nonsense"})
	l.want(err, client.NotFound, 404, "nonsense", "")

	b, err := l.BootstrapCluster(t.Context(), "prod")
	l.want(err, client.Conflict, 409, "", "")
	if b.ID != "" {
		t.Error("a second bootstrap is started")
	}
	if o, err = l.CancelOperation(t.Context(), o.ID); err != nil {
		t.Fatal(err)
	}
	_, err = l.RetryOperation(t.Context(), newest.Items[0].ID)
	l.want(err, client.Conflict, 409, "pending", "")
}

func TestOperationsAskAndAreRetried(t *testing.T) {
	l := open(t)
	l.assigned()
	o, err := l.RescueServer(t.Context(), "cp-1")
	l.must(err)
	_, err = l.ApproveOperation(t.Context(), o.ID, "yes")
	l.want(err, client.Conflict, 409, "asks nothing", "")
	question := "wipe it?"
	l.step(o.ID, workflow.Change{State: fleet.Asking, Question: &question})
	if o, err = l.Operation(t.Context(), o.ID); err != nil || o.Question != question {
		t.Fatalf("%+v %v", o, err)
	}
	_, err = l.ApproveOperation(t.Context(), o.ID, "")
	l.want(err, client.Invalid, 422, "answer", "")
	if o, err = l.ApproveOperation(t.Context(), o.ID, "yes"); err != nil || o.State != client.Pending || o.Question != "" {
		t.Fatalf("%+v %v", o, err)
	}
	l.end(o.ID, fleet.Failed)
	o, err = l.Operation(t.Context(), o.ID)
	l.must(err)
	failed, ok := o.Err().(*client.Error)
	if !ok || failed.Kind != client.OperationFailed || !strings.Contains(failed.Message, "server.rescue cp-1 failed") || failed.Hint != "look at the disk" {
		t.Errorf("its error: %+v", o.Err())
	}
	if o, err = l.RetryOperation(t.Context(), o.ID); err != nil || o.State != client.Pending || o.Err() != nil {
		t.Fatalf("%+v %v", o, err)
	}
	log, err := l.OperationLog(t.Context(), o.ID, 0)
	l.must(err)
	if len(log.Items) != 2 || log.Items[1].Text != "tried again by lab" {
		t.Errorf("log %+v", log.Items)
	}
	rest, err := l.OperationLog(t.Context(), o.ID, log.Items[0].Seq)
	l.must(err)
	if len(rest.Items) != 1 {
		t.Errorf("the rest of the log %+v", rest.Items)
	}
	_, err = l.OperationLog(t.Context(), "nonsense", 0)
	l.want(err, client.NotFound, 404, "nonsense", "")
}

func TestAStepIsSkipped(t *testing.T) {
	l := open(t)
	l.assigned()
	o, err := l.BootstrapCluster(t.Context(), "prod")
	l.must(err)
	last, what := "wait for the Kubernetes API", "the Kubernetes API to answer"
	begun := fleet.OperationStep{Name: last, State: fleet.Waiting, Attempts: 1, StartedAt: time.Now()}
	first := fleet.OperationStep{Name: "wait for etcd", State: fleet.Waiting, Attempts: 1, StartedAt: time.Now()}
	l.step(o.ID, workflow.Change{Step: &first.Name, WaitingFor: &what, Steps: []fleet.OperationStep{first, {Name: last, State: fleet.Pending}}})
	if o, err = l.Operation(t.Context(), o.ID); err != nil || o.Skippable != "" {
		t.Errorf("%q can be skipped: %q, %v", o.Step, o.Skippable, err)
	}
	_, err = l.SkipStep(t.Context(), o.ID, "wait for etcd")
	l.want(err, client.Refused, 412, "cannot be skipped", "operation cancel")
	_, err = l.SkipStep(t.Context(), o.ID, last)
	l.want(err, client.Conflict, 409, `does not stand at step "wait for the Kubernetes API", but at "wait for etcd"`, "operation show")
	_, err = l.SkipStep(t.Context(), o.ID, "")
	l.want(err, client.Invalid, 422, "step", "")
	_, err = l.SkipStep(t.Context(), "nonsense", last)
	l.want(err, client.NotFound, 404, "nonsense", "")

	l.step(o.ID, workflow.Change{Step: &last, WaitingFor: &what, Steps: []fleet.OperationStep{begun}})
	if o, err = l.Operation(t.Context(), o.ID); err != nil || !strings.Contains(o.Skippable, "Nobody waits for the Kubernetes API") {
		t.Fatalf("%q, %v", o.Skippable, err)
	}
	if o, err = l.SkipStep(t.Context(), o.ID, last); err != nil || o.State != client.Pending || o.Steps[1].State != client.Skipped || o.Skippable != "" {
		t.Fatalf("%+v %v", o, err)
	}
	_, err = l.SkipStep(t.Context(), o.ID, last)
	l.want(err, client.Conflict, 409, "being skipped already", "")
	events, err := l.Events(t.Context(), client.EventFilter{Subject: "operation", Target: o.ID})
	l.must(err)
	if len(events.Items) != 1 || events.Items[0].Verb != "operation.skip" || events.Items[0].Actor != "lab" || !strings.Contains(events.Items[0].Text, last) {
		t.Errorf("events %+v", events.Items)
	}
}

// followed collects what a stream tells.
type followed struct {
	mu     sync.Mutex
	texts  []string
	states []string
	lost   int
	seqs   []int64
	news   chan struct{}
	done   chan error
}

func (l *lab) follow(c *client.Client, id string, after int64) *followed {
	f := &followed{news: make(chan struct{}, 1000), done: make(chan error, 1)}
	go func() {
		f.done <- c.Follow(l.Context(), id, after, func(e client.Event) {
			f.mu.Lock()
			defer f.mu.Unlock()
			switch {
			case e.Line != nil:
				f.texts, f.seqs = append(f.texts, e.Line.Text), append(f.seqs, e.Line.Seq)
			case e.Operation != nil:
				f.states = append(f.states, e.Operation.State)
			default:
				f.lost++
			}
			f.news <- struct{}{}
		})
	}()
	return f
}

// until waits until what was told is as it should be.
func (f *followed) until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.After(10 * time.Second); ; {
		f.mu.Lock()
		good := ok()
		f.mu.Unlock()
		if good {
			return
		}
		select {
		case <-f.news:
		case <-deadline:
			t.Fatalf("no %s: %v %v, lost %d times", what, f.texts, f.states, f.lost)
		}
	}
}

func (f *followed) has(text string) func() bool {
	return func() bool { return strings.Contains(strings.Join(f.texts, "|"), text) }
}

func TestAStreamTellsEveryLineOnceAndEndsWithTheOperation(t *testing.T) {
	l := open(t)
	l.assigned()
	o, err := l.RescueServer(t.Context(), "cp-1")
	l.must(err)
	l.log(o.ID, "one", "two")
	f := l.follow(l.Client, o.ID, 0)
	f.until(t, "first lines", f.has("one|two"))
	began := time.Now()
	l.log(o.ID, "three")
	f.until(t, "line that is added", f.has("three"))
	if took := time.Since(began); took > 900*time.Millisecond {
		t.Errorf("a line came after %s: the change was not heard of", took)
	}
	l.end(o.ID, fleet.Succeeded)
	if err := <-f.done; err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(f.texts, " "); got != "one two three" {
		t.Errorf("lines: %s", got)
	}
	if f.states[len(f.states)-1] != client.Succeeded || f.lost != 0 {
		t.Errorf("states %v, lost %d times", f.states, f.lost)
	}
	last := f.seqs[1]
	again := l.follow(l.Client, o.ID, last)
	if err := <-again.done; err != nil || strings.Join(again.texts, " ") != "three" {
		t.Errorf("resumed after %d: %v %v", last, again.texts, err)
	}
	ended, err := l.WaitOperation(t.Context(), o.ID, nil)
	if err != nil || ended.State != client.Succeeded {
		t.Errorf("waited: %+v %v", ended, err)
	}
}

func TestAStreamSurvivesBrokenConnections(t *testing.T) {
	l := open(t)
	l.assigned()
	target, err := url.Parse(l.server.URL)
	l.must(err)
	proxy := &httputil.ReverseProxy{
		FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	front := httptest.NewServer(proxy)
	t.Cleanup(front.Close)
	c, err := client.New(client.Options{URL: front.URL, Token: l.token})
	l.must(err)
	o, err := l.RescueServer(t.Context(), "cp-1")
	l.must(err)
	f := l.follow(c, o.ID, 0)
	for i, text := range []string{"one", "two", "three"} {
		l.log(o.ID, text)
		f.until(t, text, f.has(text))
		front.CloseClientConnections()
		f.until(t, "word of the lost connection", func() bool { return f.lost == i+1 })
	}
	l.log(o.ID, "four")
	l.end(o.ID, fleet.Cancelled)
	if err := <-f.done; err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(f.texts, " "); got != "one two three four" {
		t.Errorf("lines: %s", got)
	}
}

func TestAStreamIsRefusedAtOnce(t *testing.T) {
	l := open(t)
	err := l.Follow(t.Context(), "nonsense", 0, func(e client.Event) { t.Errorf("told %+v", e) })
	l.want(err, client.NotFound, 404, "nonsense", "")
	err = l.as("tm_wrong", "").Follow(t.Context(), "nonsense", 0, nil)
	l.want(err, client.Unauthorized, 401, "token", "")
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()
	c, err := client.New(client.Options{URL: dead.URL})
	l.must(err)
	err = c.Follow(t.Context(), "x", 0, nil)
	l.want(err, client.Unavailable, 0, "does not answer", "running")
}

func TestAStreamEndsWithItsContext(t *testing.T) {
	l := open(t)
	l.assigned()
	o, err := l.RescueServer(t.Context(), "cp-1")
	l.must(err)
	ctx, cancel := context.WithCancel(t.Context())
	err = l.Follow(ctx, o.ID, 0, func(client.Event) { cancel() })
	if err != context.Canceled {
		t.Errorf("got %v", err)
	}
}

// What browsers' EventSource and curl see.
func TestAStreamIsServerSentEvents(t *testing.T) {
	l := open(t)
	l.assigned()
	o, err := l.RescueServer(t.Context(), "cp-1")
	l.must(err)
	l.log(o.ID, "one", "two")
	l.end(o.ID, fleet.Succeeded)
	resp, _ := l.raw("GET", "/api/v1/operations/"+o.ID+"/follow", "", "Authorization", "Bearer "+l.token, "Last-Event-ID", "1")
	if got := resp.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("Content-Type %s", got)
	}
	var lines []string
	for s := bufio.NewScanner(resp.Body); s.Scan(); {
		line, _, _ := strings.Cut(s.Text(), "{")
		lines = append(lines, line)
	}
	if got, want := strings.Join(lines, "|"), "id: 2|event: log|data: ||id: 2|event: state|data: |"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
