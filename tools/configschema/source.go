package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const machinery = "github.com/siderolabs/talos/pkg/machinery"

// source is pkg/machinery of one release, parsed as far as it is asked for.
type source struct {
	dir      string
	packages map[string]*pkg
}

// pkg is one package: its types with their comments, string constants, and who has which method.
type pkg struct {
	path    string
	types   map[string]*typeDecl
	strings map[string]string
	values  map[string]ast.Expr // of constants and package variables
	methods map[string]bool     // "Size.UnmarshalText"
	files   []*ast.File
}

type typeDecl struct {
	name string
	expr ast.Expr
	doc  comment
	file *ast.File
	pkg  *pkg
}

func (s *source) load(importPath string) (*pkg, error) {
	if p := s.packages[importPath]; p != nil {
		return p, nil
	}
	rel, ok := strings.CutPrefix(importPath, machinery)
	if !ok {
		return nil, fmt.Errorf("%s is not part of machinery", importPath)
	}
	dir := filepath.Join(s.dir, rel)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	p := &pkg{path: importPath, types: map[string]*typeDecl{}, strings: map[string]string{}, values: map[string]ast.Expr{}, methods: map[string]bool{}}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, e.Name()), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		p.files = append(p.files, f)
		p.declare(f)
	}
	s.packages[importPath] = p
	return p, nil
}

func (p *pkg) declare(f *ast.File) {
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv != nil && len(d.Recv.List) == 1 {
				p.methods[receiver(d.Recv.List[0].Type)+"."+d.Name.Name] = true
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				p.declareSpec(f, d, spec)
			}
		}
	}
}

func (p *pkg) declareSpec(f *ast.File, d *ast.GenDecl, spec ast.Spec) {
	switch spec := spec.(type) {
	case *ast.TypeSpec:
		doc := spec.Doc
		if doc == nil {
			doc = d.Doc
		}
		p.types[spec.Name.Name] = &typeDecl{spec.Name.Name, spec.Type, parseComment(doc), f, p}
	case *ast.ValueSpec:
		for i, name := range spec.Names {
			if i >= len(spec.Values) {
				continue
			}
			if lit, ok := spec.Values[i].(*ast.BasicLit); ok && lit.Kind == token.STRING {
				p.strings[name.Name], _ = strconv.Unquote(lit.Value)
			}
			p.values[name.Name] = spec.Values[i]
		}
	}
}

func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	case *ast.IndexExpr:
		return receiver(e.X)
	}
	return ""
}

// enum lists the names of a type made by enumer, from `var _XNameToValueMap = map[string]X{_XName[0:3]: XAny, ...}`.
func (p *pkg) enum(typ string) []string {
	table, ok := p.values["_"+typ+"NameToValueMap"].(*ast.CompositeLit)
	if !ok {
		return nil
	}
	var names []string
	for _, e := range table.Elts {
		name, ok := p.cut(e.(*ast.KeyValueExpr).Key)
		if !ok {
			return nil
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	// the lower case form of a name is only another way to write it
	return slices.DeleteFunc(names, func(name string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return n != name && strings.ToLower(n) == name })
	})
}

// cut evaluates _XName[0:3].
func (p *pkg) cut(e ast.Expr) (string, bool) {
	s, ok := e.(*ast.SliceExpr)
	if !ok {
		return "", false
	}
	whole, ok := s.X.(*ast.Ident) // _XName, or _XName_0 and so on where the values have gaps
	if !ok {
		return "", false
	}
	all := p.strings[whole.Name]
	low, err1 := strconv.Atoi(s.Low.(*ast.BasicLit).Value)
	high, err2 := strconv.Atoi(s.High.(*ast.BasicLit).Value)
	if err1 != nil || err2 != nil || high > len(all) {
		return "", false
	}
	return all[low:high], true
}

// importOf resolves the name of a package in a file.
func importOf(f *ast.File, name string) string {
	for _, imp := range f.Imports {
		p, _ := strconv.Unquote(imp.Path.Value)
		base := path.Base(p)
		if base == "specs-go" {
			base = "specs"
		}
		if imp.Name != nil {
			base = imp.Name.Name
		}
		if base == name {
			return p
		}
	}
	return ""
}

// readRelease gives the documents that a release registers, one tree each.
func readRelease(dir string) ([]*node, error) {
	s := &source{dir: dir, packages: map[string]*pkg{}}
	var roots []*node
	base := filepath.Join(dir, "config/types")
	err := filepath.WalkDir(base, func(name string, d os.DirEntry, err error) error {
		if err != nil || !d.IsDir() || d.Name() == "testdata" {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		p, err := s.load(machinery + "/" + filepath.ToSlash(rel))
		if err != nil {
			return err
		}
		found, err := s.documents(p)
		roots = append(roots, found...)
		return err
	})
	slices.SortFunc(roots, func(a, b *node) int { return strings.Compare(a.name, b.name) })
	return roots, err
}

// documents finds registry.Register(KIND, func(version string) ... &TYPE{}) in a package.
func (s *source) documents(p *pkg) ([]*node, error) {
	var roots []*node
	var failed error
	for _, f := range p.files {
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || !isRegister(call) || len(call.Args) != 2 || failed != nil {
				return true
			}
			root, err := s.document(p, f, call)
			if err != nil {
				failed = fmt.Errorf("%s: %w", p.path, err)
				return false
			}
			roots = append(roots, root)
			return false
		})
	}
	return roots, failed
}

func isRegister(call *ast.CallExpr) bool {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || sel.Sel.Name != "Register" {
		return false
	}
	x, ok := sel.X.(*ast.Ident)
	return ok && x.Name == "registry"
}

func (s *source) document(p *pkg, f *ast.File, call *ast.CallExpr) (*node, error) {
	var kind string
	switch arg := call.Args[0].(type) {
	case *ast.BasicLit:
		kind, _ = strconv.Unquote(arg.Value)
	case *ast.Ident:
		kind = p.strings[arg.Name]
	}
	var typ, version string
	ast.Inspect(call.Args[1], func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CaseClause:
			if len(n.List) == 1 {
				version = literal(n.List[0])
			}
		case *ast.CompositeLit:
			if id, ok := n.Type.(*ast.Ident); ok {
				typ = id.Name
			}
		}
		return true
	})
	decl := p.types[typ]
	if kind == "" || decl == nil {
		return nil, fmt.Errorf("cannot read what registers %q as %q", kind, typ)
	}
	if kind != "v1alpha1" && version != "v1alpha1" {
		return nil, fmt.Errorf("%s has the apiVersion %q", kind, version)
	}
	root, err := s.named(decl)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	root.name, root.comment = kind, decl.doc
	return root, nil
}

func literal(e ast.Expr) string {
	if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
		s, _ := strconv.Unquote(lit.Value)
		return s
	}
	return ""
}
