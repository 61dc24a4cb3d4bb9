package diff

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

func sortedKeys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }

// multiline writes two values that take several lines: what is on one side only line by line, what is on both as the
// lines that differ.
func multiline(before, after any) []string {
	a, b := block(before), block(after)
	switch {
	case before == nil:
		return prefixed("+ ", b)
	case after == nil:
		return prefixed("- ", a)
	}
	return lineDiff(a, b)
}

func prefixed(mark string, lines []string) []string {
	out := make([]string, len(lines))
	for i, line := range lines {
		out[i] = mark + line
	}
	return out
}

// block writes a value as lines: a text as it is, others as YAML, long texts in them cut.
func block(v any) []string {
	if v == nil {
		return nil
	}
	text, ok := v.(string)
	if !ok {
		out, err := yaml.Marshal(cut(v))
		if err != nil {
			return []string{short(v)}
		}
		text = string(out)
	}
	lines := splitLines(text)
	for i := range lines {
		lines[i] = oneLine(strings.ReplaceAll(strings.TrimSuffix(lines[i], "\r"), "\t", "    "))
	}
	return lines
}

func splitLines(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

func cut(v any) any {
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = cut(item)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, item := range v {
			out[key] = cut(item)
		}
		return out
	case string:
		if len(v) > wide && !strings.Contains(v, "\n") {
			return quote(v)
		}
	}
	return v
}

// around is how many equal lines are seen around those that differ.
const around = 1

// lineDiff gives the lines that differ, each run with a line around it, and … for what is left out.
func lineDiff(a, b []string) []string {
	all := script(a, b)
	keep := make([]bool, len(all))
	for i, line := range all {
		if line[0] == ' ' {
			continue
		}
		for j := max(0, i-around); j <= min(len(all)-1, i+around); j++ {
			keep[j] = true
		}
	}
	var out []string
	for i, line := range all {
		switch {
		case keep[i]:
			out = append(out, line)
		case len(out) == 0 || out[len(out)-1] != "…":
			out = append(out, "…")
		}
	}
	return out
}

// script gives all lines of both, with what became of each.
func script(a, b []string) []string {
	start := 0
	for start < len(a) && start < len(b) && a[start] == b[start] {
		start++
	}
	end := 0
	for end < len(a)-start && end < len(b)-start && a[len(a)-1-end] == b[len(b)-1-end] {
		end++
	}
	x, y := a[start:len(a)-end], b[start:len(b)-end]
	out := prefixed("  ", a[:start])
	i, j := 0, 0
	var pairs [][2]int
	if len(x)*len(y) <= mostLines {
		pairs = common(len(x), len(y), func(i, j int) bool { return x[i] == y[j] })
	}
	for _, p := range append(pairs, [2]int{len(x), len(y)}) {
		out = append(out, prefixed("- ", x[i:p[0]])...)
		out = append(out, prefixed("+ ", y[j:p[1]])...)
		if p[0] < len(x) {
			out = append(out, "  "+x[p[0]])
		}
		i, j = p[0]+1, p[1]+1
	}
	return append(out, prefixed("  ", a[len(a)-end:])...)
}

// mostLines is how many pairs of lines are compared to find what stayed.
const mostLines = 1_000_000

// context is how many equal lines diff -u shows around those that differ.
const context = 3

// hunks writes what diff -u writes.
func hunks(a, b []string) string {
	all := script(a, b)
	var out strings.Builder
	out.WriteString("--- a\n+++ b\n")
	changed := false
	for i, x, y := 0, 0, 0; i < len(all); {
		if all[i][0] == ' ' {
			i, x, y = i+1, x+1, y+1
			continue
		}
		changed = true
		from := max(0, i-context)
		to := hunkEnd(all, i)
		x, y = x-(i-from), y-(i-from)
		old, new := 0, 0
		for _, line := range all[from:to] {
			if line[0] != '+' {
				old++
			}
			if line[0] != '-' {
				new++
			}
		}
		fmt.Fprintf(&out, "@@ -%s +%s @@\n", span(x, old), span(y, new))
		for _, line := range all[from:to] {
			out.WriteString(line[:1] + line[2:] + "\n")
		}
		i, x, y = to, x+old, y+new
	}
	if !changed {
		return ""
	}
	return out.String()
}

// hunkEnd is where a hunk ends that begins to differ at i: where more equal lines follow than two contexts.
func hunkEnd(all []string, i int) int {
	last := i
	for j := i; j < len(all) && j-last <= 2*context+1; j++ {
		if all[j][0] != ' ' {
			last = j
		}
	}
	return min(len(all), last+1+context)
}

func span(start, count int) string {
	if count == 0 {
		return fmt.Sprintf("%d,0", start)
	}
	return fmt.Sprintf("%d,%d", start+1, count)
}
