package api

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

func TestAHandlerMayTakeLongerThanItsBody(t *testing.T) {
	const limit = 50 * time.Millisecond
	answers := make(chan error, 2)
	s := httptest.NewServer(limitBodies(limit, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err != nil {
			answers <- err
			return
		}
		select {
		case <-r.Context().Done():
			answers <- r.Context().Err()
		case <-time.After(4 * limit):
			answers <- nil
		}
	})))
	defer s.Close()
	resp, err := http.Post(s.URL, "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if err := <-answers; err != nil {
		t.Errorf("a handler that takes its time: %v", err)
	}

	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{"); err != nil {
		t.Fatal(err)
	}
	if err := <-answers; err == nil {
		t.Error("a body that does not come is waited for")
	}
}

// huma's own limit must be off: it would stay on the connection.
func TestNoRouteHasATimeLimitOfHuma(t *testing.T) {
	a := &api{Parts: Parts{Log: slog.New(slog.DiscardHandler)}}
	h := humago.New(http.NewServeMux(), config("v1"))
	a.routes(h)
	for path, item := range h.OpenAPI().Paths {
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Patch, item.Delete} {
			if op != nil && op.RequestBody != nil && op.BodyReadTimeout >= 0 {
				t.Errorf("%s %s: %s", op.Method, path, op.BodyReadTimeout)
			}
		}
	}
}

func TestAPanicIsAnErrorOfTheOneShape(t *testing.T) {
	a := &api{Parts: Parts{Log: slog.New(slog.DiscardHandler)}}
	w := httptest.NewRecorder()
	a.recover(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("swordfish") })).ServeHTTP(w, httptest.NewRequest("GET", "/api/v1/x", nil))
	if w.Code != 500 || !strings.Contains(w.Body.String(), `"kind":"internal"`) || strings.Contains(w.Body.String(), "swordfish") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
