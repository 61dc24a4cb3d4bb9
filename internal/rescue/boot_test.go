package rescue_test

import (
	"bytes"
	"cmp"
	"strings"
	"testing"

	adv "github.com/siderolabs/go-adv/adv/talos"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/rescue"
	"github.com/talos-manager/talos-manager/internal/simulator/rescuehost"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// written is a rig whose disk A holds an image.
func written(t *testing.T, url string, change func(*world.Spec)) (*rig, *rescue.Session, fleet.Disk) {
	t.Helper()
	r := newRig(t, rescuehost.Options{}, change)
	s := r.open(t)
	d := r.disk(t, s, "A")
	if err := r.write(t, s, rescue.Write{Token: "op1", Disk: d, URL: url}); err != nil {
		t.Fatal(err)
	}
	return r, s, d
}

func TestMetaKeepsWhatTheImageHas(t *testing.T) {
	r, s, d := written(t, image, nil)
	if _, err := s.WriteMeta(t.Context(), d, rescue.Meta{rescue.MetaDownloadURLCode: "first"}); err != nil {
		t.Fatal(err)
	}
	got, err := s.WriteMeta(t.Context(), d, rescue.Meta{rescue.MetaDownloadURLCode: "SECRET", rescue.MetaUUIDOverride: "u"})
	if err != nil {
		t.Fatal(err)
	}
	boot, err := world.ReadBoot(r.m.Disks[0])
	if err != nil || boot.Meta[rescue.MetaDownloadURLCode] != "SECRET" || boot.Meta[rescue.MetaUUIDOverride] != "u" || boot.Meta[world.MetaDiskImageBootloader] != "dual-boot" {
		t.Errorf("META holds %v, %v", boot.Meta, err)
	}
	if text := got.String(); text != "0xb one-time code, 0xf UUID u, 0x11 boot loaders of the image dual-boot" {
		t.Errorf("META is told as %q", text)
	}
}

// Talos reads META with go-adv: the second copy when the first is damaged.
func TestMetaIsReadAndWrittenAsTalosDoes(t *testing.T) {
	r, s, d := written(t, image, nil)
	g, err := world.ReadGPT(r.m.Disks[0], r.m.Disks[0].SizeBytes)
	if err != nil {
		t.Fatal(err)
	}
	at := g.Find("META").Start
	theirs, err := adv.NewADV(nil)
	if err != nil {
		t.Fatal(err)
	}
	theirs.SetTag(0x0c, "of the schematic")
	raw, err := theirs.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	for _, try := range []struct {
		why    string
		damage func([]byte)
	}{
		{"whole", func([]byte) {}},
		{"first copy damaged", func(b []byte) { b[20] ^= 1 }},
		{"first copy half written", func(b []byte) { clear(b[4096:adv.Length]) }},
		{"second copy damaged", func(b []byte) { clear(b[adv.Length:]) }},
	} {
		damaged := bytes.Clone(raw)
		try.damage(damaged)
		if _, err := r.m.Disks[0].WriteAt(damaged, at); err != nil {
			t.Fatal(err)
		}
		if got, err := s.ReadMeta(t.Context(), d); err != nil || got[0x0c] != "of the schematic" {
			t.Errorf("%s: we read %v, %v", try.why, got, err)
		}
		if _, err := s.WriteMeta(t.Context(), d, rescue.Meta{rescue.MetaDownloadURLCode: "code"}); err != nil {
			t.Fatal(err)
		}
		back := make([]byte, adv.Size)
		if _, err := r.m.Disks[0].ReadAt(back, at); err != nil {
			t.Fatal(err)
		}
		for i, copied := range [][]byte{back, append(make([]byte, adv.Length), back[adv.Length:]...)} {
			ours, err := adv.NewADV(bytes.NewReader(copied))
			if err != nil {
				t.Fatalf("%s: Talos cannot read copy %d: %v", try.why, i+1, err)
			}
			kept, _ := ours.ReadTag(0x0c)
			if code, _ := ours.ReadTag(rescue.MetaDownloadURLCode); code != "code" || kept != "of the schematic" {
				t.Errorf("%s: Talos reads %v in copy %d", try.why, ours.Tags, i+1)
			}
		}
	}
}

const wanted = "talos.config=http://h/config?uuid=${uuid}&code=${code}"

func TestAPlainImageGetsItsArgumentWhateverBootsIt(t *testing.T) {
	for _, firmware := range []string{"bios", "uefi"} {
		t.Run(firmware, func(t *testing.T) {
			r, s, d := written(t, image, func(s *world.Spec) { s.UEFI = firmware == "uefi" })
			img := rescue.Image{Disk: d, Architecture: fleet.AMD64, Firmware: firmware}
			for _, arg := range []string{strings.Replace(wanted, "${code}", `a|b\c;"`[:5], 1), wanted, wanted} {
				is, err := s.AddKernelArgument(t.Context(), img, arg)
				if err != nil {
					t.Fatal(err)
				}
				if is.Where != "grub.cfg and an addon beside Talos-v1.14.1.efi" || is.Codeless {
					t.Errorf("it is in %+v", is)
				}
				boot, err := world.ReadBoot(r.m.Disks[0])
				if err != nil || !strings.HasSuffix(boot.Cmdline, " "+arg) || strings.Count(boot.Cmdline, "talos.config=") != 1 {
					t.Errorf("the kernel line is %q, %v", boot.Cmdline, err)
				}
			}
		})
	}
}

func TestAnArgumentThatIsSealedIntoTheImageIsNotTalkedOver(t *testing.T) {
	r, s, d := written(t, image, func(s *world.Spec) { s.UEFI = true })
	img := rescue.Image{Disk: d, Architecture: fleet.AMD64, Firmware: "uefi"}
	const bare = "talos.config=http://h/config?uuid=${uuid}" // of the Rails application
	for _, try := range []struct {
		why, sealed, firmware, want string
		may                         string
		codeless                    bool
	}{
		{why: "another source", sealed: "talos.config=http://other/", want: "cannot be changed"},
		{why: "ours without the code", sealed: bare, want: "cannot be changed"},
		{why: "ours without the code, which may be", sealed: bare, may: bare, codeless: true},
		{why: "ours without the code, and GRUB has one", sealed: bare, firmware: "bios", may: bare},
		{why: "ours with a code that is not the machine's", sealed: bare + "&code=1", may: bare, want: "cannot be changed"},
		{why: "just ours", sealed: wanted, may: bare},
	} {
		img := img
		img.Firmware, img.Codeless = cmp.Or(try.firmware, img.Firmware), try.may
		spec := world.ImageSpec{Version: "v1.14.1", Arch: "amd64", Platform: "metal", Schematic: "s", KernelArgs: []string{try.sealed}}
		if err := world.InstallImage(r.m.Disks[0], spec); err != nil {
			t.Fatal(err)
		}
		is, err := s.AddKernelArgument(t.Context(), img, wanted)
		if is.Codeless != try.codeless {
			t.Errorf("%s: codeless is %v", try.why, is.Codeless)
		}
		if try.want == "" && err != nil || try.want != "" && (fleet.KindOf(err) != fleet.Refused || !strings.Contains(err.Error(), try.want)) {
			t.Errorf("%s: %+v, %v", try.why, is, err)
		}
	}
	for _, bad := range []string{"talos.config=", "talos.config=a b", "talos.config=a\nb", "quiet", `talos.config="a"`} {
		if _, err := s.AddKernelArgument(t.Context(), img, bad); fleet.KindOf(err) != fleet.Invalid {
			t.Errorf("argument %q: %v", bad, err)
		}
	}
}

func TestAnImageForTheOtherFirmwareIsRefused(t *testing.T) {
	r, s, d := written(t, image, nil)
	spec := world.ImageSpec{Version: "v1.14.1", Arch: "amd64", Platform: "metal", Schematic: "s", Loader: world.LoaderSDBoot}
	if err := world.InstallImage(r.m.Disks[0], spec); err != nil {
		t.Fatal(err)
	}
	_, err := s.AddKernelArgument(t.Context(), rescue.Image{Disk: d, Architecture: fleet.AMD64, Firmware: "bios"}, wanted)
	if fleet.KindOf(err) != fleet.Refused || !strings.Contains(err.Error(), "cannot boot by bios") {
		t.Errorf("an image without GRUB on a BIOS: %v", err)
	}
}
