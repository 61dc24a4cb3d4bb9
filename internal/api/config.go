package api

import (
	"context"

	"github.com/talos-manager/talos-manager/client"
	"github.com/talos-manager/talos-manager/internal/access"
	"github.com/talos-manager/talos-manager/internal/fleet"
)

func (a *api) listConfigs(ctx context.Context, _ *nothing) (*body[client.List[client.Config]], error) {
	all, err := a.store.Configs(ctx)
	return answer(items(all, configOf), err)
}

func (a *api) showConfig(ctx context.Context, in *ByRef) (*body[client.Config], error) {
	c, err := a.store.Config(ctx, in.Ref)
	return answer(configOf(c), err)
}

func (a *api) createConfig(ctx context.Context, in *body[client.NewConfig]) (*body[client.Config], error) {
	c := fleet.Config{Name: in.Body.Name}
	fill(&c, in.Body.ConfigContents)
	c, err := a.Manager.SaveConfig(ctx, access.Actor(ctx), c)
	return answer(configOf(c), err)
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
	fill(&c, in.Body.ConfigContents)
	c, err = a.Manager.SaveConfig(ctx, access.Actor(ctx), c)
	return answer(configOf(c), err)
}

func (a *api) deleteConfig(ctx context.Context, in *ByRef) (*nothing, error) {
	return nil, a.Manager.DeleteConfig(ctx, access.Actor(ctx), in.Ref)
}

func (a *api) configRevisions(ctx context.Context, in *ByRef) (*body[client.List[client.ConfigRevision]], error) {
	c, err := a.store.Config(ctx, in.Ref)
	if err != nil {
		return nil, err
	}
	all, err := a.store.LayerRevisions(ctx, fleet.ScopeConfig, c.ID)
	if err != nil {
		return nil, err
	}
	list := client.List[client.ConfigRevision]{Items: []client.ConfigRevision{}}
	for _, r := range all {
		at, err := a.store.Contents(ctx, r.Revision)
		if err != nil {
			return nil, err
		}
		list.Items = append(list.Items, client.ConfigRevision{Revision: r.Revision, Actor: r.Actor, At: r.At, ConfigContents: contents(at)})
	}
	return answer(list, nil)
}

func configOf(c fleet.Config) client.Config {
	return client.Config{ID: c.ID, Name: c.Name, Revision: c.Revision, CreatedAt: c.CreatedAt, UpdatedAt: c.UpdatedAt, ConfigContents: contents(c.Contents)}
}

func contents(c fleet.Contents) client.ConfigContents {
	out := client.ConfigContents{InstallImage: c.InstallImage, KubernetesVersion: c.KubernetesVersion, KubeSpan: c.KubeSpan}
	out.Variables = c.Variables
	for _, p := range c.Patches {
		out.Patches = append(out.Patches, client.Patch{
			Name: p.Name, Text: p.Text, Role: string(p.Role), Architecture: string(p.Architecture), Provider: string(p.Provider), Off: p.Off,
		})
	}
	return out
}

func fill(c *fleet.Config, from client.ConfigContents) {
	c.InstallImage, c.KubernetesVersion, c.KubeSpan = from.InstallImage, from.KubernetesVersion, from.KubeSpan
	c.Variables, c.Patches = from.Variables, nil
	for _, p := range from.Patches {
		c.Patches = append(c.Patches, fleet.Patch{
			Name: p.Name, Text: p.Text, Role: fleet.Role(p.Role), Architecture: fleet.Architecture(p.Architecture), Provider: fleet.Provider(p.Provider), Off: p.Off,
		})
	}
}
