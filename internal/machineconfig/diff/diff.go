package diff

// Op is what happened to a document or field.
type Op string

const (
	Added   Op = "added"
	Removed Op = "removed"
	Changed Op = "changed"
	Moved   Op = "moved" // the elements of a list, or the documents of a kind, are in another order
)

// Diff is what differs between an old and a new machine config.
type Diff struct {
	Documents []Document `json:"documents"`

	// V1Alpha1 names the fields of the v1alpha1 document that differ for Talos' own check of what needs a reboot:
	// machine, machine.X, machine.features.X, cluster, debug, persist, version. That check compares Go values, so
	// it sees more than people do: the order of machine.files, or files: [] where nothing was. Differences in
	// form alone are here, but not in Documents.
	V1Alpha1 []string `json:"v1alpha1,omitempty"`

	// MachineType is what the new config makes of the node: controlplane, worker, or "" where it does not say.
	MachineType string `json:"machineType,omitempty"`

	// Incomplete says that the new config has no v1alpha1 document, which a running node refuses.
	Incomplete bool `json:"incomplete,omitempty"`
}

// Document is a config document that differs.
type Document struct {
	Kind       string   `json:"kind"` // schema.V1Alpha1 for the one that holds machine: and cluster:
	APIVersion string   `json:"apiVersion,omitempty"`
	Name       string   `json:"name,omitempty"`
	Op         Op       `json:"op"`
	Changes    []Change `json:"changes,omitempty"` // of an added or removed document: its fields
}

// Change is a field that differs. Values are plain (string, bool, int, float64, map[string]any, []any), secrets in
// them replaced.
type Change struct {
	Op     Op     `json:"op"`
	Path   string `json:"path"`  // machine.network.interfaces[eth0].mtu, machine.sysctls["net.core.somaxconn"]
	Field  string `json:"field"` // machine.network.interfaces[].mtu, machine.sysctls.*: as the schema package names it
	Old    any    `json:"old,omitempty"`
	New    any    `json:"new,omitempty"`
	Secret bool   `json:"secret,omitempty"` // the value is a secret: Old and New hold no more than fingerprints
}

// Empty says whether both configs mean the same.
func (d *Diff) Empty() bool { return len(d.Documents) == 0 }

// Title names a document for people: "KubeSpanConfig", "VolumeConfig EPHEMERAL", "machine and cluster (v1alpha1)".
func (d *Document) Title() string {
	if d.Kind == v1alpha1Kind {
		return "machine and cluster (v1alpha1)"
	}
	if d.Name == "" {
		return d.Kind
	}
	return d.Kind + " " + d.Name
}
