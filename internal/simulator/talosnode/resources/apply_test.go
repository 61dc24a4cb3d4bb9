package resources_test

import (
	"context"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/siderolabs/talos/pkg/machinery/resources/block"
	"github.com/siderolabs/talos/pkg/machinery/resources/config"
	"github.com/siderolabs/talos/pkg/machinery/resources/runtime"
	"github.com/siderolabs/talos/pkg/machinery/resources/v1alpha1"

	"github.com/talos-manager/talos-manager/internal/simulator/talosnode/resources"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

func version(t *testing.T, s *resources.Store, r resource.Resource) uint64 {
	t.Helper()
	got, err := s.State().Get(t.Context(), r.Metadata())
	if err != nil {
		t.Fatal(err)
	}
	return got.Metadata().Version().Value()
}

func TestOnlyWhatChangedGetsANewVersion(t *testing.T) {
	w := world.New(world.Options{})
	t.Cleanup(w.Close)
	s, v := newStore(t), running(t, w, false)
	apply(t, s, v)
	before := map[string]string{}
	for _, r := range recording(t, "testdata/04-cosi-controlplane.jsonl") {
		for _, i := range list(t, s, r.Type) {
			before[resource.String(i)] = i.Metadata().Version().String()
		}
	}
	apply(t, s, v)
	for _, r := range recording(t, "testdata/04-cosi-controlplane.jsonl") {
		for _, i := range list(t, s, r.Type) {
			if before[resource.String(i)] != i.Metadata().Version().String() {
				t.Errorf("%s changed although nothing did", resource.String(i))
			}
		}
	}
	v.Ready, v.Unmet = false, []resources.Unmet{{Name: "nodeReady", Reason: `node "n1" is not ready`}}
	apply(t, s, v)
	if n := version(t, s, runtime.NewMachineStatus()); n != 2 {
		t.Errorf("machine status has version %d, want 2", n)
	}
	if n := version(t, s, runtime.NewVersion()); n != 1 {
		t.Errorf("version has version %d, want 1", n)
	}
}

func TestAConfigThatIsAppliedAgainIsANewVersion(t *testing.T) {
	w := world.New(world.Options{})
	t.Cleanup(w.Close)
	s, v := newStore(t), running(t, w, false)
	apply(t, s, v)
	v.Persistent = load(t, controlPlane)
	apply(t, s, v)
	if n := version(t, s, config.NewMachineConfigWithID(nil, config.PersistentID)); n != 2 {
		t.Errorf("persistent has version %d, want 2", n)
	}
	if n := version(t, s, config.NewMachineConfigWithID(nil, config.ActiveID)); n != 1 {
		t.Errorf("v1alpha1 has version %d, want 1", n)
	}
}

func TestWatchesSeeWhatComesAndGoes(t *testing.T) {
	w := world.New(world.Options{})
	t.Cleanup(w.Close)
	s, v := newStore(t), running(t, w, false)
	apply(t, s, v)
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	events := make(chan safe.WrappedStateEvent[*v1alpha1.Service])
	if err := safe.StateWatch(ctx, s.State(), v1alpha1.NewService("etcd").Metadata(), events); err != nil {
		t.Fatal(err)
	}
	expect := func(want state.EventType) {
		t.Helper()
		select {
		case e := <-events:
			if e.Type() != want {
				t.Errorf("%v, want %v", e.Type(), want)
			}
		case <-ctx.Done():
			t.Fatalf("no event, want %v", want)
		}
	}
	expect(state.Created)
	all := v.Services
	for i := range all {
		if all[i].ID == "etcd" {
			all[i].Healthy = false
		}
	}
	apply(t, s, v)
	expect(state.Updated)
	v.Services = nil
	apply(t, s, v)
	expect(state.Destroyed)
}

func TestDisksHaveWWIDsInTalosNotation(t *testing.T) {
	w := world.New(world.Options{})
	t.Cleanup(w.Close)
	s := newStore(t)
	apply(t, s, maintenance(w))
	for _, c := range []struct{ reason, disk, want string }{
		{"NVMe says eui as lsblk does", "nvme0n1", "eui.002538b321c5527c"},
		{"SATA says naa where lsblk says 0x", "sda", "naa.5000c500a1b2c3d4"},
		{"a disk without a WWN has no WWID", "sdb", ""},
	} {
		d, err := safe.StateGetByID[*block.Disk](t.Context(), s.State(), c.disk)
		if err != nil {
			t.Fatal(err)
		}
		if got := d.TypedSpec().WWID; got != c.want {
			t.Errorf("%s: %q, want %q", c.reason, got, c.want)
		}
	}
}
