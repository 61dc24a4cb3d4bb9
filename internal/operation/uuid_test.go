package operation_test

import (
	"strings"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
	"github.com/talos-manager/talos-manager/internal/operation"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
	"github.com/talos-manager/talos-manager/internal/store"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

func (l *lab) server(t *testing.T, name string) fleet.Server {
	t.Helper()
	s, err := l.store.Server(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// metaOf reads what META of a machine's first disk says in place of its UUID.
func metaOf(t *testing.T, m *world.Machine) string {
	t.Helper()
	meta, err := world.ReadMeta(m.Disks[0])
	if err != nil {
		t.Fatal(err)
	}
	return meta[world.MetaUUIDOverride]
}

// encrypted has every node of the cluster encrypt its disks by nodeID.
func (l *lab) encrypted(t *testing.T, c fleet.Cluster) {
	t.Helper()
	const text = "machine: {systemDiskEncryption: {state: {provider: luks2, keys: [{nodeID: {}, slot: 0}]}, ephemeral: {provider: luks2, keys: [{nodeID: {}, slot: 0}]}}}\n"
	ref := manage.LayerRef{Scope: fleet.ScopeCluster, Owner: c.Name}
	if _, err := l.manager.AddPatch(t.Context(), "test", ref, fleet.Patch{Name: "disk-encryption", Text: text}, -1, manage.Save{}); err != nil {
		t.Fatal(err)
	}
}

// A UUID that Talos could make no disk key of is replaced by META, once for all installs of the server.
func TestABadUUIDIsOverriddenByMETAOnceAndForAll(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	c := l.cluster(t, []string{"control-plane-1", "worker-1"}, nil)
	l.encrypted(t, c)
	m := l.machine(t, "worker-1")
	m.UUID = "00000000-0000-0000-0000-d050996b1234"
	l.engine(t, workflow.Options{})
	plane := l.install(t, "control-plane-1")
	refused := l.finish(t, l.install(t, "worker-1").ID, 30*time.Second)
	if refused.State != fleet.Failed || !strings.Contains(refused.Error, "mostly one character") || !strings.Contains(refused.Hint, "mail to send") || !strings.Contains(refused.Hint, "--override-uuid") {
		t.Fatalf("%s: %s; hint: %s", refused.State, refused.Error, refused.Hint)
	}
	override := operation.InstallOptions{OverrideUUID: true, Wipe: true}
	op, err := l.ops.Install(t.Context(), "test", "worker-1", override)
	if err != nil {
		t.Fatal(err)
	}
	l.succeeds(t, plane.ID)
	op = l.succeeds(t, op.ID)
	s := l.server(t, "worker-1")
	if s.UUIDOverride == "" || fleet.CheckUUID(s.Name, s.UUIDOverride) != nil || s.NodeUUID() != s.UUIDOverride || s.RanAs != s.UUIDOverride {
		t.Fatalf("the override is %q, it ran as %q", s.UUIDOverride, s.RanAs)
	}
	l.said(t, op, "META gives it UUID "+s.UUIDOverride+" instead", "config handed over to UUID "+s.UUIDOverride)
	if got := metaOf(t, m); got != s.UUIDOverride {
		t.Errorf("META says %q", got)
	}
	events, err := l.store.Events(t.Context(), store.EventFilter{})
	if err != nil {
		t.Fatal(err)
	}
	audited := false
	for _, e := range events {
		audited = audited || e.Verb == "server.override-uuid" && strings.Contains(e.Text, s.UUIDOverride)
	}
	if !audited {
		t.Error("the override is not in the audit log")
	}
	// Once it is known again, the next install keeps it without being told.
	if err := l.store.SetState(t.Context(), s.ID, fleet.Ready, fleet.Known); err != nil {
		t.Fatal(err)
	}
	op, err = l.ops.Install(t.Context(), "test", "worker-1", operation.InstallOptions{Wipe: true})
	if err != nil {
		t.Fatal(err)
	}
	l.waits(t, op.ID, "the image to be written")
	if err := l.ops.Cancel(t.Context(), "test", op.ID); err != nil {
		t.Fatal(err)
	}
	l.said(t, op, "META gives it UUID "+s.UUIDOverride+" in place of its board's")
	if again := l.server(t, "worker-1"); again.UUIDOverride != s.UUIDOverride {
		t.Errorf("the override became %q", again.UUIDOverride)
	}
}

// An override can be noted by hand for the next install, and taken back.
func TestAnOverrideIsNotedForTheNextInstall(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.cluster(t, []string{"worker-1"}, nil)
	const uuid = "4c4c4544-0042-3510-8050-b4c04f384833"
	s, err := l.ops.OverrideUUID(t.Context(), "test", "worker-1", strings.ToUpper(uuid))
	if err != nil || l.server(t, "worker-1").UUIDOverride != uuid || s.NodeUUID() != uuid {
		t.Errorf("noted is %q, %v", s.UUIDOverride, err)
	}
	if _, err := l.ops.OverrideUUID(t.Context(), "test", "worker-1", "4c4c4544-0042-3510-8050-000000000000"); fleet.KindOf(err) != fleet.Refused {
		t.Errorf("one that is none: %v", err)
	}
	if _, err := l.ops.OverrideUUID(t.Context(), "test", "worker-1", ""); err != nil || l.server(t, "worker-1").UUIDOverride != "" {
		t.Errorf("taken back: %v", err)
	}
	if err := l.store.SetState(t.Context(), s.ID, fleet.Known, fleet.Ready); err != nil {
		t.Fatal(err)
	}
	if _, err := l.ops.OverrideUUID(t.Context(), "test", "worker-1", uuid); fleet.KindOf(err) != fleet.Refused || !strings.Contains(fleet.HintOf(err), "recover-uuid") {
		t.Errorf("of a node that runs: %v", err)
	}
}

func TestOneOfTwoServersWithOneUUIDIsGivenAnother(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.cluster(t, []string{"control-plane-1"}, []string{"worker-1"})
	twin := l.machine(t, "worker-1")
	twin.UUID = l.machine(t, "control-plane-1").UUID
	l.engine(t, workflow.Options{})
	l.succeeds(t, l.install(t, "control-plane-1").ID)
	refused := l.finish(t, l.install(t, "worker-1").ID, 30*time.Second)
	if refused.State != fleet.Failed || !strings.Contains(refused.Error, "same SMBIOS UUID") || !strings.Contains(refused.Hint, "--override-uuid") {
		t.Fatalf("%s: %s; hint: %s", refused.State, refused.Error, refused.Hint)
	}
	op, err := l.ops.Install(t.Context(), "test", "worker-1", operation.InstallOptions{OverrideUUID: true, Wipe: true, Delivery: fleet.Push})
	if err != nil {
		t.Fatal(err)
	}
	l.succeeds(t, op.ID)
	if s := l.server(t, "worker-1"); metaOf(t, twin) != s.UUIDOverride || s.UUIDOverride == "" {
		t.Errorf("META says %q, the records %q", metaOf(t, twin), s.UUIDOverride)
	}
}

// The board is exchanged: disks that are encrypted by nodeID do not open. META gives the old UUID back, and they do.
func TestANodeIsRecoveredAfterItsBoardWasExchanged(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	c := l.cluster(t, []string{"control-plane-1"}, nil)
	l.encrypted(t, c)
	l.engine(t, workflow.Options{})
	l.succeeds(t, l.install(t, "control-plane-1").ID)
	old := l.server(t, "control-plane-1")
	if _, err := l.ops.RecoverUUID(t.Context(), "test", old.Name, ""); fleet.KindOf(err) != fleet.Refused || fleet.HintOf(err) == "" {
		t.Errorf("of a node that runs: %v", err)
	}
	m := l.machine(t, "control-plane-1")
	const board = "4c4c4544-0042-3510-8050-b4c04f384833"
	m.SwapBoard(board)
	m.PowerOn()
	if err := l.store.SetState(t.Context(), old.ID, fleet.Ready, fleet.Unhealthy); err != nil {
		t.Fatal(err)
	}
	seen := l.succeeds(t, l.rescue(t, "control-plane-1").ID)
	l.said(t, seen, "the mainboard was exchanged", "Talos ran here by UUID "+old.RanAs+", and the board's is "+board, "server recover-uuid control-plane-1")
	written := m.Disks[0].Written()
	op, err := l.ops.RecoverUUID(t.Context(), "test", "control-plane-1", "")
	if err != nil {
		t.Fatal(err)
	}
	op = l.succeeds(t, op.ID)
	l.said(t, op, "Talos is on disk", "META gives Talos "+old.RanAs, "runs by UUID "+old.RanAs+" again", "is Ready")
	s := l.server(t, "control-plane-1")
	if s.UUIDOverride != old.RanAs || s.RanAs != old.RanAs || s.Facts.UUID != board || s.State != fleet.Ready || metaOf(t, m) != old.RanAs {
		t.Errorf("override %q, ran as %q, board %q, state %s, META %q", s.UUIDOverride, s.RanAs, s.Facts.UUID, s.State, metaOf(t, m))
	}
	if more := m.Disks[0].Written() - written; more > 8<<20 {
		t.Errorf("%d bytes were written to its disk", more)
	}
}

func TestARecoveryThatCannotBeIsRefused(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.cluster(t, []string{"worker-1"}, nil)
	l.engine(t, workflow.Options{})
	if _, err := l.ops.RecoverUUID(t.Context(), "test", "worker-1", ""); fleet.KindOf(err) != fleet.Invalid || !strings.Contains(fleet.HintOf(err), "--uuid") {
		t.Errorf("no UUID is known: %v", err)
	}
	if _, err := l.ops.RecoverUUID(t.Context(), "test", "worker-1", "00000000-0000-0000-0000-d050996b1234"); fleet.KindOf(err) != fleet.Refused {
		t.Errorf("a UUID that is none: %v", err)
	}
	op, err := l.ops.RecoverUUID(t.Context(), "test", "worker-1", "4C4C4544-0042-3510-8050-B4C04F384833")
	if err != nil {
		t.Fatal(err)
	}
	if op = l.finish(t, op.ID, 30*time.Second); op.State != fleet.Failed || !strings.Contains(op.Error, "no disk of server worker-1 has a Talos on it") {
		l.dump(t, op)
		t.Errorf("%s: %s", op.State, op.Error)
	}
	if s := l.server(t, "worker-1"); s.UUIDOverride != "" {
		t.Errorf("the override is %q", s.UUIDOverride)
	}
}
