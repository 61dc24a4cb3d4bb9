package machineconfig

import (
	"slices"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/config/configpatcher"
	"go.yaml.in/yaml/v4"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// refused says why the library does not take the text of a config or patch: where, and what to write instead. What the
// library says holds values of the text, which may be secrets.
func refused(cause error, text string) error {
	docs, err := parseDocuments(text)
	switch {
	case err != nil:
		return err
	case len(docs) == 0:
		return fleet.Errorf(fleet.Invalid, "it is empty").WithHint("a machine config starts with version: v1alpha1, or with apiVersion and kind")
	}
	if err := misplaced(docs); err != nil {
		return err
	}
	if err := checkFormat(docs); err != nil {
		return err
	}
	if docs[0].Kind == yaml.SequenceNode {
		_, err := operations(docs[0])
		return orElse(err, cause)
	}
	return lint(text, NewestTalos(), explainLoading(cause, text, docs))
}

func orElse(err, cause error) error {
	if err == nil {
		return fleet.Errorf(fleet.Invalid, "%s", withoutValues(cause.Error()))
	}
	return err
}

// CheckText refuses what can be neither a machine config nor a patch: broken YAML, a document of nothing Talos knows,
// another file that lies beside them.
func CheckText(text []byte) error {
	docs, err := parseDocuments(string(text))
	if err != nil {
		return err
	}
	if err := misplaced(docs); err != nil {
		return err
	}
	for _, d := range docs {
		known := func(key string) bool { return valueAt(d, key) != nil }
		if d.Kind == yaml.MappingNode && !known("kind") && !slices.ContainsFunc(v1alpha1Keys(), known) {
			return at(d, "", "a document with neither kind nor machine: or cluster:").WithHint("%s", kindless)
		}
	}
	return nil
}

const kindless = "begin it with apiVersion: v1alpha1 and kind, or put the fields below machine: or cluster:"

// Misplaced says of a talosconfig, a secrets bundle and the like what it is; nil of all else.
func Misplaced(text []byte) error {
	docs, err := parseDocuments(string(text))
	if err != nil {
		return nil // whoever reads it on says where
	}
	return misplaced(docs)
}

// Whole says whether a text is a machine config with a cluster's secrets, and no patch.
func Whole(text []byte) bool {
	docs, err := parseDocuments(string(text))
	return err == nil && slices.ContainsFunc(docs, func(d *yaml.Node) bool {
		m := valueAt(d, "machine")
		return m != nil && valueAt(m, "type") != nil && (valueAt(m, "token") != nil || valueAt(m, "ca") != nil)
	})
}

// misplaced knows the files that are taken for a machine config or a patch.
func misplaced(docs []*yaml.Node) error {
	if len(docs) == 0 || docs[0].Kind != yaml.MappingNode {
		return nil
	}
	has := func(keys ...string) bool {
		for _, k := range keys {
			if valueAt(docs[0], k) == nil {
				return false
			}
		}
		return true
	}
	switch {
	case has("clusters", "contexts", "users"):
		return fleet.Errorf(fleet.Invalid, "it is a kubeconfig, and no machine config or patch").WithHint("name controlplane.yaml, worker.yaml or a patch")
	case has("contexts") && !has("machine"):
		return fleet.Errorf(fleet.Invalid, "it is a talosconfig, and no machine config or patch").WithHint("name controlplane.yaml, worker.yaml or a patch")
	case has("certs", "secrets") && !has("machine"):
		return fleet.Errorf(fleet.Invalid, "it is a secrets bundle, and no machine config or patch").
			WithHint("talos-manager config generate NAME ENDPOINT --with-secrets FILE makes machine configs of it")
	case has("customization") && !has("kind"):
		return fleet.Errorf(fleet.Invalid, "it is a schematic, and no machine config or patch").WithHint("talos-manager schematic --help says what takes it")
	}
	return nil
}

// loadAll reads the texts of patches, as talosctl does: JSON patches that follow one another are one.
func loadAll(patches []Patch) ([]configpatcher.Patch, error) {
	texts := make([]string, len(patches))
	for i, p := range patches {
		if _, err := configpatcher.LoadPatch([]byte(p.Text)); err != nil {
			err = refused(err, p.Text)
			hint := fleet.HintOf(err)
			if strings.Contains(p.Text, "${") {
				hint = strings.TrimPrefix(hint+"; talosctl knows no variables, and nor does this command: config render fills them in", "; ")
			}
			return nil, fleet.Errorf(fleet.Invalid, "%s: %w", p.Name, err).WithHint("%s", hint)
		}
		if texts[i] = p.Text; !strings.ContainsAny(p.Text, "\n ") {
			texts[i] += "\n" // else it would be taken for the name of a file
		}
	}
	return configpatcher.LoadPatches(texts)
}

// unapplied says which patch a config does not take.
func unapplied(cause error, patches []Patch, try func(first []configpatcher.Patch) error) error {
	last := Patch{}
	for i := range patches {
		loaded, err := loadAll(patches[:i+1])
		if err != nil {
			return err
		}
		if err := try(loaded); err != nil {
			cause, last = err, patches[i]
			break
		}
	}
	message, hint := withoutValues(cause.Error()), ""
	switch docs, err := parseDocuments(last.Text); {
	case last.Name == "":
	case err == nil && len(docs) == 0:
		message, hint = "it is empty, and says nothing of what is to change", "leave it out"
	case strings.Contains(message, "JSON6902 patches are not supported"):
		hint = "since Talos 1.12 a config is several documents: write a strategic merge patch, or have it rewritten: talos-manager config modernise FILE"
	case strings.Contains(message, "lookup failed"):
		hint = "the config has nothing there to delete: leave it out, or compare the names"
	case strings.Contains(message, "rfc6902"):
		hint = "compare the path with the config; a strategic merge patch makes what is missing"
	}
	if last.Name != "" {
		message = last.Name + ": " + message
	}
	return fleet.Errorf(fleet.Invalid, "%s", message).WithHint("%s", hint)
}
