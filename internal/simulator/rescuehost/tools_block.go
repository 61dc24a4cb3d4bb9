package rescuehost

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

func blockTools() map[string]tool {
	all := map[string]tool{
		"lsblk": toolLsblk, "blkid": toolBlkid, "wipefs": toolWipefs, "blkdiscard": toolBlkdiscard, "blockdev": toolBlockdev, "partprobe": toolPartprobe,
		"partx": toolPartprobe, "udevadm": toolUdevadm, "mdadm": toolMdadm, "vgchange": toolNoLVM, "lvs": toolNoLVM, "pvs": toolNoLVM, "vgs": toolNoLVM,
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
		if d.WWN != "" {
			c.printf("ID_WWN=%s\n", d.WWN)
		}
	}
	return 0
}

// toolMdadm knows --stop, --zero-superblock, --detail, --examine and --assemble --scan.
func toolMdadm(c *call) int {
	opts, rest, err := getopt(c.args, "SsDEAqfvY", "stop", "scan", "zero-superblock", "detail", "examine", "assemble", "force", "quiet", "export", "brief", "verbose", "misc")
	if err != nil {
		return c.fail(2, "%v", err)
	}
	has := func(names ...string) bool {
		return slices.ContainsFunc(opts, func(o option) bool { return slices.Contains(names, o.name) })
	}
	switch {
	case has("S", "stop"):
		return c.mdStop(rest, has("s", "scan"))
	case has("zero-superblock"):
		return c.mdZero(rest)
	case has("D", "detail"), has("E", "examine"):
		return c.mdDetail(rest)
	case has("A", "assemble"):
		c.h.assembleAgain()
		return 0
	}
	return c.fail(2, "unsupported mode")
}

func (c *call) mdStop(names []string, scan bool) int {
	h := c.h
	status := 0
	h.mu.Lock()
	if scan {
		names = nil
		for _, a := range h.arrays {
			names = append(names, "/dev/"+a.name)
		}
	}
	var gone []string
	for _, name := range names {
		base := strings.TrimPrefix(name, "/dev/")
		i := slices.IndexFunc(h.arrays, func(a *array) bool { return a.name == base || name == "/dev/md/"+a.label })
		switch {
		case i < 0:
			status = c.fail(1, "error opening %s: No such file or directory", name)
		case h.inUse(h.arrays[i]):
			status = c.fail(1, "Cannot get exclusive access to %s:Perhaps a running process, mounted filesystem or active volume group?", name)
		default:
			gone = append(gone, h.arrays[i].name)
			h.arrays = slices.Delete(h.arrays, i, i+1)
		}
	}
	h.mu.Unlock()
	for _, name := range gone {
		fmt.Fprintf(c.err, "mdadm: stopped /dev/%s\n", name)
	}
	h.refresh()
	return status
}

func (c *call) mdZero(names []string) int {
	status := 0
	for _, name := range names {
		b, err := c.h.device(c.dir, name)
		if err != nil {
			status = c.fail(2, "Couldn't open %s for write - not zeroing", name)
			continue
		}
		if c.h.busy(b) {
			status = c.fail(2, "Couldn't open %s for write - not zeroing", name)
			continue
		}
		head := make([]byte, 8192)
		_, _ = b.ReadAt(head, 0)
		if raidMember(head) == nil {
			status = c.fail(0, "Unrecognised md component device - %s", name)
			continue
		}
		if _, err := b.WriteAt(make([]byte, 4096), 4096); err != nil {
			status = c.fail(2, "%s: %s", name, errText(err))
		}
	}
	c.h.refresh()
	return status
}

func (c *call) mdDetail(names []string) int {
	c.h.mu.Lock()
	defer c.h.mu.Unlock()
	for _, a := range c.h.arrays {
		if len(names) == 0 || slices.Contains(names, "/dev/"+a.name) {
			c.printf("ARRAY /dev/%s level=raid%d num-devices=%d metadata=1.2 name=%s UUID=%s\n", a.name, a.level, len(a.members), a.label, a.uuid)
		}
	}
	return bit(len(names) > 0 && len(c.h.arrays) == 0)
}

// assembleAgain starts arrays that were stopped.
func (h *Host) assembleAgain() {
	h.mu.Lock()
	h.arrays = nil
	h.mu.Unlock()
	h.assemble()
	h.refresh()
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

func toolMount(c *call) int {
	opts, rest, err := getopt(c.args, "t:o:rwalnv", "types=", "options=", "read-only", "bind", "all", "mkdir")
	if err != nil {
		return c.fail(1, "%v", err)
	}
	kind, options := "", []string{}
	for _, o := range opts {
		switch o.name {
		case "t", "types":
			kind = o.value
		case "o", "options":
			options = append(options, o.value)
		case "r", "read-only":
			options = append(options, "ro")
		case "bind":
			return c.fail(32, "bind mounts are not supported")
		case "mkdir":
			_ = c.h.tree.mkdir(c.abs(rest[len(rest)-1]), true)
		}
	}
	set := strings.Join(options, ",")
	switch {
	case len(rest) == 0:
		for _, m := range c.h.mountLines() {
			if kind == "" || m.kind == kind {
				c.printf("%s on %s type %s (%s)\n", m.source, m.target, m.kind, m.opts)
			}
		}
		return 0
	case strings.Contains(","+set+",", ",remount,"):
		return c.remount(rest[len(rest)-1], set)
	case len(rest) < 2:
		return c.fail(1, "%s: can't find in /etc/fstab.", rest[0])
	}
	source, target := rest[0], c.abs(rest[1])
	switch kind {
	case "tmpfs", "proc", "sysfs", "devtmpfs", "efivarfs":
		return c.mountVirtual(kind, source, target, set)
	}
	for prefix, dir := range map[string]string{"LABEL=": "by-label", "PARTLABEL=": "by-partlabel", "UUID=": "by-uuid", "PARTUUID=": "by-partuuid"} {
		if value, ok := strings.CutPrefix(source, prefix); ok {
			source = "/dev/disk/" + dir + "/" + value
		}
	}
	b, err := c.h.device(c.dir, source)
	if err != nil {
		return c.fail(32, "%s: special device %s does not exist.", target, source)
	}
	if set == "" {
		set = "rw"
	}
	if err := c.h.mount(b, target, kind, set+",relatime"); err != nil {
		return c.fail(32, "%s: %v", target, err)
	}
	return 0
}

func (c *call) mountVirtual(kind, source, target, set string) int {
	if i, err := c.h.tree.stat(target, true); err != nil || !i.IsDir() {
		return c.fail(32, "%s: mount point does not exist.", target)
	}
	if set == "" {
		set = "rw"
	}
	c.h.mu.Lock()
	defer c.h.mu.Unlock()
	c.h.mounts = append(c.h.mounts, &mounted{source: source, target: target, kind: kind, opts: set + ",relatime"})
	return 0
}

func (c *call) remount(target, set string) int {
	c.h.mu.Lock()
	defer c.h.mu.Unlock()
	for _, m := range c.h.mounts {
		if m.target == c.abs(target) {
			for o := range strings.SplitSeq(set, ",") {
				if o == "rw" || o == "ro" {
					_, rest, _ := strings.Cut(m.opts, ",")
					m.opts = o + "," + rest
				}
			}
			return 0
		}
	}
	return c.fail(32, "%s: mount point not mounted or bad option.", target)
}

func toolUmount(c *call) int {
	opts, rest, err := getopt(c.args, "lfRaqnr", "lazy", "force", "recursive", "all", "quiet")
	if err != nil {
		return c.fail(1, "%v", err)
	}
	if slices.ContainsFunc(opts, func(o option) bool { return o.name == "a" || o.name == "all" }) {
		for _, m := range c.h.mountLines() {
			if m.dev != nil {
				_ = c.h.unmount(m.target)
			}
		}
		return 0
	}
	if len(rest) == 0 {
		return c.fail(1, "bad usage")
	}
	for _, name := range rest {
		err := c.h.unmount(c.abs(name))
		switch {
		case errors.Is(err, syscall.EINVAL):
			return c.fail(32, "%s: not mounted.", name)
		case err != nil:
			return c.fail(32, "%s: %s", name, errText(err))
		}
	}
	return 0
}

func toolMountpoint(c *call) int {
	opts, rest, err := getopt(c.args, "qdx", "quiet")
	if err != nil || len(rest) != 1 {
		return c.fail(1, "bad usage")
	}
	is := slices.ContainsFunc(c.h.mountLines(), func(m *mounted) bool { return m.target == c.abs(rest[0]) })
	if len(opts) == 0 {
		c.printf("%s is %sa mountpoint\n", rest[0], map[bool]string{false: "not "}[is])
	}
	if is {
		return 0
	}
	return 32
}

// toolFindmnt prints the mount of a target, or all, with the columns of -o.
func toolFindmnt(c *call) int {
	opts, rest, err := getopt(c.args, "nro:T:M:S:t:lP", "noheadings", "raw", "output=", "target=", "mountpoint=", "source=", "types=", "list")
	if err != nil {
		return c.fail(1, "%v", err)
	}
	columns, bare, want := "TARGET,SOURCE,FSTYPE,OPTIONS", false, ""
	if len(rest) > 0 {
		want = rest[0]
	}
	for _, o := range opts {
		switch o.name {
		case "n", "noheadings":
			bare = true
		case "o", "output":
			columns = strings.ToUpper(o.value)
		case "T", "target", "M", "mountpoint", "S", "source":
			want = o.value
		}
	}
	names := strings.Split(columns, ",")
	shown := 0
	for _, m := range c.h.mountLines() {
		if want != "" && m.target != want && m.source != want {
			continue
		}
		if shown++; shown == 1 && !bare {
			c.printf("%s\n", strings.Join(names, " "))
		}
		var out []string
		for _, n := range names {
			out = append(out, map[string]string{"TARGET": m.target, "SOURCE": m.source, "FSTYPE": m.kind, "OPTIONS": m.opts}[n])
		}
		c.printf("%s\n", strings.Join(out, " "))
	}
	return bit(shown == 0)
}

// toolMkfs formats a device with a volume of the world.
func toolMkfs(c *call) int {
	opts, rest, err := getopt(c.args, "fL:n:qFU:m:b:i:I:KE:O:T:s:")
	if err != nil || len(rest) == 0 {
		return c.fail(1, "no device given")
	}
	b, err := c.h.device(c.dir, rest[0])
	if err != nil {
		return c.fail(1, "%s: %s", rest[0], errText(err))
	}
	if c.h.busy(b) {
		return c.fail(1, "%s contains a mounted filesystem", rest[0])
	}
	kind := strings.TrimPrefix(c.name[strings.LastIndexByte(c.name, '.')+1:], "")
	if kind == "fat" {
		kind = "vfat"
	}
	v := &world.Volume{Kind: kind, UUID: fmt.Sprintf("%08x-0000-4000-8000-%012x", c.proc.pid, c.h.m.Number), Files: map[string][]byte{}}
	for _, o := range opts {
		if o.name == "L" || o.name == "n" && kind == "vfat" {
			v.Label = o.value
		}
	}
	d, start := place(b)
	if d == nil {
		return c.fail(1, "%s: formatting an array is not supported", rest[0])
	}
	if err := v.Write(d.Disk, start, b.Size()); err != nil {
		return c.fail(1, "%s: %s", rest[0], errText(err))
	}
	c.h.refresh()
	return 0
}
