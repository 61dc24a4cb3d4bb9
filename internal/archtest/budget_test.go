package archtest

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	fileBudget     = 600 // lines of a file that people write
	functionBudget = 80  // lines of the longest function
	usualBudget    = 40  // nine functions in ten are shorter
)

// each calls f for every Go file that people write, relative to the root of the repository.
func each(t *testing.T, f func(path string, source []byte, file *ast.File, files *token.FileSet)) {
	t.Helper()
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || d.Name() == "testdata" || d.Name() == "tools" || strings.HasPrefix(d.Name(), ".") && path != root) {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_templ.go") {
			return nil
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, path, source, parser.ParseComments)
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		f(rel, source, file, files)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestFilesAndFunctionsStayShort(t *testing.T) {
	functions, long := 0, 0
	each(t, func(path string, source []byte, file *ast.File, files *token.FileSet) {
		if lines := bytes.Count(source, []byte("\n")); lines > fileBudget {
			t.Errorf("%s has %d lines, %d are the end: split it", path, lines, fileBudget)
		}
		if strings.HasSuffix(path, "_test.go") {
			return
		}
		for _, d := range file.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			lines := files.Position(fn.End()).Line - files.Position(fn.Pos()).Line + 1
			functions++
			if lines > usualBudget {
				long++
			}
			if lines > functionBudget {
				t.Errorf("%s: %s has %d lines, %d are the end", path, fn.Name.Name, lines, functionBudget)
			}
		}
	})
	if long*10 > functions {
		t.Errorf("%d of %d functions have more than %d lines", long, functions, usualBudget)
	}
}

// A test that needs what is missing says so by skip.UnlessCI: it must fail where nobody reads what was skipped.
func TestNothingIsSkippedInCI(t *testing.T) {
	server := filepath.Join("internal", "rescue", "bench_test.go") // a process of a benchmark's own, no test
	each(t, func(path string, _ []byte, file *ast.File, files *token.FileSet) {
		if strings.HasPrefix(path, filepath.Join("internal", "skip")) || path == server {
			return
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, s.Sel.Name) {
				t.Errorf("%s: %s skips in CI, too: use skip.UnlessCI", files.Position(s.Pos()), s.Sel.Name)
			}
			return true
		})
	})
}

// Rules that the compiler does not know.
func TestHouseRules(t *testing.T) {
	each(t, func(path string, source []byte, file *ast.File, _ *token.FileSet) {
		if strings.HasSuffix(path, "_test.go") {
			return
		}
		for _, d := range file.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				t.Errorf("%s: init() hides work: do it where it is asked for", path)
			}
		}
		if !strings.Contains(path, "simulator") && bytes.Contains(source, []byte("time.Sleep(")) {
			t.Errorf("%s: time.Sleep waits for nothing in particular: use wait.Until", path)
		}
		if !strings.HasPrefix(path, filepath.Join("internal", "store")) && slices.ContainsFunc([]string{"SELECT ", "INSERT INTO ", "UPDATE ", "DELETE FROM "}, func(s string) bool {
			return bytes.Contains(source, []byte("`"+s)) || bytes.Contains(source, []byte("\""+s))
		}) {
			t.Errorf("%s: SQL belongs into package store", path)
		}
	})
}
