package schema

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// A ${variable} would be read as the beginning of a map inside [ ] and { }, so its signs stand for it while the text is
// parsed. They are one character each, so that columns stay right.
const (
	dollar = '\ue000'
	open   = '\ue001'
	shut   = '\ue002'
)

// mask hides the variables of a text.
func mask(text []byte) []byte {
	if !bytes.Contains(text, []byte("${")) {
		return text
	}
	out := make([]byte, 0, len(text)+64)
	for {
		before, rest, found := bytes.Cut(text, []byte("${"))
		out = append(out, before...)
		if !found {
			return out
		}
		name := bytes.TrimLeftFunc(rest, isName)
		name = rest[:len(rest)-len(name)]
		if len(name) == len(rest) || rest[len(name)] != '}' {
			out = append(out, "${"...)
			text = rest
			continue
		}
		out = utf8.AppendRune(utf8.AppendRune(out, dollar), open)
		out = utf8.AppendRune(append(out, name...), shut)
		text = rest[len(name)+1:]
	}
}

func isName(r rune) bool {
	return r == '_' || r == '-' || r == '.' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
}

// shown is a piece of masked text as it was written.
func shown(s string) string {
	if !strings.ContainsRune(s, open) {
		return s
	}
	return strings.NewReplacer(string(dollar), "$", string(open), "{", string(shut), "}").Replace(s)
}

// variable says whether a value will be known only when its variables are filled in.
func variable(n *yaml.Node) bool { return strings.ContainsRune(n.Value, open) }

// parse gives the documents of a text, as far as it can be read, and the place where it cannot.
func parse(text []byte) (docs []*yaml.Node, failure *Finding) {
	defer func() {
		if p := recover(); p != nil {
			failure = &Finding{Line: 1, Column: 1, Severity: Error, Problem: Syntax, Message: fmt.Sprintf("cannot be read: %v", p)}
		}
	}()
	text = mask(text)
	if head := bytes.TrimSpace(text); len(head) > 0 && head[0] == '[' {
		text = bytes.ReplaceAll(text, []byte("\t"), []byte(" ")) // JSON may be indented with tabs, YAML may not
	}
	for d := yaml.NewDecoder(bytes.NewReader(text)); ; {
		var n yaml.Node
		err := d.Decode(&n)
		if errors.Is(err, io.EOF) {
			return docs, nil
		}
		if err != nil {
			return docs, syntaxError(err)
		}
		if n.Kind == yaml.DocumentNode && len(n.Content) == 1 {
			docs = append(docs, n.Content[0])
		}
	}
}

func syntaxError(err error) *Finding {
	f := &Finding{Line: 1, Column: 1, Severity: Error, Problem: Syntax, Message: err.Error()}
	var at *yaml.LoadError
	if errors.As(err, &at) {
		f.Line, f.Column, f.Message = max(at.Mark.Line, 1), max(at.Mark.Column, 1), shown(at.Message)
		if strings.Contains(f.Message, "cannot start any token") {
			f.Instead = "indent with spaces, and put quotes around text that begins with a sign"
		}
	}
	return f
}
