package operation

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
	"github.com/talos-manager/talos-manager/internal/store"
	"github.com/talos-manager/talos-manager/internal/talos"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

// clusterGiveUp is long: control planes may be installed after this server, and wait for restart budgets.
const clusterGiveUp = 24 * time.Hour

// waitControlPlane has a worker wait until its cluster is bootstrapped: only a control plane gives it the certificate
// with which its API answers (trustd). From then on the node's own time counts.
func (o *Operations) waitControlPlane(ctx context.Context, run *workflow.Run) error {
	s, _, err := o.server(ctx, run)
	if err != nil {
		return err
	}
	if s.Assignment.Role == fleet.ControlPlane {
		return nil
	}
	cluster, err := o.Store.Cluster(ctx, s.Assignment.ClusterID)
	if err != nil || !cluster.BootstrappedAt.IsZero() {
		return err
	}
	all, err := o.Store.Operations(ctx, store.OperationFilter{ClusterID: cluster.ID, Kind: KindBootstrap, Limit: 1})
	if err != nil {
		return err
	}
	what := "a control plane of " + cluster.Name + " to be installed: nobody has ordered its bootstrap"
	switch {
	case len(all) > 0 && all[0].State.Final():
		what = "the bootstrap of " + cluster.Name + ", which has " + string(all[0].State) + ": talos-manager operation retry " + all[0].ID
	case len(all) > 0:
		what = "the bootstrap of " + cluster.Name + ", operation " + all[0].ID
	}
	return workflow.Wait(what, o.pace(kubeLook)).Within(clusterGiveUp).
		WithHint("install a control plane: talos-manager server install NAME. Then: talos-manager operation retry %s", run.ID())
}

const (
	nodeLook   = 2 * time.Second
	nodeGiveUp = 20 * time.Minute
)

// checkNode looks whether the node that came up is the one that was installed.
func (o *Operations) checkNode(ctx context.Context, run *workflow.Run) error {
	s, _, err := o.server(ctx, run)
	if err != nil {
		return err
	}
	node, err := o.ownNode(ctx, s)
	if err != nil {
		return err
	}
	defer node.Close()
	var p plan
	if _, err := run.Get(planKey, &p); err != nil {
		return err
	}
	err = talos.Look(ctx, func(ctx context.Context) error { return o.isTheOne(ctx, run, node, s, p) })
	if err == nil {
		return o.becomes(ctx, s, fleet.Configured)
	}
	if fleet.KindOf(err) != fleet.Unavailable {
		return err
	}
	hint := fmt.Sprintf("it fetched its config, but port 50000 does not answer: %v", err)
	if arm, err := o.Store.ArmOf(ctx, s.ID); err == nil && arm.Refusal != "" && !arm.ServedAt.IsZero() {
		hint = fmt.Sprintf("it fetched its config and asked for it again: it cannot use it. Either another Talos than %s boots, from another disk perhaps, or it refuses the config; its screen says which. Once that is mended, talos-manager operation retry %s gives it a new one-time code", p.TalosVersion, run.ID())
	}
	return workflow.Wait("Talos on "+s.Name+" to answer with the cluster's certificates", o.pace(nodeLook)).Within(o.pace(nodeGiveUp)).WithHint("%s", hint)
}

func (o *Operations) isTheOne(ctx context.Context, run *workflow.Run, node *talos.Node, s fleet.Server, p plan) error {
	version, err := node.Version(ctx)
	if err != nil {
		return err
	}
	var b boot
	if _, err := run.Get(bootKey, &b); err != nil {
		return err
	}
	switch {
	case version.Tag != p.TalosVersion && b.Maintenance != "":
		return fleet.Errorf(fleet.Unavailable, "it runs Talos %s, and installs %s", version.Tag, p.TalosVersion)
	case version.Tag != p.TalosVersion:
		return otherTalos(s, version.Tag, p.TalosVersion)
	}
	id, err := node.Identity(ctx)
	if err != nil {
		return err
	}
	if id.UUID != s.NodeUUID() {
		return fleet.Errorf(fleet.Refused, "the node at %s has UUID %s, server %s has %s: another machine answers", s.Address(), id.UUID, s.Name, s.NodeUUID()).
			WithHint("look at Hetzner whose address it is; then install again: talos-manager operation retry %s", run.ID())
	}
	run.Log(ctx, "Talos %s runs, hostname %s", version.Tag, id.Hostname)
	return o.ranAs(ctx, s, id.UUID)
}

const (
	kubeLook   = 2 * time.Second
	kubeGiveUp = 40 * time.Minute
)

func (o *Operations) waitKubernetes(ctx context.Context, run *workflow.Run) error {
	s, _, err := o.server(ctx, run)
	if err != nil {
		return err
	}
	if err := o.becomes(ctx, s, fleet.Configured); err != nil { // it may be broken, and tried again
		return err
	}
	why := ""
	err = talos.Look(ctx, func(ctx context.Context) error {
		why, err = o.notReady(ctx, s)
		return err
	})
	if err != nil && fleet.KindOf(err) != fleet.Unavailable {
		return err
	}
	hint := ""
	if err != nil {
		why, hint = "the Kubernetes API does not answer", err.Error()+". "
	}
	if why != "" {
		return workflow.Wait("node "+s.Hostname()+" to be Ready: "+why, o.pace(kubeLook)).Within(o.pace(kubeGiveUp)).
			WithHint("%sAsk the node: talosctl -n %s health. When it is mended: talos-manager operation retry %s", hint, s.Address(), run.ID())
	}
	run.Log(ctx, "node %s is Ready", s.Hostname())
	return nil
}

// notReady says why the server's node is not Ready, "" if it is.
func (o *Operations) notReady(ctx context.Context, s fleet.Server) (string, error) {
	k, err := o.Kubernetes(ctx, s.Assignment.ClusterID)
	if err != nil {
		return "", err
	}
	defer k.Close()
	node, err := k.Node(ctx, s.Hostname())
	switch {
	case fleet.KindOf(err) == fleet.NotFound:
		return "it has not joined yet", nil
	case err != nil:
		return "", err
	case !node.Ready:
		return fmt.Sprintf("it says %s", node.Reason), nil
	}
	return "", nil
}

func (o *Operations) labelNode(ctx context.Context, run *workflow.Run) error {
	s, _, err := o.server(ctx, run)
	if err != nil {
		return err
	}
	if err := o.Store.Disarm(ctx, s.ID); err != nil { // its code opened what it was for
		return err
	}
	state := joinedAs(run)
	err = o.mark(ctx, run, s)
	switch kind := fleet.KindOf(err); {
	case err == nil:
		return o.becomes(ctx, s, state)
	case state != fleet.Ready && (kind == fleet.NotFound || kind == fleet.Unavailable): // as nobody waited for it
		return workflow.Wait("node "+s.Hostname()+" to be there for its labels: "+err.Error(), o.pace(kubeLook)).Within(o.pace(kubeGiveUp)).
			WithHint("to go on without: talos-manager operation skip %s --step %q", run.ID(), stepLabel)
	}
	return err
}

// mark puts on a server's node what the rules say.
func (o *Operations) mark(ctx context.Context, run *workflow.Run, s fleet.Server) error {
	k, err := o.Kubernetes(ctx, s.Assignment.ClusterID)
	if err != nil {
		return err
	}
	defer k.Close()
	labels, taints, err := manage.LabelsFor(ctx, o.Store, s)
	if err != nil {
		return err
	}
	if err := k.SetLabels(ctx, s.Hostname(), labels); err != nil {
		return err
	}
	if err := k.SetTaints(ctx, s.Hostname(), taints); err != nil {
		return err
	}
	if len(labels)+len(taints) > 0 {
		run.Log(ctx, "labelled and tainted: %s", listing(labels, taints))
	}
	return nil
}

// listing writes labels and taints as kubectl does.
func listing(labels map[string]string, taints []fleet.Taint) string {
	var out []string
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		out = append(out, key+"="+labels[key])
	}
	for _, t := range taints {
		out = append(out, t.String())
	}
	return strings.Join(out, ", ")
}
