package rescuehost

import (
	"fmt"
	"strings"

	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// BootEntry is an entry of a firmware's boot menu that somebody left.
type BootEntry struct {
	Label    string
	PartUUID string // of the EFI system partition; "" if it names none
	Loader   string // \EFI\debian\shimx64.efi
}

// path is the device path as efibootmgr -v prints it.
func (e efiEntry) path() string {
	switch {
	case e.partUUID != "":
		return fmt.Sprintf("HD(1,GPT,%s,0x800,0x20000)/File(%s)", e.partUUID, e.loader)
	case strings.Contains(e.label, "PXE"):
		return "PciRoot(0x0)/Pci(0x1f,0x6)/MAC(901b0e000001,0)/IPv4(0.0.0.00.0.0.0,0,0)..BO"
	}
	return "PciRoot(0x0)/Pci(0x1c,0x0)/NVMe(0x1,00-25-38-B3-21-C5-52-7C)..BO"
}

// nics is what the kernel says of the network cards.
func (h *Host) nics() {
	for name, values := range map[string][2]string{"lo": {"1", ""}, "eth0": {"1", "1000"}} {
		h.tree.text("/sys/class/net/"+name+"/carrier", values[0]+"\n")
		if values[1] != "" {
			h.tree.text("/sys/class/net/"+name+"/speed", values[1]+"\n")
		}
	}
}

// Marks of what stands on several disks, or hides what is on one. WriteMember leaves one on a range of a disk.
const (
	LUKS  = "crypto_LUKS"
	LVM   = "LVM2_member" // its name is the volume group's
	ZFS   = "zfs_member"  // its name is the pool's
	Btrfs = "btrfs"       // its name is the label
	Ceph  = "ceph_bluestore"
)

// WriteMember makes a range of a disk what that kind of mark says, as libblkid reads it. Members of one name belong together.
func WriteMember(d *world.Disk, off int64, kind, name string) error {
	b := make([]byte, 8192)
	switch kind {
	case LUKS:
		copy(b, "LUKS\xba\xbe\x00\x01")
		copy(b[168:208], memberID(kind, name))
	case LVM:
		copy(b[0x200:], "LABELONE")
		copy(b[0x218:], "LVM2 001")
		copy(b[0x220:], strings.ReplaceAll(memberID(kind, name), "-", ""))
		copy(b[5120:], name+" {\n")
	case Ceph:
		copy(b, "bluestore block device\n"+memberID(kind, name)+"\n")
	case ZFS, Btrfs:
		copy(b[7168:], kind+"\n"+name+"\n") // the real ones are further behind
	default:
		return fmt.Errorf("no mark %q is known", kind)
	}
	_, err := d.WriteAt(b, off)
	return err
}

// memberID is the UUID of the thing of that name.
func memberID(kind, name string) string {
	sum := uint64(14695981039346656037)
	for _, c := range []byte(kind + name) {
		sum = (sum ^ uint64(c)) * 1099511628211
	}
	return fmt.Sprintf("%08x-%04x-4000-8000-%012x", uint32(sum), uint16(sum>>32), sum>>16&0xffffffffffff)
}

// members are the marks found on a device; head are its first 8 KiB.
func members(head []byte) []signature {
	var all []signature
	line := func(at, n int) string {
		lines := strings.Split(text(head[at:]), "\n")
		if n >= len(lines) {
			return ""
		}
		return lines[n]
	}
	if strings.HasPrefix(string(head), "bluestore block device\n") {
		all = append(all, signature{kind: Ceph, usage: "other", uuid: line(0, 1), at: []span{{0, 22}}})
	}
	for _, kind := range []string{ZFS, Btrfs} {
		if line(7168, 0) != kind {
			continue
		}
		usage := map[string]string{ZFS: "raid", Btrfs: "filesystem"}[kind]
		all = append(all, signature{kind: kind, usage: usage, label: line(7168, 1), uuid: memberID(kind, line(7168, 1)), at: []span{{7168, len(kind)}}})
	}
	return all
}

// toolPvs lists physical volumes as "pvs --noheadings --separator '|' -o pv_name,vg_name,vg_uuid,vg_missing_pv_count".
func toolPvs(c *call) int {
	opts, _, err := getopt(c.args, "o:", "noheadings", "nosuffix", "separator=", "options=", "units=")
	if err != nil {
		return c.fail(3, "%v", err)
	}
	separator, columns := " ", "pv_name,vg_name"
	for _, o := range opts {
		switch o.name {
		case "separator":
			separator = o.value
		case "o", "options":
			columns = o.value
		}
	}
	for _, b := range c.h.blocks() {
		head := make([]byte, 8192)
		_, _ = b.ReadAt(head, 0)
		if string(head[0x218:0x220]) != "LVM2 001" {
			continue
		}
		name, _, _ := strings.Cut(text(head[5120:]), " ")
		var out []string
		for column := range strings.SplitSeq(columns, ",") {
			value, ok := map[string]string{"pv_name": "/dev/" + b.base(), "vg_name": name, "vg_uuid": memberID(LVM, name), "vg_missing_pv_count": "0"}[column]
			if !ok {
				return c.fail(3, "Unrecognised field: %s", column)
			}
			out = append(out, value)
		}
		c.printf("  %s\n", strings.Join(out, separator))
	}
	return 0
}
