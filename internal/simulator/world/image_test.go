package world

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"strings"
	"testing"

	"github.com/siderolabs/go-adv/adv/talos"
)

func spec() ImageSpec {
	return ImageSpec{
		Version: "v1.14.1", Arch: "amd64", Platform: "metal", Schematic: strings.Repeat("ab", 32),
		KernelArgs: []string{"talos.config=https://manager/config?u=${uuid}&m=${mac}", "-pti", "console=ttyS1"},
		Meta:       map[uint8]string{MetaDownloadURLCode: "code"},
	}
}

// machine has one 16 GiB disk and is not powered on.
func machine(t *testing.T, change func(*Spec)) *Machine {
	t.Helper()
	w := New(Options{Speed: 1000})
	t.Cleanup(w.Close)
	s := Spec{Number: 1, Disks: []*Disk{{Name: "sda", Serial: "S1", SizeBytes: 16 << 30}}}
	if change != nil {
		change(&s)
	}
	return w.AddMachine(s)
}

// write copies an image to a disk, n bytes of it.
func write(t *testing.T, d *Disk, s ImageSpec, n int64) {
	t.Helper()
	img, err := BuildImage(s)
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1<<20)
	for off := int64(0); off < n; off += int64(len(buf)) {
		p := buf[:min(int64(len(buf)), n-off)]
		if _, err := img.ReadAt(p, off); err != nil && err != io.EOF {
			t.Fatal(err)
		}
		if zero(p) {
			continue // the disk is blank there
		}
		if _, err := d.WriteAt(p, off); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAWrittenImageBootsWithItsCommandLine(t *testing.T) {
	for _, c := range []struct {
		why, arch, loader string
		uefi              bool
		want              string
	}{
		{"BIOS boots GRUB", "amd64", "", false, LoaderGRUB},
		{"UEFI boots systemd-boot from the same image", "amd64", "", true, LoaderSDBoot},
		{"arm64 has systemd-boot only", "arm64", "", false, LoaderSDBoot},
		{"a GRUB image boots GRUB on UEFI too", "amd64", LoaderGRUB, true, LoaderGRUB},
	} {
		t.Run(c.why, func(t *testing.T) {
			m := machine(t, func(s *Spec) { s.Arch, s.UEFI = c.arch, c.uefi })
			s := spec()
			s.Arch, s.Loader = c.arch, c.loader
			write(t, m.Disks[0], s, ImageSize)
			d, info, err := FindBoot(m)
			if err != nil || d != m.Disks[0] {
				t.Fatal(err)
			}
			if info.Loader != c.want || info.Version != s.Version || info.Schematic != s.Schematic || info.Platform != "metal" {
				t.Errorf("booted %+v", info)
			}
			if url, _ := info.Arg("talos.config"); url != "https://manager/config?u=${uuid}&m=${mac}" {
				t.Errorf("command line %q", info.Cmdline)
			}
			if strings.Contains(info.Cmdline, "pti=on") || strings.Contains(info.Cmdline, "console=tty0") {
				t.Errorf("removed arguments are still in %q", info.Cmdline)
			}
			if info.Meta[MetaDownloadURLCode] != "code" {
				t.Errorf("META is %v", info.Meta)
			}
		})
	}
}

func TestADamagedImageDoesNotBoot(t *testing.T) {
	for _, c := range []struct {
		why    string
		damage func(t *testing.T, d *Disk)
		want   error
	}{
		{"nothing was written", func(t *testing.T, d *Disk) {}, ErrNoTalos},
		{"half of it was written", func(t *testing.T, d *Disk) { write(t, d, spec(), ImageSize/2) }, ErrCorrupt},
		{"only the table was written", func(t *testing.T, d *Disk) { write(t, d, spec(), 1<<20) }, ErrCorrupt},
		{"a bit flipped in the kernel", func(t *testing.T, d *Disk) {
			write(t, d, spec(), ImageSize)
			b := make([]byte, 1)
			_, _ = d.ReadAt(b, 33<<20)
			_, _ = d.WriteAt([]byte{b[0] ^ 1}, 33<<20)
		}, ErrCorrupt},
		{"it was laid over old data with its zeroes left out", func(t *testing.T, d *Disk) {
			write(t, d, spec(), ImageSize)
			_, _ = d.WriteAt([]byte("old data"), 28<<20)
		}, ErrCorrupt},
		{"its first half is of another image", func(t *testing.T, d *Disk) {
			other := spec()
			other.Version = "v1.13.0"
			write(t, d, other, ImageSize)
			write(t, d, spec(), 20<<20)
		}, ErrCorrupt},
		{"the table was wiped", func(t *testing.T, d *Disk) {
			write(t, d, spec(), ImageSize)
			_ = ZapGPT(d, d.SizeBytes)
		}, ErrNoTalos},
		{"it is for another architecture", func(t *testing.T, d *Disk) {
			s := spec()
			s.Arch = "arm64"
			write(t, d, s, ImageSize)
		}, ErrNoTalos},
	} {
		t.Run(c.why, func(t *testing.T) {
			m := machine(t, nil)
			c.damage(t, m.Disks[0])
			if _, err := ReadBoot(m.Disks[0]); !errors.Is(err, c.want) {
				t.Errorf("ReadBoot says %v, want %v", err, c.want)
			}
		})
	}
}

func TestImagesAreDeterministic(t *testing.T) {
	a, _ := BuildImage(spec())
	b, _ := BuildImage(spec())
	x, _ := io.ReadAll(a.Reader())
	y := make([]byte, ImageSize)
	for off := 0; off < len(y); off += 777_777 { // in pieces that fit nothing
		_, _ = b.ReadAt(y[off:min(off+777_777, len(y))], int64(off))
	}
	if !bytes.Equal(x, y) {
		t.Error("two images of one spec differ")
	}
}

func TestMetaIsTalosADV(t *testing.T) {
	want := map[uint8]string{MetaDownloadURLCode: "abc", MetaUUIDOverride: "u", MetaNetworkConfig: strings.Repeat("x", 9000)}
	b, err := EncodeMeta(want)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := talos.NewADV(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range want {
		if got, _ := theirs.ReadTag(k); got != v {
			t.Errorf("go-adv reads %q for %#x", got, k)
		}
	}
	theirs.SetTag(MetaUniqueMachineToken, "token")
	b, _ = theirs.Bytes()
	b[100] ^= 1 // the second copy must do
	got, err := DecodeMeta(b)
	want[MetaUniqueMachineToken] = "token"
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("read %v, %v", got, err)
	}
	if _, err := DecodeMeta(make([]byte, len(b))); !errors.Is(err, ErrNoMeta) {
		t.Errorf("an empty META gives %v", err)
	}
}

func TestFirstBootMakesStateAndAnUpgradeKeepsIt(t *testing.T) {
	d := machine(t, nil).Disks[0]
	write(t, d, spec(), ImageSize)
	if g, _ := ReadGPT(d, d.SizeBytes); g.BackupAtEnd {
		t.Error("the backup table of an image is at the end of a larger disk")
	}
	if err := EnsureState(d, true); err != nil {
		t.Fatal(err)
	}
	g, _ := ReadGPT(d, d.SizeBytes)
	if e := g.Find("EPHEMERAL"); !g.BackupAtEnd || e == nil || e.Size < 15<<30 || g.Find("STATE").Size != 100<<20 {
		t.Errorf("the table is %+v", g)
	}
	if err := WriteFile(d, "STATE", "config.yaml", []byte("machine: {}")); err != nil {
		t.Fatal(err)
	}
	next := spec()
	next.Version, next.KernelArgs = "v1.15.0", nil
	if err := UpgradeImage(d, next); err != nil {
		t.Fatal(err)
	}
	info, err := ReadBoot(d)
	if err != nil || info.Version != "v1.15.0" || info.Meta[MetaDownloadURLCode] != "code" {
		t.Errorf("after the upgrade: %+v, %v", info, err)
	}
	if b, err := ReadFile(d, "STATE", "config.yaml"); string(b) != "machine: {}" {
		t.Errorf("STATE holds %q, %v", b, err)
	}
	if err := WipePartition(d, "STATE"); err != nil {
		t.Fatal(err)
	}
	if b, err := ReadFile(d, "STATE", "config.yaml"); b != nil || err != nil {
		t.Errorf("a wiped STATE holds %q, %v", b, err)
	}
}

func TestTheTableSurvivesTheLossOfItsStart(t *testing.T) {
	d := machine(t, nil).Disks[0]
	if err := InstallImage(d, spec()); err != nil {
		t.Fatal(err)
	}
	_, _ = d.WriteAt(make([]byte, 4096), 0)
	g, err := ReadGPT(d, d.SizeBytes)
	if err != nil || !g.FromBackup || len(g.Partitions) != 4 {
		t.Errorf("read %+v, %v", g, err)
	}
}

func TestGRUBReadsWhatIsQuoted(t *testing.T) {
	for _, c := range []struct{ why, in, want string }{
		{"plain", "/A/vmlinuz a=b c", "a=b c"},
		{"a variable that is not quoted is empty", "/A/vmlinuz u=${uuid}x $y z", "u=x  z"},
		{"what Talos quotes stays", `/A/vmlinuz u=\$\{uuid\}\&m=1`, "u=${uuid}&m=1"},
		{"quotes", `/A/vmlinuz 'u=${uuid}' "a&b"`, "u=${uuid} a&b"},
		{"a bare operator breaks the menu", "/A/vmlinuz u=1&m=2", ""},
		{"an end of command ends it", "/A/vmlinuz a;b", "a"},
	} {
		t.Run(c.why, func(t *testing.T) {
			got, err := grubCmdline([]byte("menuentry x {\n  linux " + c.in + "\n}\n"))
			if got != c.want || (err != nil) != (c.want == "") {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}
