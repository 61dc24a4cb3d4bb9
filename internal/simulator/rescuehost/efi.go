package rescuehost

import (
	"fmt"
	"slices"
	"strings"
)

// efiEntry is a boot entry of the firmware.
type efiEntry struct {
	number, label    string
	active           bool
	partUUID, loader string
}

// firmware makes /sys/firmware/efi and the boot entries of a machine with UEFI. Network boot is first, as Hetzner
// wants it (HETZNER.md C.1). The entries are of this boot: the world keeps no NVRAM.
func (h *Host) firmware() {
	if !h.uefi() {
		return
	}
	_ = h.tree.mkdir("/sys/firmware/efi/efivars", true)
	h.tree.text("/sys/firmware/efi/fw_platform_size", "64\n")
	h.efi = []efiEntry{{number: "0001", label: "UEFI: PXE IP4 Intel(R) Ethernet Connection (H) I219-LM", active: true}}
	h.order = []string{"0001"}
	for i, d := range h.m.Disks {
		number := fmt.Sprintf("%04X", i+2)
		h.efi = append(h.efi, efiEntry{number: number, label: "UEFI OS (" + d.Model + ")", active: true})
		h.order = append(h.order, number)
	}
	for i, e := range h.opt.BootEntries { // who installs a system puts it first
		number := fmt.Sprintf("%04X", i+0x10)
		h.efi = append(h.efi, efiEntry{number: number, label: e.Label, active: true, partUUID: e.PartUUID, loader: e.Loader})
		h.order = append([]string{number}, h.order...)
	}
}

// toolEfibootmgr lists, orders, makes and deletes boot entries; the variables are read-only until efivarfs is
// mounted writable.
func toolEfibootmgr(c *call) int {
	if !c.h.uefi() {
		fmt.Fprintln(c.err, "EFI variables are not supported on this system.")
		return 2
	}
	opts, _, err := getopt(c.args, "b:Bo:cCd:p:L:l:n:NvqaAu:wt:D", "bootnum=", "delete-bootnum", "bootorder=", "create", "create-only", "disk=", "part=", "label=", "loader=", "bootnext=", "delete-bootnext", "verbose", "quiet", "active", "inactive", "unicode=", "timeout=", "remove-dups")
	if err != nil {
		return c.fail(1, "%v", err)
	}
	c.h.mu.Lock()
	defer c.h.mu.Unlock()
	set := map[string]string{}
	for _, o := range opts {
		set[longEFI(o.name)] = o.value
	}
	_, remove := set["delete"]
	_, create := set["create"]
	order, reorder := set["order"]
	next, hasNext := set["next"]
	_, noNext := set["no-next"]
	if (remove || create || reorder || hasNext || noNext) && !c.h.efiWritable() {
		fmt.Fprintln(c.err, "Could not set variable: Read-only file system")
		return 5
	}
	switch {
	case remove:
		if !c.h.efiDelete(set["num"]) {
			fmt.Fprintf(c.err, "Could not delete variable: No such file or directory\n")
			return 15
		}
	case create:
		c.h.efiCreate(nameOr(set["label"], "Linux"))
	case reorder:
		c.h.order = strings.Split(strings.ToUpper(order), ",")
	case hasNext:
		c.h.next = strings.ToUpper(next)
	case noNext:
		c.h.next = ""
	}
	if _, quiet := set["quiet"]; quiet {
		return 0
	}
	if c.h.next != "" {
		c.printf("BootNext: %s\n", c.h.next)
	}
	c.printf("BootCurrent: 0001\nTimeout: 1 seconds\nBootOrder: %s\n", strings.Join(c.h.order, ","))
	for _, e := range c.h.efi {
		path := ""
		if _, verbose := set["verbose"]; verbose {
			path = "\t" + e.path()
		}
		c.printf("Boot%s%s %s%s\n", e.number, map[bool]string{true: "*", false: " "}[e.active], e.label, path)
	}
	return 0
}

func longEFI(name string) string {
	if long, ok := map[string]string{
		"b": "num", "bootnum": "num", "B": "delete", "delete-bootnum": "delete", "o": "order", "bootorder": "order", "c": "create", "C": "create",
		"create-only": "create", "L": "label", "n": "next", "bootnext": "next", "q": "quiet",
		"N": "no-next", "delete-bootnext": "no-next", "v": "verbose",
	}[name]; ok {
		return long
	}
	return name
}

// efiWritable says whether efivarfs is mounted writable. h.mu is held.
func (h *Host) efiWritable() bool {
	return slices.ContainsFunc(h.mounts, func(m *mounted) bool {
		return m.kind == "efivarfs" && strings.HasPrefix(m.opts, "rw")
	})
}

func (h *Host) efiDelete(number string) bool {
	number = strings.ToUpper(fmt.Sprintf("%04s", number))
	before := len(h.efi)
	h.efi = slices.DeleteFunc(h.efi, func(e efiEntry) bool { return e.number == number })
	h.order = slices.DeleteFunc(h.order, func(n string) bool { return n == number })
	return len(h.efi) < before
}

// efiCreate makes an entry with the lowest free number and puts it first, as efibootmgr does.
func (h *Host) efiCreate(label string) {
	for i := 0; ; i++ {
		number := fmt.Sprintf("%04X", i)
		if slices.ContainsFunc(h.efi, func(e efiEntry) bool { return e.number == number }) {
			continue
		}
		h.efi = append(h.efi, efiEntry{number: number, label: label, active: true})
		h.order = append([]string{number}, h.order...)
		return
	}
}
