package emulated

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// bootHead is the kernel command line of the rescue system. Hetzner's NIC is always eth0.
const bootHead = "console=ttyS0 net.ifnames=0 loglevel=4 mitigations=off nokaslr edd=off panic=-1"

// arguments of QEMU for the next boot. Descriptor 3 is its monitor's.
func (m *Machine) arguments(rescue bool) []string {
	o := m.options
	args := []string{
		"-name", o.Name, "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot",
		"-chardev", "socket,id=qmp,fd=3", "-mon", "chardev=qmp,mode=control",
		"-machine", "q35,graphics=off", "-accel", "tcg,tb-size=192", "-cpu", "Nehalem", "-smp", "1", "-m", strconv.Itoa(o.MemoryMB),
		"-device", "virtio-rng-pci",
		"-smbios", "type=0,vendor=American Megatrends Inc.,version=1.0",
		"-smbios", fields("type=1", "manufacturer", o.Manufacturer, "product", o.Product, "serial", o.Serial, "uuid", o.UUID),
		"-smbios", fields("type=2", "manufacturer", o.BoardManufacturer, "product", o.Board, "serial", o.BoardSerial),
		"-netdev", m.netdev(), "-device", "e1000e,netdev=net,romfile=,mac=" + o.MAC,
	}
	if o.Clock != "" {
		args = append(args, "-rtc", "base="+o.Clock)
	}
	if o.Firmware == UEFI {
		args = append(args, "-drive", "if=pflash,unit=0,format=raw,readonly=on,file="+firmwareCode,
			"-drive", "if=pflash,unit=1,format=raw,file="+escape(m.varsFile()))
	}
	for i := range o.Disks {
		args = append(args, m.disk(i)...)
	}
	if !rescue {
		return args
	}
	parts := Cache()
	args = append(args, "-kernel", filepath.Join(parts, "kernel", "vmlinuz"), "-initrd", filepath.Join(parts, "rescue", "initrd"),
		"-append", strings.TrimSpace(bootHead+" "+o.RescueArguments),
		"-fsdev", "local,id=rescue,security_model=none,readonly=on,path="+escape(filepath.Join(parts, "rescue")),
		"-device", "virtio-9p-pci,fsdev=rescue,mount_tag=rescue")
	for _, name := range []string{"authorized_keys", "test_keys", "host_ed25519", "host_ecdsa"} {
		args = append(args, "-fw_cfg", "name=opt/rescue/"+name+",file="+escape(filepath.Join(m.dir, name)))
	}
	return args
}

// netdev is a network of the machine's own. Ports are QEMU's choice, so that no two machines want the same.
func (m *Machine) netdev() string {
	out := "user,id=net,ipv6=off"
	for _, port := range m.options.Ports {
		out += fmt.Sprintf(",hostfwd=tcp:127.0.0.1:0-:%d", port)
	}
	return out
}

// disk attaches a disk. SeaBIOS tries disks in the order of the options; OVMF goes by its variables, as a board does,
// which a boot order from outside would overrule.
func (m *Machine) disk(i int) []string {
	d := m.options.Disks[i]
	id, order := fmt.Sprintf("disk%d", i), ""
	if m.options.Firmware == BIOS {
		order = fmt.Sprintf(",bootindex=%d", i+1)
	}
	args := []string{"-drive", fmt.Sprintf("if=none,id=%s,format=raw,cache=unsafe,discard=unmap,file=%s", id, escape(m.DiskFile(i)))}
	serial := escape(d.Serial)
	switch d.Bus {
	case NVMe:
		space := fmt.Sprintf("nvme-ns,bus=ctrl%d,drive=%s,nsid=1%s", i, id, order)
		if d.WWN != "" {
			space += ",eui64=0x" + d.WWN
		}
		return append(args, "-device", fmt.Sprintf("nvme,id=ctrl%d,serial=%s", i, serial), "-device", space)
	case SATA:
		return append(args, "-device", fields(fmt.Sprintf("ide-hd,bus=ide.%d,drive=%s,serial=%s%s", m.sataPort(i), id, serial, order), "model", d.Model, "wwn", hex(d.WWN)))
	case SCSI:
		return append(args, "-device", fmt.Sprintf("virtio-scsi-pci,id=scsi%d", i),
			"-device", fields(fmt.Sprintf("scsi-hd,bus=scsi%d.0,drive=%s,serial=%s%s", i, id, serial, order), "product", d.Model, "wwn", hex(d.WWN)))
	default:
		return append(args, "-device", fmt.Sprintf("virtio-blk-pci,drive=%s,serial=%s%s", id, serial, order))
	}
}

// sataPort counts the SATA disks before this one.
func (m *Machine) sataPort(i int) int {
	port := 0
	for _, d := range m.options.Disks[:i] {
		if d.Bus == SATA {
			port++
		}
	}
	return port
}

func hex(wwn string) string {
	if wwn == "" {
		return ""
	}
	return "0x" + wwn
}

// fields appends name=value for each value that is not empty.
func fields(head string, pairs ...string) string {
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			head += "," + pairs[i] + "=" + escape(pairs[i+1])
		}
	}
	return head
}

// escape doubles commas, which separate QEMU's options.
func escape(value string) string { return strings.ReplaceAll(value, ",", ",,") }

func (m *Machine) varsFile() string { return filepath.Join(m.dir, "vars.fd") }

// DiskFile is the image of a disk of the options. It may be read, and while the machine is off written.
func (m *Machine) DiskFile(i int) string {
	if f := m.options.Disks[i].File; f != "" {
		return f
	}
	return filepath.Join(m.dir, fmt.Sprintf("disk%d.img", i))
}

// makeFiles makes the disks, and the variables of UEFI as they leave the factory.
func (m *Machine) makeFiles() error {
	for i, d := range m.options.Disks {
		if d.File != "" {
			continue
		}
		f, err := os.Create(m.DiskFile(i))
		if err != nil {
			return err
		}
		err = f.Truncate(d.Size)
		f.Close()
		if err != nil {
			return err
		}
	}
	if m.options.Firmware != UEFI {
		return nil
	}
	vars, err := os.ReadFile(firmwareVars)
	if err != nil {
		return err
	}
	return os.WriteFile(m.varsFile(), vars, 0o600)
}
