package world

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// A kernel and an initramfs of the world begin with a line that says what they are; the rest stands for their weight.
const (
	kernelMark    = "TMKERNEL "
	initramfsMark = "TMINITRAMFS "
)

// marked is data of a size that begins with a mark and what it describes.
func marked(mark string, rec any, seed string, size int) []byte {
	text, _ := json.Marshal(rec) // strings: it cannot fail
	head := append(append([]byte(mark), text...), '\n')
	return append(head, filler(seed, size-len(head))...)
}

func readMark(b []byte, mark string, rec any) error {
	line, _, _ := bytes.Cut(b[:min(len(b), 4096)], []byte("\n"))
	text, ok := bytes.CutPrefix(line, []byte(mark))
	if !ok {
		return errors.New("not a kernel of Talos")
	}
	return json.Unmarshal(text, rec)
}

// kernelRecord says what a kernel is.
type kernelRecord struct{ Version, Arch string }

// ReadKernel says what a kernel, its initramfs and a command line would start. No disk is read for that: the system
// runs in memory.
func ReadKernel(kernel, initramfs []byte, cmdline string) (BootInfo, error) {
	var k kernelRecord
	var rec imageRecord
	if err := readMark(kernel, kernelMark, &k); err != nil {
		return BootInfo{}, fmt.Errorf("kernel: %w", err)
	}
	if err := readMark(initramfs, initramfsMark, &rec); err != nil {
		return BootInfo{}, fmt.Errorf("initramfs: %w", err)
	}
	if k.Version != rec.Version || k.Arch != rec.Arch {
		return BootInfo{}, fmt.Errorf("kernel %s %s with the modules of %s %s", k.Version, k.Arch, rec.Version, rec.Arch)
	}
	info := BootInfo{Version: rec.Version, Arch: rec.Arch, Schematic: rec.Schematic, Extensions: rec.Extensions, Cmdline: strings.TrimSpace(cmdline)}
	info.Platform, _ = info.Arg("talos.platform")
	return info, nil
}

// Kexec has a kernel follow the system that runs, without the firmware: an armed rescue boot is not taken. The system
// then ends with Kexec.
func (m *Machine) Kexec(boot BootInfo) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.next = &boot
}

// kexec gives the system that was loaded, nil if none was, or it hangs.
func (m *Machine) kexec() System {
	m.mu.Lock()
	next := m.next
	m.next = nil
	m.mu.Unlock()
	if next == nil || m.World.BootKernel == nil || next.Arch != m.Arch || m.Faulty().TalosNeverComes {
		return nil
	}
	sys := m.World.BootKernel(m, *next)
	m.mu.Lock()
	m.system = sys
	m.mu.Unlock()
	return sys
}
