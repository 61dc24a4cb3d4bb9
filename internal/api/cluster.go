package api

import (
	"context"

	"github.com/talos-manager/talos-manager/client"
	"github.com/talos-manager/talos-manager/internal/access"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
	"github.com/talos-manager/talos-manager/internal/store"
)

func (a *api) listClusters(ctx context.Context, _ *nothing) (*body[client.List[client.Cluster]], error) {
	all, err := a.store.Clusters(ctx)
	if err != nil {
		return nil, err
	}
	list, err := a.clusters(ctx, all...)
	return answer(client.List[client.Cluster]{Items: list}, err)
}

func (a *api) showCluster(ctx context.Context, in *ByRef) (*body[client.Cluster], error) {
	c, err := a.store.Cluster(ctx, in.Ref)
	if err != nil {
		return nil, err
	}
	return a.oneCluster(ctx, c)
}

func (a *api) oneCluster(ctx context.Context, c fleet.Cluster) (*body[client.Cluster], error) {
	list, err := a.clusters(ctx, c)
	if err != nil {
		return nil, err
	}
	return answer(list[0], nil)
}

func (a *api) createCluster(ctx context.Context, in *body[client.NewCluster]) (*body[client.Cluster], error) {
	n := in.Body
	var secrets []byte
	if n.Secrets != "" {
		var err error
		if secrets, err = a.Manager.BundleOf([]byte(n.Secrets)); err != nil {
			return nil, err
		}
	}
	c, err := a.Manager.CreateCluster(ctx, access.Actor(ctx), manage.NewCluster{
		Name: n.Name, Endpoint: n.Endpoint, TalosVersion: n.TalosVersion,
		KubernetesVersion: n.KubernetesVersion, Config: n.Config, Schematic: n.Schematic, VSwitchID: n.VSwitch,
		PrivateNetwork: n.PrivateNetwork, PrivateMTU: n.PrivateMTU, Secrets: secrets, DiskPolicy: fleet.DiskPolicy(n.DiskPolicy),
	})
	if err != nil {
		return nil, err
	}
	return a.oneCluster(ctx, c)
}

func (a *api) updateCluster(ctx context.Context, in *struct {
	ByRef
	Body client.ClusterChange
},
) (*body[client.Cluster], error) {
	c, err := a.Manager.UpdateCluster(ctx, access.Actor(ctx), in.Ref, clusterChangeFrom(in.Body))
	if err != nil {
		return nil, err
	}
	return a.oneCluster(ctx, c)
}

func clusterChangeFrom(c client.ClusterChange) manage.ClusterChange {
	return manage.ClusterChange{
		TalosVersion: c.TalosVersion, KubernetesVersion: c.KubernetesVersion, Config: c.Config, Schematic: c.Schematic,
		VSwitch: c.VSwitch, PrivateNetwork: c.PrivateNetwork, PrivateMTU: c.PrivateMTU, DiskPolicy: (*fleet.DiskPolicy)(c.DiskPolicy), Why: c.Why,
	}
}

func (a *api) replaceSecrets(ctx context.Context, in *struct {
	ByRef
	Body client.Secrets
},
) (*body[client.Cluster], error) {
	bundle, err := a.Manager.BundleOf([]byte(in.Body.Secrets))
	if err != nil {
		return nil, err
	}
	if err := a.Manager.ReplaceSecrets(ctx, access.Actor(ctx), in.Ref, bundle); err != nil {
		return nil, err
	}
	return a.showCluster(ctx, &in.ByRef)
}

func (a *api) deleteCluster(ctx context.Context, in *ByRef) (*nothing, error) {
	return nil, a.Manager.DeleteCluster(ctx, access.Actor(ctx), in.Ref)
}

func (a *api) bootstrapCluster(ctx context.Context, in *ByRef) (*body[client.Operation], error) {
	o, err := a.Operations.Bootstrap(ctx, access.Actor(ctx), in.Ref)
	return a.started(ctx, o, err)
}

func (a *api) talosconfig(ctx context.Context, in *ByRef) (*text, error) {
	config, err := a.Manager.Talosconfig(ctx, access.Actor(ctx), in.Ref)
	return &text{"text/yaml; charset=utf-8", config}, err
}

func (a *api) kubeconfig(ctx context.Context, in *ByRef) (*text, error) {
	c, err := a.store.Cluster(ctx, in.Ref)
	if err != nil {
		return nil, err
	}
	config, err := a.Operations.Kubeconfig(ctx, c.ID)
	if err != nil {
		return nil, err
	}
	err = manage.Audit(ctx, a.store, access.Actor(ctx), "cluster.kubeconfig", "cluster", c.ID, "admin kubeconfig of "+c.Name+" handed out")
	return &text{"text/yaml; charset=utf-8", config}, err
}

func (a *api) clusters(ctx context.Context, all ...fleet.Cluster) ([]client.Cluster, error) {
	n, err := a.names(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]client.Cluster, 0, len(all))
	for _, c := range all {
		servers, err := a.store.Servers(ctx, store.ServerFilter{ClusterID: c.ID, IncludeMissing: true, WithoutFacts: true})
		if err != nil {
			return nil, err
		}
		for _, s := range servers {
			n[s.ID] = s.Name
		}
		out = append(out, client.Cluster{
			ID: c.ID, Name: c.Name, Endpoint: c.Endpoint, TalosVersion: c.TalosVersion, KubernetesVersion: c.KubernetesVersion,
			Config: n.some(c.ConfigID), Schematic: n.some(c.SchematicID), VSwitch: n.some(c.VSwitchID), Servers: count(servers),
			PrivateNetwork: c.PrivateNetwork, PrivateMTU: c.PrivateMTU, DiskPolicy: string(c.DiskPolicy),
			CreatedAt: c.CreatedAt, BootstrapServer: n.some(c.BootstrapServerID), BootstrappedAt: c.BootstrappedAt,
		})
	}
	return out, nil
}

func count(servers []fleet.Server) (n client.ServerCounts) {
	for _, s := range servers {
		all, ready := &n.Workers, &n.ReadyWorkers
		if s.Assignment.Role == fleet.ControlPlane {
			all, ready = &n.ControlPlanes, &n.ReadyControlPlanes
		}
		*all++
		if s.State == fleet.Ready {
			*ready++
		}
	}
	return n
}
