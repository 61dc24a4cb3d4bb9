package rescue

import (
	"bytes"
	"debug/pe"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/skip"
)

const addonText = "talos.config=https://manager.example/config?uuid=${uuid}&code=${code}"

func TestAnAddonIsAPEFileWithTheCommandLine(t *testing.T) {
	for arch, machine := range map[fleet.Architecture]uint16{fleet.AMD64: pe.IMAGE_FILE_MACHINE_AMD64, fleet.ARM64: pe.IMAGE_FILE_MACHINE_ARM64} {
		for _, text := range []string{addonText, "a", strings.Repeat("x", 512), strings.Repeat("x", 4097)} {
			raw := addon(arch, text)
			f, err := pe.NewFile(bytes.NewReader(raw))
			if err != nil {
				t.Fatalf("%s: %v", arch, err)
			}
			if f.Machine != machine || len(raw)%addonAlign != 0 {
				t.Errorf("%s: machine %#x, %d bytes", arch, f.Machine, len(raw))
			}
			got, err := f.Section(".cmdline").Data()
			if err != nil || string(got[:f.Section(".cmdline").VirtualSize]) != text {
				t.Errorf("%s: .cmdline is %q, %v", arch, got, err)
			}
			inBounds(t, f, raw)
		}
	}
}

// inBounds checks what firmware does not forgive: sections that overlap or end outside of the image or the file.
func inBounds(t *testing.T, f *pe.File, raw []byte) {
	t.Helper()
	o := f.OptionalHeader.(*pe.OptionalHeader64)
	end := o.SizeOfHeaders
	for _, s := range f.Sections {
		if s.VirtualAddress < end || s.VirtualAddress%o.SectionAlignment != 0 || s.Offset%o.FileAlignment != 0 {
			t.Errorf("%s begins at %#x, in the file at %#x", s.Name, s.VirtualAddress, s.Offset)
		}
		if end = s.VirtualAddress + s.VirtualSize; int(s.Offset+s.Size) > len(raw) {
			t.Errorf("%s ends outside of the file", s.Name)
		}
	}
	if o.SizeOfImage < end || o.SizeOfImage%o.SectionAlignment != 0 {
		t.Errorf("the image has %#x bytes, its sections end at %#x", o.SizeOfImage, end)
	}
}

// systemd's own addon stub with a command line put in, as its manual says: ours must look the same to firmware and stub.
func TestAnAddonIsLikeTheOneMadeOfSystemdsStub(t *testing.T) {
	stub := filepath.Join("..", "..", "bin", "emulated", "systemd-boot", "addonx64.efi.stub")
	if dir := os.Getenv("TALOS_MANAGER_EMULATED"); dir != "" {
		stub = filepath.Join(dir, "systemd-boot", "addonx64.efi.stub")
	}
	objcopy, err := exec.LookPath("objcopy")
	if _, statErr := os.Stat(stub); err != nil || statErr != nil {
		skip.UnlessCI(t, "the addon was not compared with systemd's: run scripts/emulated-systemd-boot.sh (%v) and install binutils (%v)", statErr, err)
	}
	dir := t.TempDir()
	text, want := filepath.Join(dir, "cmdline"), filepath.Join(dir, "addon.efi")
	if err := os.WriteFile(text, []byte(addonText), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), objcopy, "--add-section", ".cmdline="+text, "--change-section-vma", ".cmdline=0x1dd514000", stub, want).CombinedOutput(); err != nil {
		t.Fatalf("objcopy: %v: %s", err, out)
	}
	theirs, err := pe.Open(want)
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	ours, err := pe.NewFile(bytes.NewReader(addon(fleet.AMD64, addonText)))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".text", ".cmdline"} {
		a, errA := theirs.Section(name).Data()
		b, errB := ours.Section(name).Data()
		if errA != nil || errB != nil || !bytes.Equal(bytes.TrimRight(a, "\x00"), bytes.TrimRight(b, "\x00")) {
			t.Errorf("%s: systemd's is %x, ours %x (%v, %v)", name, a, b, errA, errB)
		}
		const needed = pe.IMAGE_SCN_MEM_READ | pe.IMAGE_SCN_MEM_WRITE | pe.IMAGE_SCN_MEM_EXECUTE
		if name == ".text" && theirs.Section(name).Characteristics&needed != ours.Section(name).Characteristics&needed {
			t.Errorf("%s: systemd's may be %#x, ours %#x", name, theirs.Section(name).Characteristics, ours.Section(name).Characteristics)
		}
	}
	a, b := theirs.OptionalHeader.(*pe.OptionalHeader64), ours.OptionalHeader.(*pe.OptionalHeader64)
	if theirs.Machine != ours.Machine || a.Magic != b.Magic || a.Subsystem != b.Subsystem || a.AddressOfEntryPoint != b.AddressOfEntryPoint || a.SectionAlignment != b.SectionAlignment {
		t.Errorf("systemd's headers are %+v, ours %+v", a, b)
	}
}
