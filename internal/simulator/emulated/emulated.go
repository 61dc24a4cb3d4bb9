// Package emulated is a server that is really there: QEMU emulates its processor, firmware, disks and network card, and
// its rescue system is a Debian userland with OpenSSH and the tools that Hetzner's has. Tests use it where nothing less
// proves a promise: partition tables, md, LVM, LUKS, file systems, firmware, boot loaders, kexec. Software emulation,
// even where a processor could do better: it behaves alike everywhere, and needs no privileges.
//
// It boots as rented servers do:
//
//	PowerOn, Reset, the guest's own reboot
//	     |
//	     v
//	is the rescue system armed? --yes--> rescue (armed no more), sshd with new host keys
//	     | no
//	     v
//	firmware (SeaBIOS or OVMF) -> boot loader of a disk
//
// A kexec in the guest is no boot and comes to no decision. A guest that powers off stays off.
//
// How to use it:
//
//	m := emulated.New(t, emulated.Options{Firmware: emulated.UEFI, Disks: []emulated.Disk{{Bus: emulated.NVMe, Size: 12 << 30}}})
//	m.ArmRescue(ourKey.PublicKey()) // as Robot's POST /boot/N/rescue
//	m.PowerOn()
//	session, err := rescue.Open(ctx, rescue.Options{Address: "203.0.113.10", Dial: m.Dial, Key: ourKey, Pins: m.Fingerprints()})
//
// m.Dial reaches the machine whatever the address says. The guest has 10.0.2.15 and reaches what listens on this machine's loopback at 10.0.2.2. m.Run executes commands in the
// rescue system with a key of the test's own, m.Furnish puts on disks what tests expect to find there, m.Console().Await
// waits for what the machine says on its serial port.
//
// The parts are built by scripts/emulated-build.sh into bin/emulated; New skips a test that has none, loudly, and fails it
// in CI. The package imports none of our code.
package emulated

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/talos-manager/talos-manager/internal/skip"
)

// Firmware is what starts the boot loader.
type Firmware string

// The firmwares that rented servers have.
const (
	BIOS Firmware = "bios" // SeaBIOS
	UEFI Firmware = "uefi" // OVMF, with variables of its own that last as long as the machine
)

// Bus is how a disk is attached.
type Bus string

// The kinds of disks.
const (
	Virtio Bus = "virtio" // has a serial number and no WWID
	SATA   Bus = "sata"   // naa. WWID; six at most
	NVMe   Bus = "nvme"   // eui. WWID
	SCSI   Bus = "scsi"   // virtio-scsi, as Hetzner's cloud has
)

// Disk is one disk of a machine.
type Disk struct {
	Bus    Bus
	Size   int64  // bytes; 0 is 12 GiB. It takes no room until it is written
	Serial string // 20 characters at most; "" is made up and unique in its machine
	WWN    string // SATA and SCSI: a NAA, NVMe: an EUI-64, 16 hexadecimal digits; "" is none (NVMe: "none" of its own)
	Model  string // SATA and SCSI only
	File   string // the image that is the disk; "" is a new sparse file
}

// Options of a machine. The zero value is a machine with BIOS, one NIC and no disk.
type Options struct {
	Name                     string // for the test's log
	Firmware                 Firmware
	UUID, Serial             string // of the system, as SMBIOS tells them
	Manufacturer, Product    string
	BoardManufacturer, Board string
	BoardSerial              string
	MAC                      string
	MemoryMB                 int // 0 is 1024
	Disks                    []Disk
	Ports                    []int  // of the guest that Dial reaches; nil is 22 and 50000
	Clock                    string // what its clock says when it is powered on, "2020-01-31T00:00:00"; "" is the time
	RescueArguments          string // appended to the kernel command line of the rescue system
}

func (o Options) withDefaults() Options {
	o.Name = cmp.Or(o.Name, "machine")
	o.Firmware = cmp.Or(o.Firmware, BIOS)
	o.UUID = cmp.Or(o.UUID, "4c4c4544-0042-3510-8050-b4c04f384833")
	o.Serial = cmp.Or(o.Serial, "SYS0001")
	o.Manufacturer = cmp.Or(o.Manufacturer, "ASUS")
	o.Product = cmp.Or(o.Product, "System Product Name")
	o.BoardManufacturer = cmp.Or(o.BoardManufacturer, "ASUSTeK COMPUTER INC.")
	o.Board = cmp.Or(o.Board, "Pro WS 565-ACE")
	o.BoardSerial = cmp.Or(o.BoardSerial, "BRD0001")
	o.MAC = cmp.Or(o.MAC, "90:1b:0e:00:00:01")
	o.MemoryMB = cmp.Or(o.MemoryMB, 1024)
	if o.Ports == nil {
		o.Ports = []int{22, 50000}
	}
	disks := make([]Disk, len(o.Disks))
	for i, d := range o.Disks {
		d.Size = cmp.Or(d.Size, 12<<30)
		d.Serial = cmp.Or(d.Serial, fmt.Sprintf("DISK%04d", i))
		disks[i] = d
	}
	o.Disks = disks
	return o
}

// Cache is where the parts of machines are: TALOS_MANAGER_EMULATED, or bin/emulated of the repository.
func Cache() string {
	if dir := os.Getenv("TALOS_MANAGER_EMULATED"); dir != "" {
		return dir
	}
	dir, err := os.Getwd()
	if err != nil {
		return filepath.Join("bin", "emulated")
	}
	for at := dir; at != filepath.Dir(at); at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, "go.mod")); err == nil {
			return filepath.Join(at, "bin", "emulated")
		}
	}
	return filepath.Join(dir, "bin", "emulated")
}

// firmwareCode and firmwareVars are OVMF as Debian 12 and 13 install it.
const (
	firmwareCode = "/usr/share/OVMF/OVMF_CODE_4M.fd"
	firmwareVars = "/usr/share/OVMF/OVMF_VARS_4M.fd"
)

// Missing names what this machine lacks to emulate another, "" if nothing.
func Missing() string {
	var missing []string
	if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
		missing = append(missing, "qemu-system-x86_64 (apt-get install qemu-system-x86)")
	}
	if _, err := os.Stat(firmwareCode); err != nil {
		missing = append(missing, firmwareCode+" (apt-get install ovmf)")
	}
	for _, part := range []string{"kernel/vmlinuz", "rescue/initrd", "rescue/root.squashfs"} {
		if _, err := os.Stat(filepath.Join(Cache(), part)); err != nil {
			missing = append(missing, part+" (bash scripts/setup.sh && bash scripts/emulated-build.sh)")
		}
	}
	return strings.Join(missing, ", ")
}

// Need skips a test that wants an emulated machine where there can be none. In CI that is a failure.
func Need(t testing.TB) {
	t.Helper()
	if missing := Missing(); missing != "" {
		skip.UnlessCI(t, "this test needs an emulated machine; missing: %s", missing)
	}
}
