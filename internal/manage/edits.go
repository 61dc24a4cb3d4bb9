package manage

import (
	"context"
	"slices"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Edit is a change of the contents of a layer. It may run more than once.
type Edit = func(*fleet.Contents) error

// Adding adds a patch, before the one at a place (0 is the first), or at the end (-1).
func Adding(p fleet.Patch, place int) Edit {
	return func(c *fleet.Contents) error {
		if c.Patch(p.Name) >= 0 {
			return fleet.Errorf(fleet.Conflict, "there is a patch %q already", p.Name).WithHint("choose another name, or change that one")
		}
		at := place
		if at < 0 || at > len(c.Patches) {
			at = len(c.Patches)
		}
		c.Patches = slices.Insert(c.Patches, at, p)
		return nil
	}
}

// Changing changes a patch; it may change its name too.
func Changing(ref LayerRef, name string, change func(*fleet.Patch)) Edit {
	return onPatch(ref, name, func(c *fleet.Contents, i int) { change(&c.Patches[i]) })
}

// Removing removes a patch.
func Removing(ref LayerRef, name string) Edit {
	return onPatch(ref, name, func(c *fleet.Contents, i int) { c.Patches = slices.Delete(c.Patches, i, i+1) })
}

// Moving moves a patch to a place in the order; 0 is the first, which is applied first. A place beyond the end is the last.
func Moving(ref LayerRef, name string, place int) Edit {
	return onPatch(ref, name, func(c *fleet.Contents, i int) {
		p := c.Patches[i]
		c.Patches = slices.Delete(c.Patches, i, i+1)
		c.Patches = slices.Insert(c.Patches, max(0, min(place, len(c.Patches))), p)
	})
}

// Setting sets an own variable.
func Setting(name, value string) Edit {
	return func(c *fleet.Contents) error {
		if c.Variables == nil {
			c.Variables = map[string]string{}
		}
		c.Variables[name] = value
		return nil
	}
}

// Unsetting takes an own variable away.
func Unsetting(ref LayerRef, name string) Edit {
	return func(c *fleet.Contents) error {
		if _, ok := c.Variables[name]; !ok {
			return fleet.Errorf(fleet.NotFound, "%s %s has no variable %q", ref.Scope, ref.Owner, name).WithHint("its patches may use one of another scope")
		}
		delete(c.Variables, name)
		return nil
	}
}

func onPatch(ref LayerRef, name string, edit func(c *fleet.Contents, i int)) Edit {
	return func(c *fleet.Contents) error {
		i := c.Patch(name)
		if i < 0 {
			return noPatch(ref, name, c)
		}
		edit(c, i)
		return nil
	}
}

func noPatch(ref LayerRef, name string, c *fleet.Contents) error {
	e := fleet.Errorf(fleet.NotFound, "%s %s has no patch %q", ref.Scope, ref.Owner, name)
	if len(c.Patches) == 0 {
		return e.WithHint("it has none")
	}
	names := make([]string, len(c.Patches))
	for i, p := range c.Patches {
		names[i] = p.Name
	}
	return e.WithHint("it has %s", some(names))
}

// Edited is what a layer would hold after a change: of what is in effect, or of its draft if it has one. Nothing is
// written. It holds secrets.
func (m *Manager) Edited(ctx context.Context, ref LayerRef, draft bool, edit Edit) (c fleet.Contents, err error) {
	now, of, err := m.locate(ctx, ref)
	if err != nil {
		return c, err
	}
	base, err := m.editable(ctx, now, of, Save{Draft: draft})
	if err != nil {
		return c, err
	}
	c = base.Clone()
	if err := edit(&c); err != nil {
		return c, err
	}
	now.unhide(&c, base, now.Layer(of.scope, of.owner).Contents)
	return c, nil
}

// CheckLayer refuses contents that a save would refuse. Nothing is written.
func (m *Manager) CheckLayer(ctx context.Context, ref LayerRef, c fleet.Contents) error {
	return m.wouldSave(ctx, ref, c, Save{})
}
