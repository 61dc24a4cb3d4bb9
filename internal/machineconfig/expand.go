package machineconfig

import (
	"fmt"
	"slices"
	"strings"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Expand fills in every ${name} of text. `$${` stands for a plain `${`. A name that is unknown, or known but
// empty for this server, is an error with its line and column.
func (v Variables) Expand(text string) (string, error) {
	var out strings.Builder
	for rest, at := text, 0; ; {
		i := strings.Index(rest, "${")
		if i < 0 {
			out.WriteString(rest)
			return out.String(), nil
		}
		if i > 0 && rest[i-1] == '$' { // $${
			out.WriteString(rest[:i-1])
			out.WriteString("${")
			rest, at = rest[i+2:], at+i+2
			continue
		}
		end := strings.IndexAny(rest[i:], "}\n")
		if end < 0 || rest[i+end] != '}' {
			return "", v.wrong(text, at+i, "${ without }")
		}
		value, why := v.value(rest[i+2 : i+end])
		if why != "" {
			return "", v.wrong(text, at+i, why)
		}
		out.WriteString(rest[:i])
		out.WriteString(value)
		rest, at = rest[i+end+1:], at+i+end+1
	}
}

func (v Variables) value(name string) (value, why string) {
	value, known := v[name]
	switch {
	case !known:
		return "", fmt.Sprintf("unknown variable ${%s}", name)
	case value == "":
		return "", fmt.Sprintf("variable ${%s} has no value for this server", name)
	}
	return value, ""
}

func (v Variables) wrong(text string, offset int, why string) error {
	before := text[:offset]
	line := strings.Count(before, "\n") + 1
	column := offset - strings.LastIndex(before, "\n")
	names := make([]string, 0, len(v))
	for name := range v {
		names = append(names, "${"+name+"}")
	}
	slices.Sort(names)
	return fleet.Errorf(fleet.Invalid, "line %d, column %d: %s", line, column, why).
		WithHint("the variables are %s; write $${ for a plain ${", strings.Join(names, ", "))
}
