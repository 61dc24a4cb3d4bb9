package api

import (
	"context"
	"strconv"

	"github.com/talos-manager/talos-manager/client"
	"github.com/talos-manager/talos-manager/internal/operation"
)

func (a *api) clusterHealth(ctx context.Context, in *ByRef) (*body[client.ClusterHealth], error) {
	look, err := a.Operations.LookAtCluster(ctx, in.Ref)
	if err != nil {
		return nil, err
	}
	n := names{}
	for _, v := range look.Nodes {
		n[v.Server.ID] = v.Server.Name
	}
	etcd := look.Etcd()
	return answer(client.ClusterHealth{
		At: look.At, Problems: look.Problems(),
		Nodes: items(look.Nodes, func(v operation.NodeLook) client.NodeHealth {
			return client.NodeHealth{
				Server: n.ref(v.Server.ID), Hostname: v.Server.Hostname(), Role: string(v.Server.Assignment.Role),
				Talos: v.Talos, Etcd: v.Etcd, Ailing: v.Ailing, Problem: v.Problem,
			}
		}).Items,
		Etcd: client.EtcdHealth{
			Voters: etcd.Voters, Running: etcd.Running, Quorum: etcd.Quorum, Split: etcd.Split,
			Members: items(look.Members, func(m operation.EtcdMember) client.EtcdMember {
				return client.EtcdMember{
					ID: strconv.FormatUint(m.ID, 16), Hostname: m.Hostname, Server: n.some(m.Server), Learner: m.Learner,
					State: m.State, SeenBy: m.SeenBy, Missed: m.Missed,
				}
			}).Items,
		},
		Kubernetes: client.KubernetesHealth{
			Version: look.Kubernetes.Version, Problem: look.Kubernetes.Problem,
			Nodes: items(look.Kubernetes.Nodes, func(v operation.KubeNode) client.KubernetesNode {
				return client.KubernetesNode{
					Name: v.Name, Server: n.some(v.Server), Ready: v.Ready, Reason: v.Reason, Since: v.Since, Kubelet: v.Kubelet, Cordoned: v.Cordoned,
				}
			}).Items,
		},
	}, nil)
}
