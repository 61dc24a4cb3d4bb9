package manage

import (
	"slices"
	"strings"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig"
	"github.com/talos-manager/talos-manager/internal/machineconfig/diff"
	"github.com/talos-manager/talos-manager/internal/machineconfig/modernise"
	"github.com/talos-manager/talos-manager/internal/machineconfig/schema"
)

// CheckLintable refuses what is no Talos version, or one whose documents and fields this program does not know.
func CheckLintable(version string) error {
	minor := strings.TrimPrefix(strings.TrimSpace(version), "v")
	if parts := strings.Split(minor, "."); len(parts) == 3 {
		minor = parts[0] + "." + parts[1]
	}
	known := schema.Versions()
	if !slices.Contains(known, "v"+minor) {
		return fleet.Errorf(fleet.Invalid, "Talos version %q: what it knows is not known", version).
			WithHint("this program knows %s to %s; write %s", known[0], known[len(known)-1], machineconfig.NewestTalos())
	}
	return nil
}

// Lint looks at a text by itself: a patch or a machine config. With from, only what an upgrade from that version would
// find is listed.
func Lint(text, talosVersion, from string) ([]schema.Finding, error) {
	for _, v := range []string{talosVersion, firstOf(from, talosVersion)} {
		if err := CheckLintable(v); err != nil {
			return nil, err
		}
	}
	found := schema.Lint([]byte(text), talosVersion)
	if from != "" {
		found = schema.LintUpgrade([]byte(text), from, talosVersion)
	}
	hidden := textRedactor(text)
	for i := range found {
		found[i] = hideFinding(hidden, found[i])
	}
	return found, nil
}

// Modern rewrites a text by itself. What it says about it holds no secret; the texts do, as the one given.
func Modern(text, talosVersion string, o modernise.Options) (*modernise.Result, error) {
	hidden := textRedactor(text)
	made, err := modernise.Patch(text, talosVersion, o)
	if err != nil {
		return nil, hidden.Error(err)
	}
	hideResult(hidden, made)
	return made, nil
}

func textRedactor(text string) *diff.Redactor {
	k := known{}
	k.patch(strings.TrimSpace(text))
	return k.redactor()
}

// hideResult takes secrets out of all that is said about a rewriting. Its texts are left as they are.
func hideResult(hidden *diff.Redactor, r *modernise.Result) {
	for i := range r.Changes {
		c := &r.Changes[i]
		c.Path, c.Why = hidden.String(c.Path), hidden.String(c.Why)
		for j := range c.To {
			c.To[j] = hidden.String(c.To[j])
		}
	}
	for i := range r.Notes {
		r.Notes[i].Path, r.Notes[i].Text = hidden.String(r.Notes[i].Path), hidden.String(r.Notes[i].Text)
	}
	for i := range r.Proof.Differences {
		d := &r.Proof.Differences[i]
		d.Path, d.Old, d.New, d.Why = hidden.String(d.Path), hidden.String(d.Old), hidden.String(d.New), hidden.String(d.Why)
	}
	r.Proof.Problem = hidden.String(r.Proof.Problem)
}
