package operation_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
	"github.com/talos-manager/talos-manager/internal/operation"
	"github.com/talos-manager/talos-manager/internal/simulator/factory"
	"github.com/talos-manager/talos-manager/internal/simulator/rescuehost"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

// stoppedAfter has an install of the basement cancelled at the end of a step. Its rescue system goes on: nobody but a
// person can restart it.
func stoppedAfter(t *testing.T, step string, o operation.InstallOptions) (*lab, *basement, fleet.Operation) {
	t.Helper()
	l := newLab(t)
	b := newBasement(t, l, "192.0.2.10", "", rescuehost.DebianLive())
	b.m.Disks = append(b.m.Disks, &world.Disk{Name: "sdb", Model: "SSD", Serial: "B2", WWN: "0x5000c500a1b2c3d5", SizeBytes: 256 << 30, Transport: "sata"})
	b.boot()
	b.add(t, manage.NewServer{})
	l.chooses(t, "serial:B1")
	l.stopsAfter(t, step)
	op, err := l.ops.Install(t.Context(), "test", "basement", o)
	if err != nil {
		t.Fatal(err)
	}
	if op = l.finish(t, op.ID, 60*time.Second); op.State != fleet.Cancelled || op.Step != step {
		l.dump(t, op)
		t.Fatalf("it is %s at %q", op.State, op.Step)
	}
	return l, b, op
}

// chooses assigns the basement's install disk.
func (l *lab) chooses(t *testing.T, disk string) {
	t.Helper()
	home := "home"
	if _, err := l.manager.Assign(t.Context(), "test", "basement", manage.AssignmentChange{Cluster: &home, InstallDisk: &disk}); err != nil {
		t.Fatal(err)
	}
}

func TestWhatAnEarlierAttemptWroteIsNotTakenForThisOnes(t *testing.T) {
	t.Parallel()
	l, b, op := stoppedAfter(t, "write the image", operation.InstallOptions{})
	l.chooses(t, "serial:B2")
	if err := l.ops.Retry(t.Context(), "test", op.ID); err != nil {
		t.Fatal(err)
	}
	l.succeeds(t, op.ID)
	// Facts read while the first disk was written would not know of what boots from it.
	log, err := l.store.OperationLog(t.Context(), op.ID, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range log {
		if strings.Contains(line.Text, "waiting for the write of an earlier attempt") && line.Step != "read the facts" {
			t.Errorf("%s: %s", line.Step, line.Text)
		}
	}
	if n := b.m.Disks[1].Written(); n < 1<<20 {
		t.Errorf("%d bytes were written to the disk that was chosen", n)
	}
}

func TestAKernelOfAnEarlierAttemptIsNotStarted(t *testing.T) {
	t.Parallel()
	l, _, op := stoppedAfter(t, "load Talos' kernel", operation.InstallOptions{Boot: fleet.BootKexec})
	if err := l.ops.Retry(t.Context(), "test", op.ID); err != nil {
		t.Fatal(err)
	}
	l.succeeds(t, op.ID)
}

// An attempt that wrote to a disk says nothing of what came there later, nor of another disk.
func TestWhatCameAfterAnAttemptIsAskedFor(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ why, step, chosen string }{
		{"on the disk that was written", "write the boot data", "serial:B1"},
		{"on another disk", "write the boot data", "serial:B2"},
		{"on a disk that was chosen, and not written", "choose the disk", "serial:B1"},
	} {
		t.Run(tc.why, func(t *testing.T) {
			t.Parallel()
			l, b, op := stoppedAfter(t, tc.step, operation.InstallOptions{})
			l.chooses(t, tc.chosen)
			d := b.m.Disks[0]
			if tc.chosen == "serial:B2" {
				d = b.m.Disks[1]
			}
			if err := rescuehost.WriteRAIDMember(d, 0, 100<<30, "rescue:0", 1, 2); err != nil {
				t.Fatal(err)
			}
			if err := l.ops.Retry(t.Context(), "test", op.ID); err != nil {
				t.Fatal(err)
			}
			if op = l.finish(t, op.ID, 60*time.Second); op.State != fleet.Asking {
				l.dump(t, op)
				t.Errorf("it is %s, and asks nothing", op.State)
			}
		})
	}
}

// The rescue system of a server that was added by hand may have one host key for ever: booted once more it is reached as
// before, and its disks may have other names.
func TestBootDataGoesToNoDiskByItsNameAlone(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	b := newBasement(t, l, "192.0.2.10", "", rescuehost.DebianLive())
	old := &world.Disk{Name: "sdb", Model: "SSD", Serial: "B2", WWN: "0x5000c500a1b2c3d5", SizeBytes: 256 << 30, Transport: "sata"}
	b.m.Disks = append(b.m.Disks, old)
	l.talosOn(t, old, "old", "b2xk")
	b.boot()
	b.add(t, manage.NewServer{})
	l.chooses(t, "serial:B1")
	before := int64(0)
	var swapped atomic.Bool
	l.engine(t, workflow.Options{AfterStep: func(op fleet.Operation, at string) error {
		if op.Kind == operation.KindInstall && at == "write the image" && op.WaitingFor == "" && !swapped.Swap(true) {
			b.m.PowerCut()
			b.m.Disks[0].Name, old.Name = "sdb", "sda"
			before = old.Written()
			b.boot()
		}
		return nil
	}})
	op, err := l.ops.Install(t.Context(), "test", "basement", operation.InstallOptions{Wipe: true})
	if err != nil {
		t.Fatal(err)
	}
	op = l.finish(t, op.ID, 60*time.Second)
	if !swapped.Load() {
		l.dump(t, op)
		t.Fatal("it was not booted once more")
	}
	if n := old.Written() - before; n > 0 {
		l.dump(t, op)
		t.Errorf("%d bytes were written to the other disk", n)
	}
	if op.State != fleet.Failed || op.Step != "write the boot data" {
		t.Errorf("it is %s at %q", op.State, op.Step)
	}
}

// The partition table of an image stands where its sectors say: on a disk with others it is not found.
func TestAnImageForOtherSectorsIsNotWritten(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	c := l.cluster(t, nil, []string{"control-plane-1"})
	large, err := l.manager.CreateSchematic(t.Context(), "test", manage.SchematicEdit{Name: "4k", Parts: &fleet.Customization{SectorSize: 4096}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.manager.UpdateCluster(t.Context(), "test", c.Name, manage.ClusterChange{Schematic: &large.Name}); err != nil {
		t.Fatal(err)
	}
	l.engine(t, workflow.Options{})
	op := l.finish(t, l.install(t, "control-plane-1").ID, 60*time.Second)
	if op.State != fleet.Failed || op.Step != "choose the disk" || !strings.Contains(op.Error, "sectors of 512 bytes") || op.Hint == "" {
		l.dump(t, op)
		t.Errorf("it is %s at %q", op.State, op.Step)
	}
	if n := l.machine(t, "control-plane-1").Disks[0].Written(); n > 0 {
		t.Errorf("%d bytes were written", n)
	}
}

// What was built on a disk since an attempt wrote to it lets go of it before it is written to, as the first time.
func TestADiskIsReleasedInEveryAttempt(t *testing.T) {
	t.Parallel()
	l, b, op := stoppedAfter(t, "write the boot data", operation.InstallOptions{Wipe: true})
	if err := rescuehost.WriteRAIDMember(b.m.Disks[0], 0, 100<<30, "rescue:0", 1, 2); err != nil {
		t.Fatal(err)
	}
	b.boot()
	if err := l.ops.Retry(t.Context(), "test", op.ID); err != nil {
		t.Fatal(err)
	}
	if l.succeeds(t, op.ID); !l.logSays(t, op.ID, "released: array md0 stopped") {
		t.Error("its array was not stopped")
	}
}

func TestAPasswordInAnImagesAddressIsNotLogged(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.cluster(t, nil, []string{"control-plane-1"})
	l.plainImages(strings.Replace(l.sim.FactoryURL(), "http://", "http://user:geheim@", 1) + "/image/" + factory.Vanilla + "/v1.14.1/metal-amd64.raw.zst?key=geheim")
	l.engine(t, workflow.Options{})
	op := l.finish(t, l.install(t, "control-plane-1").ID, 60*time.Second)
	if l.logSays(t, op.ID, "geheim") || strings.Contains(op.Error+op.Hint, "geheim") {
		l.dump(t, op)
		t.Error("the password is in the log")
	}
	if op.State != fleet.Succeeded {
		l.dump(t, op)
		t.Errorf("it is %s at %q", op.State, op.Step)
	}
}
