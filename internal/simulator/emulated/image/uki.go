package image

import (
	"bytes"
	"debug/pe"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// writeUKI makes a unified kernel image: systemd's stub, with the kernel and what it needs appended as sections.
// Source: UAPI.5 Unified Kernel Images; the order is Talos' (internal/pkg/uki).
func writeUKI(path, stub string, i Image, version string) error {
	base, err := os.ReadFile(stub)
	if err != nil {
		return err
	}
	kernel, err := os.ReadFile(i.Kernel)
	if err != nil {
		return err
	}
	initrd, err := os.ReadFile(i.Initramfs)
	if err != nil {
		return err
	}
	release := fmt.Sprintf("NAME=\"Talos\"\nID=talos\nVERSION_ID=%s\nPRETTY_NAME=\"Talos (%[1]s)\"\n", version)
	uki, err := appendSections(base, []section{
		{".osrel", []byte(release)},
		{".cmdline", []byte(i.Cmdline)},
		{".linux", kernel},
		{".initrd", initrd},
	})
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(stub), err)
	}
	return os.WriteFile(path, uki, 0o600)
}

type section struct {
	name string
	data []byte
}

// appendSections adds sections to a PE file, which is written anew: its headers grow, and all data moves.
func appendSections(base []byte, added []section) ([]byte, error) {
	file, err := pe.NewFile(bytes.NewReader(base))
	if err != nil {
		return nil, err
	}
	head, ok := file.OptionalHeader.(*pe.OptionalHeader64)
	if !ok || len(file.Sections) == 0 {
		return nil, errors.New("it is no 64-bit program")
	}
	var all []pe.SectionHeader32
	var data [][]byte
	for _, s := range file.Sections {
		b, err := s.Data()
		if err != nil {
			return nil, err
		}
		all = append(all, header(s.Name, s.VirtualAddress, s.VirtualSize, s.Size, s.Characteristics))
		data = append(data, b)
	}
	for _, s := range added {
		last := all[len(all)-1]
		at := align(last.VirtualAddress+last.VirtualSize, head.SectionAlignment)
		size := uint32(len(s.data))
		all = append(all, header(s.name, at, size, align(size, head.FileAlignment), pe.IMAGE_SCN_CNT_INITIALIZED_DATA|pe.IMAGE_SCN_MEM_READ))
		data = append(data, s.data)
	}
	return writePE(base, file.FileHeader, *head, all, data), nil
}

func header(name string, at, virtual, raw, characteristics uint32) pe.SectionHeader32 {
	h := pe.SectionHeader32{VirtualAddress: at, VirtualSize: virtual, SizeOfRawData: raw, Characteristics: characteristics}
	copy(h.Name[:], name)
	return h
}

func writePE(base []byte, file pe.FileHeader, head pe.OptionalHeader64, all []pe.SectionHeader32, data [][]byte) []byte {
	const dos = 0x40 // length of the DOS header, whose last field says where the next one is
	var out bytes.Buffer
	out.Write(base[:dos-4])
	put := func(v any) { _ = binary.Write(&out, binary.LittleEndian, v) } // fixed sizes into memory: it cannot fail
	put(uint32(dos))
	out.WriteString("PE\x00\x00")
	file.NumberOfSections = uint16(len(all))
	file.PointerToSymbolTable, file.NumberOfSymbols = 0, 0
	last := all[len(all)-1]
	head.CheckSum = 0
	head.SizeOfHeaders = align(uint32(dos+4+binary.Size(file)+binary.Size(head)+len(all)*binary.Size(last)), head.FileAlignment)
	head.SizeOfImage = align(last.VirtualAddress+last.VirtualSize, head.SectionAlignment)
	at := head.SizeOfHeaders
	head.SizeOfInitializedData = 0
	for i := range all {
		all[i].PointerToRawData = at
		at += all[i].SizeOfRawData
		if all[i].Characteristics&pe.IMAGE_SCN_CNT_INITIALIZED_DATA != 0 {
			head.SizeOfInitializedData += all[i].SizeOfRawData
		}
	}
	put(file)
	put(head)
	put(all)
	for i, s := range all {
		out.Write(make([]byte, int(s.PointerToRawData)-out.Len()))
		out.Write(data[i])
	}
	return slices.Concat(out.Bytes(), make([]byte, int(at)-out.Len()))
}

func align(n, to uint32) uint32 { return (n + to - 1) / to * to }
