package manage

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig/diff"
)

// LayerDiff is what two revisions of a layer differ in, without secrets.
type LayerDiff struct {
	From, To string // whole hashes; "" where nothing was ever saved
	Patches  []PatchDiff
	// Fields are what else differs: variables as "variable NAME", and of configs the installer image, Kubernetes version
	// and KubeSpan.
	Fields []FieldDiff
}

// Empty says that the revisions are the same.
func (d *LayerDiff) Empty() bool { return len(d.Patches) == 0 && len(d.Fields) == 0 }

// PatchDiff is a patch that differs. Of one that only moved, or is limited otherwise, there are no lines.
type PatchDiff struct {
	Name  string
	Op    diff.Op
	From  string // where it stood and for what it was: "1. all", "2. worker, arm64, off"; "" if it was not there
	To    string
	Lines []DiffLine // whole text; unchanged lines too
}

// DiffLine is a line that both texts have, or only one.
type DiffLine struct {
	Op   diff.Op // Added, Removed, or "" for both
	Text string
}

// FieldDiff is a value that differs; "" is none.
type FieldDiff struct{ Name, Old, New string }

// DiffRevisions says what two revisions of a layer differ in. They are named as for Revision.
func (m *Manager) DiffRevisions(ctx context.Context, ref LayerRef, from, to string) (d LayerDiff, err error) {
	now, of, err := m.locate(ctx, ref)
	if err != nil {
		return d, err
	}
	a, fromHash, err := m.revision(ctx, now, of, from)
	if err != nil {
		return d, err
	}
	b, toHash, err := m.revision(ctx, now, of, to)
	if err != nil {
		return d, err
	}
	hidden := now.layerRedactor(of, a, b)
	d = LayerDiff{From: fromHash, To: toHash, Patches: diffPatches(hidden, a, b)}
	names := maps.Clone(a.Variables)
	if names == nil {
		names = map[string]string{}
	}
	maps.Copy(names, b.Variables)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		d.field(hidden, "variable "+name, a.Variables[name], b.Variables[name])
	}
	d.field(hidden, "installer image", a.InstallImage, b.InstallImage)
	d.field(hidden, "Kubernetes version", a.KubernetesVersion, b.KubernetesVersion)
	d.field(hidden, "KubeSpan", onOff(a.KubeSpan), onOff(b.KubeSpan))
	return d, nil
}

func (d *LayerDiff) field(hidden *diff.Redactor, name, a, b string) {
	if a != b {
		d.Fields = append(d.Fields, FieldDiff{name, hidden.String(a), hidden.String(b)})
	}
}

func diffPatches(hidden *diff.Redactor, a, b fleet.Contents) []PatchDiff {
	var out []PatchDiff
	reordered := moved(a, b)
	for i, p := range b.Patches {
		j := a.Patch(p.Name)
		if j < 0 {
			out = append(out, PatchDiff{Name: p.Name, Op: diff.Added, To: standing(i, p), Lines: diffLines(hidden, "", p.Text)})
			continue
		}
		d := PatchDiff{Name: p.Name, Op: diff.Changed, From: standing(j, a.Patches[j]), To: standing(i, p)}
		switch old := a.Patches[j]; {
		case old.Text != p.Text:
			d.Lines = diffLines(hidden, old.Text, p.Text)
		case standing(0, old) != standing(0, p):
		case reordered && i != j:
			d.Op = diff.Moved
		default:
			continue
		}
		out = append(out, d)
	}
	for j, p := range a.Patches {
		if b.Patch(p.Name) < 0 {
			out = append(out, PatchDiff{Name: p.Name, Op: diff.Removed, From: standing(j, p), Lines: diffLines(hidden, p.Text, "")})
		}
	}
	return out
}

// standing says where a patch stands, and for what it is.
func standing(i int, p fleet.Patch) string {
	var limits []string
	for _, l := range []string{string(p.Role), string(p.Architecture), string(p.Provider)} {
		if l != "" {
			limits = append(limits, l)
		}
	}
	if len(limits) == 0 {
		limits = append(limits, "all")
	}
	if p.Off {
		limits = append(limits, "off")
	}
	return strconv.Itoa(i+1) + ". " + strings.Join(limits, ", ")
}

func diffLines(hidden *diff.Redactor, a, b string) []DiffLine {
	var out []DiffLine
	from, to := hideLines(hidden, a), hideLines(hidden, b)
	for _, s := range steps(linesOf(a), linesOf(b)) {
		switch {
		case s.b < 0:
			out = append(out, DiffLine{diff.Removed, from[s.a]})
		case s.a < 0:
			out = append(out, DiffLine{diff.Added, to[s.b]})
		default:
			out = append(out, DiffLine{"", to[s.b]})
		}
	}
	return out
}

// layerRedactor knows the secrets of contents of a layer, and those of the clusters it may be used in.
func (n *snapshot) layerRedactor(of target, all ...fleet.Contents) *diff.Redactor {
	k := n.known()
	for id, c := range n.Clusters {
		if of.cluster.ID == "" || of.cluster.ID == id {
			k.bundle(c.Secrets)
		}
	}
	for _, c := range all {
		k.contents(c)
	}
	return k.redactor()
}

// hideLines takes secrets out of a text and leaves every line in its place.
func hideLines(hidden *diff.Redactor, text string) []string { return hidden.Lines(linesOf(text)) }
