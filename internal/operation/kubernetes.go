package operation

import (
	"context"
	"errors"
	"sync"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/kube"
	"github.com/talos-manager/talos-manager/internal/store"
	"github.com/talos-manager/talos-manager/internal/talos"
)

// Kubeconfig fetches an admin kubeconfig of a cluster from the first of its control planes that answers.
func (o *Operations) Kubeconfig(ctx context.Context, clusterRef string) ([]byte, error) {
	cluster, err := o.Store.Cluster(ctx, clusterRef)
	if err != nil {
		return nil, err
	}
	planes, err := o.controlPlanes(ctx, cluster.ID)
	if err != nil {
		return nil, err
	}
	var problems []error
	for _, s := range planes {
		config, err := o.kubeconfigFrom(ctx, &cluster, s)
		if err == nil {
			return config, nil
		}
		problems = append(problems, err)
	}
	if len(problems) == 0 {
		return nil, fleet.Errorf(fleet.Unavailable, "cluster %s has no control plane that runs Talos yet", cluster.Name)
	}
	return nil, fleet.Errorf(fleet.Unavailable, "no control plane of cluster %s gives a kubeconfig: %w", cluster.Name, errors.Join(problems...))
}

func (o *Operations) kubeconfigFrom(ctx context.Context, cluster *fleet.Cluster, s fleet.Server) ([]byte, error) {
	node, err := o.node(ctx, cluster, s)
	if err != nil {
		return nil, err
	}
	defer node.Close()
	var config []byte
	err = talos.Look(ctx, func(ctx context.Context) error {
		config, err = node.Kubeconfig(ctx)
		return err
	})
	return config, err
}

// controlPlanes lists the control planes of a cluster that have their config, the one that bootstrapped first.
func (o *Operations) controlPlanes(ctx context.Context, clusterID string) ([]fleet.Server, error) {
	cluster, err := o.Store.Cluster(ctx, clusterID)
	if err != nil {
		return nil, err
	}
	all, err := o.Store.Servers(ctx, store.ServerFilter{ClusterID: clusterID, IncludeMissing: true})
	if err != nil {
		return nil, err
	}
	var out []fleet.Server
	for _, s := range all {
		if s.Assignment.Role != fleet.ControlPlane || s.State != fleet.Configured && s.State != fleet.Ready && s.State != fleet.Unhealthy {
			continue
		}
		if s.ID == cluster.BootstrapServerID {
			out = append([]fleet.Server{s}, out...)
		} else {
			out = append(out, s)
		}
	}
	return out, nil
}

// Kubernetes opens the API of a cluster. The admin kubeconfig is fetched once and kept in memory; a cluster that
// does not know it any more (deleted and made again) has another id.
func (o *Operations) Kubernetes(ctx context.Context, clusterID string) (*kube.Cluster, error) {
	config, err := o.kubeconfigs.get(clusterID, func() ([]byte, error) { return o.Kubeconfig(ctx, clusterID) })
	if err != nil {
		return nil, err
	}
	return kube.Open(config, o.Dial)
}

// keep remembers what was fetched once.
type keep struct {
	mu  sync.Mutex
	all map[string][]byte
}

func (k *keep) get(key string, fetch func() ([]byte, error)) ([]byte, error) {
	k.mu.Lock()
	have := k.all[key]
	k.mu.Unlock()
	if have != nil {
		return have, nil
	}
	got, err := fetch()
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.all[key] = got
	return got, nil
}
