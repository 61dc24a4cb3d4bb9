package main

import (
	"encoding/binary"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/talos-manager/talos-manager/internal/simulator/talosnode/resources"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// look reads what the machine is, as Talos' controllers would. The init names the UUID: META may override it.
func look() (resources.View, error) {
	v := resources.View{Version: "v1.14.1", Platform: resources.Platform{Name: "metal"}, Maintenance: true, Hostname: "talos"}
	table, err := os.ReadFile("/sys/firmware/dmi/tables/DMI")
	if err != nil {
		return v, err
	}
	m := &world.Machine{Spec: world.Spec{
		Name: "talos", UUID: os.Getenv("UUID"), Serial: os.Getenv("SERIAL"), Manufacturer: read("/sys/class/dmi/id", "sys_vendor"), Product: read("/sys/class/dmi/id", "product_name"),
		CPU: processor(), Cores: runtime.NumCPU(), MemoryBytes: memory(table),
	}}
	if m.Disks, err = disks(); err != nil {
		return v, err
	}
	v.Machine = m
	links, err := net.Interfaces()
	if err != nil {
		return v, err
	}
	for _, l := range links {
		if l.Flags&net.FlagLoopback == 0 {
			v.Network.Links = append(v.Network.Links, resources.Link{Name: l.Name, MAC: l.HardwareAddr.String(), MTU: uint32(l.MTU)})
		}
	}
	return v, nil
}

// processor is the kernel's name for it.
func processor() string {
	all, _ := os.ReadFile("/proc/cpuinfo") // "" without
	for line := range strings.Lines(string(all)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// memory adds up the modules in a table of SMBIOS, as Talos does: the kernel has less. Source: DMTF DSP0134, "Memory Device
// (Type 17)"; behind each structure stand its texts, and two zeroes.
func memory(table []byte) (bytes int64) {
	for len(table) >= 4 && int(table[1]) >= 4 && int(table[1]) <= len(table) {
		kind, fields := table[0], table[:table[1]]
		if kind == 17 && len(fields) >= 14 {
			switch size := int64(binary.LittleEndian.Uint16(fields[12:])); {
			case size == 0x7fff && len(fields) >= 32:
				bytes += int64(binary.LittleEndian.Uint32(fields[28:])&0x7fffffff) << 20
			case size == 0xffff: // unknown
			case size&0x8000 != 0:
				bytes += size & 0x7fff << 10
			default:
				bytes += size << 20
			}
		}
		end := strings.Index(string(table[len(fields):]), "\x00\x00")
		if end < 0 {
			break
		}
		table = table[len(fields)+end+2:]
	}
	return bytes
}

// disks reads sysfs as Talos does (siderolabs/go-blockdevice block/device_linux.go).
func disks() ([]*world.Disk, error) {
	names, err := filepath.Glob("/sys/block/*")
	if err != nil {
		return nil, err
	}
	var all []*world.Disk
	for _, dir := range names {
		sectors, err := strconv.ParseInt(read(dir, "size"), 10, 64)
		if err != nil || sectors == 0 {
			continue // an empty drive
		}
		name := filepath.Base(dir)
		d := &world.Disk{
			Name: name, Model: read(dir, "device/model"), Serial: read(dir, "device/serial", "serial"), WWN: read(dir, "wwid", "device/wwid"),
			SizeBytes: sectors * world.Sector, Rotational: read(dir, "queue/rotational") == "1",
		}
		switch {
		case strings.HasPrefix(name, "nvme"):
			d.Transport = "nvme"
		case strings.HasPrefix(name, "vd"):
			d.Transport = "virtio"
		default:
			d.Transport = "sata"
		}
		all = append(all, d)
	}
	return all, nil
}

// read gives the first of some files of sysfs that exists and holds something.
func read(dir string, names ...string) string {
	for _, name := range names {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err == nil && strings.TrimSpace(string(b)) != "" {
			return strings.TrimSpace(string(b))
		}
	}
	return ""
}
