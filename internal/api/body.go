package api

import (
	"io"
	"net/http"
	"time"
)

// bodyTime is how long a client may take to send a request's body.
const bodyTime = 30 * time.Second

// limitBodies gives bodies so much time, and handlers as much as they need. huma's own time limit stays on the
// connection after the body was read; when it passes, net/http takes the client for gone and ends the context of a
// handler that still works, such as one that waits for Hetzner.
func limitBodies(d time.Duration, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = &timed{ReadCloser: r.Body, limit: d, control: http.NewResponseController(w)}
		next.ServeHTTP(w, r)
	})
}

// timed sets a deadline when it is first read, and takes it away at its end.
type timed struct {
	io.ReadCloser
	limit   time.Duration
	control *http.ResponseController
	begun   bool
}

func (t *timed) Read(p []byte) (int, error) {
	if !t.begun {
		t.begun = true
		_ = t.control.SetReadDeadline(time.Now().Add(t.limit)) // not every ResponseWriter knows deadlines; net/http's do
	}
	n, err := t.ReadCloser.Read(p)
	if err == io.EOF {
		_ = t.control.SetReadDeadline(time.Time{})
	}
	return n, err
}
