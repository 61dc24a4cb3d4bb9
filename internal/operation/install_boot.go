package operation

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
	"github.com/talos-manager/talos-manager/internal/provider"
	"github.com/talos-manager/talos-manager/internal/rescue"
	"github.com/talos-manager/talos-manager/internal/store"
	"github.com/talos-manager/talos-manager/internal/talos"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

// window is how long after the last sign of its install a machine may fetch its config.
const window = 45 * time.Minute

// writeBootData gives the machine a one-time code, and us its hash. A second run makes a new code, so that no
// half-written one is ever valid.
func (o *Operations) writeBootData(ctx context.Context, run *workflow.Run) error {
	s, _, err := o.server(ctx, run)
	if err != nil {
		return err
	}
	var p plan
	if _, err := run.Get(planKey, &p); err != nil {
		return err
	}
	session, err := o.session(ctx, run, s)
	if err != nil {
		return err
	}
	defer session.Close()
	code := rand.Text()
	arm := store.Arm{
		ID: fleet.NewID(), ServerID: s.ID, OperationID: run.ID(), CodeHash: hash(code), UUID: s.Facts.UUID,
		ArmedAt: o.Now(), ExpiresAt: o.Now().Add(window),
	}
	if arm.NoCode, err = o.bootData(ctx, run, session, p, code); err != nil {
		return err
	}
	_, err = o.Store.Arm(ctx, arm)
	return err
}

// bootData writes the code where the machine will find it. A plain image on UEFI has its kernel arguments sealed:
// if they name our /config it is without code, and the UUID and the server's own address must do.
func (o *Operations) bootData(ctx context.Context, run *workflow.Run, session *rescue.Session, p plan, code string) (noCode bool, err error) {
	if err := session.WriteMeta(ctx, p.Disk, map[uint8]string{rescue.MetaDownloadURLCode: code}); err != nil {
		return false, err
	}
	switch {
	case !p.Plain:
		run.Log(ctx, "one-time code written to META; the schematic names %s", o.URL)
		return false, nil
	case p.Firmware == "uefi":
		run.Warn(ctx, "a plain image that boots by UEFI keeps its own kernel arguments: they must contain talos.config=%s/config?uuid=${uuid}", o.URL)
		return true, nil
	}
	argument := strings.ReplaceAll("talos.config="+o.configURL(), "${code}", code)
	run.Log(ctx, "kernel argument talos.config added to grub.cfg")
	return false, session.AddKernelArgument(ctx, p.Disk, argument)
}

const rebootKey = "reboot"

func (o *Operations) bootTalos(ctx context.Context, run *workflow.Run) error {
	s, _, err := o.server(ctx, run)
	if err != nil {
		return err
	}
	var before time.Time
	if _, err := run.Get(rebootKey, &before); err != nil {
		return err
	}
	session, err := o.session(ctx, run, s)
	if err != nil {
		if !before.IsZero() {
			return nil // it was told to reboot before we died, and is on its way
		}
		return err
	}
	defer session.Close()
	if err := run.Set(ctx, rebootKey, o.Now()); err != nil {
		return err
	}
	run.Log(ctx, "rebooting into Talos")
	return session.Reboot(ctx)
}

const (
	configLook   = 2 * time.Second
	configSecond = 8 * time.Minute
	configGiveUp = 25 * time.Minute
)

// handOverConfig waits until /config has given the machine its config.
func (o *Operations) handOverConfig(ctx context.Context, run *workflow.Run) error {
	s, driver, err := o.server(ctx, run)
	if err != nil {
		return err
	}
	arm, err := o.Store.ArmOf(ctx, s.ID)
	if err != nil {
		return err
	}
	if !arm.ServedAt.IsZero() {
		run.Log(ctx, "config handed over to UUID %s", arm.UUID)
		return o.Store.SetState(ctx, s.ID, s.State, fleet.Configured)
	}
	if err := o.bootAgain(ctx, run, s, driver); err != nil {
		return err
	}
	what := "the machine to fetch its config"
	if arm.Refusal != "" {
		what += " (last refused: " + arm.Refusal + ")"
	}
	return workflow.Wait(what, o.pace(configLook)).Within(o.pace(configGiveUp)).
		WithHint("can the machine reach %s? Look at its screen, and at the events of server %s for refused requests", o.URL, s.Name)
}

// bootAgain orders one restart when a machine did not come up by itself.
func (o *Operations) bootAgain(ctx context.Context, run *workflow.Run, s fleet.Server, driver provider.Driver) error {
	const key = "second boot"
	var first, second time.Time
	if _, err := run.Get(rebootKey, &first); err != nil {
		return err
	}
	if again, err := run.Get(key, &second); again || err != nil || o.Now().Sub(first) < o.pace(configSecond) {
		return err
	}
	run.Warn(ctx, "no sign of the machine for %s: restarting it once more", configSecond)
	if err := run.Set(ctx, key, o.Now()); err != nil {
		return err
	}
	return driver.Restart(ctx, s.ProviderID)
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
	cluster, err := o.Store.Cluster(ctx, s.Assignment.ClusterID)
	if err != nil {
		return err
	}
	node, err := o.node(ctx, &cluster, s)
	if err != nil {
		return err
	}
	defer node.Close()
	var p plan
	if _, err := run.Get(planKey, &p); err != nil {
		return err
	}
	err = talos.Look(ctx, func(ctx context.Context) error { return o.isTheOne(ctx, run, node, s, p) })
	if fleet.KindOf(err) != fleet.Unavailable {
		return err
	}
	hint := fmt.Sprintf("it fetched its config, but port 50000 does not answer: %v", err)
	if arm, err := o.Store.ArmOf(ctx, s.ID); err == nil && arm.Refusal != "" && !arm.ServedAt.IsZero() {
		hint = fmt.Sprintf("it fetched its config and asked for it again: it cannot use it. Either another Talos than %s boots, from another disk perhaps, or it refuses the config; its screen says which", p.TalosVersion)
	}
	return workflow.Wait("Talos on "+s.Name+" to answer with the cluster's certificates", o.pace(nodeLook)).Within(o.pace(nodeGiveUp)).WithHint("%s", hint)
}

func (o *Operations) isTheOne(ctx context.Context, run *workflow.Run, node *talos.Node, s fleet.Server, p plan) error {
	version, err := node.Version(ctx)
	if err != nil {
		return err
	}
	if version.Tag != p.TalosVersion {
		return fleet.Errorf(fleet.Refused, "server %s runs Talos %s, installed was %s", s.Name, version.Tag, p.TalosVersion).
			WithHint("another disk with an older Talos wins the boot, or the image is not what its name says: wipe the other disks in the rescue system and install again")
	}
	id, err := node.Identity(ctx)
	if err != nil {
		return err
	}
	if id.UUID != s.Facts.UUID {
		return fleet.Errorf(fleet.Refused, "the node at %s has UUID %s, server %s has %s: another machine answers", s.Address(), id.UUID, s.Name, s.Facts.UUID)
	}
	run.Log(ctx, "Talos %s runs, hostname %s", version.Tag, id.Hostname)
	return nil
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
	why := ""
	err = talos.Look(ctx, func(ctx context.Context) error {
		why, err = o.notReady(ctx, s)
		return err
	})
	if err != nil && fleet.KindOf(err) != fleet.Unavailable {
		return err
	}
	if err != nil {
		why = err.Error()
	}
	if why != "" {
		return workflow.Wait("node "+s.Hostname()+" to be Ready: "+why, o.pace(kubeLook)).Within(o.pace(kubeGiveUp)).
			WithHint("%s; a worker needs a control plane that is bootstrapped: talos-manager cluster show", why)
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
		run.Log(ctx, "labels %v, taints %v", labels, taints)
	}
	return o.Store.SetState(ctx, s.ID, s.State, fleet.Ready)
}
