package world

import (
	"bytes"
	"debug/pe"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// ukiDir is where systemd-boot looks for unified kernel images.
const ukiDir = "EFI/Linux"

// ukiCmdlineOf gives the command line with which the newest unified kernel image of an EFI partition boots: its own,
// then those of its addons in the order of their names (systemd src/boot/stub.c).
func ukiCmdlineOf(efi *Volume, arch string) (string, error) {
	for _, name := range slices.Backward(slices.Sorted(maps.Keys(efi.Files))) {
		if path.Dir(name) != ukiDir || !strings.HasSuffix(name, ".efi") {
			continue
		}
		if cmdline, ok := ukiSection(efi.Files[name], ukiCmdline); ok {
			return strings.Join(append([]string{cmdline}, addons(efi, name, arch)...), " "), nil
		}
	}
	return "", fmt.Errorf("EFI has no kernel: %w", ErrCorrupt)
}

// addons gives the command lines of the addons of an image. As firmware and stub do, it leaves out what is no
// program for this machine and what holds a kernel.
func addons(efi *Volume, image, arch string) []string {
	machine := map[string]uint16{"amd64": pe.IMAGE_FILE_MACHINE_AMD64, "arm64": pe.IMAGE_FILE_MACHINE_ARM64}[arch]
	var all []string
	for _, name := range slices.Sorted(maps.Keys(efi.Files)) {
		if path.Dir(name) != image+".extra.d" || !strings.HasSuffix(name, ".addon.efi") {
			continue
		}
		f, err := pe.NewFile(bytes.NewReader(efi.Files[name]))
		if err != nil || f.Machine != machine || f.Section(".linux") != nil || f.Section(".cmdline") == nil {
			continue
		}
		o, ok := f.OptionalHeader.(*pe.OptionalHeader64)
		if !ok || o.Subsystem != pe.IMAGE_SUBSYSTEM_EFI_APPLICATION {
			continue
		}
		s := f.Section(".cmdline")
		data, err := s.Data()
		if err != nil || int(s.VirtualSize) > len(data) {
			continue
		}
		text, _, _ := strings.Cut(string(data[:s.VirtualSize]), "\x00")
		all = append(all, strings.TrimSpace(text))
	}
	return all
}
