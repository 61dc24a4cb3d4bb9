package operation

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/rescue"
	"github.com/talos-manager/talos-manager/internal/talos"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

// A mainboard that is exchanged brings another UUID, and disks that Talos encrypted by nodeID do not open any more. The
// UUID by which a server's Talos ran is remembered: META gives it back to Talos, and the node is as it was.

// recovery is what a recovery of a UUID was ordered with.
type recovery struct {
	UUID string `json:"uuid,omitempty"` // "": the remembered one
}

// RecoverUUID boots a server into its rescue system, has the META of its Talos say the UUID by which that ran before
// ("": the remembered one), and boots the node again. Nothing else on the disk is changed.
func (o *Operations) RecoverUUID(ctx context.Context, actor, ref, uuid string) (fleet.Operation, error) {
	s, err := o.Store.Server(ctx, ref)
	if err != nil {
		return fleet.Operation{}, err
	}
	uuid = strings.ToLower(strings.TrimSpace(uuid))
	if uuid, err = mayRecover(s, uuid); err != nil {
		return fleet.Operation{}, err
	}
	op, err := o.engine.Enqueue(ctx, workflow.New{Kind: KindRecoverUUID, ServerID: s.ID, ClusterID: s.Assignment.ClusterID, Actor: actor, Input: recovery{uuid}})
	if err != nil {
		return op, err
	}
	return op, o.audit(ctx, actor, KindRecoverUUID, "server", s.ID, "give Talos on "+s.Name+" the UUID "+uuid+" again, by META")
}

// mayRecover says which UUID is recovered.
func mayRecover(s fleet.Server, uuid string) (string, error) {
	if s.State == fleet.Ready || s.State == fleet.Configured {
		return "", fleet.Errorf(fleet.Refused, "server %s runs as a node of its cluster, as far as is known; the rescue system would take it out of it without warning", s.Name).
			WithHint("if it does not run: its health is looked at every minute, and once it is unhealthy this can be ordered")
	}
	if uuid == "" {
		uuid = s.RanAs
	}
	switch {
	case uuid == "":
		return "", fleet.Errorf(fleet.Invalid, "it is not known by which UUID Talos ran on server %s", s.Name).
			WithHint("say it: talos-manager server recover-uuid %s --uuid UUID. An earlier output of `talosctl get systeminformation` or of the Hetzner support has it", s.Name)
	case !s.Assignment.Assigned():
		return "", fleet.Errorf(fleet.Refused, "server %s belongs to no cluster: there is no node to give its UUID back", s.Name).
			WithHint("talos-manager server assign %s --cluster NAME, with the cluster it ran in", s.Name)
	}
	return uuid, fleet.CheckUUID(s.Name, uuid)
}

// OverrideUUID notes the UUID that the next install has META give to Talos, "" for the board's own. The machine is not
// touched.
func (o *Operations) OverrideUUID(ctx context.Context, actor, ref, uuid string) (fleet.Server, error) {
	s, err := o.Store.Server(ctx, ref)
	if err != nil {
		return s, err
	}
	if uuid = strings.ToLower(strings.TrimSpace(uuid)); uuid != "" {
		if err := fleet.CheckUUID(s.Name, uuid); err != nil {
			return s, err
		}
	}
	if isNode(s) || s.State == fleet.Installing {
		return s, fleet.Errorf(fleet.Refused, "server %s runs as a node with UUID %s: another one would make its encrypted disks unreadable", s.Name, s.NodeUUID()).
			WithHint("take it out of its cluster and install it anew; or, after an exchange of its board: talos-manager server recover-uuid %s", s.Name)
	}
	s.UUIDOverride = uuid
	if uuid != "" {
		if err := o.uniqueUUID(ctx, s); err != nil {
			return s, err
		}
	}
	if err := o.Store.SetUUIDOverride(ctx, s.ID, uuid); err != nil {
		return s, err
	}
	text := "the next install has META give Talos on " + s.Name + " UUID " + uuid
	if uuid == "" {
		text = "the next install leaves Talos on " + s.Name + " the UUID of its board"
	}
	return s, o.audit(ctx, actor, "server.override-uuid", "server", s.ID, text)
}

func (o *Operations) recoverUUIDKind() workflow.Kind {
	return workflow.Kind{Name: KindRecoverUUID, Skips: o.nodeSkips(), Steps: func(*workflow.Run) ([]workflow.Step, error) {
		return append(o.rescueSteps(), []workflow.Step{
			{Name: "find the disk of Talos", Do: o.findTalosDisk},
			{Name: "write the UUID", Do: o.writeUUID},
			{Name: "boot Talos", Do: o.bootTalos},
			{Name: "wait for the node", Do: o.waitRecovered},
			{Name: stepWaitKubernetes, Do: o.waitKubernetes},
			{Name: stepLabel, Do: o.labelNode},
		}...), nil
	}}
}

// findTalosDisk finds the disk that Talos boots from: the one that was installed last, or else the only one with META.
func (o *Operations) findTalosDisk(ctx context.Context, run *workflow.Run) error {
	s, _, err := o.server(ctx, run)
	if err != nil {
		return err
	}
	var found []fleet.Disk
	for _, d := range s.Facts.Disks {
		if slices.ContainsFunc(d.Partitions, func(p fleet.Partition) bool { return p.Label == "META" }) {
			found = append(found, d)
		}
	}
	if i := slices.IndexFunc(found, func(d fleet.Disk) bool { return d.ID() != "" && d.ID() == s.Installed.Disk }); i >= 0 {
		found = found[i : i+1]
	}
	switch len(found) {
	case 0:
		return fleet.Errorf(fleet.Refused, "no disk of server %s has a Talos on it", s.Name).
			WithHint("its disks are %s. There is nothing to give its UUID back: talos-manager server install %s", rescue.Describe(s.Facts.Disks), s.Name)
	case 1:
		run.Log(ctx, "Talos is on disk %s", rescue.Describe(found))
		return run.Set(ctx, planKey, plan{Disk: found[0], Firmware: s.Facts.Firmware})
	}
	return fleet.Errorf(fleet.Refused, "several disks of server %s have a Talos on them: %s", s.Name, rescue.Describe(found)).
		WithHint("take the other ones out, or wipe them in the rescue system: talosctl cannot tell either which one boots")
}

// writeUUID has META say the UUID, unless the board says it.
func (o *Operations) writeUUID(ctx context.Context, run *workflow.Run) error {
	s, _, err := o.server(ctx, run)
	if err != nil {
		return err
	}
	var in recovery
	if err := run.Input(&in); err != nil {
		return err
	}
	var p plan
	if _, err := run.Get(planKey, &p); err != nil {
		return err
	}
	uuid := in.UUID
	if s.Facts.UUID == uuid && s.UUIDOverride == "" {
		run.Log(ctx, "the board's UUID is %s: there is nothing to recover", uuid)
		return nil
	}
	s.UUIDOverride = uuid
	if err := o.uniqueUUID(ctx, s); err != nil {
		return err
	}
	_, session, disk, err := o.inRescue(ctx, run, s, p)
	if err != nil {
		return err
	}
	defer session.Close()
	meta, err := session.WriteMeta(ctx, disk, rescue.Meta{rescue.MetaUUIDOverride: uuid})
	if err != nil {
		return err
	}
	run.Log(ctx, "the board's UUID is %s; META gives Talos %s, by which it ran: what it encrypted by nodeID opens again. META holds %s", s.Facts.UUID, uuid, meta)
	if err := o.Store.SetUUIDOverride(ctx, s.ID, uuid); err != nil {
		return err
	}
	return o.audit(ctx, run.Operation().Actor, "server.override-uuid", "server", s.ID,
		fmt.Sprintf("META gives %s UUID %s, by which its Talos ran, in place of %s of its new board", s.Name, uuid, s.Facts.UUID))
}

// waitRecovered waits for the node to answer with its cluster's certificates and the old UUID.
func (o *Operations) waitRecovered(ctx context.Context, run *workflow.Run) error {
	s, driver, err := o.server(ctx, run)
	if err != nil {
		return err
	}
	node, err := o.ownNode(ctx, s)
	if err != nil {
		return err
	}
	defer node.Close()
	var id talos.Identity
	err = talos.Look(ctx, func(ctx context.Context) error {
		id, err = node.Identity(ctx)
		return err
	})
	switch {
	case err == nil && id.UUID != s.NodeUUID():
		return fleet.Errorf(fleet.Refused, "the node at %s has UUID %s, META was to give it %s", s.Address(), id.UUID, s.NodeUUID()).
			WithHint("another disk may have booted, or another machine answers: look at the server's screen. Then: talos-manager operation retry %s", run.ID())
	case err == nil:
		run.Log(ctx, "node %s runs by UUID %s again", id.Hostname, id.UUID)
		return o.ranAs(ctx, s, id.UUID)
	case fleet.KindOf(err) != fleet.Unavailable:
		return err
	}
	hint := fmt.Sprintf("look at the server's screen: it says whether its disks open. If they were encrypted by another UUID: talos-manager server recover-uuid %s --uuid UUID", s.Name)
	follows, last, err := o.talosNotYet(ctx, run, s, driver, hint)
	if err != nil {
		return err
	}
	return workflow.Wait("node "+s.Hostname()+" to answer with the cluster's certificates"+follows, o.pace(nodeLook)).
		Within(o.since(run, last, nodeGiveUp)).WithHint("%s", hint)
}
