package api

import (
	"context"

	"github.com/danielgtaylor/huma/v2"

	"github.com/talos-manager/talos-manager/client"
	"github.com/talos-manager/talos-manager/internal/access"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
	"github.com/talos-manager/talos-manager/internal/store"
)

// layerRoutes are the routes of layers: of clusters, of the roles of a cluster, of configs and of servers.
func (a *api) layerRoutes(h huma.API) {
	const layer = "/layers/{scope}/{owner}"
	add(a, h, "list-drafts", "GET /drafts", "List the drafts of all layers", a.listDrafts)
	add(a, h, "show-layer", "GET "+layer, "Show a layer of patches", a.showLayer, explained(aboutSecrets))
	add(a, h, "update-layer", "PUT "+layer, "Replace the contents of a layer", a.updateLayer)
	add(a, h, "add-patch", "POST "+layer+"/patches", "Add a patch to a layer", a.addPatch, created)
	add(a, h, "change-patch", "PATCH "+layer+"/patches/{name}", "Change, move or switch a patch of a layer", a.changePatch)
	add(a, h, "remove-patch", "POST "+layer+"/patches/{name}/remove", "Remove a patch of a layer", a.removePatch)
	add(a, h, "set-variable", "PUT "+layer+"/variables/{name}", "Set an own variable of a layer", a.setVariable)
	add(a, h, "unset-variable", "POST "+layer+"/variables/{name}/remove", "Take an own variable away from a layer", a.unsetVariable)
	add(a, h, "list-layer-revisions", "GET "+layer+"/revisions", "List who saved what of a layer, newest first", a.layerRevisions)
	add(a, h, "show-layer-revision", "GET "+layer+"/revisions/{revision}", "Show what a revision of a layer holds", a.layerAt, explained(aboutSecrets))
	add(a, h, "diff-layer", "GET "+layer+"/diff", "Say what two revisions of a layer differ in", a.diffLayer)
	add(a, h, "blame-layer", "GET "+layer+"/blame", "Say who brought each line of the patches of a layer", a.blameLayer)
	add(a, h, "revert-layer", "POST "+layer+"/revert", "Make an old revision of a layer effective again", a.revertLayer)
	add(a, h, "publish-layer", "POST "+layer+"/publish", "Make the draft of a layer effective", a.publishLayer)
	add(a, h, "discard-layer", "POST "+layer+"/discard", "Throw the draft of a layer away", a.discardLayer)
}

// ByLayer names a layer in a path.
type ByLayer struct {
	Scope string `path:"scope" enum:"cluster,role,config,server"`
	Owner string `path:"owner" doc:"cluster, config or server, by name or id"`
	Role  string `query:"role" enum:"controlplane,worker" doc:"of scope role"`
}

// ByPatch names a patch or variable of a layer in a path.
type ByPatch struct {
	ByLayer
	Name string `path:"name"`
}

func (l ByLayer) ref() manage.LayerRef {
	return manage.LayerRef{Scope: fleet.Scope(l.Scope), Owner: l.Owner, Role: fleet.Role(l.Role)}
}

func saveOf(s client.LayerSave) manage.Save {
	return manage.Save{Why: s.Why, Base: s.Base, Draft: s.Draft}
}

// saved answers a save with the layer as it is now.
func (a *api) saved(ctx context.Context, l ByLayer, err error) (*body[client.Layer], error) {
	if err != nil {
		return nil, err
	}
	return a.showLayer(ctx, &struct {
		ByLayer
		Secrets
	}{ByLayer: l})
}

// Secrets are asked for.
type Secrets struct {
	Secrets bool `query:"secrets" doc:"with secrets instead of [secret]; this is noted in the events"`
}

const aboutSecrets = "Secrets are taken out of patches and variables: [secret] stands for them, and hidden says so. A patch or variable that is saved exactly as it was shown keeps its secrets; a changed text with [secret] in it is refused. Whoever wants to change one asks for it with its secrets, which is noted in the events."

func (a *api) showLayer(ctx context.Context, in *struct {
	ByLayer
	Secrets
},
) (*body[client.Layer], error) {
	l, draft, err := a.Manager.Layer(ctx, in.ref())
	if err != nil {
		return nil, err
	}
	hidden, err := a.Manager.Show(ctx, access.Actor(ctx), in.ref(), in.Secrets.Secrets, &l.Contents, &draft)
	if err != nil {
		return nil, err
	}
	out := client.Layer{Scope: in.Scope, Role: in.Role, Revision: l.Revision, Hidden: hidden[0], ConfigContents: contents(l.Contents)}
	if out.Owner, err = a.ownerOf(ctx, &in.ByLayer); err != nil {
		return nil, err
	}
	if !l.SavedAt.IsZero() {
		out.SavedAt = &l.SavedAt
	}
	if l.Draft != "" {
		out.Draft = &client.LayerDraft{Revision: l.Draft, Base: l.DraftBase, Hidden: hidden[1], ConfigContents: contents(draft)}
	}
	return answer(out, nil)
}

func (a *api) ownerOf(ctx context.Context, in *ByLayer) (client.Ref, error) {
	switch fleet.Scope(in.Scope) {
	case fleet.ScopeServer:
		s, err := a.store.Server(ctx, in.Owner)
		return client.Ref{ID: s.ID, Name: s.Name}, err
	case fleet.ScopeConfig:
		c, err := a.store.Config(ctx, in.Owner)
		return client.Ref{ID: c.ID, Name: c.Name}, err
	}
	c, err := a.store.Cluster(ctx, in.Owner)
	return client.Ref{ID: c.ID, Name: c.Name}, err
}

func (a *api) updateLayer(ctx context.Context, in *struct {
	ByLayer
	Body client.LayerUpdate
},
) (*body[client.Layer], error) {
	_, err := a.Manager.SetLayer(ctx, access.Actor(ctx), in.ref(), contentsFrom(in.Body.ConfigContents), saveOf(in.Body.LayerSave))
	return a.saved(ctx, in.ByLayer, err)
}

func (a *api) addPatch(ctx context.Context, in *struct {
	ByLayer
	Body client.NewPatch
},
) (*body[client.Layer], error) {
	place := -1
	if in.Body.Place != nil {
		place = *in.Body.Place
	}
	_, err := a.Manager.AddPatch(ctx, access.Actor(ctx), in.ref(), patchFrom(in.Body.Patch), place, saveOf(in.Body.LayerSave))
	return a.saved(ctx, in.ByLayer, err)
}

func (a *api) changePatch(ctx context.Context, in *struct {
	ByPatch
	Body client.PatchChange
},
) (*body[client.Layer], error) {
	c, how, actor := in.Body, saveOf(in.Body.LayerSave), access.Actor(ctx)
	changes := c.Name != nil || c.Text != nil || c.Role != nil || c.Architecture != nil || c.Provider != nil || c.Off != nil
	if c.Place != nil {
		if changes {
			return nil, fleet.Errorf(fleet.Invalid, "patch %s: a move and a change are two changes", in.Name).WithHint("move it first, then change it")
		}
		_, err := a.Manager.MovePatch(ctx, actor, in.ref(), in.Name, *c.Place, how)
		return a.saved(ctx, in.ByLayer, err)
	}
	if !changes {
		return nil, fleet.Errorf(fleet.Invalid, "patch %s: nothing to change is given", in.Name).WithHint("give a name, text, role, architecture, provider, off or place")
	}
	_, err := a.Manager.UpdatePatch(ctx, actor, in.ref(), in.Name, func(p *fleet.Patch) {
		set(&p.Name, c.Name)
		set(&p.Text, c.Text)
		set((*string)(&p.Role), c.Role)
		set((*string)(&p.Architecture), c.Architecture)
		set((*string)(&p.Provider), c.Provider)
		set(&p.Off, c.Off)
	}, how)
	return a.saved(ctx, in.ByLayer, err)
}

func set[T any](field, value *T) {
	if value != nil {
		*field = *value
	}
}

func (a *api) removePatch(ctx context.Context, in *struct {
	ByPatch
	Body client.LayerSave
},
) (*body[client.Layer], error) {
	_, err := a.Manager.RemovePatch(ctx, access.Actor(ctx), in.ref(), in.Name, saveOf(in.Body))
	return a.saved(ctx, in.ByLayer, err)
}

func (a *api) setVariable(ctx context.Context, in *struct {
	ByPatch
	Body client.VariableChange
},
) (*body[client.Layer], error) {
	_, err := a.Manager.SetVariable(ctx, access.Actor(ctx), in.ref(), in.Name, in.Body.Value, saveOf(in.Body.LayerSave))
	return a.saved(ctx, in.ByLayer, err)
}

func (a *api) unsetVariable(ctx context.Context, in *struct {
	ByPatch
	Body client.LayerSave
},
) (*body[client.Layer], error) {
	_, err := a.Manager.UnsetVariable(ctx, access.Actor(ctx), in.ref(), in.Name, saveOf(in.Body))
	return a.saved(ctx, in.ByLayer, err)
}

func (a *api) layerRevisions(ctx context.Context, in *ByLayer) (*body[client.List[client.LayerRevision]], error) {
	all, err := a.Manager.Revisions(ctx, in.ref())
	return answer(items(all, func(r store.LayerRevision) client.LayerRevision {
		return client.LayerRevision{Revision: r.Revision, Verb: r.Verb, Actor: r.Actor, Why: r.Why, At: r.At}
	}), err)
}

func (a *api) layerAt(ctx context.Context, in *struct {
	ByLayer
	Secrets
	Revision string `path:"revision" doc:"its hash, the beginning of it, current or draft"`
},
) (*body[client.LayerContentsAt], error) {
	c, hash, err := a.Manager.Revision(ctx, in.ref(), in.Revision)
	if err != nil {
		return nil, err
	}
	hidden, err := a.Manager.Show(ctx, access.Actor(ctx), in.ref(), in.Secrets.Secrets, &c)
	if err != nil {
		return nil, err
	}
	return answer(client.LayerContentsAt{Revision: hash, Hidden: hidden[0], ConfigContents: contents(c)}, nil)
}

func (a *api) diffLayer(ctx context.Context, in *struct {
	ByLayer
	From string `query:"from" required:"true" doc:"a revision: its hash, the beginning of it, current or draft"`
	To   string `query:"to" required:"true" doc:"a revision"`
},
) (*body[client.LayerDiff], error) {
	d, err := a.Manager.DiffRevisions(ctx, in.ref(), in.From, in.To)
	out := client.LayerDiff{From: d.From, To: d.To, Patches: []client.PatchDiff{}, Fields: []client.FieldDiff{}}
	for _, p := range d.Patches {
		q := client.PatchDiff{Name: p.Name, Op: string(p.Op), From: p.From, To: p.To}
		for _, l := range p.Lines {
			q.Lines = append(q.Lines, client.LineDiff{Op: string(l.Op), Text: l.Text})
		}
		out.Patches = append(out.Patches, q)
	}
	for _, f := range d.Fields {
		out.Fields = append(out.Fields, client.FieldDiff(f))
	}
	return answer(out, err)
}

func (a *api) blameLayer(ctx context.Context, in *ByLayer) (*body[client.List[client.PatchBlame]], error) {
	all, err := a.Manager.Blame(ctx, in.ref())
	return answer(items(all, func(b manage.PatchBlame) client.PatchBlame {
		out := client.PatchBlame{Patch: b.Patch, Lines: []client.BlameLine{}}
		for _, l := range b.Lines {
			out.Lines = append(out.Lines, client.BlameLine(l))
		}
		return out
	}), err)
}

func (a *api) revertLayer(ctx context.Context, in *struct {
	ByLayer
	Body client.LayerRevert
},
) (*body[client.Layer], error) {
	_, err := a.Manager.Revert(ctx, access.Actor(ctx), in.ref(), in.Body.Revision, saveOf(in.Body.LayerSave))
	return a.saved(ctx, in.ByLayer, err)
}

func (a *api) publishLayer(ctx context.Context, in *struct {
	ByLayer
	Body client.LayerSave
},
) (*body[client.Layer], error) {
	_, err := a.Manager.Publish(ctx, access.Actor(ctx), in.ref(), saveOf(in.Body))
	return a.saved(ctx, in.ByLayer, err)
}

func (a *api) discardLayer(ctx context.Context, in *struct {
	ByLayer
	Body client.LayerSave
},
) (*body[client.Layer], error) {
	_, err := a.Manager.Discard(ctx, access.Actor(ctx), in.ref(), saveOf(in.Body))
	return a.saved(ctx, in.ByLayer, err)
}

func (a *api) listDrafts(ctx context.Context, _ *nothing) (*body[client.List[client.Draft]], error) {
	all, err := a.Manager.Drafts(ctx)
	return answer(items(all, func(d manage.Draft) client.Draft {
		return client.Draft{LayerRef: client.LayerRef{Scope: string(d.Scope), Owner: d.Owner, Role: string(d.Role)}, Revision: d.Revision, Stale: d.Stale}
	}), err)
}
