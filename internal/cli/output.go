package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"go.yaml.in/yaml/v4"

	"github.com/talos-manager/talos-manager/client"
)

// show prints an answer: as JSON or YAML, or by the function that prints it for people.
func (p *program) show(v any, people func(t *table)) error {
	switch p.output {
	case "json":
		return printJSON(p.out, v)
	case "yaml":
		return printYAML(p.out, v)
	}
	t := &table{w: tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0), now: p.now()}
	people(t)
	return t.w.Flush()
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// printYAML prints the same fields in the same order as printJSON: JSON is YAML, only written another way.
func printYAML(w io.Writer, v any) error {
	var text bytes.Buffer
	if err := printJSON(&text, v); err != nil {
		return err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text.Bytes(), &doc); err != nil {
		return err
	}
	plain(&doc)
	enc := yaml.NewEncoder(w)
	enc.SetIndent(2)
	if err := enc.Encode(&doc); err != nil {
		return err
	}
	return enc.Close()
}

// plain takes the quotes and braces of JSON away.
func plain(n *yaml.Node) {
	n.Style = 0
	if n.Kind == yaml.ScalarNode && strings.Contains(n.Value, "\n") {
		n.Style = yaml.LiteralStyle
	}
	for _, c := range n.Content {
		plain(c)
	}
}

// table is rows of aligned columns.
type table struct {
	w   *tabwriter.Writer
	now time.Time
}

// printable takes away what a terminal would obey instead of show: texts come from machines and from others.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case r != '\n' && unicode.IsControl(r):
			return '?'
		}
		return r
	}, s)
}

// row prints a line; what is empty shows as a dash. A line break in a cell would break the table.
func (t *table) row(cells ...string) {
	for i, c := range cells {
		if c == "" {
			c = "-"
		}
		cells[i] = strings.ReplaceAll(printable(c), "\n", " ")
	}
	fmt.Fprintln(t.w, strings.Join(cells, "\t"))
}

// field prints one line of a description; an empty one is left out.
func (t *table) field(name, value string) {
	if value != "" {
		fmt.Fprintf(t.w, "%s:\t%s\n", name, printable(value))
	}
}

// block prints lines below a title, indented.
func (t *table) block(title, text string) {
	if text = strings.TrimRight(printable(text), "\n"); text != "" {
		fmt.Fprintf(t.w, "%s:\n  %s\n", title, strings.ReplaceAll(text, "\n", "\n  "))
	}
}

// age says how long ago something was.
func (t *table) age(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return short(t.now.Sub(at))
}

// ago is age in a sentence.
func (t *table) ago(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return fmt.Sprintf("%s ago (%s)", t.age(at), at.Local().Format(time.DateTime))
}

// short writes a duration as kubectl does: two units at most, none that does not matter.
func short(d time.Duration) string {
	d = max(d, 0).Truncate(time.Second)
	switch days := int(d.Hours()) / 24; {
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 10*time.Minute:
		return strings.TrimSuffix(d.String(), "0s")
	case d < 3*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	default:
		return fmt.Sprintf("%dd", days)
	}
}

// size writes a number of bytes as disks and memory are sold.
func size(n int64) string {
	units := []string{"B", "kB", "MB", "GB", "TB"}
	f, i := float64(n), 0
	for f >= 1000 && i < len(units)-1 {
		f, i = f/1000, i+1
	}
	if f >= 100 || i == 0 {
		return fmt.Sprintf("%.0f %s", f, units[i])
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", f), ".0") + " " + units[i]
}

// name of a record that may not be there.
func name(r *client.Ref) string {
	switch {
	case r == nil:
		return ""
	case r.Name == "":
		return r.ID
	}
	return r.Name
}

// none says on stderr that a table is empty.
func (p *program) none(n int, what, hint string) {
	if n > 0 || p.output != "table" {
		return
	}
	fmt.Fprintf(p.err, "no %s\n", what)
	if hint != "" {
		fmt.Fprintf(p.err, "hint: %s\n", hint)
	}
}

// done says on stderr what happened; scripts look at the exit code.
func (p *program) done(format string, args ...any) { fmt.Fprintf(p.err, format+"\n", args...) }

func yes(b bool) string {
	if b {
		return "yes"
	}
	return ""
}
