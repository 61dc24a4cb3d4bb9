package httpd

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

var quiet = slog.New(slog.DiscardHandler)

func TestEveryKindOfErrorHasItsStatus(t *testing.T) {
	seen := map[int]fleet.Kind{}
	for _, k := range []fleet.Kind{fleet.Invalid, fleet.NotFound, fleet.Conflict, fleet.Forbidden, fleet.Unauthorized, fleet.Exhausted, fleet.Unavailable, fleet.Refused, fleet.Internal} {
		status := Status(k)
		if other, taken := seen[status]; taken {
			t.Errorf("%s and %s have the same status %d: a client could not tell them apart", k, other, status)
		}
		seen[status] = k
	}
}

func TestAPanicIsOneFailedRequest(t *testing.T) {
	h := Recover(quiet, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("bug") }))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "bug") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestOtherSitesCannotForgeRequests(t *testing.T) {
	h := Secure(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	for _, tc := range []struct {
		why, method, site string
		status            int
	}{
		{"a form of ours", "POST", "same-origin", http.StatusNoContent},
		{"a form of another site", "POST", "cross-site", http.StatusForbidden},
		{"a link on another site", "GET", "cross-site", http.StatusNoContent},
		{"the command line", "POST", "", http.StatusNoContent},
	} {
		r := httptest.NewRequest(tc.method, "/", nil)
		if tc.site != "" {
			r.Header.Set("Sec-Fetch-Site", tc.site)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != tc.status || w.Header().Get("Content-Security-Policy") == "" {
			t.Errorf("%s: %d, headers %v", tc.why, w.Code, w.Header())
		}
		if tc.status == http.StatusForbidden && !strings.Contains(w.Body.String(), "must hand on the one that the browser sent") {
			t.Errorf("%s: nobody is told what to do: %s", tc.why, w.Body)
		}
	}
}

func TestStoppingLetsARunningRequestEnd(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	begun, finish := make(chan struct{}), make(chan struct{})
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(begun)
		<-finish
		io.WriteString(w, "done")
	})
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, l, Options{Handler: handler, Log: quiet}) }()
	answer := make(chan string, 1)
	go func() {
		resp, err := http.Get("http://" + l.Addr().String())
		if err != nil {
			answer <- err.Error()
			return
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		answer <- string(body)
	}()
	<-begun
	stop()
	close(finish)
	if got := <-answer; got != "done" {
		t.Errorf("the request got %q", got)
	}
	select {
	case err := <-served:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("it does not stop")
	}
}
