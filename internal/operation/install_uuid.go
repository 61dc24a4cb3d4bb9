package operation

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

// identify refuses a machine whose UUID will not do, or gives it another one if the install may: META holds it in place
// of the board's, and from then on Talos tells it for ${uuid}, for its system information and for nodeID disk keys. It
// is made once for a server and kept for every install that follows, so what it encrypted opens after an exchange of
// the board. Source: talos controllers/hardware/system.go, platform/metal/url.
func (o *Operations) identify(ctx context.Context, run *workflow.Run, s fleet.Server) error {
	var options InstallOptions
	if err := run.Input(&options); err != nil {
		return err
	}
	way, err := o.delivery(run)
	if err == nil {
		err = o.mayDeliver(way) // of a server that was added by hand it is known now
	}
	if err != nil {
		return err
	}
	if s.UUIDOverride != "" {
		run.Log(ctx, "META gives it UUID %s in place of its board's, %q", s.UUIDOverride, s.Facts.UUID)
	}
	why := o.checkIdentity(ctx, s)
	if fleet.KindOf(why) != fleet.Refused || !options.OverrideUUID || s.UUIDOverride != "" {
		return why
	}
	var b boot
	if _, err := run.Get(bootKey, &b); err != nil {
		return err
	}
	if b.Maintenance != "" {
		return fleet.Errorf(fleet.Refused, "%w", why).
			WithHint("a Talos in maintenance mode lets nobody write its META: boot the server's rescue system and install from there, or boot an image whose schematic has key 0xf in `customization.meta`")
	}
	uuid := newUUID()
	if err := o.Store.SetUUIDOverride(ctx, s.ID, uuid); err != nil {
		return err
	}
	run.Warn(ctx, "%v: META gives it UUID %s instead, now and in every later install", why, uuid)
	return o.audit(ctx, run.Operation().Actor, "server.override-uuid", "server", s.ID, fmt.Sprintf("META gives %s UUID %s: %v", s.Name, uuid, why))
}

// checkIdentity refuses an unusable UUID, and one that another server has too.
func (o *Operations) checkIdentity(ctx context.Context, s fleet.Server) error {
	if err := fleet.CheckUUID(s.Name, s.NodeUUID()); err != nil {
		return err
	}
	return o.uniqueUUID(ctx, s)
}

// uniqueUUID refuses a UUID by which another server goes, too.
func (o *Operations) uniqueUUID(ctx context.Context, s fleet.Server) error {
	same, err := o.Store.ServersByUUID(ctx, s.NodeUUID())
	if err != nil {
		return err
	}
	for _, other := range same {
		if other.ID != s.ID && other.MissingAt.IsZero() {
			return fleet.Errorf(fleet.Refused, "servers %s and %s have the same SMBIOS UUID %s: the config of one could go to the other", s.Name, other.Name, s.NodeUUID()).
				WithHint("if %s had its mainboard exchanged: talos-manager server rescue %s reads its UUID anew; else ask the provider's support to give %s a UUID of its own, or install it with --override-uuid: META then gives Talos a random one, for good", other.Name, other.Name, s.Name)
		}
	}
	return nil
}

// newUUID makes a random UUID that Talos can make a disk key of.
func newUUID() string {
	for {
		if id := uuid.NewString(); fleet.CheckUUID("", id) == nil {
			return id
		}
	}
}

// ranAs remembers by which UUID a server's Talos runs: what it encrypts by nodeID opens with that one only.
func (o *Operations) ranAs(ctx context.Context, s fleet.Server, uuid string) error {
	if uuid = strings.ToLower(uuid); uuid == "" || uuid == s.RanAs {
		return nil
	}
	return o.Store.SetRanAs(ctx, s.ID, uuid)
}

// tellBoard says what an exchanged board means for disks that Talos encrypted.
func (o *Operations) tellBoard(ctx context.Context, run *workflow.Run, s fleet.Server, facts fleet.Facts) {
	if s.RanAs == "" || s.UUIDOverride != "" || facts.UUID == s.RanAs {
		return
	}
	run.Warn(ctx, "Talos ran here by UUID %s, and the board's is %s now. Disks that it encrypted by nodeID open with the old one only: talos-manager server recover-uuid %s has META give it back to Talos", s.RanAs, facts.UUID, s.Name)
}
