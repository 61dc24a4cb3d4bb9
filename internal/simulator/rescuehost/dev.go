package rescuehost

import (
	"cmp"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// block is a block device as the kernel of this boot sees it.
type block interface {
	device
	base() string // sda, sda1, md0
}

// disk is a disk of the machine by its name of this boot.
type disk struct {
	*world.Disk
	h     *Host
	name  string
	parts []*part // what the kernel knows of, which may be older than what the table says; guarded by h.mu
}

// part is a partition that the kernel knows.
type part struct {
	world.Partition
	disk *disk
	name string
}

// array is an md array that was assembled when the system started.
type array struct {
	name, uuid, label string
	level             int
	members           []block
	offset, size      int64
}

func (d *disk) base() string  { return d.name }
func (d *disk) Size() int64   { return d.SizeBytes }
func (p *part) base() string  { return p.name }
func (p *part) Size() int64   { return p.Partition.Size }
func (a *array) base() string { return a.name }
func (a *array) Size() int64  { return a.size }

// WriteAt writes while the machine has power.
func (d *disk) WriteAt(b []byte, off int64) (int, error) {
	if d.h.ctx.Err() != nil {
		return 0, syscall.EIO
	}
	n, err := d.Disk.WriteAt(b, off)
	if err != nil {
		return n, syscall.EIO
	}
	return n, nil
}

// wwn is the disk's WWN, "" while it does not show it.
func (d *disk) wwn() string {
	if d.h.opt.LateWWN > 0 && d.h.uptime() < d.h.opt.LateWWN {
		return ""
	}
	return d.WWN
}

// discard forgets a range while the machine has power.
func (d *disk) discard(off, n int64) error {
	if d.h.ctx.Err() != nil || d.h.m.Faulty().DiskFails && off+n > 16<<20 {
		return syscall.EIO
	}
	d.Disk.Discard(off, n)
	return nil
}

func (p *part) ReadAt(b []byte, off int64) (int, error) {
	return readWindow(p.disk, p.Start, p.Partition.Size, b, off)
}

func (p *part) WriteAt(b []byte, off int64) (int, error) { return p.disk.WriteAt(b, p.Start+off) }

// Zero makes reading a volume cheap.
func (p *part) Zero(off, n int64) bool { return p.disk.Zero(p.Start+off, n) }

func (a *array) ReadAt(b []byte, off int64) (int, error) {
	return readWindow(a.members[0], a.offset, a.size, b, off)
}

func (a *array) WriteAt(b []byte, off int64) (int, error) {
	for _, m := range a.members {
		if n, err := m.WriteAt(b, a.offset+off); err != nil {
			return n, err
		}
	}
	return len(b), nil
}

// place finds where a block device begins on which disk; arrays are nowhere.
func place(b block) (d *disk, start int64) {
	switch b := b.(type) {
	case *disk:
		return b, 0
	case *part:
		return b.disk, b.Start
	}
	return nil, 0
}

// findDisks takes the disks of the machine, with their names of this boot.
func (h *Host) findDisks() {
	names := make([]string, len(h.m.Disks))
	for i, d := range h.m.Disks {
		names[i] = d.Name
	}
	if h.opt.SwapNames {
		names = swapped(names)
	}
	for i, d := range h.m.Disks {
		h.disks = append(h.disks, &disk{Disk: d, h: h, name: names[i]})
	}
	slices.SortFunc(h.disks, func(a, b *disk) int { return cmp.Compare(a.name, b.name) })
	for _, d := range h.disks {
		d.parts = d.scan()
	}
	h.assemble()
	h.refresh()
}

// swapped rotates names among those of one kind.
func swapped(names []string) []string {
	out := slices.Clone(names)
	for _, kind := range []string{"nvme", "sd", "vd"} {
		var at []int
		for i, n := range names {
			if strings.HasPrefix(n, kind) {
				at = append(at, i)
			}
		}
		for k, i := range at {
			out[i] = names[at[(k+1)%len(at)]]
		}
	}
	return out
}

// scan reads the partition table.
func (d *disk) scan() []*part {
	g, err := world.ReadGPT(d.Disk, d.SizeBytes)
	if err != nil {
		return nil
	}
	sep := ""
	if strings.HasPrefix(d.name, "nvme") || strings.HasPrefix(d.name, "md") {
		sep = "p"
	}
	var all []*part
	for _, p := range g.Partitions {
		if p.Start+p.Size <= d.SizeBytes {
			all = append(all, &part{Partition: p, disk: d, name: fmt.Sprintf("%s%s%d", d.name, sep, p.Index)})
		}
	}
	return all
}

// rescan has the kernel read a partition table again; it refuses while a partition is in use.
func (h *Host) rescan(d *disk) error {
	h.mu.Lock()
	for _, p := range d.parts {
		if h.inUse(p) {
			h.mu.Unlock()
			return syscall.EBUSY
		}
	}
	d.parts = d.scan()
	h.mu.Unlock()
	h.refresh()
	return nil
}

// inUse says whether a block device is mounted or part of an array. h.mu is held.
func (h *Host) inUse(b block) bool {
	if slices.ContainsFunc(h.mounts, func(m *mounted) bool { return m.dev != nil && m.dev.base() == b.base() }) {
		return true
	}
	return slices.ContainsFunc(h.arrays, func(a *array) bool {
		return slices.ContainsFunc(a.members, func(m block) bool { return m.base() == b.base() })
	})
}

// busy says whether a device, or one of its partitions, is in use.
func (h *Host) busy(b block) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if d, ok := b.(*disk); ok && slices.ContainsFunc(d.parts, func(p *part) bool { return h.inUse(p) }) {
		return true
	}
	return h.inUse(b)
}

// blocks lists disks, partitions and arrays.
func (h *Host) blocks() []block {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []block
	for _, d := range h.disks {
		all = append(all, d)
		for _, p := range d.parts {
			all = append(all, p)
		}
	}
	for _, a := range h.arrays {
		all = append(all, a)
	}
	return all
}

// device finds a block device by a path such as /dev/sda or /dev/disk/by-id/….
func (h *Host) device(dir, name string) (block, error) {
	i, err := h.tree.stat(absolute(dir, name), true)
	if err != nil {
		return nil, syscall.ENOENT
	}
	b, ok := i.Sys().(*node).dev.(block)
	if !ok {
		return nil, syscall.ENOTBLK
	}
	return b, nil
}

// refresh makes /dev and /sys/block show what the kernel knows, as udev does.
func (h *Host) refresh() {
	_ = h.tree.remove("/dev/disk", true)
	_ = h.tree.remove("/sys/block", true)
	_ = h.tree.mkdir("/sys/block", true)
	h.dropStale()
	for _, b := range h.blocks() {
		h.tree.put("/dev/"+b.base(), &node{mode: fs.ModeDevice | 0o660, dev: b})
		for _, link := range h.links(b) {
			h.tree.symlink("/dev/disk/"+link, "../../"+b.base())
		}
		switch b := b.(type) {
		case *disk:
			h.describe(b)
		case *part:
			h.tree.text("/sys/block/"+b.disk.name+"/"+b.name+"/size", fmt.Sprintln(b.Size()/world.Sector))
			h.tree.text("/sys/block/"+b.disk.name+"/"+b.name+"/partition", fmt.Sprintln(b.Index))
		}
	}
}

// dropStale removes nodes of block devices that are gone.
func (h *Host) dropStale() {
	entries, _ := h.tree.list("/dev")
	known := h.blocks()
	for _, e := range entries {
		i, _ := e.Info()
		b, ok := i.Sys().(*node).dev.(block)
		if ok && !slices.ContainsFunc(known, func(k block) bool { return k == b }) {
			_ = h.tree.remove("/dev/"+e.Name(), false)
		}
	}
}

// describe fills /sys/block of a disk.
func (h *Host) describe(d *disk) {
	dir := "/sys/block/" + d.name
	rotational := "0\n"
	if d.Rotational {
		rotational = "1\n"
	}
	h.tree.text(dir+"/size", fmt.Sprintln(d.SizeBytes/world.Sector))
	h.tree.text(dir+"/queue/rotational", rotational)
	h.tree.text(dir+"/queue/logical_block_size", "512\n")
	h.tree.text(dir+"/removable", "0\n")
	h.tree.text(dir+"/ro", "0\n")
	h.tree.generated(dir+"/stat", func() []byte {
		return fmt.Appendf(nil, "%8d %8d %8d %8d %8d %8d %8d\n", 0, 0, 0, 0, 0, 0, d.Written()/world.Sector)
	})
	h.tree.text(dir+"/device/model", fmt.Sprintf("%-40s\n", d.Model))
	if d.Transport == "nvme" {
		h.tree.text(dir+"/device/serial", fmt.Sprintf("%-20s\n", d.Serial))
		h.tree.text(dir+"/wwid", d.wwn()+"\n")
		return
	}
	if hex, ok := strings.CutPrefix(d.wwn(), "0x"); ok {
		h.tree.text(dir+"/device/wwid", "naa."+hex+"\n")
	}
}

// links are the names of a device below /dev/disk (HETZNER.md D.1).
func (h *Host) links(b block) []string {
	d, _ := place(b)
	suffix, all := "", []string(nil)
	if p, ok := b.(*part); ok {
		suffix = fmt.Sprintf("-part%d", p.Index)
		if p.Label != "" {
			all = append(all, "by-partlabel/"+path.Base(p.Label))
		}
		all = append(all, "by-partuuid/"+p.GUID)
	}
	if s := fileSystem(b); s != nil {
		if s.label != "" {
			all = append(all, "by-label/"+path.Base(s.label))
		}
		if s.uuid != "" {
			all = append(all, "by-uuid/"+s.uuid)
		}
	}
	if a, ok := b.(*array); ok {
		return append(all, "by-id/md-uuid-"+a.uuid, "by-id/md-name-"+a.label)
	}
	if d == nil {
		return all
	}
	for _, id := range d.ids() {
		all = append(all, "by-id/"+id+suffix)
	}
	return all
}

// ids are a disk's names in by-id.
func (d *disk) ids() []string {
	model := strings.ReplaceAll(strings.TrimSpace(d.Model), " ", "_")
	serial := strings.TrimSpace(d.Serial)
	switch {
	case d.Transport == "nvme":
		all := []string{"nvme-" + model + "_" + serial, "nvme-" + model + "_" + serial + "_1"}
		if d.wwn() != "" {
			all = append(all, "nvme-"+d.wwn())
		}
		return all
	case strings.HasPrefix(d.Model, "QEMU"):
		return []string{"scsi-0QEMU_" + model + "_" + serial}
	}
	all := []string{"ata-" + model + "_" + serial}
	if d.wwn() != "" {
		all = append(all, "wwn-"+d.wwn())
	}
	return all
}

func readWindow(r device, start, size int64, b []byte, off int64) (int, error) {
	return windowOf(r, start, size).ReadAt(b, off)
}
