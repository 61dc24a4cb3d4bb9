package diff

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// Text writes a diff for people: what differs in each document, field by field, and, where there is a verdict, what a
// node does with it. It is the same for the same diff.
//
//	~ machine and cluster (v1alpha1)
//	    ~ machine.network.interfaces[eth0].mtu: 1500 -> 1400
//	    ~ machine.features.diskQuotaSupport: true -> false  # reboot: Talos v1.13 applies it with a reboot only
//	+ KmsgLogConfig remote
//	    + url: tcp://10.5.0.1:5140/
func Text(d *Diff, v *Verdict) string {
	if d.Empty() && (v == nil || len(v.Outcomes) == 0) {
		return "No changes.\n"
	}
	var b strings.Builder
	next := 0
	said := map[string]bool{}
	note := func() string {
		if v == nil || next >= len(v.Outcomes) {
			return ""
		}
		next++
		return v.Outcomes[next-1].note(said)
	}
	for _, doc := range d.Documents {
		fmt.Fprintf(&b, "%s %s", mark(doc.Op), oneLine(doc.Title()))
		if len(doc.Changes) == 0 {
			b.WriteString(note())
		}
		b.WriteByte('\n')
		for _, c := range doc.Changes {
			c.write(&b, note())
		}
	}
	if v != nil {
		for _, o := range v.Outcomes[min(next, len(v.Outcomes)):] {
			fmt.Fprintf(&b, "~ %s%s\n", o.Path, o.note(said))
		}
		b.WriteString(v.Summary() + "\n")
	}
	return b.String()
}

func mark(op Op) string {
	switch op {
	case Added:
		return "+"
	case Removed:
		return "-"
	}
	return "~"
}

// note is what stands behind a change that does not simply take effect. A reason is said once.
func (o *Outcome) note(said map[string]bool) string {
	if o.Effect == Immediate && o.Why == "" {
		return ""
	}
	text := "  # " + strings.ReplaceAll(string(o.Effect), "-", " ")
	if len(o.Services) > 0 {
		text += " of " + strings.Join(o.Services, ", ")
	}
	if o.Why != "" && !said[o.Why] {
		said[o.Why] = true
		text += ": " + o.Why
	}
	return oneLine(text)
}

// Summary says in a sentence or two what a node does with the whole.
func (v *Verdict) Summary() string {
	var parts []string
	switch {
	case v.Refused != "":
		return "A node refuses it: " + v.Refused + "."
	case v.Reboots:
		parts = append(parts, "Needs a reboot: Talos "+v.TalosVersion+" reboots the node when this is applied.")
	case v.Pending:
		parts = append(parts, "Applied without a reboot, but what is marked takes effect only after one.")
	default:
		parts = append(parts, "Applied without a reboot.")
	}
	if len(v.Services) > 0 && !v.Reboots {
		parts = append(parts, "Restarts "+strings.Join(v.Services, ", ")+".")
	}
	return strings.Join(parts, " ")
}

// Indents of a change and of what is within it.
const (
	indent = "    "
	deeper = "        "
)

func (c *Change) write(b *strings.Builder, note string) {
	head := indent + mark(c.Op) + " " + oneLine(cmp.Or(c.Path, "documents"))
	before, after := shortPair(c.Old, c.New)
	switch {
	case c.Secret && c.Op == Changed && before == after:
		fmt.Fprintf(b, "%s: %s -> another%s\n", head, before, note)
	case c.Op == Added && after != "":
		fmt.Fprintf(b, "%s: %s%s\n", head, after, note)
	case c.Op == Removed && before != "":
		fmt.Fprintf(b, "%s: %s%s\n", head, before, note)
	case c.Op == Moved:
		fmt.Fprintf(b, "%s: order %s -> %s%s\n", head, before, after, note)
	case before != "" && after != "":
		fmt.Fprintf(b, "%s: %s -> %s%s\n", head, before, after, note)
	default:
		fmt.Fprintf(b, "%s:%s\n", head, note)
		for _, line := range multiline(c.Old, c.New) {
			b.WriteString(deeper + line + "\n")
		}
	}
}

// wide is how many letters a value may have on one line, of which shown are seen of a long one.
const (
	wide  = 120
	shown = 24
)

// short writes a value on one line, "" where it takes several.
func short(v any) string {
	switch v := v.(type) {
	case nil:
		return "none"
	case string:
		if about := certificate(v); about != "" {
			return about
		}
		if strings.Contains(strings.TrimSuffix(v, "\n"), "\n") {
			return ""
		}
		return quote(v)
	}
	if text := flow(v); len(text) <= wide && !strings.Contains(text, `\n`) {
		return text
	}
	return ""
}

// shortPair writes two values on one line each; of long ones that begin alike, where they begin to differ.
func shortPair(before, after any) (string, string) {
	a, okA := before.(string)
	b, okB := after.(string)
	if !okA || !okB || len(a) <= wide || len(b) <= wide || strings.Contains(a+b, "\n") || certificate(a)+certificate(b) != "" {
		return short(before), short(after)
	}
	same := 0
	for same < len(a) && same < len(b) && a[same] == b[same] {
		same++
	}
	if same < 2*shown {
		return short(before), short(after)
	}
	return window(a, same), window(b, same)
}

// window is the start of a long text, and what is around a place in it.
func window(s string, at int) string {
	from, to := at-shown/2, at+2*shown
	for !utf8.RuneStart(s[from]) {
		from--
	}
	out := oneLine(strings.ToValidUTF8(s[:shown], "")) + "…" + oneLine(s[from:min(to, len(s))])
	if to < len(s) {
		out += "…"
	}
	return out
}

// certificate says what a certificate is, in PEM or base64 of it, instead of its letters.
func certificate(text string) string {
	if raw, err := base64.StdEncoding.DecodeString(text); err == nil {
		text = string(raw)
	}
	if !strings.HasPrefix(strings.TrimSpace(text), "-----BEGIN CERTIFICATE-----") {
		return ""
	}
	block, rest := pem.Decode([]byte(text))
	if block == nil || len(bytes.TrimSpace(rest)) > 0 {
		return ""
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(block.Bytes)
	return oneLine(fmt.Sprintf("certificate of %s until %s (sha256 %x)", cmp.Or(c.Subject.String(), "no subject"), c.NotAfter.UTC().Format("2006-01-02"), sum[:4]))
}

// flow writes plain values as YAML does on one line.
func flow(v any) string {
	switch v := v.(type) {
	case []any:
		parts := make([]string, len(v))
		for i, item := range v {
			parts[i] = flow(item)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case map[string]any:
		parts := make([]string, 0, len(v))
		for _, key := range sortedKeys(v) {
			parts = append(parts, quote(key)+": "+flow(v[key]))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case string:
		return quote(v)
	case nil:
		return "null"
	}
	return fmt.Sprint(v)
}

// quote writes a text as YAML would: quoted where it would be read as something else. A long one is cut, with enough
// to tell two apart.
func quote(s string) string {
	if len(s) > wide {
		sum := sha256.Sum256([]byte(s))
		return oneLine(strings.ToValidUTF8(s[:shown], "")) + fmt.Sprintf("… (%d bytes, sha256 %x)", len(s), sum[:4])
	}
	if s == "" || strings.TrimSpace(s) != s || strings.ContainsAny(s, "\n\t\"'{}[],#&*|>%@`") || strings.Contains(s, ": ") || strings.Contains(s, " -> ") || oneLine(s) != s || !readsAsText(s) {
		if isLabel(s) {
			return s
		}
		return strconv.Quote(s)
	}
	return s
}

func readsAsText(s string) bool {
	var v any
	if yaml.Unmarshal([]byte(s), &v) != nil {
		return false
	}
	_, text := v.(string)
	return text
}

// oneLine keeps what would break or forge a line out of it.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029' || r == '\ufffd' {
			return '?'
		}
		return r
	}, s)
}
