package extension

import (
	"errors"
	"fmt"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Problem is something about an extension that keeps Talos from taking it or its service from starting; a warning is
// something that may.
type Problem struct {
	Warning bool   `json:"warning,omitempty"`
	File    string `json:"file,omitempty"`  // in the extension's folder
	Line    int    `json:"line,omitempty"`  // 0: of no line
	Field   string `json:"field,omitempty"` // container.mounts[0].source
	Text    string `json:"text"`
	Hint    string `json:"hint,omitempty"` // what to write instead
}

// Error says where and what.
func (p Problem) Error() string {
	text := p.File
	if p.Line > 0 {
		text = fmt.Sprintf("%s, line %d", p.File, p.Line)
	}
	for _, part := range []string{p.Field, p.Text} {
		if text != "" && part != "" {
			text += ": "
		}
		text += part
	}
	return text
}

// Problems is everything about one extension, in the order of its files.
type Problems []Problem

// Err is nil if there are only warnings; else the errors, joined, each with its hint.
func (all Problems) Err() error {
	var errs []error
	for _, p := range all {
		if !p.Warning {
			errs = append(errs, &fleet.Error{Kind: fleet.Invalid, Text: p.Error(), Hint: p.Hint})
		}
	}
	return errors.Join(errs...)
}

// Warnings are the problems that are no errors.
func (all Problems) Warnings() Problems {
	var some Problems
	for _, p := range all {
		if p.Warning {
			some = append(some, p)
		}
	}
	return some
}
