package main

import (
	"fmt"
	"go/ast"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// node is a document, field, list element ("[]") or map value ("*") as a release decodes it.
type node struct {
	name     string
	typ      string   // see leafTypes; object, list and map have children
	values   []string // of an enum: the decoder refuses others
	children []*node
	pointer  bool // a null element is refused by decoders that look for them
	comment
}

// leafTypes are the types with a decoder of their own, by import path (without machinery's) and name, and what they
// take. A type with UnmarshalYAML that is not here stops the generator: somebody must look at what it takes.
var leafTypes = map[string]string{
	"time.Duration":                "duration",
	"time.Time":                    "time",
	"net/netip.Prefix":             "prefix",
	"net/netip.Addr":               "ip",
	"net/netip.AddrPort":           "ipport",
	"os.FileMode":                  "uint32",
	"io/fs.FileMode":               "uint32",
	"/cel.Expression":              "cel",
	"/config/machine.Type":         "text",
	"/config/types/meta.URL":       "url",
	"/config/types/meta.ArgValue":  "args",
	"/config/types/meta.Addr":      "ip",
	"/config/types/meta.Prefix":    "prefix",
	"/config/types/meta.AddrPort":  "ipport",
	"/nethelpers.HardwareAddr":     "mac",
	"/nethelpers.FailOverMAC":      "failover",
	"/nethelpers.AddressFlags":     "text",
	"/nethelpers.LinkFlags":        "text",
	"/nethelpers.RouteFlags":       "text",
	"/config/types/block.ByteSize": "size",

	"/config/types/block.PercentageSize":            "percentage",
	"/config/types/block.Size":                      "size or percentage",
	"/config/types/network.PortRange":               "ports",
	"/config/types/v1alpha1.ArgValue":               "args",
	"/config/types/v1alpha1.Base64Bytes":            "base64",
	"/config/types/v1alpha1.InstallDiskSizeMatcher": "size match",
	"/config/types/v1alpha1.InstallDiskType":        "disk type",
	"/config/types/v1alpha1.Endpoint":               "url",
	"/config/types/v1alpha1.DiskSize":               "disk size",
}

// transparent have a decoder that takes what their underlying type takes.
var transparent = []string{"/config/types/v1alpha1.ClusterInlineManifests"}

// foreign are structs of other modules, with the keys that they decode.
var foreign = map[string][]*node{
	"github.com/siderolabs/crypto/x509.PEMEncodedCertificateAndKey": {{name: "crt", typ: "base64"}, {name: "key", typ: "base64"}},
	"github.com/siderolabs/crypto/x509.PEMEncodedCertificate":       {{name: "crt", typ: "base64"}},
	"github.com/siderolabs/crypto/x509.PEMEncodedKey":               {{name: "key", typ: "base64"}},
}

var basic = map[string]string{
	"string": "string", "bool": "bool", "int": "int64", "int8": "int8", "int16": "int16", "int32": "int32", "int64": "int64",
	"uint": "uint64", "uint8": "uint8", "byte": "uint8", "uint16": "uint16", "uint32": "uint32", "uint64": "uint64",
	"float32": "float", "float64": "float", "any": "any",
}

// resolve gives the tree of a type expression.
func (s *source) resolve(p *pkg, f *ast.File, e ast.Expr) (*node, error) {
	switch e := e.(type) {
	case *ast.StarExpr:
		n, err := s.resolve(p, f, e.X)
		if n != nil {
			n.pointer = true
		}
		return n, err
	case *ast.Ident:
		if decl := p.types[e.Name]; decl != nil {
			return s.named(decl)
		}
		if typ := basic[e.Name]; typ != "" {
			return &node{typ: typ}, nil
		}
		return nil, fmt.Errorf("unknown type %s", e.Name)
	case *ast.SelectorExpr:
		return s.imported(f, e)
	case *ast.ArrayType:
		return s.list(p, f, e)
	case *ast.MapType:
		elem, err := s.resolve(p, f, e.Value)
		if err != nil {
			return nil, err
		}
		elem.name = "*"
		return &node{typ: "map", children: []*node{elem}}, nil
	case *ast.StructType:
		if inner := promoted(e); inner != nil {
			return s.resolve(p, f, inner)
		}
		fields, err := s.fields(p, f, e)
		if len(fields) == 1 && fields[0].name == "*" { // of an inlined map: any key is a key of that map
			return &node{typ: "map", children: fields}, err
		}
		return &node{typ: "object", children: fields}, err
	case *ast.InterfaceType:
		return &node{typ: "any"}, nil
	}
	return nil, fmt.Errorf("cannot read type %T", e)
}

// promoted is the type that a struct like `struct{ netip.Prefix }` decodes as, by the methods it takes over.
func promoted(e *ast.StructType) ast.Expr {
	if len(e.Fields.List) == 1 && len(e.Fields.List[0].Names) == 0 && e.Fields.List[0].Tag == nil {
		return e.Fields.List[0].Type
	}
	return nil
}

func (s *source) list(p *pkg, f *ast.File, e *ast.ArrayType) (*node, error) {
	elem, err := s.resolve(p, f, e.Elt)
	if err != nil {
		return nil, err
	}
	elem.name = "[]"
	return &node{typ: "list", children: []*node{elem}}, nil
}

func (s *source) imported(f *ast.File, e *ast.SelectorExpr) (*node, error) {
	x, ok := e.X.(*ast.Ident)
	if !ok {
		return nil, fmt.Errorf("cannot read selector %T", e.X)
	}
	path := importOf(f, x.Name)
	full := path + "." + e.Sel.Name
	if fields, ok := foreign[full]; ok {
		return &node{typ: "object", children: clone(fields)}, nil
	}
	if typ := leafTypes[full]; typ != "" {
		return &node{typ: typ}, nil
	}
	p, err := s.load(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", full, err)
	}
	decl := p.types[e.Sel.Name]
	if decl == nil {
		return nil, fmt.Errorf("no type %s", full)
	}
	return s.named(decl)
}

// named gives the tree of a declared type of machinery.
func (s *source) named(decl *typeDecl) (*node, error) {
	short := strings.TrimPrefix(decl.pkg.path, machinery) + "." + decl.name
	n := &node{}
	typ, leaf := leafTypes[short]
	switch {
	case leaf:
		n.typ = typ
	case decl.pkg.methods[decl.name+".UnmarshalYAML"] && !slices.Contains(transparent, short):
		return nil, fmt.Errorf("%s decodes itself: say in leafTypes what it takes", short)
	case decl.pkg.methods[decl.name+".UnmarshalText"]:
		n.typ, n.values = "enum", decl.pkg.enum(decl.name)
		if n.values == nil {
			return nil, fmt.Errorf("%s decodes itself from text: say in leafTypes what it takes", short)
		}
	default:
		var err error
		if n, err = s.resolve(decl.pkg, decl.file, decl.expr); err != nil {
			return nil, fmt.Errorf("%s: %w", short, err)
		}
		n.pointer = false
	}
	if n.deprecated == "" {
		n.deprecated = decl.doc.deprecated
	}
	return n, nil
}

// fields lists the keys of a struct, those of inlined structs among them, as the YAML decoder sees them.
func (s *source) fields(p *pkg, f *ast.File, st *ast.StructType) ([]*node, error) {
	var out []*node
	for _, field := range st.Fields.List {
		key, inline, skip := yamlKey(field)
		if skip {
			continue
		}
		n, err := s.resolve(p, f, field.Type)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		if inline {
			out = append(out, n.children...)
			continue
		}
		doc := parseComment(field.Doc)
		if doc.deprecated == "" {
			doc.deprecated = n.deprecated
		}
		n.name, n.comment = key, doc
		out = append(out, n)
	}
	return out, nil
}

// yamlKey says what a field is called in YAML.
func yamlKey(field *ast.Field) (key string, inline, skip bool) {
	name := ""
	if len(field.Names) > 0 {
		name = field.Names[0].Name
	}
	tag := ""
	if field.Tag != nil {
		raw, _ := strconv.Unquote(field.Tag.Value)
		tag = reflect.StructTag(raw).Get("yaml")
	}
	key, options, _ := strings.Cut(tag, ",")
	switch {
	case tag == "-":
		return "", false, true
	case slices.Contains(strings.Split(options, ","), "inline"):
		return "", true, false
	case key != "":
		return key, false, false
	case name == "" || !ast.IsExported(name):
		return "", false, true
	}
	return strings.ToLower(name), false, false
}

func clone(nodes []*node) []*node {
	out := make([]*node, len(nodes))
	for i, n := range nodes {
		c := *n
		c.children = clone(n.children)
		out[i] = &c
	}
	return out
}
