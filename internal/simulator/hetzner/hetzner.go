// Package hetzner speaks Hetzner's two protocols over package world: Robot is the webservice for dedicated
// servers, Cloud is the Cloud API, each an http.Handler that the official clients accept unchanged. Machines
// belong to the login or the token named in their Spec.Project; those added to the world later appear at once.
//
// It keeps Hetzner's rules of time: a rescue activation is consumed by one boot or lapses after an hour, host
// keys are made for each boot and published after it, calls are counted per hour, three wrong passwords block
// the source, actions run for a while and lock their server. Times shown and hours counted follow Options.Now;
// how long a thing takes follows the speed of the world.
//
// It refuses to guess: what Hetzner does not document and nobody has measured is an option, with the answer
// that is hardest on a client as its default where there is one. It orders nothing and carries no traffic:
// firewalls are kept and shown but filter no connection.
package hetzner

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// answer is what a handler gives back; the pipeline writes it.
type answer struct {
	status int
	body   any               // nil: no body at all
	html   string            // instead of body
	header map[string]string // besides Content-Type
	after  func()            // runs when the answer is on its way: effects come after answers
}

func ok(body any) answer { return answer{status: http.StatusOK, body: body} }

// send writes the answer, damaged as the fault says. It panics with http.ErrAbortHandler to break the connection.
func (a answer) send(w http.ResponseWriter, contentType string, encoded []byte, how Damage) {
	body := how.apply(encoded)
	switch {
	case a.html != "":
		contentType, body = "text/html; charset=iso-8859-1", []byte(a.html)
	case how == Dropped:
		panic(http.ErrAbortHandler)
	}
	for k, v := range a.header {
		w.Header().Set(k, v)
	}
	if len(body) > 0 {
		w.Header().Set("Content-Type", contentType)
	}
	if a.status != http.StatusNoContent {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	w.WriteHeader(a.status)
	if how == Truncated {
		body = body[:len(body)/2]
	}
	w.Write(body)
	http.NewResponseController(w).Flush()
	if how == Truncated {
		panic(http.ErrAbortHandler)
	}
}

// encode gives the body as JSON, nil if there is none.
func (a answer) encode() []byte {
	if a.body == nil {
		return nil
	}
	b, err := json.Marshal(a.body)
	if err != nil {
		panic(err) // every body is a type of ours
	}
	return b
}

// segments splits a path into its unescaped parts; "/" has none.
func segments(escaped string) []string {
	var all []string
	for part := range strings.SplitSeq(strings.Trim(escaped, "/"), "/") {
		if part == "" {
			continue
		}
		if plain, err := url.PathUnescape(part); err == nil {
			part = plain
		}
		all = append(all, part)
	}
	return all
}

// match compares a path with a pattern like /server/{n} and gives the values of its variables.
func match(pattern string, path []string) (args []string, ok bool) {
	want := segments(pattern)
	if len(want) != len(path) {
		return nil, false
	}
	for i, w := range want {
		switch {
		case strings.HasPrefix(w, "{"):
			args = append(args, path[i])
		case w != path[i]:
			return nil, false
		}
	}
	return args, true
}

// Count of one group of endpoints since the handler was made.
type Count struct {
	Calls   int // answered
	Refused int // for the rate limit
}
