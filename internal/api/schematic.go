package api

import (
	"context"

	"github.com/talos-manager/talos-manager/client"
	"github.com/talos-manager/talos-manager/internal/access"
	"github.com/talos-manager/talos-manager/internal/fleet"
)

func (a *api) listSchematics(ctx context.Context, _ *nothing) (*body[client.List[client.Schematic]], error) {
	all, err := a.store.Schematics(ctx)
	return answer(items(all, a.schematic), err)
}

func (a *api) showSchematic(ctx context.Context, in *ByRef) (*body[client.Schematic], error) {
	s, err := a.store.Schematic(ctx, in.Ref)
	return answer(a.schematic(s), err)
}

func (a *api) createSchematic(ctx context.Context, in *body[client.NewSchematic]) (*body[client.Schematic], error) {
	s, err := a.Manager.AddSchematic(ctx, access.Actor(ctx), fleet.Schematic{Name: in.Body.Name, YAML: in.Body.YAML})
	return answer(a.schematic(s), err)
}

func (a *api) deleteSchematic(ctx context.Context, in *ByRef) (*nothing, error) {
	return nil, a.Manager.DeleteSchematic(ctx, access.Actor(ctx), in.Ref)
}

// schematic converts one; its factory id is computed, the factory is not asked. What is stored was checked, so the
// id is empty only for a schematic that an older program took.
func (a *api) schematic(s fleet.Schematic) client.Schematic {
	id, err := a.Manager.Factory.SchematicID(s.YAML)
	if err != nil {
		id = ""
	}
	return client.Schematic{ID: s.ID, Name: s.Name, FactoryID: id, YAML: s.YAML, CreatedAt: s.CreatedAt}
}
