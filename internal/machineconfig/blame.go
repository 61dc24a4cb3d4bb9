package machineconfig

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/config/configloader"
	"go.yaml.in/yaml/v4"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// When a config is refused, the patch and the line behind it are found by trying: the first patch with which the
// problem appears, and in it the smallest part without which it does not.

const noAdvice = "compare the patch with the reference of this Talos version"

// refused explains why a step could not be applied.
func (k *making) refused(i int, cause error) error {
	s := k.steps[i]
	if s.user == nil {
		return k.error(s.name, cause)
	}
	if _, explained := errors.AsType[*fleet.Error](cause); explained {
		return k.error(s.name, cause)
	}
	f, err := s.user.filled()
	if err != nil {
		return k.error(s.name, err)
	}
	before, _, err := k.upTo(i, nil)
	if err != nil {
		return k.error(s.name, cause)
	}
	node, path := f.narrow(func(part *filled) bool {
		d := &documents{list: slices.Clone(before.list), memory: before.memory}
		for j := range d.list {
			d.list[j].shared = &encoded{document: d.list[j].Document} // so that it is copied before it is changed
		}
		return part.apply(d) == nil
	})
	why := tidy(cause.Error())
	if errors.Is(cause, configloader.ErrLookupFailed) {
		why = "there is nothing of this name to delete"
	}
	e := at(node, path, "%s", why)
	return k.error(s.name, e.WithHint("%s", cmp.Or(adviceFor(cause.Error(), k.contract), lastAdvice(cause.Error()))))
}

// invalid explains why a finished config is refused.
func (k *making) invalid(problems []string) error {
	const most = 4
	var text []string
	hint := ""
	for _, p := range problems[:min(most, len(problems))] {
		what, advice := k.blame(p)
		text, hint = append(text, what), cmp.Or(hint, advice)
	}
	if n := len(problems) - most; n > 0 {
		text = append(text, fmt.Sprintf("and %d more", n))
	}
	return k.error("", fleet.Errorf(fleet.Invalid, "%s", strings.Join(text, "; ")).WithHint("%s", hint))
}

// blame names the patch, line and field behind a problem, and says what to write instead.
func (k *making) blame(problem string) (text, advice string) {
	for n := k.own; n <= k.users(); n++ {
		_, problems, err := k.upTo(n, nil)
		if err != nil || !slices.Contains(problems, problem) {
			continue
		}
		if n == k.own {
			break
		}
		s := k.steps[n-1]
		f, err := s.user.filled()
		if err != nil {
			break
		}
		node, path := f.narrow(func(part *filled) bool {
			_, left, err := k.upTo(n, part)
			return err == nil && !slices.Contains(left, problem) && !slices.ContainsFunc(left, func(p string) bool { return !slices.Contains(problems, p) })
		})
		advice := cmp.Or(adviceFor(problem, k.contract), k.lintAdvice(s.user.Text, node.Line), lastAdvice(problem))
		if strings.HasPrefix(problem, path) || strings.HasPrefix(problem, "."+path) {
			path = "" // it is said already
		}
		return s.name + ": " + at(node, path, "%s", problem).Error(), advice
	}
	return fmt.Sprintf("machine config for Talos %s: %s", k.in.TalosVersion, problem), cmp.Or(adviceFor(problem, k.contract), lastAdvice(problem))
}

// users is the number of steps up to the user's last patch.
func (k *making) users() int {
	n := len(k.steps)
	for n > k.own && k.steps[n-1].user == nil {
		n--
	}
	return n
}

// upTo makes the config with the first n steps, the last of them replaced by part where there is one, and what makes
// way for them.
func (k *making) upTo(n int, part *filled) (*documents, []string, error) {
	d := k.start()
	for i, s := range k.steps[:n] {
		apply := s.apply
		if part != nil && i == n-1 {
			apply = part.apply
		}
		if err := apply(d); err != nil {
			return nil, nil, err
		}
	}
	for _, s := range k.steps[k.users():] {
		if err := s.apply(d); err != nil {
			return nil, nil, err
		}
	}
	c, err := d.container()
	if err != nil {
		return nil, nil, err
	}
	return d, problemsOf(c), nil
}

// error is what Render gives: it names the server, and holds no secret of the cluster.
func (k *making) error(name string, cause error) error {
	text := "server " + k.in.Server + ": "
	if name != "" {
		text += name + ": "
	}
	return k.withoutSecrets(fleet.Errorf(fleet.Invalid, "%s%s", text, cause.Error()).WithHint("%s", fleet.HintOf(cause)))
}

// narrow finds the smallest part of a patch without which it is fine.
func (f *filled) narrow(fine func(part *filled) bool) (*yaml.Node, string) {
	docs, err := (&template{docs: f.nodes}).fill(nil)
	if err != nil || len(docs) == 0 {
		return &yaml.Node{Line: 1, Column: 1}, ""
	}
	without := func(n *yaml.Node, i, count int) bool {
		whole := n.Content
		n.Content = slices.Delete(slices.Clone(whole), i, i+count)
		part, err := loadNodes(slices.DeleteFunc(slices.Clone(docs), func(d *yaml.Node) bool { return len(d.Content) == 0 }))
		n.Content = whole
		return err == nil && fine(part)
	}
	for i, d := range docs {
		if part, err := loadNodes(slices.Delete(slices.Clone(docs), i, i+1)); err == nil && fine(part) {
			return below(d, "", without)
		}
	}
	return docs[0], ""
}

// below looks for the part below a node.
func below(n *yaml.Node, path string, without func(n *yaml.Node, i, count int) bool) (*yaml.Node, string) {
	step := 1
	if n.Kind == yaml.MappingNode {
		step = 2
	}
	for i := 0; i+step <= len(n.Content); i += step {
		key, value, p := n.Content[i], n.Content[i+step-1], elementPath(path, i)
		if n.Kind == yaml.MappingNode {
			p = keyPath(path, key.Value)
			if path == "" && slices.Contains([]string{"apiVersion", "kind", "name"}, key.Value) {
				continue
			}
		}
		if !without(n, i, step) {
			continue
		}
		if found, deeper := below(value, p, without); found != value {
			return found, deeper
		}
		return key, p
	}
	return n, path
}
