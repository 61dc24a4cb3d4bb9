package machineconfig

import (
	"strings"

	"go.yaml.in/yaml/v4"
)

// Redacted is the config without its secrets, for people, and who set each line of it.
func (e Explained) Redacted() (text []byte, lines []string, err error) {
	before, err := parseText(e.YAML)
	if err != nil {
		return nil, nil, err
	}
	if text, err = Redact(e.YAML); err != nil {
		return nil, nil, err
	}
	after, err := parseText(text)
	if err != nil {
		return nil, nil, err
	}
	by := map[string]string{}
	for _, d := range before {
		eachLine(d, func(at string, line int) {
			if line >= 1 && line <= len(e.Lines) {
				by[at] = e.Lines[line-1]
			}
		})
	}
	lines = make([]string, strings.Count(string(text), "\n"))
	set := make([]bool, len(lines))
	for _, d := range after {
		eachLine(d, func(at string, line int) {
			if line >= 1 && line <= len(lines) && !set[line-1] {
				lines[line-1], set[line-1] = by[at], true
			}
		})
	}
	for i := 1; i < len(lines); i++ { // the rest of a text of several lines
		if !set[i] {
			lines[i] = lines[i-1]
		}
	}
	return text, lines, nil
}

// eachLine visits the lines on which keys and values of a document begin, each with its place in the config.
func eachLine(d *parsed, visit func(at string, line int)) {
	of := d.kind + "\x00" + d.name + "\x00"
	visit(of, d.line-1) // its ---
	(&tracer{}).values(d, "", d.root, func(path string, key, value *yaml.Node) {
		if key != nil {
			visit(of+path, key.Line)
			return
		}
		visit(of+path, value.Line)
	})
}
