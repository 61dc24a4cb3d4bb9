package rescue_test

import (
	"strings"
	"testing"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/meta"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/rescue"
	"github.com/talos-manager/talos-manager/internal/simulator/factory"
	"github.com/talos-manager/talos-manager/internal/simulator/rescuehost"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

const assets = "http://factory.sim/image/" + factory.Vanilla + "/v1.14.1/"

func TestACommandLineHasOneSourceOfTheConfigAndAllOfMeta(t *testing.T) {
	schematics := "talos.platform=metal console=tty0 talos.config=https://h/config?uuid=${uuid}&code=${code} slab_nomerge " +
		"talos.environment=INSTALLER_META_BASE64=" + meta.Values{{Key: 0xc, Value: "kept"}, {Key: 0xf, Value: "schematic's"}}.Encode(true) + " pti=on\n"
	line, err := rescue.CommandLine(schematics, "https://h/config?uuid=${uuid}&code=ONE", rescue.Meta{rescue.MetaUUIDOverride: "ours"})
	if err != nil {
		t.Fatal(err)
	}
	head, packed, ok := strings.Cut(line, " talos.environment=INSTALLER_META_BASE64=")
	if !ok || head != "talos.platform=metal console=tty0 slab_nomerge pti=on talos.config=https://h/config?uuid=${uuid}&code=ONE" {
		t.Errorf("the command line is %q", line)
	}
	values, err := meta.DecodeValues(packed)
	if err != nil || len(values) != 2 || values[0].String() != "0xc=kept" || values[1].String() != "0xf=ours" {
		t.Errorf("META is %v, %v", values, err)
	}
	if line, err = rescue.CommandLine("a b", "http://h/", nil); err != nil || line != "a b talos.config=http://h/" {
		t.Errorf("without META: %q, %v", line, err)
	}
	for why, try := range map[string]struct {
		schematics, config string
		values             rescue.Meta
	}{
		"too long":            {strings.Repeat("x", 2020), "http://h/0123456789", nil},
		"two arguments":       {"a", "http://h/ quiet", nil},
		"value not separable": {"a", "http://h/", rescue.Meta{0xc: "a;b"}},
		"no META":             {"talos.environment=INSTALLER_META_BASE64=%%", "http://h/", nil},
	} {
		if line, err := rescue.CommandLine(try.schematics, try.config, try.values); err == nil {
			t.Errorf("%s: %q", why, line)
		}
	}
}

// load loads a kernel and gives how that ended.
func (r *rig) load(t *testing.T, s *rescue.Session, k rescue.Kernel) error {
	t.Helper()
	if err := s.LoadKernel(t.Context(), k); err != nil {
		return err
	}
	for deadline := time.Now().Add(20 * time.Second); ; {
		st, err := s.WriteStatus(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := k.Err(st); err != nil || st.Phase == "loaded" && st.Exit == 0 {
			if untouched := r.m.Disks[0].Written() == 0; k.Untouched(st) && !untouched {
				t.Errorf("the disk was written to in phase %s", st.Phase)
			}
			return err
		}
		if time.Now().After(deadline) {
			t.Fatalf("it stands at %+v", st)
		}
	}
}

func TestTalosIsStartedFromTheRescueSystem(t *testing.T) {
	r := newRig(t, rescuehost.Options{}, nil)
	started := make(chan world.BootInfo, 1)
	r.w.BootKernel = func(_ *world.Machine, boot world.BootInfo) world.System { started <- boot; return nil }
	if err := world.InstallImage(r.m.Disks[0], world.ImageSpec{Version: "v1.13.9", Arch: "amd64", Platform: "metal"}); err != nil {
		t.Fatal(err)
	}
	s := r.open(t)
	k := rescue.Kernel{Token: "op1", Disk: r.disk(t, s, "A"), URL: assets + "kernel-amd64", Initramfs: assets + "initramfs-amd64.xz", CommandLine: "talos.platform=metal talos.config=http://h/?code=ONE"}
	if err := s.StartKernel(t.Context(), "op1"); fleet.KindOf(err) != fleet.Refused {
		t.Errorf("without a kernel: %v", err)
	}
	if err := r.load(t, s, k); err != nil {
		t.Fatal(err)
	}
	if _, err := world.ReadGPT(r.m.Disks[0], r.m.Disks[0].SizeBytes); err == nil {
		t.Error("the older Talos is still there: its config would win")
	}
	if err := s.LoadKernel(t.Context(), k); err != nil {
		t.Errorf("once more for the same operation: %v", err)
	}
	if err := s.StartKernel(t.Context(), "op2"); fleet.KindOf(err) != fleet.Refused {
		t.Errorf("for another operation: %v", err)
	}
	boots := r.m.Boots()
	if err := s.StartKernel(t.Context(), "op1"); err != nil {
		t.Fatal(err)
	}
	select {
	case boot := <-started:
		if boot.Version != "v1.14.1" || boot.Platform != "metal" || boot.Cmdline != k.CommandLine || r.m.Boots() != boots {
			t.Errorf("it started %+v after %d boots of the firmware", boot, r.m.Boots()-boots)
		}
	case <-time.After(10 * time.Second):
		t.Error("it did not start the kernel")
	}
}

func TestAKernelThatCannotBeStartedChangesNothing(t *testing.T) {
	for why, try := range map[string]struct {
		kernel rescue.Kernel
		spec   func(*world.Spec)
		kind   fleet.Kind
		text   string
	}{
		"not there":            {rescue.Kernel{URL: assets + "kernel-none", Initramfs: assets + "initramfs-amd64.xz"}, nil, fleet.Unavailable, "cannot be had"},
		"of another machine":   {rescue.Kernel{URL: assets + "kernel-arm64", Initramfs: assets + "initramfs-arm64.xz"}, nil, fleet.Refused, "does not take"},
		"another's modules":    {rescue.Kernel{URL: assets + "kernel-amd64", Initramfs: assets + "initramfs-arm64.xz"}, nil, fleet.Refused, "does not take"},
		"an error page":        {rescue.Kernel{URL: assets + "cmdline-metal-amd64", Initramfs: assets + "initramfs-amd64.xz"}, nil, fleet.Refused, "does not take"},
		"too little memory":    {rescue.Kernel{URL: assets + "kernel-amd64", Initramfs: assets + "initramfs-amd64.xz"}, func(s *world.Spec) { s.MemoryBytes = 1 << 30 }, fleet.Refused, "2 GB"},
		"far too little of it": {rescue.Kernel{URL: assets + "kernel-amd64", Initramfs: assets + "initramfs-amd64.xz"}, func(s *world.Spec) { s.MemoryBytes = 100 << 20 }, fleet.Refused, "are free"},
	} {
		t.Run(why, func(t *testing.T) {
			r := newRig(t, rescuehost.Options{}, try.spec)
			s := r.open(t)
			k := try.kernel
			k.Token, k.Disk, k.CommandLine = "op1", r.disk(t, s, "A"), "quiet"
			err := r.load(t, s, k)
			if fleet.KindOf(err) != try.kind || !strings.Contains(err.Error(), try.text) || r.m.Disks[0].Written() != 0 {
				t.Errorf("%s: %v, %d bytes written", fleet.KindOf(err), err, r.m.Disks[0].Written())
			}
		})
	}
}

// Old signatures that could not be overwritten may come back: such a disk is not wiped.
func TestADiskThatCannotBeWipedStopsTheKernel(t *testing.T) {
	r := newRig(t, rescuehost.Options{}, func(s *world.Spec) { s.Faults.DiskFails = true })
	s := r.open(t)
	k := rescue.Kernel{Token: "op1", Disk: r.disk(t, s, "A"), URL: assets + "kernel-amd64", Initramfs: assets + "initramfs-amd64.xz", CommandLine: "quiet"}
	if err := r.load(t, s, k); fleet.KindOf(err) != fleet.Refused || !strings.Contains(err.Error(), "cannot be written") {
		t.Errorf("got %v", err)
	}
	if err := s.StartKernel(t.Context(), "op1"); fleet.KindOf(err) != fleet.Refused {
		t.Errorf("it is started: %v", err)
	}
}

// A kernel that an install left in memory which came to nothing: systemd starts it in place of a reboot.
func TestARebootStartsNoKernelThatWasLeft(t *testing.T) {
	r := newRig(t, rescuehost.Options{}, nil)
	started := make(chan world.BootInfo, 1)
	r.w.BootKernel = func(_ *world.Machine, boot world.BootInfo) world.System { started <- boot; return nil }
	s := r.open(t)
	k := rescue.Kernel{Token: "op1", Disk: r.disk(t, s, "A"), URL: assets + "kernel-amd64", Initramfs: assets + "initramfs-amd64.xz", CommandLine: "quiet"}
	if err := r.load(t, s, k); err != nil {
		t.Fatal(err)
	}
	boots := r.m.Boots()
	if err := s.Reboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	for deadline := time.After(10 * time.Second); r.m.Boots() == boots; {
		select {
		case boot := <-started:
			t.Fatalf("it started %+v", boot)
		case <-deadline:
			t.Fatal("it did not boot")
		case <-time.After(10 * time.Millisecond):
		}
	}
}
