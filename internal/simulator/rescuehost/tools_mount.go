package rescuehost

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

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
