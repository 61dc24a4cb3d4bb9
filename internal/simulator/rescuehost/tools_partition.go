package rescuehost

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

func partitionTools() map[string]tool {
	return map[string]tool{"sgdisk": toolSgdisk, "sfdisk": toolSfdisk, "parted": toolParted}
}

const (
	firstUsable = 34
	inUseText   = "Warning: The kernel is still using the old partition table.\nThe new table will be used at the next reboot or after you\nrun partprobe(8) or kpartx(8)\n"
)

// target opens the disk of a partitioning tool, the last argument.
func (c *call) target(rest []string) (*disk, error) {
	if len(rest) == 0 {
		return nil, errors.New("no device specified")
	}
	b, err := c.h.device(c.dir, rest[len(rest)-1])
	if err != nil {
		return nil, err
	}
	d, ok := b.(*disk)
	if !ok {
		return nil, syscall.EINVAL
	}
	return d, nil
}

// store writes a table and tells the kernel; false if the kernel goes on with the old one.
func (h *Host) store(d *disk, g *world.GPT) (bool, error) {
	if err := g.Write(d, d.SizeBytes); err != nil {
		return false, err
	}
	return h.rescan(d) == nil, nil
}

// zap wipes the tables and tells the kernel.
func (h *Host) zap(d *disk) (bool, error) {
	if err := world.ZapGPT(d, d.SizeBytes); err != nil {
		return false, err
	}
	return h.rescan(d) == nil, nil
}

// toolSgdisk works through its options in their order.
func toolSgdisk(c *call) int {
	opts, rest, err := getopt(c.args, "Zzoepvn:t:c:d:i:gGa:P", "zap-all", "zap", "clear", "move-second-header", "print", "verify", "new=", "typecode=", "change-name=",
		"delete=", "info=", "mbrtogpt", "randomize-guids", "set-alignment=", "largest-new=", "pretend")
	if err != nil {
		return c.fail(2, "%v", err)
	}
	d, err := c.target(rest)
	if err != nil {
		c.printf("Problem opening %s for reading! Error is %d.\nThe specified file does not exist!\n", nameOr(strings.Join(rest, " "), "''"), 2)
		return 2
	}
	g, err := world.ReadGPT(d.Disk, d.SizeBytes)
	if err != nil {
		g = &world.GPT{DiskGUID: fmt.Sprintf("%08x-0000-4000-8000-%012x", c.proc.pid, c.h.m.Number)}
	}
	s := &sgdisk{c: c, d: d, g: g}
	for _, o := range opts {
		if status := s.option(o); status != 0 {
			return status
		}
	}
	return s.save()
}

type sgdisk struct {
	c       *call
	d       *disk
	g       *world.GPT
	changed bool
}

func (s *sgdisk) option(o option) int {
	c := s.c
	number, rest, _ := strings.Cut(o.value, ":")
	switch o.name {
	case "Z", "zap-all", "z", "zap":
		known, err := c.h.zap(s.d)
		if err != nil {
			c.printf("Problem saving partition table: %s\n", errText(err))
			return 4
		}
		s.g.Partitions, s.changed = nil, false
		if !known {
			c.printf("%s", inUseText)
		}
		c.printf("GPT data structures destroyed! You may now partition the disk using fdisk or\nother utilities.\n")
	case "o", "clear":
		s.g.Partitions, s.changed = nil, true
	case "e", "move-second-header":
		s.changed = true
	case "p", "print":
		s.print()
	case "v", "verify":
		c.printf("\nNo problems found.\n")
	case "d", "delete":
		n, _ := strconv.Atoi(number)
		before := len(s.g.Partitions)
		s.g.Partitions = slices.DeleteFunc(s.g.Partitions, func(p world.Partition) bool { return p.Index == n })
		if len(s.g.Partitions) == before {
			fmt.Fprintf(c.err, "Error %d deleting partition!\n", n)
			return 4
		}
		s.changed = true
	case "n", "new", "largest-new":
		return s.add(o.value)
	case "t", "typecode":
		return s.change(number, func(p *world.Partition) { p.Type = typeCode(rest) })
	case "c", "change-name":
		return s.change(number, func(p *world.Partition) { p.Label = rest })
	case "i", "info":
		return s.info(number)
	}
	return 0
}

// typeCode reads a type as sgdisk takes it: EF00, or a GUID.
func typeCode(s string) string {
	switch strings.ToUpper(s) {
	case "EF00":
		return world.TypeEFI
	case "EF02":
		return world.TypeBIOS
	case "8300", "":
		return world.TypeLinux
	}
	return strings.ToLower(s)
}

func (s *sgdisk) change(number string, f func(*world.Partition)) int {
	n, _ := strconv.Atoi(number)
	i := slices.IndexFunc(s.g.Partitions, func(p world.Partition) bool { return p.Index == n })
	if i < 0 {
		fmt.Fprintf(s.c.err, "Partition #%s does not exist!\n", number)
		return 4
	}
	f(&s.g.Partitions[i])
	s.changed = true
	return 0
}

// add makes a partition from NUMBER:START:END; 0 means the next number, the next free place, the end.
func (s *sgdisk) add(value string) int {
	f := append(strings.Split(value, ":"), "0", "0")
	size := int64(0)
	if end, ok := strings.CutPrefix(f[2], "+"); ok {
		n, err := number(end)
		if err != nil {
			return s.c.fail(4, "could not create partition")
		}
		size = n
	}
	id := fmt.Sprintf("%08x-%04x-4000-8000-%012x", s.c.proc.pid, len(s.g.Partitions)+1, s.c.h.m.Number)
	p, err := s.g.Add(s.d.SizeBytes, "", world.TypeLinux, id, size)
	if err != nil {
		fmt.Fprintf(s.c.err, "Could not create partition %s from %s to %s\n", f[0], f[1], f[2])
		return 4
	}
	if n, err := strconv.Atoi(f[0]); err == nil && n > 0 {
		p.Index = n
	}
	s.changed = true
	return 0
}

func (s *sgdisk) save() int {
	if !s.changed {
		return 0
	}
	known, err := s.c.h.store(s.d, s.g)
	if err != nil {
		s.c.printf("Problem saving partition table: %v\n", err)
		return 4
	}
	if !known {
		s.c.printf("%s", inUseText)
	}
	s.c.printf("The operation has completed successfully.\n")
	return 0
}

func (s *sgdisk) print() {
	c, sectors := s.c, s.d.SizeBytes/world.Sector
	c.printf("Disk /dev/%s: %d sectors, %s\nModel: %-20s\nSector size (logical/physical): 512/512 bytes\nDisk identifier (GUID): %s\n", s.d.name, sectors, gdiskSize(s.d.SizeBytes), s.d.Model, strings.ToUpper(s.g.DiskGUID))
	c.printf("Partition table holds up to 128 entries\nMain partition table begins at sector 2 and ends at sector 33\nFirst usable sector is %d, last usable sector is %d\nPartitions will be aligned on 2048-sector boundaries\n", firstUsable, sectors-firstUsable)
	c.printf("\nNumber  Start (sector)    End (sector)  Size       Code  Name\n")
	for _, p := range s.g.Sorted() {
		code := map[string]string{world.TypeEFI: "EF00", world.TypeBIOS: "EF02", world.TypeLinux: "8300"}[p.Type]
		c.printf("%4d %15d %15d   %-9s  %s  %s\n", p.Index, p.Start/world.Sector, (p.Start+p.Size)/world.Sector-1, gdiskSize(p.Size), nameOr(code, "FFFF"), p.Label)
	}
}

func gdiskSize(n int64) string {
	units, f, i := []string{"bytes", "KiB", "MiB", "GiB", "TiB"}, float64(n), 0
	for f >= 1024 && i < len(units)-1 {
		f /= 1024
		i++
	}
	return fmt.Sprintf("%.1f %s", f, units[i])
}

func (s *sgdisk) info(number string) int {
	n, _ := strconv.Atoi(number)
	for _, p := range s.g.Partitions {
		if p.Index == n {
			s.c.printf("Partition GUID code: %s (%s)\nPartition unique GUID: %s\nFirst sector: %d\nLast sector: %d\nPartition size: %d sectors\nPartition name: '%s'\n",
				strings.ToUpper(p.Type), typeName(p.Type), strings.ToUpper(p.GUID), p.Start/world.Sector, (p.Start+p.Size)/world.Sector-1, p.Size/world.Sector, p.Label)
			return 0
		}
	}
	s.c.printf("Partition #%d does not exist.\n", n)
	return 0
}

// toolSfdisk knows --delete, -J, -l, -d, --part-type, --part-label, --part-uuid and --relocate.
func toolSfdisk(c *call) int {
	opts, rest, err := getopt(c.args, "Jldqfw:W:n", "json", "list", "dump", "delete", "part-type", "part-label", "part-uuid", "force", "quiet", "wipe=", "wipe-partitions=", "no-reread", "relocate=", "no-tell-kernel")
	if err != nil {
		return c.fail(1, "%v", err)
	}
	var mode string
	for _, o := range opts {
		if slices.Contains([]string{"J", "json", "l", "list", "d", "dump", "delete", "part-type", "part-label", "part-uuid", "relocate"}, o.name) {
			mode = o.name
		}
	}
	if len(rest) == 0 {
		if mode != "l" && mode != "list" {
			return c.fail(1, "no disk device specified")
		}
		for _, d := range c.h.disks {
			c.printf("Disk /dev/%s: %s, %d bytes, %d sectors\n", d.name, gdiskSize(d.SizeBytes), d.SizeBytes, d.SizeBytes/world.Sector)
		}
		return 0
	}
	d, err := c.target(rest[:1])
	if err != nil {
		return c.fail(1, "cannot open %s: %s", rest[0], errText(err))
	}
	g, err := world.ReadGPT(d.Disk, d.SizeBytes)
	if err != nil {
		return c.fail(1, "%s: does not contain a recognized partition table", rest[0])
	}
	switch mode {
	case "J", "json":
		return c.sfdiskJSON(d, g)
	case "l", "list", "d", "dump":
		return c.sfdiskDump(d, g)
	case "delete":
		return c.sfdiskDelete(d, g, rest)
	case "relocate":
		return c.sfdiskStore(d, g, rest[0])
	case "part-type", "part-label", "part-uuid":
		return c.sfdiskPart(d, g, mode, rest)
	}
	return c.fail(1, "reading a script from the input is not supported")
}

func (c *call) sfdiskStore(d *disk, g *world.GPT, name string) int {
	known, err := c.h.store(d, g)
	if err != nil {
		return c.fail(1, "%s: %s", name, errText(err))
	}
	c.printf("\nThe partition table has been altered.\nCalling ioctl() to re-read partition table.\n")
	if !known {
		c.printf("Re-reading the partition table failed.: Device or resource busy\n")
	}
	c.printf("Syncing disks.\n")
	return 0
}

func (c *call) sfdiskDelete(d *disk, g *world.GPT, rest []string) int {
	if c.h.busy(d) {
		return c.fail(1, "Checking that no-one is using this disk right now ... FAILED\n\nThis disk is currently in use - repartitioning is probably a bad idea.\nUmount all file systems, and swapoff all swap partitions on this disk.\nUse the --no-reread flag to suppress this check.\n")
	}
	if len(rest) == 1 {
		g.Partitions = nil
	}
	for _, r := range rest[1:] {
		n, _ := strconv.Atoi(r)
		before := len(g.Partitions)
		g.Partitions = slices.DeleteFunc(g.Partitions, func(p world.Partition) bool { return p.Index == n })
		if len(g.Partitions) == before {
			return c.fail(1, "%s: partition %s: failed to delete", rest[0], r)
		}
	}
	return c.sfdiskStore(d, g, rest[0])
}

func (c *call) sfdiskPart(d *disk, g *world.GPT, mode string, rest []string) int {
	if len(rest) < 2 {
		return c.fail(1, "no partition number specified")
	}
	n, _ := strconv.Atoi(rest[1])
	for i := range g.Partitions {
		p := &g.Partitions[i]
		if p.Index != n {
			continue
		}
		field := map[string]*string{"part-type": &p.Type, "part-label": &p.Label, "part-uuid": &p.GUID}[mode]
		if len(rest) == 2 {
			value := *field
			if mode != "part-label" {
				value = strings.ToUpper(value)
			}
			c.printf("%s\n", value)
			return 0
		}
		*field = rest[2]
		if mode != "part-label" {
			*field = strings.ToLower(rest[2])
		}
		return c.sfdiskStore(d, g, rest[0])
	}
	return c.fail(1, "%s: partition %d: partition table contains no such partition", rest[0], n)
}

func (c *call) sfdiskJSON(d *disk, g *world.GPT) int {
	type partition struct {
		Node  string `json:"node"`
		Start int64  `json:"start"`
		Size  int64  `json:"size"`
		Type  string `json:"type"`
		UUID  string `json:"uuid"`
		Name  string `json:"name,omitempty"`
	}
	type table struct {
		Label      string      `json:"label"`
		ID         string      `json:"id"`
		Device     string      `json:"device"`
		Unit       string      `json:"unit"`
		FirstLBA   int64       `json:"firstlba"`
		LastLBA    int64       `json:"lastlba"`
		SectorSize int         `json:"sectorsize"`
		Partitions []partition `json:"partitions,omitempty"`
	}
	t := table{Label: "gpt", ID: strings.ToUpper(g.DiskGUID), Device: "/dev/" + d.name, Unit: "sectors", FirstLBA: firstUsable, LastLBA: d.SizeBytes/world.Sector - firstUsable, SectorSize: world.Sector}
	for _, p := range d.scan() {
		t.Partitions = append(t.Partitions, partition{"/dev/" + p.name, p.Start / world.Sector, p.Partition.Size / world.Sector, strings.ToUpper(p.Type), strings.ToUpper(p.GUID), p.Label})
	}
	data, err := json.MarshalIndent(map[string]any{"partitiontable": t}, "", "   ")
	if err != nil {
		return c.fail(1, "%v", err)
	}
	c.printf("%s\n", data)
	return 0
}

func (c *call) sfdiskDump(d *disk, g *world.GPT) int {
	c.printf("label: gpt\nlabel-id: %s\ndevice: /dev/%s\nunit: sectors\nfirst-lba: %d\nlast-lba: %d\nsector-size: 512\n\n", strings.ToUpper(g.DiskGUID), d.name, firstUsable, d.SizeBytes/world.Sector-firstUsable)
	for _, p := range d.scan() {
		c.printf("/dev/%s : start=%12d, size=%12d, type=%s, uuid=%s, name=%q\n", p.name, p.Start/world.Sector, p.Partition.Size/world.Sector, strings.ToUpper(p.Type), strings.ToUpper(p.GUID), p.Label)
	}
	return 0
}

// toolParted knows print, mklabel gpt and rm N, in script mode.
func toolParted(c *call) int {
	opts, rest, err := getopt(c.args, "+smlfa:", "script", "machine", "fix", "align=", "list")
	if err != nil {
		return c.fail(1, "%v", err)
	}
	machine := slices.ContainsFunc(opts, func(o option) bool { return o.name == "m" || o.name == "machine" })
	if len(rest) == 0 {
		return c.fail(1, "no device")
	}
	d, err := c.target(rest[:1])
	if err != nil {
		fmt.Fprintf(c.err, "Error: Could not stat device %s - No such file or directory.\n", rest[0])
		return 1
	}
	g, gptErr := world.ReadGPT(d.Disk, d.SizeBytes)
	args := rest[1:]
	for len(args) > 0 {
		switch {
		case args[0] == "unit" && len(args) > 1:
			args = args[2:]
		case args[0] == "print" || args[0] == "p":
			if gptErr != nil {
				fmt.Fprintf(c.err, "Error: /dev/%s: unrecognised disk label\n", d.name)
				return 1
			}
			c.partedPrint(d, g, machine)
			args = args[1:]
		case args[0] == "mklabel" && len(args) > 1 && args[1] == "gpt":
			g, gptErr = &world.GPT{DiskGUID: fmt.Sprintf("%08x-0000-4000-8000-%012x", c.proc.pid, c.h.m.Number)}, nil
			if _, err := c.h.store(d, g); err != nil {
				return c.fail(1, "%s", errText(err))
			}
			args = args[2:]
		case args[0] == "rm" && len(args) > 1 && gptErr == nil:
			n, _ := strconv.Atoi(args[1])
			g.Partitions = slices.DeleteFunc(g.Partitions, func(p world.Partition) bool { return p.Index == n })
			if _, err := c.h.store(d, g); err != nil {
				return c.fail(1, "%s", errText(err))
			}
			args = args[2:]
		default:
			return c.fail(1, "unsupported command %s", args[0])
		}
	}
	return 0
}

func (c *call) partedPrint(d *disk, g *world.GPT, machine bool) {
	w := bufio.NewWriter(c.out)
	defer w.Flush()
	if machine {
		fmt.Fprintf(w, "BYT;\n/dev/%s:%dB:%s:512:512:gpt:%s:;\n", d.name, d.SizeBytes, nameOr(d.Transport, "unknown"), d.Model)
		for _, p := range g.Sorted() {
			fmt.Fprintf(w, "%d:%dB:%dB:%dB::%s:;\n", p.Index, p.Start, p.Start+p.Size-1, p.Size, p.Label)
		}
		return
	}
	fmt.Fprintf(w, "Model: %s\nDisk /dev/%s: %dB\nSector size (logical/physical): 512B/512B\nPartition Table: gpt\nDisk Flags:\n\nNumber  Start  End  Size  File system  Name  Flags\n", d.Model, d.name, d.SizeBytes)
	for _, p := range g.Sorted() {
		fmt.Fprintf(w, " %d      %dB  %dB  %dB               %s\n", p.Index, p.Start, p.Start+p.Size-1, p.Size, p.Label)
	}
}
