package manage

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig/diff"
	"github.com/talos-manager/talos-manager/internal/machineconfig/recipe"
)

// Hide takes the secrets out of contents of layers, for people who only look: texts keep their lines and comments.
// It says of which something was taken. A patch or variable that is saved as it was shown stays as it is: see unhide.
func (m *Manager) Hide(ctx context.Context, all ...*fleet.Contents) ([]bool, error) {
	now, _, err := m.Renderer.now(ctx)
	if err != nil {
		return nil, err
	}
	return now.hide(all...), nil
}

func (n *snapshot) hide(all ...*fleet.Contents) []bool {
	k := n.known()
	for _, c := range all {
		k.contents(*c)
	}
	own, hid := k.redactor(), make([]bool, len(all))
	for i, c := range all {
		shown := c.Clone()
		for j := range shown.Patches {
			p := &shown.Patches[j]
			p.Text = hideText(n.bundles(), hideText(own, p.Text))
			hid[i] = hid[i] || p.Text != c.Patches[j].Text
		}
		for name, value := range shown.Variables {
			if shown.Variables[name] = n.bundles().String(own.String(value)); k.names.has(name) {
				shown.Variables[name] = diff.Secret
			}
			hid[i] = hid[i] || shown.Variables[name] != value
		}
		*c = shown
	}
	return hid
}

// unhide gives patches and variables that somebody hands back as they were shown, their secrets again. What was changed
// is left for checkShown to refuse: nobody can tell which secret belongs where in it.
func (n *snapshot) unhide(c *fleet.Contents, was ...fleet.Contents) {
	if checkShown("", c) == nil {
		return
	}
	*c = c.Clone()
	for _, old := range was {
		shown := old.Clone()
		n.hide(&shown)
		for i := range c.Patches {
			p := &c.Patches[i]
			if j := shown.Patch(p.Name); j >= 0 && shown.Patches[j].Text == p.Text {
				p.Text = old.Patches[j].Text
			}
		}
		for name, value := range c.Variables {
			if before, ok := shown.Variables[name]; ok && before == value {
				c.Variables[name] = old.Variables[name]
			}
		}
	}
}

// Show takes the secrets out of contents of a layer, as Hide does, or leaves them for somebody who asked for them. Then
// it is noted in the events, before they are handed out, if there are any.
func (m *Manager) Show(ctx context.Context, actor string, ref LayerRef, secrets bool, all ...*fleet.Contents) ([]bool, error) {
	if !secrets {
		return m.Hide(ctx, all...)
	}
	shown := make([]*fleet.Contents, len(all))
	for i, c := range all {
		copied := c.Clone()
		shown[i] = &copied
	}
	held, err := m.Hide(ctx, shown...)
	if err != nil || !slices.Contains(held, true) {
		return held, err
	}
	_, of, err := m.locate(ctx, ref)
	if err != nil {
		return nil, err
	}
	return make([]bool, len(all)), m.audit(ctx, actor, of.subject+".patches.secrets", of.subject, of.id, "patches of "+of.what+" shown with secrets")
}

// hideText takes secrets out of a text and leaves its lines in their places.
func hideText(hidden *diff.Redactor, text string) string {
	shown := strings.Join(hideLines(hidden, text), "\n")
	if strings.HasSuffix(text, "\n") {
		shown += "\n"
	}
	return shown
}

// HideConfig takes the secrets out of a rendered machine config: those that Talos knows, and those in environments, files,
// manifests and headers, which it does not. The lines stay where they are.
func HideConfig(config []byte, shown []byte) []byte {
	k := known{}
	k.add(config)
	return []byte(hideText(k.redactor(), string(shown)))
}

// bundleRedactor knows the secrets of all clusters.
func (n *snapshot) bundleRedactor() *diff.Redactor {
	k := n.known()
	for _, c := range n.Clusters {
		k.bundle(c.Secrets)
	}
	return k.redactor()
}

// checkShown refuses contents in which something stands for a secret that was taken out: saved, the secret would be
// lost.
func checkShown(what string, c *fleet.Contents) error {
	for _, p := range c.Patches {
		for i, line := range linesOf(p.Text) {
			if stands(line) {
				return shownError("%s, patch %q: line %d: a secret was taken out here", what, p.Name, i+1)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Variables)) {
		if stands(c.Variables[name]) {
			return shownError("%s: variable %s: a secret was taken out here", what, name)
		}
	}
	return nil
}

func stands(text string) bool {
	return strings.Contains(text, diff.Secret) || strings.Contains(text, recipe.Masked)
}

func shownError(format string, args ...any) error {
	return fleet.Errorf(fleet.Invalid, format, args...).
		WithHint("write the secret itself, or leave the whole as it was shown; secrets are shown to who asks for them, which is noted in the events")
}
