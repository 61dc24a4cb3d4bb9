package machineconfig

import (
	"cmp"
	"slices"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/validation"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig/schema"
)

// metal is the validation mode of a machine with disks: neither a container nor without install.
type metal struct{}

func (metal) String() string        { return "metal" }
func (metal) RequiresInstall() bool { return true }
func (metal) InContainer() bool     { return false }

// problemsOf is what Talos would refuse: strict validation for metal. What is only deprecated is none: the library
// knows no version, and calls fields deprecated which older nodes have no other for.
func problemsOf(c config.Provider) []string {
	problems, _ := judge(c)
	return problems
}

// warningsOf is what Talos takes, but says something about.
func warningsOf(c config.Provider) []string {
	_, warnings := judge(c)
	return warnings
}

func judge(c config.Provider) (problems, warnings []string) {
	if !c.CompleteForBoot() {
		return []string{"the config is incomplete: a patch deleted what a node needs to boot"}, nil
	}
	warnings, err := c.ValidateAsClient(metal{}, validation.WithStrict())
	if err == nil {
		return nil, warnings
	}
	for _, p := range flatten(err, "") {
		text, warning := strings.CutPrefix(p, "warning: ")
		switch {
		case warning && strings.Contains(text, "deprecated"):
			warnings = append(warnings, text)
		case strings.HasSuffix(p, "is too old to be used with Talos "+strings.TrimPrefix(NewestTalos(), "v")):
			// The library compares Kubernetes with the newest Talos only; CheckVersions did that with the right one.
		case !slices.Contains(problems, p):
			problems = append(problems, p)
		}
	}
	return problems, warnings
}

// flatten makes a list of the library's nested lists of errors.
func flatten(err error, prefix string) []string {
	list, ok := err.(interface{ WrappedErrors() []error })
	if !ok {
		for inner := err; inner != nil; {
			u, wraps := inner.(interface{ Unwrap() error })
			if !wraps {
				break
			}
			inner = u.Unwrap()
			if _, ok := inner.(interface{ WrappedErrors() []error }); ok {
				before := strings.TrimPrefix(strings.TrimSuffix(err.Error(), inner.Error()), "v1alpha1.Config: ")
				return flatten(inner, prefix+before)
			}
		}
		return []string{prefix + strings.TrimPrefix(tidy(err.Error()), "v1alpha1.Config: ")}
	}
	var out []string
	for _, e := range list.WrappedErrors() {
		out = append(out, flatten(e, prefix)...)
	}
	return out
}

// tidy makes one line of a message.
func tidy(text string) string { return strings.Join(strings.Fields(withoutValues(text)), " ") }

// lint refuses what the Talos version does not know: the library takes every document and field of the newest. Where
// the library refused a patch, cause, it may know better why.
func lint(text, talos string, cause error) error {
	for _, f := range schema.Lint([]byte(text), talos) {
		unknown := slices.Contains([]schema.Problem{schema.UnknownKind, schema.UnknownField, schema.TooNew, schema.Gone}, f.Problem)
		if f.Severity != schema.Error || !unknown && cause == nil {
			continue
		}
		path := f.Path
		if f.Kind != "" && f.Kind != schema.V1Alpha1 {
			path = strings.TrimSuffix(f.Kind+" "+f.Path, " ")
		}
		e := fleet.Errorf(fleet.Invalid, "line %d, column %d: %s: %s", f.Line, f.Column, path, f.Message)
		if path == "" || strings.Contains(f.Message, path) {
			e = fleet.Errorf(fleet.Invalid, "line %d, column %d: %s", f.Line, f.Column, f.Message)
		}
		return e.WithHint("%s", cmp.Or(f.Instead, fleet.HintOf(cause), insteadOf[f.Problem], noAdvice))
	}
	return cause
}

// insteadOf is for findings that do not know better.
var insteadOf = map[schema.Problem]string{
	schema.TooNew:       "leave it out for this version, or upgrade Talos first",
	schema.Gone:         "leave it out for this version",
	schema.DuplicateKey: "keep one of the two",
}

// lintAdvice is what the schema says to write instead of what is on a line of a patch.
func (k *making) lintAdvice(text string, line int) string {
	for _, f := range schema.Lint([]byte(text), k.in.TalosVersion) {
		if f.Line == line && f.Instead != "" {
			return f.Instead
		}
	}
	return ""
}

// withoutSecrets takes every secret of the cluster out of an error: a patch may hold one where it does not belong.
func (k *making) withoutSecrets(e *fleet.Error) *fleet.Error {
	bundle, err := loadBundle(k.in.Secrets)
	if err != nil {
		return e
	}
	secrets := secretsIn(bundle)
	return &fleet.Error{Kind: e.Kind, Text: without(e.Text, secrets), Hint: without(e.Hint, secrets)}
}

// without takes secrets out of a text, and what they begin with: messages cut long values short.
func without(text string, secrets []string) string {
	const recognised = 8
	for _, s := range secrets {
		for from := 0; ; {
			i := strings.Index(text[from:], s[:recognised])
			if i < 0 {
				break
			}
			i += from
			n := recognised
			for n < len(s) && i+n < len(text) && text[i+n] == s[n] {
				n++
			}
			text = text[:i] + redacted + text[i+n:]
			from = i + len(redacted)
		}
	}
	return text
}

const redacted = "** redacted **"

// Redact gives the config with every secret replaced, for people and logs.
func Redact(text []byte) ([]byte, error) {
	p, err := loadConfig(text)
	if err != nil {
		return nil, err
	}
	return encodeConfig(p.RedactSecrets(redacted))
}
