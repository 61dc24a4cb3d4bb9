package manage

import (
	"context"
	"slices"
	"strings"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/imagefactory"
	"github.com/talos-manager/talos-manager/internal/machineconfig"
	"github.com/talos-manager/talos-manager/internal/store"
)

// SchematicEdit is what a schematic is to be. With both YAML and Parts, the parts are added to what the YAML says.
type SchematicEdit struct {
	Name  string               // "" as it was
	YAML  *string              // kept as it was written; nil as it was
	Parts *fleet.Customization // extensions may be without their folder: gvisor
	Based string               // id at the factory that a change is based on; "" whichever is
	// TalosVersion to look extensions and overlays up in; "" is that of the clusters that use the schematic, or the
	// newest.
	TalosVersion string
	Unchecked    bool // whether the factory has what is asked for
}

// AddSchematic keeps a new schematic as it was written.
func (m *Manager) AddSchematic(ctx context.Context, actor string, s fleet.Schematic) (fleet.Schematic, error) {
	return m.CreateSchematic(ctx, actor, SchematicEdit{Name: s.Name, YAML: &s.YAML})
}

// CreateSchematic keeps a new schematic: one that the factory takes, that publishes no secret, and whose extensions
// and overlay there are.
func (m *Manager) CreateSchematic(ctx context.Context, actor string, edit SchematicEdit) (fleet.Schematic, error) {
	s := fleet.Schematic{ID: fleet.NewID(), Name: edit.Name, CreatedAt: m.Now()}
	if err := fleet.CheckName("schematic", s.Name); err != nil {
		return s, err
	}
	var err error
	if s.YAML, err = m.schematicText(ctx, s, edit); err != nil {
		return s, err
	}
	if s, err = m.Store.CreateSchematic(ctx, s); err != nil {
		return s, err
	}
	return s, m.audit(ctx, actor, "schematic.create", "schematic", s.ID, "created "+s.Name)
}

// UpdateSchematic changes a schematic. Machines keep what they run; what is installed or upgraded from now on gets the
// new one. It is refused while a server is installed with it, and if a cluster that uses it has a Talos version that
// lacks something of it.
func (m *Manager) UpdateSchematic(ctx context.Context, actor, ref string, edit SchematicEdit) (s fleet.Schematic, err error) {
	if s, err = m.Store.Schematic(ctx, ref); err != nil {
		return s, err
	}
	if edit.Name != "" {
		if err := fleet.CheckName("schematic", edit.Name); err != nil {
			return s, err
		}
	}
	old := s.YAML
	if edit.YAML != nil || edit.Parts != nil {
		if s.YAML, err = m.schematicText(ctx, s, edit); err != nil { // asks the factory, so before anything is locked
			return s, err
		}
	}
	err = m.save(ctx, func(now *snapshot) (*edited, error) {
		was, err := now.schematicOf(s.ID)
		if err != nil {
			return nil, err
		}
		if err := m.mayChangeSchematic(ctx, was, old, edit.Based, s.YAML); err != nil {
			return nil, err
		}
		s.Name = firstOf(edit.Name, was.Name)
		return &edited{doing: "change schematic " + was.Name, write: func(e *store.Edit) error {
			if err := e.UpdateSchematic(ctx, s); err != nil {
				return err
			}
			return e.Event(ctx, m.event(actor, "schematic.update", "schematic", s.ID, m.describeSchematic(was, s)))
		}}, nil
	})
	return s, err
}

// mayChangeSchematic refuses a change of something else than its author saw, or in the middle of an install.
func (m *Manager) mayChangeSchematic(ctx context.Context, was fleet.Schematic, read, based, to string) error {
	if id := m.factoryID(was.YAML); was.YAML != read || based != "" && based != id {
		return fleet.Errorf(fleet.Conflict, "schematic %s was changed meanwhile; now it is %.12s", was.Name, id).
			WithHint("look at it again: talos-manager schematic show %s", was.Name)
	}
	if m.factoryID(to) == m.factoryID(was.YAML) {
		return nil
	}
	users, err := m.schematicUsers(ctx, was.ID)
	if err != nil {
		return err
	}
	busy, err := m.Store.Operations(ctx, store.OperationFilter{Kind: InstallKind, Active: true})
	if err != nil {
		return err
	}
	for _, o := range busy {
		if i := slices.IndexFunc(users, func(u schematicUser) bool { return slices.Contains(u.servers, o.ServerID) }); i >= 0 {
			return fleet.Errorf(fleet.Conflict, "schematic %s: a server of %s is being installed with it", was.Name, users[i].name).
				WithHint("wait for it, or stop it first: talos-manager operation cancel %s", o.ID)
		}
	}
	return nil
}

func (m *Manager) describeSchematic(was, s fleet.Schematic) string {
	text := "changed " + was.Name
	if s.Name != was.Name {
		text = "renamed " + was.Name + " to " + s.Name
	}
	if before, after := m.factoryID(was.YAML), m.factoryID(s.YAML); before != after {
		text += ": " + short12(before) + " -> " + short12(after)
	}
	return text
}

func short12(id string) string { return id[:min(12, len(id))] }

// factoryID is what the factory calls a schematic; "" for one that an older program took and this one does not.
func (m *Manager) factoryID(yaml string) string {
	id, err := m.Factory.SchematicID(yaml)
	if err != nil {
		return ""
	}
	return id
}

// schematicText makes the YAML of an edit and checks it.
func (m *Manager) schematicText(ctx context.Context, s fleet.Schematic, edit SchematicEdit) (string, error) {
	text := ""
	if edit.YAML != nil {
		text = *edit.YAML
	}
	if err := m.Factory.Check(text); err != nil {
		return "", err
	}
	versions := []string{edit.TalosVersion}
	if edit.TalosVersion == "" {
		var err error
		if versions, err = m.versionsFor(ctx, s.ID); err != nil {
			return "", err
		}
	}
	if edit.Parts != nil {
		what, err := imagefactory.Read(text)
		if err != nil {
			return "", err
		}
		what = what.With(m.complete(ctx, *edit.Parts, versions[0]))
		if text, err = imagefactory.Write(what); err != nil {
			return "", err
		}
		if err := m.Factory.Check(text); err != nil {
			return "", err
		}
	}
	if edit.Unchecked {
		return text, nil
	}
	what, err := imagefactory.Read(text)
	if err != nil {
		return "", err
	}
	for _, version := range versions {
		r, err := m.Factory.Report(ctx, what, version)
		if err != nil {
			return "", err
		}
		if err := imagefactory.Refusal("schematic "+s.Name, r); err != nil {
			return "", err
		}
	}
	return text, nil
}

// complete fills in what people leave out: the folder of official extensions, the image of an overlay. An image that
// cannot be looked up stays out; the factory goes by the name.
func (m *Manager) complete(ctx context.Context, parts fleet.Customization, version string) fleet.Customization {
	parts.Extensions = slices.Clone(parts.Extensions)
	for i, name := range parts.Extensions {
		if name != "" && !strings.Contains(name, "/") {
			parts.Extensions[i] = "siderolabs/" + name
		}
	}
	if parts.Overlay.Name == "" || parts.Overlay.Image != "" {
		return parts
	}
	overlays, err := m.Factory.Overlays(ctx, version)
	if err != nil {
		return parts
	}
	for _, o := range overlays {
		if o.Name == parts.Overlay.Name {
			parts.Overlay.Image = o.Image
		}
	}
	return parts
}

// DeleteSchematic forgets a schematic that nobody uses.
func (m *Manager) DeleteSchematic(ctx context.Context, actor, ref string) error {
	s, err := m.Store.Schematic(ctx, ref)
	if err != nil {
		return err
	}
	if err := m.Store.RemoveSchematic(ctx, s.ID); err != nil {
		return err
	}
	return m.audit(ctx, actor, "schematic.delete", "schematic", s.ID, "deleted "+s.Name)
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// newestOffered is the newest Talos that both this program and the factory know. While the factory does not answer, it
// is ours.
func (m *Manager) newestOffered(ctx context.Context) string {
	version, err := m.Factory.Newest(ctx, machineconfig.NewestTalos())
	if err != nil {
		return machineconfig.NewestTalos()
	}
	return version
}

// SchematicTwins lists, by id, the names of other schematics that the factory builds the same images of.
func (m *Manager) SchematicTwins(ctx context.Context) (map[string][]string, error) {
	all, err := m.Store.Schematics(ctx)
	if err != nil {
		return nil, err
	}
	same := map[string][]fleet.Schematic{}
	for _, s := range all {
		if id := m.factoryID(s.YAML); id != "" {
			same[id] = append(same[id], s)
		}
	}
	twins := map[string][]string{}
	for _, group := range same {
		for _, s := range group {
			for _, other := range group {
				if other.ID != s.ID {
					twins[s.ID] = append(twins[s.ID], other.Name)
				}
			}
		}
	}
	return twins, nil
}

// Customization says what a schematic customizes.
func (m *Manager) Customization(s fleet.Schematic) (fleet.Customization, error) {
	return imagefactory.Read(s.YAML)
}

// Extensions lists the official extensions of a Talos version in whose name or description a text is, in any case. ""
// is the newest version; it says which it was.
func (m *Manager) Extensions(ctx context.Context, version, search string) (of string, found []imagefactory.Extension, err error) {
	of = m.listed(ctx, version)
	all, err := m.Factory.Extensions(ctx, of)
	return of, slices.DeleteFunc(all, func(e imagefactory.Extension) bool { return !within(search, e.Name, e.Description) }), err
}

// Overlays is Extensions for overlays, which have no descriptions.
func (m *Manager) Overlays(ctx context.Context, version, search string) (of string, found []imagefactory.Overlay, err error) {
	of = m.listed(ctx, version)
	all, err := m.Factory.Overlays(ctx, of)
	return of, slices.DeleteFunc(all, func(o imagefactory.Overlay) bool { return !within(search, o.Name, o.Image) }), err
}

func (m *Manager) listed(ctx context.Context, version string) string {
	if version == "" {
		return m.newestOffered(ctx)
	}
	if version[0] >= '0' && version[0] <= '9' {
		return "v" + version
	}
	return version
}

func within(search string, texts ...string) bool {
	return slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(strings.ToLower(text), strings.ToLower(search)) })
}
