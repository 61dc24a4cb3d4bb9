package machineconfig

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/config/configpatcher"
	"go.yaml.in/yaml/v4"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// A JSON patch (RFC 6902) reaches the document with machine: and cluster: and nothing else: the library refuses one
// for a config of several documents, which since Talos 1.12 is every config, though the paths of the guides are all
// in that document. For a config of one document it is the same as the library's.

// operation is one of a JSON patch.
type operation struct {
	node  *yaml.Node
	op    string
	path  string
	from  string
	patch configpatcher.Patch // this operation alone, for the library
}

// operations reads a JSON patch.
func operations(list *yaml.Node) ([]operation, error) {
	ops := make([]operation, 0, len(list.Content))
	for _, n := range list.Content {
		o, err := operationOf(n)
		if err != nil {
			return nil, err
		}
		ops = append(ops, o)
	}
	return ops, nil
}

func operationOf(n *yaml.Node) (operation, error) {
	o := operation{node: n, op: scalarAt(n, "op"), path: scalarAt(n, "path"), from: scalarAt(n, "from")}
	if n.Kind != yaml.MappingNode {
		return o, at(n, "", "an operation of a JSON patch is a map").WithHint("write {op: add, path: /machine/…, value: …}")
	}
	if err := o.check(); err != nil {
		return o, err
	}
	var fields map[string]any
	if err := n.Decode(&fields); err != nil {
		return o, at(n, o.path, "a JSON patch holds what JSON can: no key twice, no keys but text")
	}
	text, err := json.Marshal([]any{fields})
	if err != nil {
		return o, at(n, o.path, "a JSON patch holds what JSON can: %v", err)
	}
	o.patch, err = configpatcher.LoadPatch(text)
	if err != nil {
		return o, at(n, o.path, "%v", err)
	}
	return o, nil
}

// check refuses what RFC 6902 does.
func (o *operation) check() error {
	value := valueAt(o.node, "value") != nil
	switch {
	case !slices.Contains([]string{"add", "remove", "replace", "move", "copy", "test"}, o.op):
		return at(o.node, "", "a JSON patch has no operation %q", o.op).WithHint("op is add, replace, remove, move, copy or test")
	case valueAt(o.node, "path") == nil:
		return at(o.node, "", "operation %s without a path", o.op).WithHint("write path: /machine/…")
	case !value && slices.Contains([]string{"add", "replace", "test"}, o.op):
		return at(o.node, o.path, "operation %s without a value", o.op).WithHint("write value: beside it, or op: remove")
	}
	for _, p := range o.paths() {
		if root, _, _ := strings.Cut(strings.TrimPrefix(p, "/"), "/"); !strings.HasPrefix(p, "/") || !slices.Contains(v1alpha1Keys(), root) {
			return at(o.node, p, "a JSON patch reaches only /%s", strings.Join(v1alpha1Keys(), ", /")).
				WithHint("for other documents, such as HostnameConfig, write a strategic merge patch: a map with apiVersion, kind and what is to change")
		}
	}
	return nil
}

func (o *operation) paths() []string {
	if o.op == "move" || o.op == "copy" {
		return []string{o.path, o.from}
	}
	return []string{o.path}
}

// v1alpha1Keys are the keys of the document that has no kind.
func v1alpha1Keys() []string { return []string{"machine", "cluster", "version", "debug", "persist"} }

// applyOperations changes the v1alpha1 document, by one operation after the other.
func (d *documents) applyOperations(ops []operation) error {
	i := d.v1alpha1()
	if i < 0 {
		return fleet.Errorf(fleet.Invalid, "the config has no machine: and cluster:, which is all that a JSON patch can change")
	}
	text, err := encodeDocument(d.list[i].Document) // it may change after it: nothing to remember
	if err != nil {
		return err
	}
	for _, o := range ops {
		out, err := configpatcher.Apply(configpatcher.WithBytes(text), []configpatcher.Patch{o.patch})
		if err != nil {
			return o.explain(text, err)
		}
		if text, err = out.Bytes(); err != nil {
			return o.explain(text, err)
		}
	}
	out, err := configpatcher.WithBytes(text).Config()
	if err != nil {
		return explainResult(ops, err)
	}
	if c := out.RawV1Alpha1(); c != nil {
		d.list[i] = document{Document: c}
		return nil
	}
	return fleet.Errorf(fleet.Invalid, "the JSON patch leaves nothing of machine: and cluster:")
}

// explain says why an operation cannot be done.
func (o *operation) explain(text []byte, cause error) error {
	var config any
	if err := yaml.Unmarshal(text, &config); err != nil {
		return err
	}
	if o.op == "test" {
		return at(o.node, o.path, "the config does not have the value this operation tests for").WithHint("test what the config has, or leave the operation out")
	}
	for _, p := range o.paths()[:] {
		needed := p
		if (o.op == "add" || o.op == "move" || o.op == "copy") && p == o.path {
			needed = p[:strings.LastIndexByte(p, '/')] // its parent must be there
		}
		have := existing(config, needed)
		if have == needed {
			continue
		}
		missing := needed[:len(have)+1+strings.IndexByte(needed[len(have)+1:]+"/", '/')]
		e := at(o.node, p, "%s does not exist in this config, which operation %s needs", missing, o.op)
		if o.op == "add" {
			return e.WithHint("add it first, {op: add, path: %s, value: {}}, or write a strategic merge patch, which makes what is missing: %s", missing, asMerge(p))
		}
		return e.WithHint("%s", map[string]string{
			"replace": "use op: add, or a strategic merge patch: " + asMerge(p),
			"remove":  "leave the operation out: there is nothing to remove",
		}[o.op])
	}
	return at(o.node, o.path, "operation %s cannot be done here", o.op).
		WithHint("a list takes an index that it has, or /- for its end; only maps have names")
}

// existing is the longest part of a path that a config has.
func existing(config any, path string) string {
	have := ""
	for part := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		if path == "" {
			return ""
		}
		key := strings.NewReplacer("~1", "/", "~0", "~").Replace(part)
		switch c := config.(type) {
		case map[string]any:
			next, ok := c[key]
			if !ok {
				return have
			}
			config = next
		case []any:
			var index int
			if _, err := fmt.Sscanf(key, "%d", &index); err != nil || index < 0 || index >= len(c) {
				return have
			}
			config = c[index]
		default:
			return have
		}
		have += "/" + part
	}
	return have
}

// asMerge is a path as the keys of a strategic merge patch.
func asMerge(path string) string {
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	out := parts[len(parts)-1] + ": …"
	for i := len(parts) - 2; i >= 0; i-- {
		out = parts[i] + ": {" + out + "}"
	}
	return out
}

// explainResult names the operation that made the config one the library cannot read.
func explainResult(ops []operation, cause error) error {
	unknown := unknownKeys(cause)
	for _, o := range ops {
		path := dotted(strings.Split(strings.TrimPrefix(o.path, "/"), "/"))
		for _, key := range unknown {
			if strings.HasPrefix(key, path) {
				return at(o.node, key, "no such field").WithHint("%s", noAdvice)
			}
		}
	}
	if len(ops) == 1 || len(unknown) == 0 {
		return at(ops[len(ops)-1].node, ops[len(ops)-1].path, "the result is no machine config: %s", withoutValues(cause.Error()))
	}
	return at(ops[0].node, unknown[0], "no such field")
}
