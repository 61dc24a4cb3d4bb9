package diff

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"html"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Secret is what stands in place of a secret.
const Secret = "[secret]"

// Redactor takes secrets out of text: logs, errors, pages, answers of nodes. It knows those of the configs and secrets
// bundles it was made of, in every form in which a text may hold them, and takes out what looks like one by its form
// (private keys, passwords in URLs, authorization headers) whoever it belongs to. The zero value does only the latter.
// It may be used by several goroutines.
type Redactor struct {
	whole  *strings.Replacer // nil without secrets
	folded []folded          // those with blanks, which YAML folds, and those too short to be replaced within words
}

type folded struct {
	secret *regexp.Regexp
	label  string
}

// NewRedactor makes one of secrets bundles, machine configs, patches, talosconfigs and kubeconfigs. An error, a
// fleet.Invalid, means that one of them could not be read, so that its secrets are not known.
func NewRedactor(texts ...[]byte) (*Redactor, error) {
	var c collector
	for _, text := range texts {
		docs, err := parse(text)
		if err != nil {
			return nil, err
		}
		for _, d := range docs {
			c.document(d)
		}
	}
	return newRedactor(c.found, func(string) string { return Secret }), nil
}

// shortest is the length up to which a secret is replaced as a word only: a password "a" must not empty the page.
const shortest = 4

// newRedactor replaces each secret by its label.
func newRedactor(secrets []string, label func(secret string) string) *Redactor {
	known := map[string]string{}
	r := &Redactor{}
	for _, secret := range secrets {
		if len(secret) <= shortest {
			r.folded = append(r.folded, folded{regexp.MustCompile(edge(secret, true) + regexp.QuoteMeta(secret) + edge(secret, false)), label(secret)})
			continue
		}
		if words := strings.Fields(secret); len(words) > 1 && !strings.HasPrefix(secret, "-----BEGIN ") { // of those each line is found
			for i, word := range words {
				words[i] = regexp.QuoteMeta(word)
			}
			// folded, or in a block of YAML or a comment
			r.folded = append(r.folded, folded{regexp.MustCompile(strings.Join(words, `(?:\s|\\n|\\r|#)+`)), label(secret)})
		}
		for _, form := range formsOf(secret) {
			if _, twice := known[form]; len(form) > shortest && !twice {
				known[form] = label(secret)
			}
		}
	}
	if len(known) == 0 {
		return r
	}
	list := make([]string, 0, len(known))
	for form := range known {
		list = append(list, form)
	}
	slices.SortFunc(list, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
	pairs := make([]string, 0, 2*len(list))
	for _, form := range list {
		pairs = append(pairs, form, known[form])
	}
	r.whole = strings.NewReplacer(pairs...)
	return r
}

// edge is the end of a word, where the secret begins or ends with a letter.
func edge(secret string, start bool) string {
	at := secret[len(secret)-1]
	if start {
		at = secret[0]
	}
	if at == '_' || at >= '0' && at <= '9' || at >= 'a' && at <= 'z' || at >= 'A' && at <= 'Z' {
		return `\b`
	}
	return ""
}

// Lengths from which a part of a secret is one, and up to which more than its plain forms are looked for.
const (
	lineLength = 16
	longest    = 16 << 10
)

// formsOf lists how a text may hold a secret: as it is, decoded, encoded, escaped, and by line.
func formsOf(secret string) []string {
	out := escaped(secret)
	if raw, err := base64.StdEncoding.DecodeString(secret); err == nil && len(raw) >= lineLength {
		out = append(out, hex.EncodeToString(raw), base64.URLEncoding.EncodeToString(raw), base64.RawURLEncoding.EncodeToString(raw))
		if text := string(raw); strings.Contains(text, "-----BEGIN ") {
			out = append(out, lines(text)...)
		} else {
			out = append(out, text)
		}
	}
	if strings.Contains(secret, "\n") {
		out = append(out, lines(secret)...)
	}
	return append(out, within(secret)...)
}

// lines gives a text of several lines, each line of it that is a secret of its own, and what base64 it is without
// them.
func lines(text string) []string {
	text = strings.TrimSpace(text)
	out := escaped(text)
	body := strings.Builder{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "-----") || len(line) < lineLength {
			if !strings.HasPrefix(line, "-----") {
				body.WriteString(line)
			}
			continue
		}
		body.WriteString(line)
		out = append(out, line, url.QueryEscape(line), url.PathEscape(line), inPage(line))
		out = append(out, within(line)...)
	}
	if body.Len() >= lineLength {
		out = append(out, body.String())
	}
	return append(out, base64.StdEncoding.EncodeToString([]byte(text)), base64.StdEncoding.EncodeToString([]byte(text+"\n")))
}

// escaped gives a secret as texts of several kinds write it.
func escaped(secret string) []string {
	out := []string{secret}
	if quoted, err := json.Marshal(secret); err == nil {
		out = append(out, unquote(string(quoted)))
		if again, err := json.Marshal(string(quoted)); err == nil {
			out = append(out, strings.TrimSuffix(strings.TrimPrefix(unquote(string(again)), `\"`), `\"`))
		}
	}
	return append(out, unquote(strconv.Quote(secret)), strings.ReplaceAll(secret, "'", "''"),
		strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\t", `\t`).Replace(secret), // JSON without escapes for HTML
		url.QueryEscape(secret), url.PathEscape(secret), url.UserPassword("", secret).String()[1:], html.EscapeString(secret), inPage(secret))
}

// inPage is a text as html/template writes it.
func inPage(s string) string { return strings.ReplaceAll(html.EscapeString(s), "+", "&#43;") }

func unquote(s string) string { return s[1 : len(s)-1] }

// within gives the secret as base64 of a longer text holds it: three ways, by where in the text it begins. What is at
// its ends depends on its neighbours, so it is left out.
func within(secret string) []string {
	if len(secret) < 6 || len(secret) > longest {
		return nil
	}
	var out []string
	for shift := range 3 {
		text := base64.RawStdEncoding.EncodeToString([]byte("\x00\x00"[:shift] + secret))
		from, to := (shift*8+5)/6, len(text)
		if (len(secret)+shift)%3 != 0 {
			to-- // its last letter holds bits of what follows
		}
		out = append(out, text[from:to], strings.NewReplacer("+", "-", "/", "_").Replace(text[from:to]))
	}
	return out
}

var anyLabel = regexp.MustCompile(`\[secret(?:-[0-9a-f]+)?\]`)

// String takes the secrets out of a text.
func (r *Redactor) String(text string) string {
	if r != nil && r.whole != nil {
		text = r.whole.Replace(text)
	}
	if r != nil {
		for _, f := range r.folded {
			text = f.secret.ReplaceAllLiteralString(text, f.label)
		}
	}
	if mayHoldForms(text) {
		for _, form := range forms {
			text = replaceGroup(form, text)
		}
	}
	return text
}

// replaceGroup takes out what the first group of a form matches, where it stands.
func replaceGroup(form *regexp.Regexp, text string) string {
	var out strings.Builder
	end := 0
	for _, m := range form.FindAllStringSubmatchIndex(text, -1) {
		secret, label := text[m[2]:m[3]], Secret
		if known := anyLabel.FindString(secret); known != "" {
			label = known // part of it is taken out already
		}
		if worthless[strings.ToLower(strings.TrimSpace(secret))] {
			label = secret
		}
		out.WriteString(text[end:m[2]] + label)
		end = m[3]
	}
	if end == 0 {
		return text
	}
	return out.String() + text[end:]
}

// Bytes takes the secrets out of a text.
func (r *Redactor) Bytes(text []byte) []byte { return []byte(r.String(string(text))) }

// Error takes the secrets out of an error's text and hint. errors.Is, fleet.KindOf and fleet.HintOf still see what it
// is.
func (r *Redactor) Error(err error) error {
	if err == nil {
		return nil
	}
	text, hint := r.String(err.Error()), r.String(fleet.HintOf(err))
	if text == err.Error() && hint == fleet.HintOf(err) {
		return err
	}
	return &redacted{fleet.Error{Kind: fleet.KindOf(err), Text: text, Hint: hint}, err}
}

// redacted is an error without its secrets. Its cause holds them, so it is never handed out.
type redacted struct {
	plain fleet.Error
	cause error
}

func (e *redacted) Error() string        { return e.plain.Text }
func (e *redacted) Is(target error) bool { return errors.Is(e.cause, target) }

func (e *redacted) As(target any) bool {
	if to, ok := target.(**fleet.Error); ok {
		*to = &e.plain
		return true
	}
	return false
}
