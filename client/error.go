package client

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

// Kind says what sort of error it is. Programs decide by it, not by the status.
type Kind string

// The kinds of errors.
const (
	Invalid      Kind = "invalid"      // the request is wrong: the hint says what to write instead
	NotFound     Kind = "not-found"    // no such thing
	Conflict     Kind = "conflict"     // somebody was faster, or it is busy
	Forbidden    Kind = "forbidden"    // known, but not allowed
	Unauthorized Kind = "unauthorized" // not known: the token is wrong or missing
	Exhausted    Kind = "exhausted"    // a budget is used up; it comes back by itself
	Unavailable  Kind = "unavailable"  // the manager, or a system behind it, does not answer: try again
	Refused      Kind = "refused"      // not done, because it would do harm
	Internal     Kind = "internal"     // a bug
	// OperationFailed says that an operation ended without success; Operation.Err makes it, the API never answers it.
	OperationFailed Kind = "operation-failed"
)

// Error is what the API answers instead of a success.
type Error struct {
	Status  int    `json:"-"` // HTTP status; 0 when there was no answer
	Kind    Kind   `json:"kind" enum:"invalid,not-found,conflict,forbidden,unauthorized,exhausted,unavailable,refused,internal"`
	Message string `json:"message" doc:"what went wrong, to whom"`
	Hint    string `json:"hint,omitempty" doc:"what to do next"`
	Err     error  `json:"-"` // cause on this side; may be nil
}

// Error is the message, without the hint.
func (e *Error) Error() string { return e.Message }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// ErrorBody is the shape of every answer that is no success.
type ErrorBody struct {
	Error Error `json:"error"`
}

// refusal reads the error out of an answer. What is not in the API's shape comes from something between us and the
// manager: a proxy, or another program at this address.
func (c *Client) refusal(resp *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	var body ErrorBody
	if json.Unmarshal(text, &body) == nil && body.Error.Kind != "" {
		body.Error.Status = resp.StatusCode
		return &body.Error
	}
	e := &Error{Status: resp.StatusCode, Kind: kindOf(resp.StatusCode), Message: resp.Request.Method + " " + resp.Request.URL.Redacted() + ": " + resp.Status}
	if line := strings.TrimSpace(string(text)); line != "" && len(line) < 200 && !strings.Contains(line, "<") {
		e.Message += ": " + line
	}
	e.Hint = "this is no answer of a manager: look at the address, and at proxies in between"
	return e
}

func kindOf(status int) Kind {
	switch status {
	case http.StatusUnauthorized:
		return Unauthorized
	case http.StatusForbidden:
		return Forbidden
	case http.StatusNotFound:
		return NotFound
	case http.StatusTooManyRequests:
		return Exhausted
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return Unavailable
	}
	return Internal
}
