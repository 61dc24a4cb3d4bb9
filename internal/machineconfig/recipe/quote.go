package recipe

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"text/template"
	"unicode"
)

// functions are those of the templates, for a Talos minor.
func functions(minor int) template.FuncMap {
	return template.FuncMap{
		"quote":   quote,
		"literal": literal,
		"base64":  func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
		"fields":  strings.Fields,
		"lines":   func(s string) []string { return strings.Split(strings.TrimSuffix(s, "\n"), "\n") },
		"join":    func(list []string, with string) string { return strings.Join(list, with) },
		"quotes":  quotes,
		"host":    host,
		"count":   count,
		"since":   func(version string) bool { return Span{Since: version}.has(minor) },
		"prefix":  strings.HasPrefix,
		"has":     strings.Contains,
		// include is text of a template as a value, which the action template cannot give; run binds it.
		"include": func(string, any) (string, error) { return "", nil },
		"split":   strings.Split,
		"last":    func(list []string) string { return list[len(list)-1] },
		"list":    func(of ...any) []any { return of },
		"dict":    dict,
		"trim":    func(s string) string { return strings.TrimRight(s, "/") },
		"add":     func(a, b int) int { return a + b },
	}
}

// quote writes s as a double-quoted scalar which YAML, TOML and CEL read alike: on one line, everything that is not
// plainly printable escaped.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\r':
			b.WriteString(`\r`)
		case r > 0xffff && !unicode.IsPrint(r):
			fmt.Fprintf(&b, `\U%08x`, r)
		case !unicode.IsPrint(r) || r == '\ufeff':
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// quotes writes a list as a flow sequence of quoted scalars.
func quotes(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = quote(s)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// literal writes s as a literal block of YAML whose lines are indented by n, where it reads back the same; else quoted.
func literal(n int, s string) string {
	body := strings.TrimSuffix(s, "\n")
	plain := body != "" && !strings.HasPrefix(body, " ") && !strings.HasPrefix(body, "\n") && !strings.HasSuffix(body, "\n") &&
		!strings.ContainsFunc(body, func(r rune) bool { return r != '\n' && r != '\t' && !unicode.IsPrint(r) || r == '\ufeff' })
	if !plain || strings.HasPrefix(body, "\t") {
		return quote(s)
	}
	var b strings.Builder
	b.WriteString("|")
	if body == s {
		b.WriteString("-")
	}
	for line := range strings.SplitSeq(body, "\n") {
		b.WriteByte('\n')
		if line != "" {
			b.WriteString(strings.Repeat(" ", n))
			b.WriteString(line)
		}
	}
	return b.String()
}

// host is the host and port of a URL.
func host(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil {
		return "", err
	}
	return u.Host, nil
}

// count lists the numbers from 0 up to and without n.
func count(n string) ([]int, error) {
	top, err := strconv.Atoi(n)
	if err != nil {
		return nil, err
	}
	list := make([]int, top)
	for i := range list {
		list[i] = i
	}
	return list, nil
}

// dict makes a map of names and values, which templates range over by name.
func dict(pairs ...any) (map[string]any, error) {
	out := map[string]any{}
	for i := 0; i+1 < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("dict: %v is no name", pairs[i])
		}
		out[name] = pairs[i+1]
	}
	return out, nil
}
