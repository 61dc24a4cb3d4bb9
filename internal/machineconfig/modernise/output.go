package modernise

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// result writes the documents.
func (w *rewriter) result() *Result {
	res := &Result{Changes: w.changes, Notes: w.notes, Schematic: w.image, Changed: w.changed()}
	if !res.Changed {
		return res
	}
	slices.SortStableFunc(res.Changes, func(a, b Change) int { return a.Line - b.Line })
	slices.SortStableFunc(res.Notes, func(a, b Note) int { return a.Line - b.Line })
	var all, control []string
	for _, d := range w.docs {
		all = append(all, w.text1(d, len(all) == 0)...)
	}
	for _, d := range w.fresh {
		if d.controlPlane {
			control = append(control, w.text1(d, len(control) == 0)...)
			continue
		}
		all = append(all, w.text1(d, len(all) == 0)...)
	}
	text, cp := strings.Join(all, ""), strings.Join(control, "")
	if lost := w.lost(text + cp); lost != "" {
		if text == "" && cp != "" {
			cp = lost + cp
		} else {
			text = lost + text
		}
	}
	res.Text, res.ControlPlane = w.vars.show(text), w.vars.show(cp)
	return res
}

// text1 is one document with the line before it; nothing for one of which nothing is left.
func (w *rewriter) text1(d *document, first bool) []string {
	if d.root == nil && blank(d.raw) && strings.TrimSpace(d.raw) == "" {
		return nil
	}
	text, err := d.write()
	if err != nil { // nodes that were read can be written
		return nil
	}
	if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	separator := d.separator
	if separator == "" && !first {
		separator = "---\n"
	}
	if first && strings.TrimSpace(separator) == "---" {
		separator = ""
	}
	return []string{separator + text}
}

// lost gives the comments of the old patch that the new text lacks, for its top.
func (w *rewriter) lost(text string) string {
	var out strings.Builder
	var lines []string
	for line := range strings.Lines(text) {
		lines = append(lines, strings.TrimSpace(line))
	}
	for _, c := range w.text.comments() {
		if !slices.ContainsFunc(lines, func(line string) bool { return strings.HasSuffix(line, c) }) {
			out.WriteString(c)
			out.WriteByte('\n')
		}
	}
	return out.String()
}

// comments lists the comment lines of a source, each once.
func (s *source) comments() []string {
	var out []string
	add := func(text string) {
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); line != "" && line != "#" && !slices.Contains(out, line) {
				out = append(out, line)
			}
		}
	}
	for _, c := range s.written {
		add(c)
	}
	return out
}

// commentsOf gathers the comments of a node and all below.
func commentsOf(n *yaml.Node, into []string) []string {
	if n == nil {
		return into
	}
	for _, c := range []string{n.HeadComment, n.LineComment, n.FootComment} {
		if c != "" {
			into = append(into, c)
		}
	}
	for _, c := range n.Content {
		into = commentsOf(c, into)
	}
	return into
}
