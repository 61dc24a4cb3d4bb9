package machineconfig

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Expand fills in every ${name} of a patch. `$${` stands for a plain `${`. A name that is unknown, or known but
// empty for this server, is an error with its line and column; in comments it is none. Whatever the values hold, the
// result is YAML with the same structure. A patch without variables is given back as it is.
func (v Variables) Expand(text string) (string, error) {
	t, err := parseTemplate(text)
	if err != nil || len(t.places) == 0 {
		return text, err
	}
	nodes, err := t.fill(v)
	if err != nil {
		return "", err
	}
	return encodeNodes(nodes)
}

func encodeNodes(nodes []*yaml.Node) (string, error) {
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	for _, n := range nodes {
		if err := enc.Encode(n); err != nil {
			return "", fmt.Errorf("write YAML: %w", err)
		}
	}
	if err := enc.Close(); err != nil {
		return "", fmt.Errorf("write YAML: %w", err)
	}
	return out.String(), nil
}

// hint lists the variables there are, those first that somebody may have meant.
func (v Variables) hint(name string) string {
	const escape = "write $${ for a plain ${, as in scripts"
	if value, known := v[name]; known && value == "" {
		return whereFrom(name) + "; or limit the patch to servers that have it, or " + escape
	}
	if builtIn(name) { // a manager knows all of them
		return "give it a value: --variable " + name + "=VALUE; or " + escape
	}
	names := slices.Sorted(maps.Keys(v))
	if near := fleet.Nearest(name, names); len(near) > 0 {
		return "did you mean ${" + strings.Join(near, "} or ${") + "}? " + escape
	}
	return "the variables are ${" + strings.Join(names, "}, ${") + "}; " + escape
}

// whereFrom says how a server gets a value that it has none of.
func whereFrom(name string) string {
	switch name {
	case "private_ip":
		return "give the server a private address"
	case "bootstrap_disk_wwid":
		return "name the server's install disk by its WWID"
	case "vlan":
		return "put the cluster into a vSwitch; Cloud servers have none"
	case "private_prefix", "private_mtu":
		return "write the private network into the cluster's record"
	case "gateway", "mac", "uuid":
		return "boot the server into the rescue system once, where it is read"
	}
	return "give the server what it stands for"
}

// wrongAt is an error at a place of a text.
func wrongAt(text string, offset int, why string) *fleet.Error {
	before := text[:offset]
	line := strings.Count(before, "\n") + 1
	column := utf8.RuneCountInString(before[strings.LastIndex(before, "\n")+1:]) + 1
	return fleet.Errorf(fleet.Invalid, "line %d, column %d: %s", line, column, why)
}
