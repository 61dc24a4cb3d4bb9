package rescuehost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/term"
	"mvdan.cc/sh/v3/syntax"
)

// runStream runs statements as they arrive, as a shell does whose input is no terminal.
func (h *Host) runStream(s *shellRun) int {
	input := s.stdin
	s.stdin = strings.NewReader("")
	runner, err := h.runner(s)
	if err != nil {
		return 1
	}
	ctx := context.WithValue(h.ctx, runKey{}, s)
	status := 0
	for stmt, err := range syntax.NewParser().StmtsSeq(input) {
		if err != nil {
			fmt.Fprintf(s.stderr, "bash: %v\n", err)
			return 2
		}
		s.learn(rewrite(&syntax.File{Stmts: []*syntax.Stmt{stmt}}))
		if status = s.status(runner.Run(ctx, stmt)); runner.Exited() {
			return status
		}
	}
	return status
}

// interact is a login shell on a terminal: message of the day, prompt, line editing.
func (h *Host) interact(s *shellRun, se *session) int {
	t := term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{s.stdin, se.out}, "root@"+h.name+" ~ # ")
	if motd, err := h.tree.readFile("/etc/motd"); err == nil {
		fmt.Fprintf(t, "%s\n", motd)
	}
	s.stdin, s.stdout, s.stderr = strings.NewReader(""), t, t
	runner, err := h.runner(s)
	if err != nil {
		return 1
	}
	ctx := context.WithValue(h.ctx, runKey{}, s)
	text := ""
	for {
		line, err := t.ReadLine()
		if err != nil {
			return 0
		}
		text += line + "\n"
		f, err := syntax.NewParser().Parse(strings.NewReader(text), "bash")
		if err != nil && syntax.IsIncomplete(err) {
			t.SetPrompt("> ")
			continue
		}
		text = ""
		if err != nil {
			fmt.Fprintf(t, "bash: %v\n", err)
			continue
		}
		s.learn(rewrite(f))
		for _, stmt := range f.Stmts {
			status := s.status(runner.Run(ctx, stmt))
			if runner.Exited() || errors.Is(h.ctx.Err(), context.Canceled) {
				return status
			}
		}
		t.SetPrompt("root@" + h.name + " " + strings.Replace(runner.Dir, "/root", "~", 1) + " # ")
	}
}
