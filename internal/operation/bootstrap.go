package operation

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/talos"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

// Bootstrap starts etcd of a new cluster, once in its life.
func (o *Operations) Bootstrap(ctx context.Context, actor, clusterRef string) (fleet.Operation, error) {
	cluster, err := o.Store.Cluster(ctx, clusterRef)
	if err != nil {
		return fleet.Operation{}, err
	}
	if !cluster.BootstrappedAt.IsZero() {
		return fleet.Operation{}, fleet.Errorf(fleet.Refused, "cluster %s was bootstrapped on %s; a second bootstrap would split its etcd", cluster.Name, cluster.BootstrappedAt.Format(time.DateTime)).
			WithHint("a control plane that was wiped joins by itself; if all are lost, recover etcd from a snapshot")
	}
	op, err := o.engine.Enqueue(ctx, workflow.New{Kind: KindBootstrap, ClusterID: cluster.ID, Actor: actor})
	if err != nil {
		return op, err
	}
	return op, o.audit(ctx, actor, KindBootstrap, "cluster", cluster.ID, "bootstrap "+cluster.Name)
}

// ensureBootstrap has a new cluster bootstrapped as soon as its first control plane is up.
func (o *Operations) ensureBootstrap(ctx context.Context, actor string, s fleet.Server) error {
	cluster, err := o.Store.Cluster(ctx, s.Assignment.ClusterID)
	if err != nil || !cluster.BootstrappedAt.IsZero() || s.Assignment.Role != fleet.ControlPlane {
		return err
	}
	_, err = o.Bootstrap(ctx, actor, cluster.ID)
	if fleet.KindOf(err) == fleet.Conflict {
		return nil // it is under way
	}
	return err
}

func (o *Operations) bootstrapKind() workflow.Kind {
	return workflow.Kind{Name: KindBootstrap, Steps: func(*workflow.Run) ([]workflow.Step, error) {
		return []workflow.Step{
			{Name: "choose the control plane", Do: o.chooseControlPlane},
			{Name: "bootstrap etcd", Do: o.bootstrapEtcd},
			{Name: "wait for etcd", Do: o.waitEtcd},
			{Name: "wait for the Kubernetes API", Do: o.waitAPI},
		}, nil
	}}
}

const (
	bootstrapLook   = 2 * time.Second
	bootstrapGiveUp = 2 * time.Hour // installs of control planes may wait for reset budgets
)

// chooseControlPlane takes the first control plane that has come up and writes the choice down for good.
func (o *Operations) chooseControlPlane(ctx context.Context, run *workflow.Run) error {
	clusterID := run.Operation().ClusterID
	cluster, err := o.Store.Cluster(ctx, clusterID)
	if err != nil {
		return err
	}
	if cluster.BootstrapServerID != "" {
		return nil
	}
	planes, err := o.controlPlanes(ctx, clusterID)
	if err != nil {
		return err
	}
	for _, s := range planes {
		state, err := o.etcd(ctx, &cluster, s)
		if err != nil || state.State == "" {
			continue
		}
		chosen, err := o.Store.ClaimBootstrap(ctx, clusterID, s.ID)
		if err != nil {
			return err
		}
		run.Log(ctx, "chosen: %s (%s)", s.Name, chosen)
		return nil
	}
	return workflow.Wait("the first control plane of "+cluster.Name+" to come up", o.pace(bootstrapLook)).Within(bootstrapGiveUp).
		WithHint("install a control plane: talos-manager server install NAME")
}

// etcd looks at the etcd service of a control plane.
func (o *Operations) etcd(ctx context.Context, cluster *fleet.Cluster, s fleet.Server) (talos.Service, error) {
	node, err := o.node(ctx, cluster, s)
	if err != nil {
		return talos.Service{}, err
	}
	defer node.Close()
	var service talos.Service
	err = talos.Look(ctx, func(ctx context.Context) error {
		service, err = node.EtcdState(ctx)
		return err
	})
	return service, err
}

// bootstrapEtcd makes the one call. Whatever crashes, it is never made on another server than the chosen one, nor
// when etcd runs anywhere in the cluster, which is how a call that was made before a crash shows.
func (o *Operations) bootstrapEtcd(ctx context.Context, run *workflow.Run) error {
	cluster, err := o.Store.Cluster(ctx, run.Operation().ClusterID)
	if err != nil || !cluster.BootstrappedAt.IsZero() {
		return err
	}
	if running, err := o.etcdRunsOn(ctx, &cluster); err != nil {
		return err
	} else if running != "" {
		run.Log(ctx, "etcd runs on %s already", running)
		return o.Store.MarkBootstrapped(ctx, cluster.ID, o.Now())
	}
	s, err := o.Store.Server(ctx, cluster.BootstrapServerID)
	if err != nil {
		return err
	}
	state, err := o.etcd(ctx, &cluster, s)
	if err != nil {
		return o.waitFor(err, "Talos on "+s.Name+" to answer")
	}
	if state.State != "Preparing" {
		return workflow.Wait(fmt.Sprintf("etcd on %s to wait for its bootstrap (it is %s)", s.Name, state.State), o.pace(bootstrapLook)).Within(o.pace(30 * time.Minute))
	}
	return o.callBootstrap(ctx, run, &cluster, s)
}

func (o *Operations) callBootstrap(ctx context.Context, run *workflow.Run, cluster *fleet.Cluster, s fleet.Server) error {
	node, err := o.node(ctx, cluster, s)
	if err != nil {
		return err
	}
	defer node.Close()
	err = talos.Look(ctx, node.Bootstrap)
	switch {
	case fleet.KindOf(err) == fleet.Conflict:
		run.Log(ctx, "%s says that etcd has data: the call was made before", s.Name)
	case err != nil:
		return o.waitFor(err, "Talos on "+s.Name+" to take the bootstrap")
	default:
		run.Log(ctx, "etcd bootstrapped on %s", s.Name)
	}
	return o.Store.MarkBootstrapped(ctx, cluster.ID, o.Now())
}

// etcdRunsOn names a control plane of the cluster whose etcd has data, "" if there is none. A control plane that
// is known but does not answer may be that one, so nothing is certain until all have answered.
func (o *Operations) etcdRunsOn(ctx context.Context, cluster *fleet.Cluster) (string, error) {
	planes, err := o.controlPlanes(ctx, cluster.ID)
	if err != nil {
		return "", err
	}
	for _, s := range planes {
		state, err := o.etcd(ctx, cluster, s)
		if err != nil {
			return "", o.waitFor(err, "control plane "+s.Name+" to say whether its etcd has data")
		}
		if state.State == "Running" || state.State == "Failed" || strings.Contains(state.Message, "rpc not supported for learner") {
			return s.Name, nil
		}
	}
	return "", nil
}

// waitFor turns an unreachable node into a wait.
func (o *Operations) waitFor(err error, what string) error {
	if fleet.KindOf(err) == fleet.Unavailable || errors.Is(err, context.DeadlineExceeded) {
		return workflow.Wait(what, o.pace(bootstrapLook)).Within(o.pace(30*time.Minute)).WithHint("%v", err)
	}
	return err
}

// waitEtcd waits until the etcd of the chosen server is healthy.
func (o *Operations) waitEtcd(ctx context.Context, run *workflow.Run) error {
	cluster, err := o.Store.Cluster(ctx, run.Operation().ClusterID)
	if err != nil {
		return err
	}
	s, err := o.Store.Server(ctx, cluster.BootstrapServerID)
	if err != nil {
		return err
	}
	state, err := o.etcd(ctx, &cluster, s)
	if err != nil {
		return o.waitFor(err, "Talos on "+s.Name+" to answer")
	}
	if state.State != "Running" || !state.Healthy {
		return workflow.Wait(fmt.Sprintf("etcd on %s to be healthy (it is %s)", s.Name, state.State), o.pace(bootstrapLook)).Within(o.pace(30*time.Minute)).
			WithHint("look at its log: talosctl -n %s logs etcd", s.Address())
	}
	return nil
}

func (o *Operations) waitAPI(ctx context.Context, run *workflow.Run) error {
	clusterID := run.Operation().ClusterID
	err := talos.Look(ctx, func(ctx context.Context) error {
		k, err := o.Kubernetes(ctx, clusterID)
		if err != nil {
			return err
		}
		defer k.Close()
		version, err := k.Version(ctx)
		if err == nil {
			run.Log(ctx, "Kubernetes %s answers", version)
		}
		return err
	})
	return o.waitFor(err, "the Kubernetes API to answer")
}
