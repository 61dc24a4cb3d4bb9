package rescuehost

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// The interpreter (mvdan.cc/sh) runs background jobs as goroutines without process ids and knows file descriptors
// 0 to 2 only. A script is therefore rewritten before it runs, with commands that the shell of this package knows:
//
//	X &               { __fork 0 'X'; { __child; if ( X ); then __done 0; else __done $?; fi; } </dev/null & }
//	$!  $$  $PPID     $__bang  $__pid  $__ppid
//	exec 9>file       __open 9 w file
//	X 9>file          if __open 9 w file && ( X ); then __close 9 0; else __close 9 $?; fi
//	X >&9             X >>/dev/fd/9
//	! X | Y           ! X | Y && true       (else the interpreter's errexit sees Y fail)

// specials are parameters that would tell of the real process.
func specialName(name string) string {
	switch name {
	case "!":
		return "__bang"
	case "$", "BASHPID":
		return "__pid"
	case "PPID":
		return "__ppid"
	}
	return name
}

var shortFD = regexp.MustCompile(`^[3-9]$|^[1-9][0-9]$`)

// rewrite changes a script in place and gives the names of the functions it declares.
func rewrite(f *syntax.File) []string {
	var functions []string
	var background, redirected []*syntax.Stmt
	syntax.Walk(f, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.FuncDecl:
			if n.Name != nil {
				functions = append(functions, n.Name.Value)
			}
		case *syntax.ParamExp:
			if n.Param != nil && !n.Excl {
				n.Param.Value = specialName(n.Param.Value)
			}
		case *syntax.Stmt:
			for _, r := range n.Redirs {
				useFD(r)
			}
			shield(n)
			if slices.ContainsFunc(n.Redirs, func(r *syntax.Redirect) bool { return r.N != nil && shortFD.MatchString(r.N.Value) }) {
				redirected = append(redirected, n)
			}
			if n.Background {
				background = append(background, n)
			}
		}
		return true
	})
	for _, st := range redirected {
		openFDs(st)
	}
	for _, st := range background {
		fork(st, functions)
	}
	return functions
}

// shield keeps errexit from what stands behind "!".
func shield(st *syntax.Stmt) {
	if _, simple := st.Cmd.(*syntax.CallExpr); !st.Negated || simple || st.Cmd == nil {
		return
	}
	if b, ok := st.Cmd.(*syntax.BinaryCmd); ok && b.Op == syntax.AndStmt {
		return
	}
	st.Cmd = &syntax.BinaryCmd{Op: syntax.AndStmt, X: &syntax.Stmt{Cmd: st.Cmd}, Y: template("true")}
}

// useFD turns >&9 and <&9 into files.
func useFD(r *syntax.Redirect) {
	if r.Word == nil || !shortFD.MatchString(r.Word.Lit()) || r.N != nil && shortFD.MatchString(r.N.Value) {
		return
	}
	switch r.Op {
	case syntax.DplOut:
		r.Op, r.Word = syntax.AppOut, literal("/dev/fd/"+r.Word.Lit())
	case syntax.DplIn:
		r.Op, r.Word = syntax.RdrIn, literal("/dev/fd/"+r.Word.Lit())
	}
}

// openFDs takes the redirections of high descriptors off a statement.
func openFDs(st *syntax.Stmt) {
	var opens []*syntax.Stmt
	var numbers []string
	var rest []*syntax.Redirect
	for _, r := range st.Redirs {
		if r.N == nil || !shortFD.MatchString(r.N.Value) {
			rest = append(rest, r)
			continue
		}
		numbers = append(numbers, r.N.Value)
		opens = append(opens, openFD(r))
	}
	st.Redirs = rest
	call, _ := st.Cmd.(*syntax.CallExpr)
	if call != nil && len(call.Args) == 1 && call.Args[0].Lit() == "exec" || st.Cmd == nil {
		if len(rest) > 0 && st.Cmd != nil {
			opens = append(opens, &syntax.Stmt{Cmd: st.Cmd, Redirs: rest})
			st.Redirs = nil
		}
		st.Cmd = &syntax.Block{Stmts: opens}
		return
	}
	inner := &syntax.Stmt{Cmd: &syntax.Subshell{Stmts: []*syntax.Stmt{{Cmd: st.Cmd, Negated: st.Negated, Redirs: rest}}}}
	if sub, ok := st.Cmd.(*syntax.Subshell); ok && !st.Negated && len(rest) == 0 {
		inner = &syntax.Stmt{Cmd: sub}
	}
	cond := inner
	for _, o := range slices.Backward(opens) {
		cond = &syntax.Stmt{Cmd: &syntax.BinaryCmd{Op: syntax.AndStmt, X: o, Y: cond}}
	}
	last := numbers[len(numbers)-1]
	for _, n := range numbers[:len(numbers)-1] {
		last += "," + n
	}
	clause := template("if :; then __close %[1]s 0; else __close %[1]s $?; fi", last)
	clause.Cmd.(*syntax.IfClause).Cond = []*syntax.Stmt{cond}
	st.Cmd, st.Negated, st.Redirs = clause.Cmd, false, nil
}

// openFD is the command that opens a descriptor: __open NUMBER MODE [FILE].
func openFD(r *syntax.Redirect) *syntax.Stmt {
	mode := map[syntax.RedirOperator]string{
		syntax.RdrOut: "w", syntax.AppOut: "a", syntax.RdrIn: "r", syntax.RdrInOut: "u",
		syntax.DplOut: "dup", syntax.DplIn: "dup",
	}[r.Op]
	return &syntax.Stmt{Cmd: &syntax.CallExpr{Args: []*syntax.Word{literal("__open"), literal(r.N.Value), literal(mode), r.Word}}}
}

// fork turns a background statement into one with a process id.
func fork(st *syntax.Stmt, functions []string) {
	inPlace := "0"
	if call, ok := st.Cmd.(*syntax.CallExpr); ok && !st.Negated && len(call.Args) > 0 {
		if name := call.Args[0].Lit(); name != "" && !slices.Contains(functions, name) && !isBuiltin(name) {
			inPlace = "1"
		}
	}
	block := template("{ __fork %s X; { __child; if (:); then __done 0; else __done $?; fi; } </dev/null & }", inPlace)
	stmts := block.Cmd.(*syntax.Block).Stmts
	stmts[0].Cmd.(*syntax.CallExpr).Args[2] = quoted(printed(&syntax.Stmt{Cmd: st.Cmd}))
	stmts[1].Redirs = append(stmts[1].Redirs, st.Redirs...)
	clause := stmts[1].Cmd.(*syntax.Block).Stmts[1].Cmd.(*syntax.IfClause)
	clause.Cond[0].Cmd.(*syntax.Subshell).Stmts = []*syntax.Stmt{{Cmd: st.Cmd, Negated: st.Negated}}
	st.Cmd, st.Background, st.Negated, st.Redirs = block.Cmd, false, false, nil
}

// template parses one statement of ours.
func template(format string, args ...any) *syntax.Stmt {
	f, err := syntax.NewParser().Parse(strings.NewReader(fmt.Sprintf(format, args...)), "")
	if err != nil {
		panic(err) // a mistake in this file
	}
	return f.Stmts[0]
}

func literal(s string) *syntax.Word {
	return &syntax.Word{Parts: []syntax.WordPart{&syntax.Lit{Value: s}}}
}

func quoted(s string) *syntax.Word {
	return &syntax.Word{Parts: []syntax.WordPart{&syntax.SglQuoted{Value: strings.ReplaceAll(s, "'", "")}}}
}

// printed gives the text of a node, at most a line of it.
func printed(n syntax.Node) string {
	var b strings.Builder
	_ = syntax.NewPrinter(syntax.SingleLine(true)).Print(&b, n)
	text, _, _ := strings.Cut(b.String(), "\n")
	return text
}

// rewriteText rewrites the text of an eval, a sourced file or a trap; text that does not parse is left for the
// interpreter to complain about.
func rewriteText(text string) string {
	f, err := syntax.NewParser().Parse(strings.NewReader(text), "")
	if err != nil {
		return text
	}
	rewrite(f)
	var b strings.Builder
	if err := syntax.NewPrinter().Print(&b, f); err != nil {
		return text
	}
	return b.String()
}
