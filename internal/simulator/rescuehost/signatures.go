package rescuehost

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strings"

	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// signature is what blkid and wipefs find on a device.
type signature struct {
	kind        string // xfs, gpt, linux_raid_member, …
	usage       string // filesystem, raid, crypto, other, partition-table
	label, uuid string
	at          []span // the bytes that wipefs erases, the main one first
}

type span struct {
	off int64
	n   int
}

// signatures probes a device as libblkid does, in the order of their offsets.
func signatures(b block) []signature {
	head := make([]byte, 8192)
	if n, _ := b.ReadAt(head, 0); n < len(head) {
		clear(head[n:])
	}
	var all []signature
	add := func(s signature) { all = append(all, s) }
	if kind, label, uuid := world.Signature(b, 0); kind != "" {
		at := map[string][]span{"xfs": {{0, 4}}, "ext4": {{0x438, 2}}, "vfat": {{0x52, 8}, {0x1fe, 2}, {0, 3}}}[kind]
		add(signature{kind, "filesystem", label, uuid, at})
	}
	if string(head[:6]) == "LUKS\xba\xbe" {
		add(signature{kind: "crypto_LUKS", usage: "crypto", uuid: text(head[168:208]), at: []span{{0, 6}}})
	}
	if string(head[0x218:0x220]) == "LVM2 001" {
		add(signature{kind: "LVM2_member", usage: "raid", uuid: text(head[0x220:0x240]), at: []span{{0x218, 8}}})
	}
	all = append(all, members(head)...)
	if string(head[4086:4096]) == "SWAPSPACE2" {
		add(signature{kind: "swap", usage: "other", at: []span{{4086, 10}}})
	}
	if string(head[512:520]) == "EFI PART" || tailMagic(b) {
		add(gptSignature(b, head))
	} else if head[510] == 0x55 && head[511] == 0xaa && len(all) == 0 && head[446+4] != 0 {
		add(signature{kind: "dos", usage: "partition-table", at: []span{{0x1fe, 2}}})
	}
	if m := raidMember(head); m != nil {
		add(signature{"linux_raid_member", "raid", m.label, m.uuid, []span{{4096, 4}}})
	}
	return all
}

func text(b []byte) string { return strings.TrimRight(string(b), "\x00 ") }

func tailMagic(b block) bool {
	magic := make([]byte, 8)
	_, err := b.ReadAt(magic, b.Size()-world.Sector)
	return (err == nil || err == io.EOF) && string(magic) == "EFI PART"
}

// gptSignature is a partition table: primary header, backup header, protective MBR.
func gptSignature(b block, head []byte) signature {
	s := signature{kind: "gpt", usage: "partition-table"}
	if g, err := world.ReadGPT(b, b.Size()); err == nil {
		s.uuid = g.DiskGUID
	}
	if string(head[512:520]) == "EFI PART" {
		s.at = append(s.at, span{512, 8})
	}
	if tailMagic(b) {
		s.at = append(s.at, span{b.Size() - world.Sector, 8})
	}
	if head[510] == 0x55 && head[511] == 0xaa {
		s.at = append(s.at, span{510, 2})
	}
	return s
}

// fileSystem is what lsblk shows in FSTYPE: anything but a partition table.
func fileSystem(b block) *signature {
	for _, s := range signatures(b) {
		if s.usage != "partition-table" {
			return &s
		}
	}
	return nil
}

// partitionTable gives gpt, dos or "".
func partitionTable(b block) string {
	for _, s := range signatures(b) {
		if s.usage == "partition-table" {
			return s.kind
		}
	}
	return ""
}

// raidSuper is a version 1.2 superblock of Linux md (struct mdp_superblock_1, 4 KiB into the member).
type raidSuper struct {
	uuid, label string
	level       int
	offset      int64
	size        int64
	disks       int
}

func raidMember(head []byte) *raidSuper {
	b, le := head[4096:], binary.LittleEndian
	if le.Uint32(b) != 0xa92b4efc {
		return nil
	}
	id := b[16:32]
	return &raidSuper{
		uuid: fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:]), label: text(b[32:64]),
		level: int(int32(le.Uint32(b[72:]))), size: int64(le.Uint64(b[80:])) * world.Sector,
		disks: int(le.Uint32(b[92:])), offset: int64(le.Uint64(b[128:])) * world.Sector,
	}
}

// WriteRAIDMember makes a range of a disk a member of an md array of that level over count disks, as an earlier
// owner's installimage left it. name is like "rescue:0"; members of one array share it.
func WriteRAIDMember(d *world.Disk, off, size int64, name string, level, count int) error {
	b, le := make([]byte, 256), binary.LittleEndian
	le.PutUint32(b, 0xa92b4efc)
	le.PutUint32(b[4:], 1)
	copy(b[16:32], bytes.Repeat([]byte(name+"................"), 1)[:16])
	copy(b[32:64], name)
	le.PutUint32(b[72:], uint32(level))
	le.PutUint64(b[80:], uint64((size-(1<<20))/world.Sector))
	le.PutUint32(b[92:], uint32(count))
	le.PutUint64(b[128:], (1<<20)/world.Sector)
	_, err := d.WriteAt(b, off+4096)
	return err
}

// assemble starts the arrays found on disks and partitions, as mdadm does when the rescue system starts: they are
// busy until stopped (HETZNER.md C.4).
func (h *Host) assemble() {
	members := map[string]*array{}
	for _, b := range h.blocks() {
		head := make([]byte, 8192)
		_, _ = b.ReadAt(head, 0)
		s := raidMember(head)
		if s == nil {
			continue
		}
		a := members[s.uuid]
		if a == nil {
			a = &array{uuid: s.uuid, label: s.label, level: s.level, offset: s.offset, size: s.size, name: fmt.Sprintf("md%d", len(members))}
			members[s.uuid] = a
			h.mu.Lock()
			h.arrays = append(h.arrays, a)
			h.mu.Unlock()
		}
		a.members = append(a.members, b)
	}
}
