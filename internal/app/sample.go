package app

import (
	"fmt"
	"strings"
)

// Sample is the annotated settings file: every setting with its environment variable, its meaning and its default.
func Sample() string {
	var b strings.Builder
	b.WriteString(`# Settings of Talos Manager: talos-manager serve --config talos-manager.yaml
#
# Each can be set here, by the environment variable named beside it, or by the flag of the same name; a flag wins over
# the environment, the environment over this file. An unusable setting is an error at start that names it.
`)
	for _, s := range List {
		fmt.Fprintf(&b, "\n# %s.\n# Environment: %s.", strings.ToUpper(s.Help[:1])+s.Help[1:], s.Env)
		if s.Secret {
			b.WriteString(" Secret: better there than here.")
		}
		value := s.Default
		if value == "" {
			value = `""`
		}
		fmt.Fprintf(&b, "\n#%s: %s\n", s.Name, value)
	}
	return b.String()
}
