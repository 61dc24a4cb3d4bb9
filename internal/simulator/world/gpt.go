package world

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"
	"unicode/utf16"
)

// Sector is the logical sector size of every disk of the world.
const Sector = 512

// Partition type GUIDs that Talos uses (siderolabs/talos, pkg/machinery/imager and internal/pkg/partition).
const (
	TypeEFI   = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
	TypeBIOS  = "21686148-6449-6e6f-744e-656564454649"
	TypeLinux = "0fc63daf-8483-4772-8e79-3d69d8477de4"
)

// ErrNoGPT says that a disk carries no valid GUID partition table.
var ErrNoGPT = errors.New("no valid GUID partition table")

const (
	gptEntries   = 128
	gptEntrySize = 128
	gptArray     = gptEntries * gptEntrySize
	gptFirst     = 2*Sector + gptArray        // first byte partitions may use
	gptTail      = gptArray + Sector          // bytes the backup takes at the end
	partAlign    = int64(1 << 20)             // where partitions start
	gptSignature = "EFI PART\x00\x00\x01\x00" // revision 1.0
)

// Partition of a disk. Start and Size are bytes.
type Partition struct {
	Index      int // from 1
	Type, GUID string
	Label      string
	Start      int64
	Size       int64
	Attributes uint64
}

// GPT is a GUID partition table.
type GPT struct {
	DiskGUID   string
	Partitions []Partition
	// FromBackup says that the primary table was unusable; BackupAtEnd that an intact backup stands at the very
	// end of the disk, which is not so when an image was written to a larger disk.
	FromBackup, BackupAtEnd bool
}

// Find gives the partition with that label, nil if there is none.
func (g *GPT) Find(label string) *Partition {
	i := slices.IndexFunc(g.Partitions, func(p Partition) bool { return p.Label == label })
	if i < 0 {
		return nil
	}
	return &g.Partitions[i]
}

// ReadGPT reads the table of a device of that size; ErrNoGPT if neither copy is valid.
func ReadGPT(r io.ReaderAt, size int64) (*GPT, error) {
	primary, err := readTable(r, Sector)
	backup, backupErr := readTable(r, size-Sector)
	switch {
	case err == nil:
		primary.BackupAtEnd = backupErr == nil
		return primary, nil
	case backupErr == nil:
		backup.FromBackup, backup.BackupAtEnd = true, true
		return backup, nil
	}
	return nil, err
}

func readTable(r io.ReaderAt, at int64) (*GPT, error) {
	head := make([]byte, Sector)
	if at < Sector {
		return nil, ErrNoGPT
	}
	if _, err := r.ReadAt(head, at); err != nil && err != io.EOF {
		return nil, err
	}
	if string(head[:len(gptSignature)]) != gptSignature {
		return nil, ErrNoGPT
	}
	le := binary.LittleEndian
	length, sum := le.Uint32(head[12:]), le.Uint32(head[16:])
	if length < 92 || length > Sector {
		return nil, ErrNoGPT
	}
	clear(head[16:20])
	if crc32.ChecksumIEEE(head[:length]) != sum || le.Uint64(head[24:]) != uint64(at/Sector) {
		return nil, fmt.Errorf("%w: header checksum", ErrNoGPT)
	}
	count, each := le.Uint32(head[80:]), le.Uint32(head[84:])
	if count > 1024 || each < gptEntrySize || each > 4096 {
		return nil, ErrNoGPT
	}
	array := make([]byte, count*each)
	if _, err := r.ReadAt(array, int64(le.Uint64(head[72:]))*Sector); err != nil && err != io.EOF {
		return nil, err
	}
	if crc32.ChecksumIEEE(array) != le.Uint32(head[88:]) {
		return nil, fmt.Errorf("%w: entries checksum", ErrNoGPT)
	}
	g := &GPT{DiskGUID: guidString(head[56:72])}
	for i := range int(count) {
		e := array[i*int(each):][:gptEntrySize]
		if !zero(e[:16]) {
			g.Partitions = append(g.Partitions, readEntry(i+1, e))
		}
	}
	return g, nil
}

func readEntry(index int, e []byte) Partition {
	le := binary.LittleEndian
	first, last := int64(le.Uint64(e[32:])), int64(le.Uint64(e[40:]))
	name := make([]uint16, 36)
	for i := range name {
		name[i] = le.Uint16(e[56+2*i:])
	}
	label := strings.TrimRight(string(utf16.Decode(name)), "\x00")
	return Partition{
		Index: index, Type: guidString(e[:16]), GUID: guidString(e[16:32]), Label: label,
		Start: first * Sector, Size: (last - first + 1) * Sector, Attributes: le.Uint64(e[48:]),
	}
}

// Write writes protective MBR, table and backup to a device of that size.
func (g *GPT) Write(w io.WriterAt, size int64) error {
	head, tail, err := g.encode(size)
	if err != nil {
		return err
	}
	if _, err := w.WriteAt(head, 0); err != nil {
		return err
	}
	_, err = w.WriteAt(tail, size-int64(len(tail)))
	return err
}

// encode gives the first 34 sectors and the last 33.
func (g *GPT) encode(size int64) (head, tail []byte, err error) {
	array := make([]byte, gptArray)
	for _, p := range g.Partitions {
		if p.Index < 1 || p.Index > gptEntries {
			return nil, nil, fmt.Errorf("partition number %d is out of range", p.Index)
		}
		if p.Start < gptFirst || p.Start+p.Size > size-gptTail {
			return nil, nil, fmt.Errorf("partition %s does not fit", p.Label)
		}
		writeEntry(array[(p.Index-1)*gptEntrySize:], p)
	}
	last := size/Sector - 1
	head = make([]byte, gptFirst)
	protectiveMBR(head, size/Sector)
	g.header(head[Sector:2*Sector], array, 1, last, 2, last)
	copy(head[2*Sector:], array)
	tail = make([]byte, gptTail)
	copy(tail, array)
	g.header(tail[gptArray:], array, last, 1, last-gptArray/Sector, last)
	return head, tail, nil
}

func (g *GPT) header(h, array []byte, self, other, entries, last int64) {
	le := binary.LittleEndian
	copy(h, gptSignature)
	le.PutUint32(h[12:], 92)
	le.PutUint64(h[24:], uint64(self))
	le.PutUint64(h[32:], uint64(other))
	le.PutUint64(h[40:], gptFirst/Sector)
	le.PutUint64(h[48:], uint64(last-gptTail/Sector))
	copy(h[56:], guidBytes(g.DiskGUID))
	le.PutUint64(h[72:], uint64(entries))
	le.PutUint32(h[80:], gptEntries)
	le.PutUint32(h[84:], gptEntrySize)
	le.PutUint32(h[88:], crc32.ChecksumIEEE(array))
	le.PutUint32(h[16:], crc32.ChecksumIEEE(h[:92]))
}

func writeEntry(e []byte, p Partition) {
	le := binary.LittleEndian
	copy(e, guidBytes(p.Type))
	copy(e[16:], guidBytes(p.GUID))
	le.PutUint64(e[32:], uint64(p.Start/Sector))
	le.PutUint64(e[40:], uint64((p.Start+p.Size)/Sector-1))
	le.PutUint64(e[48:], p.Attributes)
	for i, c := range utf16.Encode([]rune(p.Label)) {
		if i < 36 {
			le.PutUint16(e[56+2*i:], c)
		}
	}
}

func protectiveMBR(b []byte, sectors int64) {
	e := b[446:462]
	e[2], e[4] = 2, 0xee
	copy(e[5:], []byte{0xff, 0xff, 0xff})
	binary.LittleEndian.PutUint32(e[8:], 1)
	binary.LittleEndian.PutUint32(e[12:], uint32(min(sectors-1, 0xffffffff)))
	b[510], b[511] = 0x55, 0xaa
}

// Add puts a partition of that size behind the others, on a MiB; size 0 takes the rest of the disk.
func (g *GPT) Add(diskSize int64, label, typeGUID, guid string, size int64) (*Partition, error) {
	start, index := partAlign, 1
	for _, p := range g.Partitions {
		start, index = max(start, p.Start+p.Size), max(index, p.Index+1)
	}
	start = (start + partAlign - 1) / partAlign * partAlign
	room := (diskSize - gptTail - start) / partAlign * partAlign
	if size == 0 {
		size = room
	}
	if size <= 0 || size > room {
		return nil, fmt.Errorf("partition %s: no space left on the disk", label)
	}
	g.Partitions = append(g.Partitions, Partition{Index: index, Type: typeGUID, GUID: guid, Label: label, Start: start, Size: size})
	return &g.Partitions[len(g.Partitions)-1], nil
}

// Sorted gives the partitions by their place on the disk.
func (g *GPT) Sorted() []Partition {
	return slices.SortedFunc(slices.Values(g.Partitions), func(a, b Partition) int { return cmp.Compare(a.Start, b.Start) })
}

// ZapGPT wipes both copies of the table and the protective MBR, as sgdisk --zap-all does.
func ZapGPT(w io.WriterAt, size int64) error {
	if _, err := w.WriteAt(make([]byte, gptFirst), 0); err != nil {
		return err
	}
	_, err := w.WriteAt(make([]byte, gptTail), size-gptTail)
	return err
}

// guidBytes encodes a GUID in its mixed-endian form; anything malformed is all zero.
func guidBytes(s string) []byte {
	b := make([]byte, 16)
	var a uint32
	var c, d, e uint16
	var f uint64
	if _, err := fmt.Sscanf(s, "%08x-%04x-%04x-%04x-%012x", &a, &c, &d, &e, &f); err != nil {
		return b
	}
	binary.LittleEndian.PutUint32(b, a)
	binary.LittleEndian.PutUint16(b[4:], c)
	binary.LittleEndian.PutUint16(b[6:], d)
	binary.BigEndian.PutUint64(b[8:], uint64(e)<<48|f)
	return b
}

func guidString(b []byte) string {
	le := binary.LittleEndian
	return fmt.Sprintf("%08x-%04x-%04x-%x-%x", le.Uint32(b), le.Uint16(b[4:]), le.Uint16(b[6:]), b[8:10], b[10:16])
}

// guidFrom makes a GUID of 16 bytes of a hash.
func guidFrom(sum []byte) string {
	b := bytes.Clone(sum[:16])
	b[7], b[8] = b[7]&0x0f|0x40, b[8]&0x3f|0x80
	return guidString(b)
}
