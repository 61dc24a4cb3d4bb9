// Package httpd is what all surfaces share of HTTP: the server with its time-outs, the middleware, and the one table
// that turns a kind of error into a status. It knows no route.
package httpd

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Status is the HTTP status of a kind of error.
func Status(kind fleet.Kind) int {
	switch kind {
	case fleet.Invalid:
		return http.StatusUnprocessableEntity
	case fleet.NotFound:
		return http.StatusNotFound
	case fleet.Conflict:
		return http.StatusConflict
	case fleet.Forbidden:
		return http.StatusForbidden
	case fleet.Unauthorized:
		return http.StatusUnauthorized
	case fleet.Exhausted:
		return http.StatusTooManyRequests
	case fleet.Unavailable:
		return http.StatusServiceUnavailable
	case fleet.Refused:
		return http.StatusPreconditionFailed
	}
	return http.StatusInternalServerError
}

// Options of a server.
type Options struct {
	Handler     http.Handler
	Log         *slog.Logger
	Cert, Key   string        // files; both empty: plain HTTP, behind a proxy
	StopTimeout time.Duration // how long running requests may take when it stops; 0 is 5 s
}

// Serve answers on l until ctx ends, then lets running requests finish.
func Serve(ctx context.Context, l net.Listener, o Options) error {
	server := &http.Server{
		Handler:           Recover(o.Log, Secure(o.Handler)),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		TLSConfig:         &tls.Config{MinVersion: tls.VersionTLS12},
		ErrorLog:          slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
		// Streams end when the program does.
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	done := make(chan error, 1)
	go func() {
		if o.Cert != "" {
			done <- server.ServeTLS(l, o.Cert, o.Key)
			return
		}
		done <- server.Serve(l)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	timeout := o.StopTimeout
	if timeout == 0 {
		timeout = 5 * time.Second
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	if err := server.Shutdown(stop); err != nil {
		server.Close()
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Recover turns a panic of a handler into a 500 and a log line with its stack.
func Recover(log *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			p := recover()
			if p == http.ErrAbortHandler {
				panic(p) // for net/http: it cuts the connection, so that a part is not taken for the whole
			}
			if p != nil {
				log.Error("panic in a request", "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
				http.Error(w, "internal error", http.StatusInternalServerError)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// Secure sets the headers that browsers protect people by, and refuses requests that other sites forge.
func Secure(next http.Handler) http.Handler {
	forged := http.NewCrossOriginProtection()
	forged.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "A page of another site sent this request, so nothing was done.\n"+
			"If it was a page of Talos Manager, the proxy before it changes the Host header: it must hand on the one that the browser sent.", http.StatusForbidden)
	}))
	own := forged.Handler(next)
	headers := map[string][]string{ // shared by all answers
		"Content-Security-Policy": {"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"},
		"X-Content-Type-Options":  {"nosniff"},
		"Referrer-Policy":         {"same-origin"},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		maps.Copy(w.Header(), headers)
		own.ServeHTTP(w, r)
	})
}
