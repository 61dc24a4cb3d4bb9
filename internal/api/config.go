package api

import (
	"context"

	"github.com/talos-manager/talos-manager/client"
	"github.com/talos-manager/talos-manager/internal/access"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
)

func (a *api) listConfigs(ctx context.Context, _ *nothing) (*body[client.List[client.Config]], error) {
	all, err := a.store.Configs(ctx)
	if err != nil {
		return nil, err
	}
	contents := make([]*fleet.Contents, len(all))
	for i := range all {
		contents[i] = &all[i].Contents
	}
	hidden, err := a.Manager.Hide(ctx, contents...)
	if err != nil {
		return nil, err
	}
	out := items(all, configOf)
	for i := range out.Items {
		out.Items[i].Hidden = hidden[i]
	}
	return answer(out, nil)
}

func (a *api) showConfig(ctx context.Context, in *struct {
	ByRef
	Secrets
},
) (*body[client.Config], error) {
	c, err := a.store.Config(ctx, in.Ref)
	if err != nil {
		return nil, err
	}
	return a.config(ctx, c, in.Secrets.Secrets)
}

// config answers with a config: without its secrets, or with them, which is noted.
func (a *api) config(ctx context.Context, c fleet.Config, secrets bool) (*body[client.Config], error) {
	ref := manage.LayerRef{Scope: fleet.ScopeConfig, Owner: c.ID}
	hidden, err := a.Manager.Show(ctx, access.Actor(ctx), ref, secrets, &c.Contents)
	if err != nil {
		return nil, err
	}
	out := configOf(c)
	out.Hidden = hidden[0]
	return answer(out, nil)
}

func (a *api) createConfig(ctx context.Context, in *body[client.NewConfig]) (*body[client.Config], error) {
	c := fleet.Config{Name: in.Body.Name}
	c.Contents = contentsFrom(in.Body.ConfigContents)
	c, err := a.Manager.SaveConfig(ctx, access.Actor(ctx), c)
	if err != nil {
		return nil, err
	}
	return a.config(ctx, c, false)
}

func (a *api) updateConfig(ctx context.Context, in *struct {
	ByRef
	Body client.ConfigUpdate
},
) (*body[client.Config], error) {
	c, err := a.store.Config(ctx, in.Ref)
	if err != nil {
		return nil, err
	}
	if in.Body.Name != "" {
		c.Name = in.Body.Name
	}
	c.Revision = in.Body.Revision
	c.Contents = contentsFrom(in.Body.ConfigContents)
	if c, err = a.Manager.SaveConfig(ctx, access.Actor(ctx), c); err != nil {
		return nil, err
	}
	return a.config(ctx, c, false)
}

func (a *api) deleteConfig(ctx context.Context, in *ByRef) (*nothing, error) {
	return nil, a.Manager.DeleteConfig(ctx, access.Actor(ctx), in.Ref)
}

func configOf(c fleet.Config) client.Config {
	return client.Config{ID: c.ID, Name: c.Name, Revision: c.Revision, CreatedAt: c.CreatedAt, UpdatedAt: c.UpdatedAt, ConfigContents: contents(c.Contents)}
}

func contents(c fleet.Contents) client.ConfigContents {
	out := client.ConfigContents{InstallImage: c.InstallImage, KubernetesVersion: c.KubernetesVersion, KubeSpan: c.KubeSpan}
	out.Variables = c.Variables
	for _, p := range c.Patches {
		out.Patches = append(out.Patches, patchOf(p))
	}
	return out
}

func patchOf(p fleet.Patch) client.Patch {
	return client.Patch{
		Name: p.Name, Text: p.Text, Role: string(p.Role), Architecture: string(p.Architecture), Provider: string(p.Provider), Off: p.Off,
	}
}

func contentsFrom(c client.ConfigContents) fleet.Contents {
	out := fleet.Contents{InstallImage: c.InstallImage, KubernetesVersion: c.KubernetesVersion, KubeSpan: c.KubeSpan, Variables: c.Variables}
	for _, p := range c.Patches {
		out.Patches = append(out.Patches, patchFrom(p))
	}
	return out
}

func patchFrom(p client.Patch) fleet.Patch {
	return fleet.Patch{
		Name: p.Name, Text: p.Text, Role: fleet.Role(p.Role), Architecture: fleet.Architecture(p.Architecture), Provider: fleet.Provider(p.Provider), Off: p.Off,
	}
}
