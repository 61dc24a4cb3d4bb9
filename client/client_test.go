package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// answering gives a client of a server that answers with this.
func answering(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	c, err := New(Options{URL: s.URL + "/prefix/", Token: "tm_x", Password: "not sent"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAnAddressMustBeOne(t *testing.T) {
	for _, url := range []string{"", "manager.example.com", "ftp://x", "http://", "://"} {
		if _, err := New(Options{URL: url}); err == nil {
			t.Errorf("%q is taken", url)
		}
	}
}

func TestRequestsAreWrittenWell(t *testing.T) {
	var got *http.Request
	c := answering(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		fmt.Fprint(w, `{"items":[]}`)
	})
	if _, err := c.Server(t.Context(), "a/b c?d"); err != nil {
		t.Fatal(err)
	}
	if p := got.URL.EscapedPath(); p != "/prefix/api/v1/servers/a%2Fb%20c%3Fd" {
		t.Errorf("path %s", p)
	}
	if a := got.Header.Get("Authorization"); a != "Bearer tm_x" {
		t.Errorf("authorization %s", a)
	}
	if _, err := c.Servers(t.Context(), ServerFilter{States: []string{"known", "broken"}, Unassigned: true, Limit: 5}); err != nil {
		t.Fatal(err)
	}
	if q := got.URL.RawQuery; q != "limit=5&state=known%2Cbroken&unassigned=true" {
		t.Errorf("query %s", q)
	}
}

func TestEveryAnswerThatIsNoSuccessIsAnError(t *testing.T) {
	for _, c := range []struct {
		why, body string
		status    int
		want      Error
	}{
		{"one of the API", `{"error":{"kind":"conflict","message":"busy","hint":"wait"}}`, 409, Error{Status: 409, Kind: Conflict, Message: "busy", Hint: "wait"}},
		{"one of a kind that is newer than this client", `{"error":{"kind":"tired","message":"no"}}`, 418, Error{Status: 418, Kind: "tired", Message: "no"}},
		{"a proxy's page", `<html><h1>Bad gateway</h1></html>`, 502, Error{Status: 502, Kind: Unavailable, Message: "502 Bad Gateway"}},
		{"a proxy's line", `upstream timed out`, 504, Error{Status: 504, Kind: Unavailable, Message: "upstream timed out"}},
		{"another program", `404 page not found`, 404, Error{Status: 404, Kind: NotFound, Message: "page not found"}},
		{"another program's JSON", `{"error":"nope"}`, 400, Error{Status: 400, Kind: Internal, Message: "400 Bad Request"}},
	} {
		client := answering(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.status)
			fmt.Fprint(w, c.body)
		})
		_, err := client.Version(t.Context())
		var e *Error
		if !errors.As(err, &e) || e.Status != c.want.Status || e.Kind != c.want.Kind || !strings.Contains(e.Message, c.want.Message) || !strings.Contains(e.Hint, c.want.Hint) {
			t.Errorf("%s: got %+v", c.why, err)
		}
	}
	_, err := answering(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }).Version(t.Context())
	if err == nil || !strings.Contains(err.Error(), "the answer is not what this client knows") {
		t.Errorf("a page instead of JSON: %v", err)
	}
}

func TestAnEndedContextIsTheError(t *testing.T) {
	c := answering(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	why := errors.New("enough")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 20*time.Millisecond, why)
	defer cancel()
	if _, err := c.Version(ctx); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
}

func TestAStreamIsReadByItsRules(t *testing.T) {
	calls := 0
	c := answering(t, func(w http.ResponseWriter, r *http.Request) {
		calls++
		w.Header().Set("Content-Type", "text/event-stream")
		if calls == 1 {
			fmt.Fprint(w, ": a comment\n\nid: 1\nevent: log\ndata: {\"seq\":1,\ndata: \"text\":\"of two lines\"}\n\nevent: of-the-future\ndata: ?\n\nretry: 5\n\n")
			fmt.Fprint(w, "id: 2\nevent: log\ndata: {\"seq\":2,\"text\":\"cut off\"}\n") // without its end: it does not count
			return
		}
		if last := r.Header.Get("Last-Event-ID"); last != "1" {
			t.Errorf("resumed after %s", last)
		}
		fmt.Fprint(w, "id:2\nevent:log\ndata:{\"seq\":2,\"text\":\"again\"}\n\nevent: state\ndata: {\"state\":\"succeeded\"}\n\nevent: log\ndata: {\"seq\":3}\n\n")
	})
	var got []string
	err := c.Follow(t.Context(), "x", 0, func(e Event) {
		switch {
		case e.Line != nil:
			got = append(got, e.Line.Text)
		case e.Operation != nil:
			got = append(got, e.Operation.State)
		default:
			got = append(got, "lost")
		}
	})
	if want := "of two lines, lost, again, succeeded"; err != nil || strings.Join(got, ", ") != want {
		t.Errorf("got %v (%v), want %s", got, err, want)
	}
}

func TestAStreamWaitsForAManagerThatCannotAnswerYet(t *testing.T) {
	calls := 0
	c := answering(t, func(w http.ResponseWriter, r *http.Request) {
		if calls++; calls < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `{"error":{"kind":"unavailable","message":"the database does not answer"}}`)
			return
		}
		fmt.Fprint(w, "event: state\ndata: {\"state\":\"succeeded\"}\n\n")
	})
	if op, err := c.WaitOperation(t.Context(), "x", nil); err != nil || op.State != Succeeded || calls != 3 {
		t.Errorf("after %d calls: %v, %v", calls, op.State, err)
	}
}

func TestAnOperationSaysHowItEnded(t *testing.T) {
	for state, final := range map[string]bool{Pending: false, Running: false, Waiting: false, Asking: false, Succeeded: true, Failed: true, Cancelled: true} {
		o := Operation{ID: "1", Kind: "server.install", State: state, Step: "boot Talos", Error: "no power", Server: &Ref{ID: "2", Name: "db-1"}}
		if o.Final() != final {
			t.Errorf("%s: final %t", state, o.Final())
		}
		if bad := state == Failed || state == Cancelled; (o.Err() != nil) != bad {
			t.Errorf("%s: error %v", state, o.Err())
		}
	}
	o := Operation{Kind: "cluster.bootstrap", State: Failed, Step: "boot Talos", Error: "no power", Cluster: &Ref{ID: "3"}}
	if got, want := o.Err().Error(), `cluster.bootstrap 3 failed at "boot Talos": no power`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Times that are not known are left out of what is sent, as every other empty field.
func TestEmptyFieldsAreLeftOut(t *testing.T) {
	text, err := json.Marshal(Operation{ID: "1"})
	if err != nil {
		t.Fatal(err)
	}
	for _, absent := range []string{"finishedAt", "waitUntil", "steps", "server", "hint"} {
		if strings.Contains(string(text), absent) {
			t.Errorf("%s is sent: %s", absent, text)
		}
	}
}

func ExampleClient_WaitOperation() {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "event: log\ndata: {\"seq\":1,\"step\":\"boot Talos\",\"text\":\"it boots\"}\n\nevent: state\ndata: {\"id\":\"1\",\"state\":\"succeeded\"}\n\n")
	}))
	defer s.Close()
	c, err := New(Options{URL: s.URL, Token: "tm_…"})
	if err != nil {
		fmt.Println(err)
		return
	}
	o, err := c.WaitOperation(context.Background(), "1", func(e Event) {
		if e.Line != nil {
			fmt.Println(e.Line.Step+":", e.Line.Text)
		}
	})
	fmt.Println(o.State, err, o.Err())
	// Output:
	// boot Talos: it boots
	// succeeded <nil> <nil>
}
