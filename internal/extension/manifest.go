package extension

import (
	"regexp"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/extensions"
	"go.yaml.in/yaml/v4"
)

// ManifestFile is the name of an extension's manifest in its folder.
const ManifestFile = "manifest.yaml"

// ParseManifest reads a manifest.
func ParseManifest(text []byte) (extensions.Manifest, Problems) {
	m, d := parseManifest(text)
	return m, d.problems
}

func parseManifest(text []byte) (extensions.Manifest, *document) {
	d := &document{file: ManifestFile}
	var m extensions.Manifest
	root := d.parse(text)
	if root == nil {
		return m, d
	}
	given := d.mapping(root, "", field{"version", d.choice("v1alpha1")}, field{"metadata", d.metadata})
	d.need(root, given, "", "version", "write version: v1alpha1")
	d.need(root, given, "", "metadata", "write metadata: and below it name, version, author, description and compatibility")
	if err := root.Decode(&m); err != nil && d.problems.Err() == nil {
		d.add(Problem{Line: lineOf(err), Text: strings.TrimSpace(err.Error())})
	}
	return m, d
}

func (d *document) metadata(n *yaml.Node, at string) {
	given := d.mapping(
		n, at,
		field{"name", d.texts(d.extensionName)},
		field{"version", d.texts(d.extensionVersion)},
		field{"author", d.texts(anyText)},
		field{"description", d.texts(anyText)},
		field{"compatibility", d.compatibility},
		field{"extraInfo", d.texts(anyText)},
	)
	d.need(n, given, at, "name", "write name: NAME, which talosctl get extensions will show")
	d.need(n, given, at, "version", "write version: v1.0.0")
	for _, name := range []string{"author", "description"} {
		if given != nil && (given[name] == nil || null(given[name])) {
			d.warn(n, join(at, name), "write "+name+": …", "it is missing; people see it in talosctl get extensions -o yaml")
		}
	}
}

var (
	extensionName = regexp.MustCompile(`^[a-z0-9]+([._-]+[a-z0-9]+)*$`)
	tagForm       = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)
)

// extensionName checks what the image will be called, too.
func (d *document) extensionName(n *yaml.Node, at, text string) {
	if text != "" && !extensionName.MatchString(text) {
		d.fail(n, at, "use a-z and 0-9, and - between them", "%q cannot be the name of an image", text)
	}
}

// extensionVersion checks what the tag of the image will be, too.
func (d *document) extensionVersion(n *yaml.Node, at, text string) {
	if text != "" && !tagForm.MatchString(text) {
		d.fail(n, at, "write it like v1.0.0", "%q cannot be the tag of an image", text)
	}
}

func (d *document) compatibility(n *yaml.Node, at string) {
	d.mapping(n, at, field{"talos", func(n *yaml.Node, at string) {
		d.mapping(n, at, field{"version", d.texts(func(n *yaml.Node, at, text string) {
			if _, err := constraint(text); err != nil && text != "" {
				d.fail(n, at, `write it like ">= v1.9.0" or ">= v1.9.0 < v1.14.0"`, "%q is not a range of versions", text)
			}
		})})
	}})
}

// allowed are the paths that an extension may bring, on a Talos version; a zero one is the newest.
func (v versions) allowed() []string {
	var all []string
	for _, path := range extensions.AllowedPaths {
		for _, m := range newerPaths() {
			if v.asked && strings.HasPrefix(path, m.path) && v.since(m.since) != "" {
				path = m.before
			}
		}
		if path != "" {
			all = append(all, path)
		}
	}
	return all
}
