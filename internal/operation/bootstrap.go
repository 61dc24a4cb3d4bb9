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
	return workflow.Kind{Name: KindBootstrap, Skips: bootstrapSkips(), Steps: func(*workflow.Run) ([]workflow.Step, error) {
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
	bootstrapGiveUp = 24 * time.Hour // installs of control planes may wait for restart budgets
	planeGiveUp     = 30 * time.Minute
)

// chooseControlPlane takes the first control plane that has come up and writes the choice down.
func (o *Operations) chooseControlPlane(ctx context.Context, run *workflow.Run) error {
	cluster, err := o.Store.Cluster(ctx, run.Operation().ClusterID)
	if err != nil || !cluster.BootstrappedAt.IsZero() {
		return err
	}
	lost := cluster.BootstrapServerID
	if lost != "" {
		if stays, err := o.belongs(ctx, cluster, lost); err != nil || stays {
			return err
		}
		if err := o.mayChooseAgain(ctx, run, cluster, lost); err != nil {
			return err
		}
	}
	planes, err := o.controlPlanes(ctx, cluster, nodes...)
	if err != nil {
		return err
	}
	for _, w := range o.askAll(ctx, &cluster, planes) {
		if w.err != nil || w.etcd.State == "" {
			continue
		}
		chosen, err := o.claim(ctx, cluster, lost, w.server.ID)
		if err != nil {
			return err
		}
		run.Log(ctx, "chosen: %s (%s)", w.server.Name, chosen)
		return nil
	}
	return workflow.Wait("the first control plane of "+cluster.Name+" to come up", o.pace(bootstrapLook)).Within(bootstrapGiveUp).
		WithHint("install a control plane: talos-manager server install NAME. Then: talos-manager operation retry %s", run.ID())
}

func (o *Operations) claim(ctx context.Context, cluster fleet.Cluster, lost, serverID string) (string, error) {
	if lost == "" {
		return o.Store.ClaimBootstrap(ctx, cluster.ID, serverID)
	}
	return o.Store.ClaimBootstrapAgain(ctx, cluster.ID, lost, serverID)
}

// belongs says whether a server is a control plane of the cluster still, as our records have it.
func (o *Operations) belongs(ctx context.Context, cluster fleet.Cluster, serverID string) (bool, error) {
	s, err := o.Store.Server(ctx, serverID)
	if fleet.KindOf(err) == fleet.NotFound {
		return false, nil
	}
	return s.Assignment.ClusterID == cluster.ID && s.Assignment.Role == fleet.ControlPlane, err
}

// mayChooseAgain lets another control plane bootstrap when somebody took the chosen one out of the cluster. If the
// call to it was never made, nothing can be split. Else only a person knows whether its etcd runs somewhere.
func (o *Operations) mayChooseAgain(ctx context.Context, run *workflow.Run, cluster fleet.Cluster, lost string) error {
	called, err := o.called(ctx, cluster)
	if err != nil || called == "" {
		return err
	}
	name := lost
	if s, err := o.Store.Server(ctx, lost); err == nil {
		name = s.Name
	}
	if answer, ok := run.Answer(); ok && strings.TrimSpace(answer) == name {
		return nil
	}
	return workflow.Ask(fmt.Sprintf("Server %s was asked to bootstrap the etcd of cluster %s and was taken out of the cluster then. If it still runs, another bootstrap "+
		"splits the cluster. Wipe it or switch it off for good; then answer with %s", name, cluster.Name, name))
}

// callKey is the setting that remembers that a cluster's bootstrap was called, or was just about to be, and on which
// server.
func callKey(cluster fleet.Cluster) string { return "bootstrap-called." + cluster.ID }

func (o *Operations) called(ctx context.Context, cluster fleet.Cluster) (serverID string, err error) {
	return o.Store.Setting(ctx, callKey(cluster))
}

// bootstrapEtcd makes the one call. Whatever crashes, it is never made on another server than the chosen one, nor
// when etcd runs anywhere in the cluster, which is how a call that was made before a crash shows.
func (o *Operations) bootstrapEtcd(ctx context.Context, run *workflow.Run) error {
	cluster, err := o.Store.Cluster(ctx, run.Operation().ClusterID)
	if err != nil || !cluster.BootstrappedAt.IsZero() {
		return err
	}
	s, err := o.Store.Server(ctx, cluster.BootstrapServerID)
	if err != nil {
		return err
	}
	if s.Assignment.ClusterID != cluster.ID {
		return fleet.Errorf(fleet.Refused, "server %s was chosen to bootstrap cluster %s, and taken out of it", s.Name, cluster.Name).
			WithHint("choose another: talos-manager operation retry %s", run.ID())
	}
	running, err := o.runsAlready(ctx, run, cluster, s)
	if err != nil {
		return err
	}
	if running != "" {
		run.Log(ctx, "%s: there is nothing to bootstrap", running)
		return o.Store.MarkBootstrapped(ctx, cluster.ID, o.Now())
	}
	state, err := o.etcd(ctx, &cluster, s)
	if err != nil {
		return o.waitForPlane(run, err, "Talos on "+s.Name+" to answer", s)
	}
	if state.State != "Preparing" {
		return workflow.Wait(fmt.Sprintf("etcd on %s to wait for its bootstrap (it is %s)", s.Name, state.State), o.pace(bootstrapLook)).Within(o.pace(planeGiveUp)).
			WithHint("look at its log: talosctl -n %s logs etcd. Then: talos-manager operation retry %s", s.Address(), run.ID())
	}
	if err := o.noteKubernetes(ctx, cluster, s); err != nil {
		return err
	}
	return o.callBootstrap(ctx, run, cluster, s)
}

// runsAlready says where the cluster runs already, "" if nowhere. A control plane that is known but does not answer may
// be the one, so nothing is certain until all have answered: those that run as nodes, and once the call was made, those
// whose install broke later, too.
func (o *Operations) runsAlready(ctx context.Context, run *workflow.Run, cluster fleet.Cluster, chosen fleet.Server) (string, error) {
	called, err := o.called(ctx, cluster)
	if err != nil {
		return "", err
	}
	planes, err := o.controlPlanes(ctx, cluster, append([]fleet.State{fleet.Broken, fleet.Installing}, nodes...)...)
	if err != nil {
		return "", err
	}
	var silent *word
	for _, w := range o.askAll(ctx, &cluster, planes) {
		must := isNode(w.server) || w.server.ID == chosen.ID || called != "" && w.server.State == fleet.Broken
		switch {
		case w.err == nil && hasData(w.etcd):
			return "etcd runs on " + w.server.Name + " already", nil
		case w.err != nil && must && silent == nil:
			silent = &w
		}
	}
	if silent != nil {
		return "", o.waitForPlane(run, silent.err, "control plane "+silent.server.Name+" to say whether its etcd has data", silent.server)
	}
	// Secrets may have been brought along from a cluster whose control planes are not in our records.
	if version := o.answersAsKubernetes(ctx, cluster); version != "" {
		return "Kubernetes " + version + " answers at " + cluster.Endpoint + " with the cluster's certificates", nil
	}
	return "", nil
}

// answersAsKubernetes gives the version of the Kubernetes API at the cluster's endpoint, "" if none answers with its
// certificates. There is no API without an etcd.
func (o *Operations) answersAsKubernetes(ctx context.Context, cluster fleet.Cluster) (version string) {
	err := talos.Look(ctx, func(ctx context.Context) error {
		k, err := o.Kubernetes(ctx, cluster.ID)
		if err != nil {
			return err
		}
		defer k.Close()
		version, err = k.Version(ctx)
		return err
	})
	if err != nil {
		return ""
	}
	return version
}

// noteKubernetes writes down which Kubernetes the cluster begins with: from its bootstrap on, all join with that.
func (o *Operations) noteKubernetes(ctx context.Context, cluster fleet.Cluster, s fleet.Server) error {
	made, err := o.Renderer.MachineConfig(ctx, s)
	if err != nil || made.Input.KubernetesVersion == cluster.KubernetesVersion {
		return err
	}
	cluster.KubernetesVersion = made.Input.KubernetesVersion
	return o.Store.UpdateCluster(ctx, cluster)
}

func (o *Operations) callBootstrap(ctx context.Context, run *workflow.Run, cluster fleet.Cluster, s fleet.Server) error {
	node, err := o.node(ctx, &cluster, s)
	if err != nil {
		return err
	}
	defer node.Close()
	if err := o.Store.SetSetting(ctx, callKey(cluster), s.ID); err != nil {
		return err
	}
	err = talos.Look(ctx, node.Bootstrap)
	switch {
	case fleet.KindOf(err) == fleet.Conflict:
		run.Log(ctx, "%s says that etcd has data: the call was made before", s.Name)
	case err != nil:
		return o.waitForPlane(run, err, "Talos on "+s.Name+" to take the bootstrap", s)
	default:
		run.Log(ctx, "etcd bootstrapped on %s", s.Name)
	}
	return o.Store.MarkBootstrapped(ctx, cluster.ID, o.Now())
}

// waitForPlane waits for a control plane that may never answer again, and says how to go on without it.
func (o *Operations) waitForPlane(run *workflow.Run, err error, what string, s fleet.Server) error {
	if fleet.KindOf(err) != fleet.Unavailable {
		return err
	}
	return workflow.Wait(what, o.pace(bootstrapLook)).Within(o.pace(planeGiveUp)).
		WithHint("%v. If %s is lost for good: talos-manager server assign %s --cluster '', then talos-manager operation retry %s", err, s.Name, s.Name, run.ID())
}

// waitEtcd waits until the etcd of the chosen server is healthy.
func (o *Operations) waitEtcd(ctx context.Context, run *workflow.Run) error {
	cluster, err := o.Store.Cluster(ctx, run.Operation().ClusterID)
	if err != nil || cluster.BootstrapServerID == "" {
		return err
	}
	s, err := o.Store.Server(ctx, cluster.BootstrapServerID)
	if err != nil {
		return err
	}
	state, err := o.etcd(ctx, &cluster, s)
	what := fmt.Sprintf("etcd on %s to be healthy (it is %s)", s.Name, state.State)
	switch {
	case err != nil && fleet.KindOf(err) != fleet.Unavailable:
		return err
	case err != nil:
		what = "Talos on " + s.Name + " to answer"
	case state.State == "Running" && state.Healthy:
		return nil
	}
	return workflow.Wait(what, o.pace(bootstrapLook)).Within(o.pace(planeGiveUp)).
		WithHint("look at its log: talosctl -n %s logs etcd. Then: talos-manager operation retry %s", s.Address(), run.ID())
}

func (o *Operations) waitAPI(ctx context.Context, run *workflow.Run) error {
	cluster, err := o.Store.Cluster(ctx, run.Operation().ClusterID)
	if err != nil {
		return err
	}
	version := ""
	err = talos.Look(ctx, func(ctx context.Context) error {
		k, err := o.Kubernetes(ctx, cluster.ID)
		if err != nil {
			return err
		}
		defer k.Close()
		version, err = k.Version(ctx)
		return err
	})
	if fleet.KindOf(err) == fleet.Unavailable || errors.Is(err, context.DeadlineExceeded) {
		return workflow.Wait("the Kubernetes API to answer at "+cluster.Endpoint, o.pace(bootstrapLook)).Within(o.pace(planeGiveUp)).
			WithHint("%v. The endpoint must lead to port 6443 of a control plane that runs. Then: talos-manager operation retry %s", err, run.ID())
	}
	if err != nil {
		return err
	}
	run.Log(ctx, "Kubernetes %s answers", version)
	return o.RunsKubernetes(ctx, cluster.ID, version)
}

// RunsKubernetes notes which Kubernetes a cluster runs: nodes join it with that version, whatever was configured.
func (o *Operations) RunsKubernetes(ctx context.Context, clusterID, version string) error {
	cluster, err := o.Store.Cluster(ctx, clusterID)
	if err != nil || cluster.KubernetesVersion == version {
		return err
	}
	was := cluster.KubernetesVersion
	cluster.KubernetesVersion = version
	if err := o.Store.UpdateCluster(ctx, cluster); err != nil {
		return err
	}
	return o.audit(ctx, "talos-manager", "cluster.kubernetes", "cluster", cluster.ID, cluster.Name+" runs Kubernetes "+version+", our records had "+was)
}
