package api

import (
	"context"
	"math"

	"github.com/danielgtaylor/huma/v2"

	"github.com/talos-manager/talos-manager/client"
	"github.com/talos-manager/talos-manager/internal/access"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
)

// schematicRoutes are the routes of schematics, and of what the image factory has for them.
func (a *api) schematicRoutes(h huma.API) {
	add(a, h, "list-schematics", "GET /schematics", "List the schematics", a.listSchematics)
	add(a, h, "create-schematic", "POST /schematics", "Create a schematic", a.createSchematic, created)
	add(a, h, "show-schematic", "GET /schematics/{ref}", "Show a schematic", a.showSchematic)
	add(a, h, "update-schematic", "PUT /schematics/{ref}", "Change a schematic", a.updateSchematic)
	add(a, h, "delete-schematic", "DELETE /schematics/{ref}", "Forget a schematic", a.deleteSchematic)
	add(a, h, "check-schematic", "GET /schematics/{ref}/check", "Say what Talos versions lack of a schematic", a.checkSchematic)
	add(a, h, "list-extensions", "GET /factory/extensions", "List the official extensions of a Talos version", a.listExtensions)
	add(a, h, "list-overlays", "GET /factory/overlays", "List the official overlays of a Talos version", a.listOverlays)
}

// ByVersion chooses a Talos version.
type ByVersion struct {
	TalosVersion string `query:"talosVersion" doc:"v1.14.1"`
}

func (a *api) listSchematics(ctx context.Context, _ *nothing) (*body[client.List[client.Schematic]], error) {
	all, err := a.store.Schematics(ctx)
	if err != nil {
		return nil, err
	}
	twins, err := a.Manager.SchematicTwins(ctx)
	return answer(items(all, func(s fleet.Schematic) client.Schematic { return a.schematic(s, twins) }), err)
}

func (a *api) showSchematic(ctx context.Context, in *ByRef) (*body[client.Schematic], error) {
	return a.shownSchematic(ctx, in.Ref)
}

func (a *api) shownSchematic(ctx context.Context, ref string) (*body[client.Schematic], error) {
	s, err := a.store.Schematic(ctx, ref)
	if err != nil {
		return nil, err
	}
	twins, err := a.Manager.SchematicTwins(ctx)
	return answer(a.schematic(s, twins), err)
}

func (a *api) createSchematic(ctx context.Context, in *body[client.NewSchematic]) (*body[client.Schematic], error) {
	n := in.Body
	s, err := a.Manager.CreateSchematic(ctx, access.Actor(ctx), manage.SchematicEdit{
		Name: n.Name, YAML: &n.YAML, Parts: partsFrom(n.Parts), TalosVersion: n.TalosVersion, Unchecked: n.Unchecked,
	})
	if err != nil {
		return nil, err
	}
	return a.shownSchematic(ctx, s.ID)
}

// ChangeSchematic is a schematic and what to change of it.
type ChangeSchematic struct {
	ByRef
	body[client.SchematicUpdate]
}

func (a *api) updateSchematic(ctx context.Context, in *ChangeSchematic) (*body[client.Schematic], error) {
	u := in.Body
	s, err := a.Manager.UpdateSchematic(ctx, access.Actor(ctx), in.Ref, manage.SchematicEdit{
		Name: u.Name, YAML: u.YAML, Parts: partsFrom(u.Parts), Based: u.FactoryID, TalosVersion: u.TalosVersion, Unchecked: u.Unchecked,
	})
	if err != nil {
		return nil, err
	}
	return a.shownSchematic(ctx, s.ID)
}

func (a *api) deleteSchematic(ctx context.Context, in *ByRef) (*nothing, error) {
	return nil, a.Manager.DeleteSchematic(ctx, access.Actor(ctx), in.Ref)
}

// CheckSchematic is a schematic and the Talos version to check it for.
type CheckSchematic struct {
	ByRef
	ByVersion
}

func (a *api) checkSchematic(ctx context.Context, in *CheckSchematic) (*body[client.List[client.SchematicReport]], error) {
	all, err := a.Manager.CheckSchematic(ctx, in.Ref, in.TalosVersion)
	return answer(items(all, reported), err)
}

func reported(r fleet.SchematicReport) client.SchematicReport {
	v := client.SchematicReport{TalosVersion: r.TalosVersion, UsedBy: r.UsedBy}
	for _, m := range r.Missing {
		v.Missing = append(v.Missing, client.MissingPart(m))
	}
	for _, x := range r.Renamed {
		v.Renamed = append(v.Renamed, client.RenamedExtension(x))
	}
	return v
}

// SearchFactory chooses what the factory has.
type SearchFactory struct {
	ByVersion
	Search string `query:"search" doc:"part of name or description, in any case"`
}

func (a *api) listExtensions(ctx context.Context, in *SearchFactory) (*body[client.ExtensionList], error) {
	version, all, err := a.Manager.Extensions(ctx, in.TalosVersion, in.Search)
	l := client.ExtensionList{TalosVersion: version, Items: []client.Extension{}}
	for _, e := range all {
		l.Items = append(l.Items, client.Extension(e))
	}
	return answer(l, err)
}

func (a *api) listOverlays(ctx context.Context, in *SearchFactory) (*body[client.OverlayList], error) {
	version, all, err := a.Manager.Overlays(ctx, in.TalosVersion, in.Search)
	l := client.OverlayList{TalosVersion: version, Items: []client.OfficialOverlay{}}
	for _, o := range all {
		l.Items = append(l.Items, client.OfficialOverlay(o))
	}
	return answer(l, err)
}

// schematic converts one; its factory id is computed, the factory is not asked. What is stored was checked, so that
// id and parts are missing only for a schematic that another program took.
func (a *api) schematic(s fleet.Schematic, twins map[string][]string) client.Schematic {
	id, err := a.Manager.Factory.SchematicID(s.YAML)
	if err != nil {
		id = ""
	}
	v := client.Schematic{ID: s.ID, Name: s.Name, FactoryID: id, YAML: s.YAML, SameAs: twins[s.ID], CreatedAt: s.CreatedAt}
	if c, err := a.Manager.Customization(s); err == nil {
		v.Parts = partsOf(c)
	}
	return v
}

func partsOf(c fleet.Customization) *client.SchematicParts {
	p := &client.SchematicParts{
		Extensions: c.Extensions, KernelArgs: c.KernelArgs, Bootloader: c.Bootloader, SectorSize: c.SectorSize, MachineConfig: c.MachineConfig,
	}
	for _, m := range c.Meta {
		p.Meta = append(p.Meta, client.MetaValue(m))
	}
	if c.Overlay.Name != "" {
		p.Overlay = &client.Overlay{Name: c.Overlay.Name, Image: c.Overlay.Image, Options: c.Overlay.Options}
	}
	if c.SecureBoot != (fleet.SecureBoot{}) {
		p.SecureBoot = &client.SecureBoot{WellKnownCertificates: c.SecureBoot.WellKnownCertificates, EnrollKeys: c.SecureBoot.EnrollKeys}
	}
	return p
}

func partsFrom(p *client.SchematicParts) *fleet.Customization {
	if p == nil {
		return nil
	}
	c := &fleet.Customization{
		Extensions: p.Extensions, KernelArgs: p.KernelArgs, Bootloader: p.Bootloader, SectorSize: p.SectorSize, MachineConfig: p.MachineConfig,
	}
	for _, m := range p.Meta {
		c.Meta = append(c.Meta, fleet.MetaValue(m))
	}
	if p.Overlay != nil {
		c.Overlay = fleet.Overlay{Name: p.Overlay.Name, Image: p.Overlay.Image}
		if whole, ok := wholeNumbers(p.Overlay.Options).(map[string]any); ok && len(whole) > 0 {
			c.Overlay.Options = whole
		}
	}
	if p.SecureBoot != nil {
		c.SecureBoot = fleet.SecureBoot{WellKnownCertificates: p.SecureBoot.WellKnownCertificates, EnrollKeys: p.SecureBoot.EnrollKeys}
	}
	return c
}

// wholeNumbers turns the numbers of JSON, which are all floating, into what YAML writes as people do: the id of a
// schematic is the hash of its text.
func wholeNumbers(v any) any {
	switch v := v.(type) {
	case map[string]any:
		whole := make(map[string]any, len(v))
		for name, item := range v {
			whole[name] = wholeNumbers(item)
		}
		return whole
	case []any:
		whole := make([]any, 0, len(v))
		for _, item := range v {
			whole = append(whole, wholeNumbers(item))
		}
		return whole
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return int64(v)
		}
	}
	return v
}
