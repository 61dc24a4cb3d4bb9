package rescuehost

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

func blockTools() map[string]tool {
	all := map[string]tool{
		"lsblk": toolLsblk, "blkid": toolBlkid, "wipefs": toolWipefs, "blkdiscard": toolBlkdiscard, "fallocate": toolFallocate, "blockdev": toolBlockdev, "partprobe": toolPartprobe,
		"partx": toolPartprobe, "udevadm": toolUdevadm, "mdadm": toolMdadm, "vgchange": toolNoLVM, "lvs": toolNoLVM, "pvs": toolPvs, "vgs": toolNoLVM,
		"vgremove": toolNoLVM, "pvremove": toolNoLVM, "lvchange": toolNoLVM, "swapoff": toolSwapoff, "swapon": toolSwapoff, "dmsetup": toolDmsetup,
		"cryptsetup": toolDmsetup, "mount": toolMount, "umount": toolUmount, "mountpoint": toolMountpoint, "findmnt": toolFindmnt,
	}
	for _, kind := range []string{"xfs", "ext4", "vfat", "fat"} {
		all["mkfs."+kind] = toolMkfs
	}
	return all
}

// toolBlkid prints what is on devices.
func toolBlkid(c *call) int {
	opts, rest, err := getopt(c.args, "s:o:pt:L:U:c:gkl", "match-tag=", "output=", "probe", "match-token=", "label=", "uuid=")
	if err != nil {
		return c.fail(4, "%v", err)
	}
	var tags []string
	format, token := "full", ""
	for _, o := range opts {
		switch o.name {
		case "s", "match-tag":
			tags = append(tags, o.value)
		case "o", "output":
			format = o.value
		case "t", "match-token":
			token = o.value
		case "L", "label":
			token, format = "LABEL="+o.value, "device"
		case "U", "uuid":
			token, format = "UUID="+o.value, "device"
		}
	}
	devices := c.h.blocks()
	if len(rest) > 0 {
		devices = nil
		for _, name := range rest {
			if b, err := c.h.device(c.dir, name); err == nil {
				devices = append(devices, b)
			}
		}
	}
	found := 0
	for _, b := range devices {
		if c.blkid(b, tags, format, token) {
			found++
		}
	}
	if found == 0 {
		return 2
	}
	return 0
}

func (c *call) blkid(b block, tags []string, format, token string) bool {
	var all [][2]string
	add := func(k, v string) {
		if v != "" && (len(tags) == 0 || slices.Contains(tags, k)) {
			all = append(all, [2]string{k, v})
		}
	}
	matched := token == ""
	if s := fileSystem(b); s != nil {
		matched = matched || token == "LABEL="+s.label || token == "UUID="+s.uuid || token == "TYPE="+s.kind
		add("LABEL", s.label)
		add("UUID", s.uuid)
		add("TYPE", s.kind)
	}
	if pt := partitionTable(b); pt != "" {
		add("PTTYPE", pt)
	}
	if p, ok := b.(*part); ok {
		matched = matched || token == "PARTLABEL="+p.Label || token == "PARTUUID="+p.GUID
		add("PARTLABEL", p.Label)
		add("PARTUUID", p.GUID)
	}
	if len(all) == 0 || !matched {
		return false
	}
	switch format {
	case "device":
		c.printf("/dev/%s\n", b.base())
		return true
	case "value":
		for _, kv := range all {
			c.printf("%s\n", kv[1])
		}
		return true
	case "export":
		c.printf("DEVNAME=/dev/%s\n", b.base())
		for _, kv := range all {
			c.printf("%s=%s\n", kv[0], kv[1])
		}
		return true
	}
	c.printf("/dev/%s:", b.base())
	for _, kv := range all {
		c.printf(" %s=%q", kv[0], kv[1])
	}
	c.printf("\n")
	return true
}

// toolWipefs lists or erases signatures.
func toolWipefs(c *call) int {
	opts, rest, err := getopt(c.args, "afnqJpiO:t:o:b", "all", "force", "no-act", "quiet", "json", "parsable", "noheadings", "types=", "offset=", "backup", "output=", "lock")
	if err != nil {
		return c.fail(1, "%v", err)
	}
	var erase, force, dry, quiet, asJSON bool
	kinds := ""
	for _, o := range opts {
		switch o.name {
		case "a", "all":
			erase = true
		case "f", "force":
			force = true
		case "n", "no-act":
			dry = true
		case "q", "quiet":
			quiet = true
		case "J", "json":
			asJSON = true
		case "t", "types":
			kinds = o.value
		case "o", "offset":
			return c.fail(1, "erasing by offset is not supported")
		}
	}
	status := 0
	var listed []map[string]any
	for _, name := range rest {
		b, err := c.h.device(c.dir, name)
		if err != nil {
			status = c.fail(1, "error: %s: probing initialization failed: %s", name, errText(err))
			continue
		}
		if !erase {
			listed = append(listed, c.listSignatures(b, asJSON)...)
			continue
		}
		if c.h.busy(b) && !force {
			status = c.fail(1, "error: %s: probing initialization failed: Device or resource busy", name)
			continue
		}
		if err := c.wipe(name, b, kinds, dry, quiet); err != nil {
			status = c.fail(1, "%s: failed to erase signatures: %s", name, errText(err))
		}
	}
	if asJSON && !erase {
		if listed == nil {
			return status
		}
		data, _ := json.MarshalIndent(map[string]any{"signatures": listed}, "", "   ")
		c.printf("%s\n", data)
	}
	return status
}

func (c *call) listSignatures(b block, asJSON bool) []map[string]any {
	var all []map[string]any
	head := false
	for _, s := range signatures(b) {
		for _, at := range s.at {
			if s.kind == "vfat" && at != s.at[0] {
				continue
			}
			kind := s.kind
			if kind == "gpt" && at.off == 510 {
				kind = "PMBR"
			}
			if asJSON {
				all = append(all, map[string]any{"device": b.base(), "offset": fmt.Sprintf("%#x", at.off), "type": kind, "uuid": textOrNil(s.uuid), "label": textOrNil(s.label)})
				continue
			}
			if !head {
				c.printf("DEVICE OFFSET       TYPE UUID                                 LABEL\n")
				head = true
			}
			c.printf("%-6s %#-12x %-4s %-36s %s\n", b.base(), at.off, kind, s.uuid, s.label)
		}
	}
	return all
}

// wipe erases the magic bytes of every signature, again until none is found, as wipefs does.
func (c *call) wipe(name string, b block, kinds string, dry, quiet bool) error {
	table := false
	for range 8 {
		found := false
		for _, s := range signatures(b) {
			if kinds != "" && !slices.Contains(strings.Split(kinds, ","), s.kind) {
				continue
			}
			found = true
			table = table || s.usage == "partition-table"
			for _, at := range s.at {
				old := make([]byte, at.n)
				_, _ = b.ReadAt(old, at.off)
				if !dry {
					if _, err := b.WriteAt(make([]byte, at.n), at.off); err != nil {
						return err
					}
				}
				if !quiet {
					c.printf("%s: %d bytes were erased at offset 0x%08x (%s): % x\n", name, at.n, at.off, s.kind, old)
				}
			}
		}
		if !found || dry {
			break
		}
	}
	d, ok := b.(*disk)
	if !ok || dry {
		c.h.refresh()
		return nil
	}
	verdict := "Success"
	if err := c.h.rescan(d); err != nil {
		verdict = errText(err)
	}
	if table && !quiet {
		c.printf("%s: calling ioctl to re-read partition table: %s\n", name, verdict)
	}
	return nil
}

func toolBlkdiscard(c *call) int {
	opts, rest, err := getopt(c.args, "fzsvo:l:p:q", "force", "zeroout", "secure", "verbose", "offset=", "length=", "step=", "quiet")
	if err != nil || len(rest) != 1 {
		return c.fail(1, "no device specified")
	}
	off, length, force, zero := int64(0), int64(-1), false, false
	for _, o := range opts {
		switch o.name {
		case "f", "force":
			force = true
		case "z", "zeroout":
			zero = true
		case "o", "offset":
			off, err = number(o.value)
		case "l", "length":
			length, err = number(o.value)
		}
		if err != nil {
			return c.fail(1, "failed to parse offset or length")
		}
	}
	b, err := c.h.device(c.dir, rest[0])
	if err != nil {
		return c.fail(1, "cannot open %s: %s", rest[0], errText(err))
	}
	if c.h.busy(b) && !force {
		return c.fail(1, "cannot open %s: Device or resource busy", rest[0])
	}
	if length < 0 {
		length = b.Size() - off
	}
	if off%world.Sector != 0 || length%world.Sector != 0 || off > b.Size() {
		return c.fail(1, "%s: offset is not aligned to sector size or behind the device", rest[0])
	}
	length = min(length, b.Size()-off)
	d, start := place(b)
	switch {
	case d == nil || d.Rotational && !zero:
		return c.fail(1, "%s: BLKDISCARD ioctl failed: Operation not supported", rest[0])
	case c.h.opt.TrimIsAdvisory && !zero:
		return 0
	}
	if err := d.discard(start+off, length); err != nil {
		return c.fail(1, "%s: BLKDISCARD ioctl failed: %s", rest[0], errText(err))
	}
	_ = c.h.rescan(d)
	return 0
}

func toolBlockdev(c *call) int {
	if len(c.args) < 2 {
		return c.fail(1, "missing device")
	}
	for _, name := range c.args[1:] {
		if strings.HasPrefix(name, "-") {
			continue
		}
		b, err := c.h.device(c.dir, name)
		if err != nil {
			return c.fail(1, "cannot open %s: %s", name, errText(err))
		}
		switch c.args[0] {
		case "--getsize64":
			c.printf("%d\n", b.Size())
		case "--getsz", "--getsize":
			c.printf("%d\n", b.Size()/world.Sector)
		case "--getss", "--getpbsz", "--getbsz":
			c.printf("%d\n", world.Sector)
		case "--getro":
			c.printf("0\n")
		case "--flushbufs", "--setrw":
		case "--rereadpt":
			d, ok := b.(*disk)
			if !ok {
				return c.fail(1, "ioctl error on BLKRRPART: Invalid argument")
			}
			if err := c.h.rescan(d); err != nil {
				return c.fail(1, "ioctl error on BLKRRPART: %s", errText(err))
			}
		default:
			return c.fail(1, "Unknown command: %s", c.args[0])
		}
	}
	return 0
}

// toolPartprobe is partprobe and partx -u/-a/-d: the kernel reads the tables again.
func toolPartprobe(c *call) int {
	status := 0
	var names []string
	for _, a := range c.args {
		if !strings.HasPrefix(a, "-") {
			names = append(names, a)
		}
	}
	if len(names) == 0 {
		for _, d := range c.h.disks {
			_ = c.h.rescan(d)
		}
		return 0
	}
	for _, name := range names {
		b, err := c.h.device(c.dir, name)
		if err != nil {
			status = c.fail(1, "Error: Could not stat device %s - No such file or directory.", name)
			continue
		}
		if d, ok := b.(*disk); ok {
			if err := c.h.rescan(d); err != nil {
				status = c.fail(1, "Error: Partition(s) on %s have been written, but we have been unable to inform the kernel of the change: %s", name, errText(err))
			}
		}
	}
	return status
}

func toolUdevadm(c *call) int {
	if len(c.args) == 0 {
		return c.fail(1, "missing command")
	}
	switch c.args[0] {
	case "settle", "trigger", "control":
		return 0
	case "info":
		return c.udevInfo()
	}
	return c.fail(1, "Unknown command verb %s.", c.args[0])
}

func (c *call) udevInfo() int {
	name := c.args[len(c.args)-1]
	b, err := c.h.device(c.dir, strings.TrimPrefix(name, "--name="))
	if err != nil {
		return c.fail(1, "Unknown device \"%s\": No such device", name)
	}
	d, _ := place(b)
	c.printf("DEVNAME=/dev/%s\nDEVTYPE=%s\nSUBSYSTEM=block\n", b.base(), map[bool]string{true: "disk", false: "partition"}[kindOf(b) == "disk"])
	if d != nil {
		c.printf("ID_MODEL=%s\nID_SERIAL_SHORT=%s\n", strings.ReplaceAll(d.Model, " ", "_"), d.Serial)
		if d.wwn() != "" {
			c.printf("ID_WWN=%s\n", d.wwn())
		}
	}
	return 0
}

// toolNoLVM answers as LVM does where there is no volume group: no machine of the world has one.
func toolNoLVM(*call) int { return 0 }

func toolSwapoff(*call) int { return 0 }

func toolDmsetup(c *call) int {
	if c.isNamed("dmsetup") && len(c.args) > 0 && c.args[0] == "ls" {
		c.printf("No devices found\n")
	}
	return 0
}
