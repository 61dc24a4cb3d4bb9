package reconcile

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/kube"
	"github.com/talos-manager/talos-manager/internal/manage"
	"github.com/talos-manager/talos-manager/internal/store"
)

// LookAtNodes compares the nodes of every bootstrapped cluster with our servers: it notes who is Ready, and puts
// on what the rules say and is missing.
func (r *Reconciler) LookAtNodes(ctx context.Context) error {
	clusters, err := r.Store.Clusters(ctx)
	if err != nil {
		return err
	}
	problems := make([]error, len(clusters))
	var wg sync.WaitGroup
	for i, c := range clusters {
		if c.BootstrappedAt.IsZero() {
			continue
		}
		wg.Go(func() { // one that does not answer is not to keep the others waiting
			if err := r.lookAt(ctx, c); err != nil {
				problems[i] = fleet.Errorf(fleet.KindOf(err), "cluster %s: %w", c.Name, err).WithHint("%s", fleet.HintOf(err))
			}
		})
	}
	wg.Wait()
	return errors.Join(problems...)
}

func (r *Reconciler) lookAt(ctx context.Context, c fleet.Cluster) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	servers, err := r.Store.Servers(ctx, store.ServerFilter{
		ClusterID: c.ID, IncludeMissing: true, WithoutFacts: true,
		States: []fleet.State{fleet.Ready, fleet.Unhealthy},
	})
	if err != nil || len(servers) == 0 {
		return err
	}
	k, nodes, err := r.nodes(ctx, c)
	if err != nil {
		return errors.Join(err, r.noAnswer(context.WithoutCancel(ctx), c, servers))
	}
	defer k.Close()
	r.heard(c.ID)
	byName := map[string]kube.Node{}
	for _, n := range nodes {
		byName[n.Name] = n
	}
	var problems []error
	for _, s := range servers {
		problems = append(problems, r.note(ctx, k, s, byName[s.Hostname()]))
	}
	return errors.Join(problems...)
}

// nodes asks a cluster which nodes it has, and notes which Kubernetes it runs.
func (r *Reconciler) nodes(ctx context.Context, c fleet.Cluster) (*kube.Cluster, []kube.Node, error) {
	k, err := r.Operations.Kubernetes(ctx, c.ID)
	if err != nil {
		return nil, nil, err
	}
	version, err := k.Version(ctx)
	if err != nil {
		k.Close()
		return nil, nil, err
	}
	nodes, err := k.Nodes(ctx)
	if err != nil {
		k.Close()
		return nil, nil, err
	}
	return k, nodes, r.Operations.RunsKubernetes(ctx, c.ID, version)
}

// maxSilent is how many rounds without an answer are taken for a restart of the API, or a fault on the way to it.
const maxSilent = 3

// noAnswer notes, after some rounds, that nobody knows how a cluster's nodes are.
func (r *Reconciler) noAnswer(ctx context.Context, c fleet.Cluster, servers []fleet.Server) error {
	r.mu.Lock()
	if r.silent == nil {
		r.silent = map[string]int{}
	}
	r.silent[c.ID]++
	rounds := r.silent[c.ID]
	r.mu.Unlock()
	if rounds < maxSilent {
		return nil
	}
	var problems []error
	for _, s := range servers {
		problems = append(problems, r.becomes(ctx, s, fleet.Unhealthy, "the Kubernetes API of "+c.Name+" does not answer"))
	}
	return errors.Join(problems...)
}

func (r *Reconciler) heard(clusterID string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.silent, clusterID)
}

// note brings one server's record up to what its node says. A node that is not there is not Ready.
func (r *Reconciler) note(ctx context.Context, k *kube.Cluster, s fleet.Server, n kube.Node) error {
	switch {
	case n.Name == "":
		return r.becomes(ctx, s, fleet.Unhealthy, "its node "+s.Hostname()+" is gone")
	case !n.Ready:
		return r.becomes(ctx, s, fleet.Unhealthy, n.Reason)
	}
	return errors.Join(r.becomes(ctx, s, fleet.Ready, ""), r.label(ctx, k, s, n))
}

func (r *Reconciler) becomes(ctx context.Context, s fleet.Server, state fleet.State, why string) error {
	if s.State == state {
		return nil
	}
	if err := r.Store.SetState(ctx, s.ID, s.State, state); err != nil {
		if fleet.KindOf(err) == fleet.Conflict {
			return nil // an operation was faster
		}
		return err
	}
	text := s.Name + " is " + string(state)
	if why != "" {
		text += ": " + why
	}
	return manage.Audit(ctx, r.Store, "talos-manager", "server."+string(state), "server", s.ID, text)
}

// label puts on what the rules say and the node lacks.
func (r *Reconciler) label(ctx context.Context, k *kube.Cluster, s fleet.Server, n kube.Node) error {
	labels, taints, err := manage.LabelsFor(ctx, r.Store, s)
	if err != nil {
		return err
	}
	maps.DeleteFunc(labels, func(key, value string) bool {
		have, ok := n.Labels[key]
		return ok && have == value
	})
	if len(labels) > 0 {
		err = k.SetLabels(ctx, n.Name, labels)
	}
	if slices.ContainsFunc(taints, func(t fleet.Taint) bool { return !slices.Contains(n.Taints, t) }) {
		err = errors.Join(err, k.SetTaints(ctx, n.Name, taints))
	}
	return err
}
