package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
)

// comment is what the documentation comment of a field says, in the form of Talos' own generator of documentation.
type comment struct {
	description string
	documented  []string // values:
	examples    []string
	required    bool
	deprecated  string
}

// parseComment reads the sections of a comment: `description: |` with deeper lines below it, `values:` and `examples:`
// with a list, `Deprecated: ...` to the end of its paragraph.
func parseComment(group *ast.CommentGroup) comment {
	if group == nil {
		return comment{}
	}
	var c comment
	lines := strings.Split(strings.ReplaceAll(group.Text(), "\t", "    "), "\n")
	for i := 0; i < len(lines); i++ {
		line := strings.TrimSpace(lines[i])
		key, rest, _ := strings.Cut(line, ":")
		rest = strings.TrimSpace(rest)
		switch key {
		case "description":
			body := below(lines, i)
			if rest != "" && rest != "|" && rest != ">" {
				body = append([]string{rest}, body...)
			}
			c.description = paragraph(body)
		case "values":
			c.documented = listed(below(lines, i))
		case "examples":
			c.examples = examples(below(lines, i))
		case "schemaRequired":
			c.required = rest == "true"
		case "Deprecated":
			for c.deprecated = rest; i+1 < len(lines) && strings.TrimSpace(lines[i+1]) != ""; i++ {
				c.deprecated += " " + strings.TrimSpace(lines[i+1])
			}
		}
	}
	if c.description == "" && c.deprecated == "" {
		c.description = leadIn(group.Text())
	}
	return c
}

// leadIn is the first paragraph of a usual Go comment, as types have it.
func leadIn(text string) string {
	text, _, _ = strings.Cut(text, "\n\n")
	if strings.Contains(text, "docgen:") || strings.Contains(text, "examples:") || strings.Contains(text, "schema:") {
		return ""
	}
	return strings.TrimSpace(strings.ReplaceAll(text, "\n", " "))
}

func indent(line string) int { return len(line) - len(strings.TrimLeft(line, " ")) }

// below gives the lines that are deeper than line i.
func below(lines []string, i int) []string {
	start := i + 1
	end := start
	for end < len(lines) && (strings.TrimSpace(lines[end]) == "" || indent(lines[end]) > indent(lines[i])) {
		end++
	}
	return lines[start:end]
}

// paragraph takes the common indentation away and joins the sentences of a paragraph.
func paragraph(lines []string) string {
	var out strings.Builder
	fresh := true
	for _, line := range lines {
		line = strings.TrimSpace(line)
		switch {
		case line == "":
			fresh = true
			continue
		case fresh || strings.HasPrefix(line, "- ") || strings.HasPrefix(line, "* "):
			if out.Len() > 0 {
				out.WriteString("\n")
			}
		default:
			out.WriteString(" ")
		}
		out.WriteString(line)
		fresh = false
	}
	return strings.TrimSpace(out.String())
}

func listed(lines []string) []string {
	var out []string
	for _, line := range lines {
		if item, ok := strings.CutPrefix(strings.TrimSpace(line), "- "); ok {
			item = strings.TrimSpace(item)
			item = strings.Trim(item, "'")
			if s, err := strconv.Unquote(item); err == nil {
				item = s
			}
			out = append(out, item)
		}
	}
	return out
}

// examples keeps those that are literals; the others are calls of Go functions.
func examples(lines []string) []string {
	var out []string
	for i, line := range lines {
		line = strings.TrimPrefix(strings.TrimSpace(line), "- ")
		value, ok := strings.CutPrefix(strings.TrimSpace(line), "value:")
		if !ok {
			continue
		}
		value = strings.TrimSpace(value)
		if value == ">" || value == "|" {
			value = strings.TrimSpace(strings.Join(below(lines, i), " "))
		}
		if len(value) > 1 && value[0] == '\'' {
			value = strings.ReplaceAll(strings.Trim(value, "'"), "''", "'")
		} else if inner, err := strconv.Unquote(value); err == nil && strings.HasPrefix(value, `"\"`) {
			value = inner
		}
		if text, ok := literalText(value); ok {
			out = append(out, text)
		}
	}
	return out
}

// literalText turns a Go literal into YAML: text, numbers, truth, lists of those, and calls like
// netip.MustParsePrefix("10.0.0.0/8") into what they are called with.
func literalText(value string) (string, bool) {
	e, err := parser.ParseExpr(value)
	if err != nil {
		return "", false
	}
	return exprText(e)
}

func exprText(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind != token.STRING {
			return e.Value, true
		}
		s, err := strconv.Unquote(e.Value)
		return s, err == nil && s != "" && !strings.Contains(s, "\n")
	case *ast.Ident:
		return e.Name, e.Name == "true" || e.Name == "false"
	case *ast.CallExpr:
		if len(e.Args) == 1 {
			return exprText(e.Args[0])
		}
	case *ast.CompositeLit:
		if _, ok := e.Type.(*ast.ArrayType); ok {
			return listText(e)
		}
		if len(e.Elts) == 1 {
			return exprText(e.Elts[0])
		}
	}
	return "", false
}

func listText(e *ast.CompositeLit) (string, bool) {
	var items []string
	for _, elt := range e.Elts {
		s, ok := exprText(elt)
		if !ok {
			return "", false
		}
		items = append(items, s)
	}
	return "[" + strings.Join(items, ", ") + "]", len(items) > 0
}
