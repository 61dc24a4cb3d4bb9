package reconcile

import (
	"context"
	"errors"
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
	var problems []error
	for _, c := range clusters {
		if c.BootstrappedAt.IsZero() {
			continue
		}
		if err := r.lookAt(ctx, c); err != nil {
			problems = append(problems, fleet.Errorf(fleet.KindOf(err), "cluster %s: %w", c.Name, err))
		}
	}
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
	k, err := r.Operations.Kubernetes(ctx, c.ID)
	if err != nil {
		return err
	}
	defer k.Close()
	nodes, err := k.Nodes(ctx)
	if err != nil {
		return err
	}
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

// note brings one server's record up to what its node says. A node that is not there is not Ready.
func (r *Reconciler) note(ctx context.Context, k *kube.Cluster, s fleet.Server, n kube.Node) error {
	state := fleet.Unhealthy
	if n.Ready {
		state = fleet.Ready
		if err := r.label(ctx, k, s); err != nil {
			return err
		}
	}
	if state == s.State {
		return nil
	}
	if err := r.Store.SetState(ctx, s.ID, s.State, state); err != nil {
		if fleet.KindOf(err) == fleet.Conflict {
			return nil // an operation was faster
		}
		return err
	}
	why := n.Reason
	if n.Name == "" {
		why = "its node is gone"
	}
	return manage.Audit(ctx, r.Store, "talos-manager", "server."+string(state), "server", s.ID, s.Name+" is "+string(state)+" "+why)
}

func (r *Reconciler) label(ctx context.Context, k *kube.Cluster, s fleet.Server) error {
	labels, taints, err := manage.LabelsFor(ctx, r.Store, s)
	if err != nil {
		return err
	}
	if err := k.SetLabels(ctx, s.Hostname(), labels); err != nil {
		return err
	}
	return k.SetTaints(ctx, s.Hostname(), taints)
}
