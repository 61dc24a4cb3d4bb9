package modernise

import (
	"strings"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Options say for whom a patch is rewritten. The zero value is right for a patch that every node gets.
type Options struct {
	// Role is the role of the nodes that get the patch. For "" (all) the part that only control planes accept is
	// returned apart, as Result.ControlPlane.
	Role fleet.Role
	// All also rewrites what the version still accepts but calls deprecated.
	All bool
	// Installed says that the image is on the disk before the node boots, as this manager does it: what only Talos' own
	// installer asks (disk, wipe, image) is left out where it would be an UnattendedInstallConfig.
	Installed bool
	// KubernetesVersion (v1.36.3) is written where a section of the older form must stay whole and so must name its
	// image. "" writes the variable ${kubernetes_version} there, with its v.
	KubernetesVersion string
	// Variables are real values of the patch's variables. The proof uses them; where one is missing it uses a
	// likely one. The result keeps the variables.
	Variables map[string]string
}

// Result is a rewritten patch, what was done to it, and what is left to do by hand.
type Result struct {
	Text         string    `json:"text"`                   // for every node of the options' role; "" when nothing is left
	ControlPlane string    `json:"controlPlane,omitempty"` // only where Options.Role is "": the part for control planes; a patch of its own, after Text
	Changed      bool      `json:"changed"`
	Changes      []Change  `json:"changes,omitempty"`
	Notes        []Note    `json:"notes,omitempty"`
	Schematic    Schematic `json:"schematic"`
	Proof        Proof     `json:"proof"`
}

// Schematic is what the patch asked of the boot image. It belongs into the schematic now.
type Schematic struct {
	KernelArguments []string `json:"kernelArguments,omitempty"`
	Extensions      []string `json:"extensions,omitempty"` // official names as the image factory lists them: siderolabs/gvisor
}

// Change is one field that was rewritten.
type Change struct {
	Line  int      `json:"line,omitempty"` // of the field in the old text, from 1
	Path  string   `json:"path,omitempty"` // machine.network.hostname
	To    []string `json:"to,omitempty"`   // documents: HostnameConfig, VLANConfig eth0.4000; empty when it was dropped
	Why   string   `json:"why,omitempty"`
	Since string   `json:"since,omitempty"` // v1.12: from which Talos on the new form is there
}

// NoteKind is the sort of a note.
type NoteKind string

const (
	// ToSchematic is what left the patch for the boot image: see Result.Schematic.
	ToSchematic NoteKind = "schematic"
	// ByHand is what no rewriting can express: a person must decide.
	ByHand NoteKind = "by-hand"
	// Hint is what a person should know; nothing need be done.
	Hint NoteKind = "hint"
)

// Note is something a rewritten patch cannot say by itself.
type Note struct {
	Kind NoteKind `json:"kind"`
	Line int      `json:"line,omitempty"` // in the old text, from 1; 0 for the whole patch
	Path string   `json:"path,omitempty"`
	Text string   `json:"text,omitempty"`
}

// Patch rewrites a patch (strategic merge in one or more documents, or RFC 6902 in JSON or YAML) into what Talos
// version (v1.14.1) wants, keeps its comments and variables, and proves that the result means the same. A patch that
// the version takes as it is comes back unchanged. Errors are fleet.Invalid: text that is no patch, an unknown version.
func Patch(text, version string, o Options) (*Result, error) {
	minor, err := minorOf(version)
	if err != nil {
		return nil, err
	}
	src, err := read(text)
	if err != nil {
		return nil, err
	}
	if src.blank() {
		return &Result{Text: text, Proof: Proof{Verdict: Equal}}, nil
	}
	w, err := newRewriter(src, minor, o)
	if err != nil {
		return nil, err
	}
	w.run()
	res := w.result()
	if !res.Changed {
		res.Text = text
	}
	res.Proof = prove(text, res, minor, o)
	return res, nil
}

// NeedsWork says whether Patch would have anything to do: a cheap question, without the proof.
func NeedsWork(text, version string, o Options) (bool, error) {
	minor, err := minorOf(version)
	if err != nil {
		return false, err
	}
	src, err := read(text)
	if err != nil || src.blank() {
		return false, err
	}
	w, err := newRewriter(src, minor, o)
	if err != nil {
		return false, err
	}
	w.run()
	return w.changed(), nil
}

// blank says whether text holds nothing but comments.
func blank(text string) bool {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line != "" && line != "---" && !strings.HasPrefix(line, "#") {
			return false
		}
	}
	return true
}
