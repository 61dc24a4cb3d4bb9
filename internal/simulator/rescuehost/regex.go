package rescuehost

import (
	"regexp"
	"strings"
)

// compile turns a POSIX regular expression, basic or extended as GNU tools take it, into one of Go's that matches
// leftmost-longest.
func compile(expr string, extended, fold bool) (*regexp.Regexp, error) {
	if !extended {
		expr = basicToExtended(expr)
	}
	expr = literalBackslashes(expr)
	if fold {
		expr = "(?i)" + expr
	}
	re, err := regexp.Compile(expr)
	if err != nil {
		return nil, err
	}
	re.Longest()
	return re, nil
}

// basicToExtended swaps what a backslash means before the operators, and makes anchors in the middle and a star
// at the start ordinary characters.
func basicToExtended(s string) string {
	var b strings.Builder
	start := true // of the expression or of a group
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\' && i+1 < len(s):
			i++
			if strings.IndexByte("(){}|+?", s[i]) >= 0 {
				b.WriteByte(s[i])
				start = s[i] == '(' || s[i] == '|'
				continue
			}
			b.WriteString(s[i-1 : i+1])
		case strings.IndexByte("(){}|+?", c) >= 0, c == '*' && start, c == '^' && !start,
			c == '$' && i+1 < len(s) && !strings.HasPrefix(s[i+1:], `\)`) && !strings.HasPrefix(s[i+1:], `\|`):
			b.WriteByte('\\')
			b.WriteByte(c)
		case c == '[':
			end := bracketEnd(s, i)
			b.WriteString(s[i:end])
			i = end - 1
		case c == '^':
			b.WriteByte(c)
			continue
		default:
			b.WriteByte(c)
		}
		start = false
	}
	return b.String()
}

// bracketEnd gives the index behind the bracket expression that starts at i.
func bracketEnd(s string, i int) int {
	j := i + 1
	if j < len(s) && s[j] == '^' {
		j++
	}
	if j < len(s) && s[j] == ']' {
		j++
	}
	for j < len(s) && s[j] != ']' {
		if strings.HasPrefix(s[j:], "[:") {
			if k := strings.Index(s[j:], ":]"); k > 0 {
				j += k + 1
			}
		}
		j++
	}
	return min(j+1, len(s))
}

// literalBackslashes doubles the backslashes inside bracket expressions, where POSIX takes them as they are, except
// the \n and \t that GNU reads there too.
func literalBackslashes(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			b.WriteString(s[i : i+2])
			i++
		case s[i] == '[':
			end := bracketEnd(s, i)
			inner := s[i:end]
			inner = strings.NewReplacer(`\n`, "\n", `\t`, "\t", `\`, `\\`).Replace(inner)
			if strings.HasPrefix(inner, "[]") {
				inner = `[\]` + inner[2:]
			}
			if strings.HasPrefix(inner, "[^]") {
				inner = `[^\]` + inner[3:]
			}
			b.WriteString(inner)
			i = end - 1
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}
