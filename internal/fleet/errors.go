package fleet

import (
	"errors"
	"fmt"
)

// Kind says what sort of error it is; one table (httpd) turns it into an HTTP status, one (cli) into an
// exit code.
type Kind string

// The kinds of error that a person or a client can tell apart.
const (
	Invalid      Kind = "invalid"      // the request is wrong: say what to write instead
	NotFound     Kind = "not-found"    // no such thing
	Conflict     Kind = "conflict"     // somebody was faster, or it is busy
	Forbidden    Kind = "forbidden"    // known, but not allowed
	Unauthorized Kind = "unauthorized" // not known
	Exhausted    Kind = "exhausted"    // a budget is used up; comes back by itself
	Unavailable  Kind = "unavailable"  // a foreign system does not answer; may be tried again
	Refused      Kind = "refused"      // we do not do it, because it would do harm
	Internal     Kind = "internal"     // a bug of ours
)

// Error is an error for people: what went wrong, to whom, and what to do next.
type Error struct {
	Kind Kind
	Text string // "server db-1 has no cluster"
	Hint string // "assign it first: talos-manager server assign db-1 --cluster prod"; may be empty
	Err  error  // cause; may be nil
}

// Error is Text and the cause's text.
func (e *Error) Error() string {
	switch {
	case e.Err == nil:
		return e.Text
	case e.Text == "":
		return e.Err.Error()
	}
	return e.Text + ": " + e.Err.Error()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error of this kind; a %w in format becomes its cause's text and stays unwrappable.
func Errorf(kind Kind, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	if _, several := err.(interface{ Unwrap() []error }); several || errors.Unwrap(err) != nil {
		return &Error{Kind: kind, Err: err}
	}
	return &Error{Kind: kind, Text: err.Error()}
}

// WithHint returns e with the next step for a person.
func (e *Error) WithHint(format string, args ...any) *Error {
	c := *e
	c.Hint = fmt.Sprintf(format, args...)
	return &c
}

// KindOf finds the kind of err; an error of nobody's kind is Internal.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Internal
}

// HintOf finds the hint of err, "" if it has none.
func HintOf(err error) string {
	for err != nil {
		e, ok := errors.AsType[*Error](err)
		if !ok {
			return ""
		}
		if e.Hint != "" {
			return e.Hint
		}
		err = e.Err
	}
	return ""
}
