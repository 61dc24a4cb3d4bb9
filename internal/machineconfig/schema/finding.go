package schema

import "fmt"

// Severity says what a node of the version would do about a finding.
type Severity string

const (
	// Error is what a node of that version refuses.
	Error Severity = "error"
	// Warning is what it accepts, but does not do, or will not do for long.
	Warning Severity = "warning"
)

// Problem is the sort of a finding.
type Problem string

const (
	Syntax        Problem = "syntax"         // no YAML or JSON
	UnknownKind   Problem = "unknown-kind"   // no Talos version has such a document
	UnknownField  Problem = "unknown-field"  // no Talos version has such a field
	TooNew        Problem = "too-new"        // a later Talos version has it
	Gone          Problem = "gone"           // an earlier Talos version had it
	Deprecated    Problem = "deprecated"     // Talos still takes it
	WrongType     Problem = "wrong-type"     // a list where a map is wanted, text where a number is wanted
	WrongValue    Problem = "wrong-value"    // not one of the values the field has
	DuplicateKey  Problem = "duplicate-key"  // a key twice in a map
	MissingHeader Problem = "missing-header" // apiVersion or kind
	Conflict      Problem = "conflict"       // not with what Talos of that version generates, or with another value
	BadPatch      Problem = "bad-patch"      // an operation of RFC 6902 or a $patch that cannot be done
)

// Finding is one thing wrong with a patch or config, at its place in the text.
type Finding struct {
	Line, Column int    // from 1; of the key for fields, of the value for wrong values
	Kind, Name   string // of the document; Kind is V1Alpha1 for the one with machine: and cluster:
	Path         string // machine.network.interfaces[0].addresses; map keys with dots as mirrors["docker.io"]
	Severity     Severity
	Problem      Problem
	Message      string // "KubeSpanConfig is known since Talos v1.13.0"
	Instead      string // what to write for this version; "" where nothing is known
}

// String is the finding on one line, as compilers write them.
func (f Finding) String() string {
	s := fmt.Sprintf("%d:%d: %s: %s", f.Line, f.Column, f.Severity, f.Message)
	if f.Instead != "" {
		s += "; " + f.Instead
	}
	return s
}
