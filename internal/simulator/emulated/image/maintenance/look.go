package main

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/talos-manager/talos-manager/internal/simulator/talosnode/resources"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// look reads what the machine is, as Talos' controllers would. The init names the UUID: META may override it.
func look() (resources.View, error) {
	v := resources.View{Version: "v1.14.1", Platform: resources.Platform{Name: "metal"}, Maintenance: true, Hostname: "talos"}
	m := &world.Machine{Spec: world.Spec{Name: "talos", UUID: os.Getenv("UUID"), Serial: os.Getenv("SERIAL"), Cores: 1}}
	var err error
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
