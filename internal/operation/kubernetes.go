package operation

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/kube"
	"github.com/talos-manager/talos-manager/internal/talos"
)

// Kubeconfig fetches an admin kubeconfig of a cluster from the first of its control planes that answers.
func (o *Operations) Kubeconfig(ctx context.Context, clusterRef string) ([]byte, error) {
	cluster, err := o.Store.Cluster(ctx, clusterRef)
	if err != nil {
		return nil, err
	}
	planes, err := o.controlPlanes(ctx, cluster, nodes...)
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

// Kubernetes opens the API of a cluster. The admin kubeconfig is fetched once an hour and kept in memory: its
// certificate ends one day, and the cluster's authority may be exchanged.
func (o *Operations) Kubernetes(ctx context.Context, clusterID string) (*kube.Cluster, error) {
	config, err := o.kubeconfigs.get(clusterID, o.Now(), func() ([]byte, error) { return o.Kubeconfig(ctx, clusterID) })
	if err != nil {
		return nil, err
	}
	return kube.Open(config, o.Dial)
}

// keep remembers for a while what was fetched.
type keep struct {
	mu  sync.Mutex
	all map[string]kept
}

type kept struct {
	value []byte
	at    time.Time
}

const keepFor = time.Hour

// get gives what was fetched less than an hour ago, or fetches it. What is older serves while it cannot be had anew.
func (k *keep) get(key string, now time.Time, fetch func() ([]byte, error)) ([]byte, error) {
	k.mu.Lock()
	have := k.all[key]
	k.mu.Unlock()
	if have.value != nil && now.Sub(have.at) < keepFor {
		return have.value, nil
	}
	got, err := fetch()
	if err != nil {
		if have.value != nil {
			return have.value, nil
		}
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.all[key] = kept{got, now}
	return got, nil
}
