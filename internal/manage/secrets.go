package manage

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"go.yaml.in/yaml/v4"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig/diff"
)

// known gathers what must not be shown: secrets of bundles, and of patches and variables in any state.
type known struct {
	texts [][]byte
	names *secretNames // of variables
}

// add adds a text if its secrets can be found.
func (k *known) add(text []byte) bool {
	if _, err := diff.NewRedactor(text); err != nil {
		return false
	}
	k.texts = append(k.texts, text)
	return true
}

// bundle adds the secrets of a cluster.
func (k *known) bundle(text []byte) {
	if len(text) > 0 {
		k.add(text)
	}
}

// contents adds those of a layer's patches and of its variables.
func (k *known) contents(c fleet.Contents) {
	for _, p := range c.Patches {
		k.patch(p.Text)
	}
	if text, err := yaml.Marshal(c.Variables); err == nil && len(c.Variables) > 0 {
		k.add(text) // by their names
	}
	for name, value := range c.Variables {
		if k.names.has(name) {
			k.secret(value)
		}
	}
}

// secret adds one by itself.
func (k *known) secret(value string) {
	if text, err := yaml.Marshal(map[string]string{"password": value}); err == nil {
		k.add(text)
	}
}

// variable is a reference that is a value by itself.
var variable = regexp.MustCompile(`(^|[\s"'])\$\{([A-Za-z_][A-Za-z0-9_]*)\}($|[\s"',}\]])`)

// stand is what stands for a variable while its patch is read.
func stand(name string) string { return "the-variable-" + name + "-itself" }

// patch adds the secrets of a patch: of a strategic merge, of operations, and of what is neither by the names its
// lines give. A variable is none: its value is.
func (k *known) patch(text string) {
	text = variable.ReplaceAllStringFunc(text, func(found string) string {
		m := variable.FindStringSubmatch(found)
		return m[1] + stand(m[2]) + m[3]
	})
	text = strings.ReplaceAll(text, diff.Secret, "redacted") // YAML would read it as a list
	if k.add([]byte(text)) || k.operations(text) {
		return
	}
	file := map[string]any{"machine": map[string]any{"files": []any{map[string]any{"content": text + "\n"}}}}
	if lines, err := yaml.Marshal(file); err == nil {
		k.add(lines)
	}
}

// operations adds the values of an RFC 6902 patch, each in its place.
func (k *known) operations(text string) bool {
	var all []struct {
		Path  string `yaml:"path"`
		Value any    `yaml:"value"`
	}
	if yaml.Unmarshal([]byte(text), &all) != nil {
		return false
	}
	for _, o := range all {
		if o.Value == nil {
			continue
		}
		value := o.Value
		fields := strings.Split(strings.TrimPrefix(o.Path, "/"), "/")
		for _, field := range slices.Backward(fields) {
			field = strings.NewReplacer("~1", "/", "~0", "~").Replace(field)
			if _, err := strconv.Atoi(field); err == nil || field == "-" {
				value = []any{value}
			} else {
				value = map[string]any{field: value}
			}
		}
		if placed, err := yaml.Marshal(value); err == nil {
			k.add(placed)
		}
	}
	return true
}

func (k *known) redactor() *diff.Redactor {
	r, err := diff.NewRedactor(k.texts...)
	if err != nil {
		return &diff.Redactor{} // each was read before; by form alone, then
	}
	return r
}

// secretNames are the variables that stand in a field for secrets somewhere: their values are secrets, whatever they
// are called. It is found out when somebody asks.
type secretNames struct {
	find func() map[string]bool
}

func (s *secretNames) has(name string) bool { return s != nil && s.find()[name] }

// findSecretNames looks through the patches of layers.
func findSecretNames(layers func() []fleet.Contents) *secretNames {
	return &secretNames{find: sync.OnceValue(func() map[string]bool {
		k, used := known{}, map[string]bool{}
		for _, l := range layers() {
			for _, p := range l.Patches {
				for _, m := range variable.FindAllStringSubmatch(p.Text, -1) {
					used[m[2]] = true
				}
				if strings.Contains(p.Text, "${") {
					k.patch(p.Text)
				}
			}
		}
		r := k.redactor()
		maps.DeleteFunc(used, func(name string, _ bool) bool { return r.String(stand(name)) == stand(name) })
		return used
	})}
}

// known begins to gather what must not be shown of records.
func (n *snapshot) known() *known { return &known{names: n.secrets} }

// shared adds what the servers of a cluster have in common.
func (k *known) shared(n *snapshot, c fleet.Cluster) {
	k.bundle(c.Secrets)
	if c.ID == "" {
		return
	}
	k.contents(n.contents(fleet.ScopeCluster, c.ID))
	for _, role := range []fleet.Role{fleet.ControlPlane, fleet.Worker} {
		k.contents(n.contents(fleet.ScopeRole, fleet.RoleOwner(c.ID, role)))
	}
	if c.ConfigID != "" {
		k.contents(n.contents(fleet.ScopeConfig, c.ConfigID))
	}
}
