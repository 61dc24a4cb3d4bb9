package rescuehost

import (
	"fmt"
	"slices"
	"strings"
)

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
