package web

import (
	"net/http"
	"sync/atomic"
)

// Routes of the pages and actions, for tests that try all of them.
func PagePaths() []string {
	var out []string
	for _, a := range new(site).areas() {
		for path := range a.pages {
			out = append(out, path)
		}
	}
	return out
}

func ActionRoutes() []string {
	var out []string
	for _, a := range new(site).areas() {
		for route := range a.actions {
			out = append(out, route)
		}
	}
	return out
}

// Words that app.js has to know too.
var (
	Age  = age
	Span = span
)

// FailureOf is what an error page says.
var FailureOf = failureOf

// LiveOperations answers with the streams of operations' pages and counts their looks at the records.
func LiveOperations(p Parts, looks *atomic.Int64) http.Handler {
	s := newSite(p)
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+livePrefix+"/operations/{id}", s.serve(s.live(func(r *http.Request) (view, error) {
		looks.Add(1)
		return s.operation(r)
	})))
	return mux
}
