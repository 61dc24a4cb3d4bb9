package talosnode

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/cel/celenv"

	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// Files that a node keeps on its partitions. What they hold survives reboots and power cuts.
const (
	stateLabel = "STATE"
	ephemeral  = "EPHEMERAL"

	configFile   = "config.yaml"         // on STATE
	etcdFile     = "etcd.json"           // on EPHEMERAL: which member of which etcd this is
	previousFile = "talos-previous.json" // on EFI: the system before the last upgrade, for Rollback
)

// systemDisk finds the disk that the machine boots from. Only where several look like it are they read.
func (s *system) systemDisk() *world.Disk {
	var found *world.Disk
	for _, d := range s.machine.Disks {
		if !world.HasPartition(d, "META") {
			continue
		}
		if found != nil {
			found, _, _ = world.FindBoot(s.machine)
			break
		}
		found = d
	}
	return found
}

// disk is where Talos is installed, nil if the disk was wiped meanwhile.
func (n *node) disk() *world.Disk {
	if n.boot == nil || !world.HasPartition(n.boot, "META") {
		return nil
	}
	return n.boot
}

// holder finds the disk that has a partition.
func (n *node) holder(label string) *world.Disk {
	for _, d := range n.machine.Disks {
		if world.HasPartition(d, label) {
			return d
		}
	}
	return nil
}

// file reads a file of a partition, nil if there is none.
func (n *node) file(label, name string) []byte {
	d := n.holder(label)
	if d == nil {
		return nil
	}
	data, err := world.ReadFile(d, label, name)
	if err != nil {
		n.kernel("%s: %v", label, err)
	}
	return data
}

// setFile writes a file of a partition that exists; nil removes it.
func (n *node) setFile(label, name string, data []byte) error {
	d := n.holder(label)
	if d == nil {
		return nil // wiped: there is nothing to write to
	}
	return world.WriteFile(d, label, name, data)
}

// provision makes the partitions that a configured node has.
func (n *node) provision() error {
	d := n.disk()
	if d == nil {
		return nil
	}
	if err := world.EnsureState(d, false); err != nil {
		return err
	}
	if n.holder(ephemeral) != nil {
		return nil
	}
	_, err := world.EnsurePartition(n.ephemeralDisk(d), ephemeral, 0)
	return err
}

// ephemeralDisk is the disk a VolumeConfig chooses for EPHEMERAL, else the system disk.
func (n *node) ephemeralDisk(system *world.Disk) *world.Disk {
	cfg := n.config()
	if cfg == nil {
		return system
	}
	v, ok := cfg.Volumes().ByName(ephemeral)
	if !ok {
		return system
	}
	match, ok := v.Provisioning().DiskSelector().Get()
	if !ok || match.IsZero() {
		return system
	}
	for _, d := range n.machine.Disks {
		yes, err := match.EvalBool(celenv.DiskLocator(), map[string]any{"disk": diskSpec(d), "system_disk": d == system})
		if err == nil && yes {
			return d
		}
	}
	return system
}

// wipePartitions erases partitions, or the whole system disk if none is named.
func (n *node) wipePartitions(labels []string) error {
	if len(labels) == 0 {
		if d := n.disk(); d != nil {
			d.Discard(0, d.SizeBytes)
		}
		return nil
	}
	for _, label := range labels {
		if d := n.holder(label); d != nil {
			if err := world.WipePartition(d, label); err != nil {
				return err
			}
		}
	}
	return nil
}

// setMeta writes a META value, or deletes it.
func (n *node) setMeta(key uint8, value *string) error {
	d := n.disk()
	if d == nil {
		return world.ErrNoTalos
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if value == nil {
		delete(n.meta, key)
	} else {
		n.meta[key] = *value
	}
	return world.WriteMeta(d, n.meta)
}

// installed describes the system that runs as an image.
func (n *node) installed() world.ImageSpec {
	spec := world.ImageSpec{
		Version: n.info.Version, Arch: n.info.Arch, Platform: n.info.Platform, Schematic: n.info.Schematic,
		Extensions: n.info.Extensions,
	}
	plain := strings.Fields(spec.Cmdline())
	for _, arg := range strings.Fields(n.info.Cmdline) {
		if !slices.Contains(plain, arg) {
			spec.KernelArgs = append(spec.KernelArgs, arg)
		}
	}
	return spec
}

// install makes another system boot next and keeps the present one for a rollback.
func (n *node) install(next world.ImageSpec) error {
	d := n.disk()
	if d == nil {
		return world.ErrNoTalos
	}
	before, err := json.Marshal(n.installed())
	if err != nil {
		return err
	}
	if err := world.UpgradeImage(d, next); err != nil {
		return err
	}
	return world.WriteFile(d, "EFI", previousFile, before)
}

// previous gives the system before the last upgrade.
func (n *node) previous() (world.ImageSpec, bool) {
	var spec world.ImageSpec
	raw := n.file("EFI", previousFile)
	return spec, raw != nil && json.Unmarshal(raw, &spec) == nil
}
