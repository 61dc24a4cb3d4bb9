package rescue

import (
	"bytes"
	"debug/pe"
	"encoding/binary"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// The layout of our addon: headers, .text, .cmdline, each on a page of its own in memory.
const (
	addonPage    = 0x1000
	addonAlign   = 0x200 // in the file
	addonHeaders = 0x200
	addonPE      = 0x40 // where the PE header begins
)

// refuse is what runs if somebody starts the addon as a program: return EFI_UNSUPPORTED.
var refuse = map[uint16][]byte{
	pe.IMAGE_FILE_MACHINE_AMD64: {0x48, 0xb8, 3, 0, 0, 0, 0, 0, 0, 0x80, 0xc3},                   // movabs rax, 1<<63|3; ret
	pe.IMAGE_FILE_MACHINE_ARM64: {0x60, 0, 0x80, 0xd2, 0, 0, 0xf0, 0xf2, 0xc0, 0x03, 0x5f, 0xd6}, // mov x0, 3; movk x0, 0x8000, lsl 48; ret
}

// addon makes an addon for systemd-stub, the first code of a unified kernel image, which looks for *.addon.efi in
// NAME.efi.extra.d/ beside the image and appends what they hold to the kernel command line that is sealed in the image.
// It has done so since version 254; Talos' images have 257 and newer since they boot that way (1.10). With Secure Boot
// it takes signed ones only. Source: systemd-stub(7), src/boot/stub.c; siderolabs/pkgs. An addon is a PE32+ file as the
// firmware's LoadImage takes it, with the text in a section .cmdline (UAPI specification "Unified Kernel Image",
// "PE Addons"). It is what `ukify build --cmdline=…` makes from systemd's own stub, unsigned.
func addon(arch fleet.Architecture, cmdline string) []byte {
	machine := uint16(pe.IMAGE_FILE_MACHINE_AMD64)
	if arch == fleet.ARM64 {
		machine = pe.IMAGE_FILE_MACHINE_ARM64
	}
	code := refuse[machine]
	text := pe.SectionHeader32{
		Name: sectionName(".text"), VirtualSize: uint32(len(code)), VirtualAddress: addonPage,
		SizeOfRawData: aligned(len(code), addonAlign), PointerToRawData: addonHeaders,
		Characteristics: pe.IMAGE_SCN_CNT_CODE | pe.IMAGE_SCN_MEM_EXECUTE | pe.IMAGE_SCN_MEM_READ,
	}
	args := pe.SectionHeader32{
		Name: sectionName(".cmdline"), VirtualSize: uint32(len(cmdline)), VirtualAddress: 2 * addonPage,
		SizeOfRawData: aligned(len(cmdline), addonAlign), PointerToRawData: text.PointerToRawData + text.SizeOfRawData,
		Characteristics: pe.IMAGE_SCN_CNT_INITIALIZED_DATA | pe.IMAGE_SCN_MEM_READ,
	}
	optional := pe.OptionalHeader64{
		Magic: 0x20b, SizeOfCode: text.SizeOfRawData, SizeOfInitializedData: args.SizeOfRawData,
		AddressOfEntryPoint: addonPage, BaseOfCode: addonPage, SectionAlignment: addonPage, FileAlignment: addonAlign,
		SizeOfImage: args.VirtualAddress + aligned(len(cmdline), addonPage), SizeOfHeaders: addonHeaders,
		Subsystem: pe.IMAGE_SUBSYSTEM_EFI_APPLICATION, DllCharacteristics: pe.IMAGE_DLLCHARACTERISTICS_NX_COMPAT | pe.IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE,
		NumberOfRvaAndSizes: 16, // none of which is used: the code is the same at any address
	}
	header := pe.FileHeader{
		Machine: machine, NumberOfSections: 2, SizeOfOptionalHeader: uint16(binary.Size(optional)),
		Characteristics: pe.IMAGE_FILE_EXECUTABLE_IMAGE | pe.IMAGE_FILE_LINE_NUMS_STRIPPED | pe.IMAGE_FILE_LOCAL_SYMS_STRIPPED | pe.IMAGE_FILE_LARGE_ADDRESS_AWARE,
	}
	dos := make([]byte, addonPE)
	copy(dos, "MZ")
	binary.LittleEndian.PutUint32(dos[0x3c:], addonPE)

	var b bytes.Buffer
	b.Write(dos)
	b.WriteString("PE\x00\x00")
	for _, part := range []any{header, optional, text, args} {
		_ = binary.Write(&b, binary.LittleEndian, part) // fixed sizes into memory: it cannot fail
	}
	fill(&b, int(text.PointerToRawData))
	b.Write(code)
	fill(&b, int(args.PointerToRawData))
	b.WriteString(cmdline)
	fill(&b, int(args.PointerToRawData+args.SizeOfRawData))
	return b.Bytes()
}

func sectionName(s string) (name [8]byte) {
	copy(name[:], s)
	return name
}

func aligned(n, to int) uint32 { return uint32((n + to - 1) / to * to) }

// fill pads with zeroes up to a length.
func fill(b *bytes.Buffer, length int) { b.Write(make([]byte, length-b.Len())) }
