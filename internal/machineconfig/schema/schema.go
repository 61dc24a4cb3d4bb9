package schema

// V1Alpha1 names the document without a kind, which holds machine: and cluster:.
const V1Alpha1 = "v1alpha1"

// Info is what is known of a document kind or a field of it.
type Info struct {
	Kind        string   // KubeSpanConfig, or V1Alpha1
	Path        string   // machine.network.interfaces[].addresses; "" for the document itself
	Type        string   // "string", "list of objects", ...
	Values      []string // those it can have, where they are known
	Required    bool
	Since       string // first Talos version that knows it; the first supported one when it is older
	Until       string // last Talos version that knows it; "" when the newest does
	Deprecated  string // first Talos version that calls it deprecated; "" when none does
	Instead     string // what to use then
	Description string
	Examples    []string
}

// Item is a completion.
type Item struct {
	Label  string // what is shown: the key, kind or value
	Insert string // what is written instead of the word under the cursor
	Info   Info
}

// Versions lists the Talos minors of the table, v1.6 first.
func Versions() []string { return nil }

// Kinds lists the document kinds which a Talos version knows, V1Alpha1 first, then by name.
func Kinds(version string) []Info { return nil }

// Field finds a field by its path: list elements are [] or [0], map values .* or ["key"].
// It is false when the Talos version does not know it. The path "" is the document itself.
func Field(kind, path, version string) (Info, bool) { return Info{}, false }

// Lint checks a patch (strategic merge or RFC 6902, YAML or JSON) or a whole config against a Talos version
// (v1.14.1 or v1.14). Findings are in the order of the text. Text may hold ${variables}.
func Lint(text []byte, version string) []Finding { return nil }

// LintUpgrade lists what a later Talos version would find that the present one does not.
func LintUpgrade(text []byte, from, to string) []Finding { return nil }

// Complete lists what can be written at a position (both from 1) of an unfinished text.
func Complete(text []byte, line, column int, version string) []Item { return nil }

// Hover explains the kind or field at a position (both from 1).
func Hover(text []byte, line, column int, version string) (Info, bool) { return Info{}, false }
