package rescuehost

import (
	"fmt"
	"io"

	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// kexec is a kernel that was loaded, and whether one was is to be seen in /sys.
func (h *Host) kexec() {
	h.tree.generated("/sys/kernel/kexec_loaded", func() []byte {
		h.mu.Lock()
		defer h.mu.Unlock()
		return fmt.Appendf(nil, "%d\n", bit(h.loaded == nil)^1)
	})
}

// toolKexec loads a kernel of the world (-l), or starts it (-e). A kernel that is none is refused when it
// is loaded, one without its modules too: the real tool would load it, and the machine hang.
func toolKexec(c *call) int {
	opts, rest, err := getopt(c.args, "lefpxdsca", "load", "exec", "force", "no-ifdown", "initrd=", "ramdisk=", "command-line=", "append=", "reuse-cmdline",
		"kexec-file-syscall", "kexec-syscall", "kexec-syscall-auto", "debug")
	if err != nil {
		return c.fail(1, "%v", err)
	}
	action, initrd, cmdline := "", "", ""
	for _, o := range opts {
		switch o.name {
		case "l", "load":
			action = "load"
		case "e", "exec":
			action = "exec"
		case "initrd", "ramdisk":
			initrd = o.value
		case "command-line", "append":
			cmdline = o.value
		}
	}
	switch action {
	case "load":
		return c.kexecLoad(rest, initrd, cmdline)
	case "exec":
		return c.kexecExec()
	}
	return c.fail(1, "nothing to do")
}

func (h *Host) setLoaded(boot *world.BootInfo) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.loaded = boot
}

func (h *Host) isLoaded() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.loaded != nil
}

func (c *call) kexecLoad(rest []string, initrd, cmdline string) int {
	if len(rest) != 1 {
		return c.fail(1, "No kernel specified")
	}
	var parts [2][]byte
	for i, name := range []string{rest[0], initrd} {
		f, err := c.open(name)
		if err != nil {
			fmt.Fprintf(c.err, "Cannot open `%s': %s\n", name, errText(errOf(err)))
			return 255
		}
		parts[i], err = io.ReadAll(f)
		_ = f.Close()
		if err != nil {
			return c.fail(255, "%s", why(name, err))
		}
	}
	boot, err := world.ReadKernel(parts[0], parts[1], cmdline)
	if err != nil || boot.Arch != c.h.m.Arch {
		fmt.Fprintf(c.err, "Cannot determine the file type of %s\n", rest[0])
		return 255
	}
	c.h.setLoaded(&boot)
	return 0
}

func (c *call) kexecExec() int {
	c.h.mu.Lock()
	boot := c.h.loaded
	c.h.mu.Unlock()
	if boot == nil {
		fmt.Fprintln(c.err, "Nothing has been loaded!")
		return 255
	}
	c.h.sync()
	c.h.m.Kexec(*boot)
	return c.end(world.Kexec)
}
