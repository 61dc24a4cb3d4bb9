package resources_test

import (
	"testing"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/siderolabs/talos/pkg/machinery/resources/block"

	"github.com/talos-manager/talos-manager/internal/simulator/talosnode/resources"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// TestVolumesAreReadFromTheDisks follows a disk from a fresh image to an installed node and to a wiped STATE.
func TestVolumesAreReadFromTheDisks(t *testing.T) {
	w := world.New(world.Options{})
	t.Cleanup(w.Close)
	s, v := newStore(t), maintenance(w)
	disk := v.Machine.Disk("nvme0n1")
	v.Volumes, v.Discovered = nil, nil

	apply(t, s, v)
	expectVolumes(t, s, "no disk is installed", map[string]block.VolumePhase{
		"META": block.VolumePhaseWaiting, "STATE": block.VolumePhaseWaiting,
	})

	if err := world.InstallImage(disk, world.ImageSpec{Version: "v1.14.1", Arch: "amd64", Platform: "metal"}); err != nil {
		t.Fatal(err)
	}
	v.SystemDisk = disk.Name
	apply(t, s, v)
	expectVolumes(t, s, "an image was written", map[string]block.VolumePhase{
		"META": block.VolumePhaseReady, "STATE": block.VolumePhaseMissing,
	})

	if err := world.EnsureState(disk, true); err != nil {
		t.Fatal(err)
	}
	up := running(t, w, false)
	up.Machine, up.Volumes, up.Discovered = v.Machine, nil, nil
	apply(t, s, up)
	expectVolumes(t, s, "the node runs", map[string]block.VolumePhase{
		"META": block.VolumePhaseReady, "STATE": block.VolumePhaseReady, "EPHEMERAL": block.VolumePhaseReady,
	})
	found, err := safe.StateListAll[*block.DiscoveredVolume](t.Context(), s.State())
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]string{}
	for d := range found.All() {
		names[d.TypedSpec().PartitionLabel] = d.TypedSpec().Name
	}
	if names["META"] != "talosmeta" || names["STATE"] != "xfs" || names["EFI"] != "vfat" {
		t.Errorf("discovered %v", names)
	}
	whole, err := safe.StateGetByID[*block.DiscoveredVolume](t.Context(), s.State(), "nvme0n1")
	if err != nil || whole.TypedSpec().Name != "gpt" || whole.TypedSpec().Type != "disk" {
		t.Errorf("the disk itself: %v, %v", whole, err)
	}
	ephemeral, err := safe.StateGetByID[*block.VolumeStatus](t.Context(), s.State(), "EPHEMERAL")
	if err != nil || ephemeral.TypedSpec().ParentLocation != "/dev/nvme0n1" || ephemeral.TypedSpec().PartitionIndex == 0 || ephemeral.TypedSpec().Filesystem != block.FilesystemTypeXFS {
		t.Errorf("EPHEMERAL %v, %v", ephemeral, err)
	}
	if _, err := safe.StateGetByID[*block.MountStatus](t.Context(), s.State(), "EPHEMERAL"); err != nil {
		t.Errorf("EPHEMERAL is not mounted: %v", err)
	}

	if err := world.WipePartition(disk, "STATE"); err != nil {
		t.Fatal(err)
	}
	apply(t, s, v)
	expectVolumes(t, s, "STATE was wiped", map[string]block.VolumePhase{
		"META": block.VolumePhaseReady, "STATE": block.VolumePhaseMissing,
	})
}

func expectVolumes(t *testing.T, s *resources.Store, reason string, want map[string]block.VolumePhase) {
	t.Helper()
	for _, id := range []string{"META", "STATE", "EPHEMERAL"} {
		got, err := safe.StateGetByID[*block.VolumeStatus](t.Context(), s.State(), id)
		phase, exists := want[id]
		switch {
		case !exists && !state.IsNotFoundError(err):
			t.Errorf("%s: %s is there: %v", reason, id, got)
		case exists && (err != nil || got.TypedSpec().Phase != phase):
			t.Errorf("%s: %s is %v, %v, want %v", reason, id, got, err, phase)
		}
	}
}
