package world

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// A volume is what the world has instead of a file system: the first 4 KiB carry the magic, label and UUID of the
// real one at their real places, so that blkid, lsblk and wipefs see XFS, ext4 or FAT; behind them stands a tar
// archive of the files, and the rest must be zero. A checksum covers all of it, so a volume that was written half,
// or over old data that was not wiped first, is corrupt, as a real file system would be.
//
//	0      superblock of the pretended kind
//	3072   "TMVOLUME", length of the archive (u64), sha256 of superblock and archive
//	4096   archive, then zeroes
const (
	volumeHead   = 4096
	volumeRecord = 3072
	volumeMagic  = "TMVOLUME"
)

// Errors of ReadVolume and ReadBoot.
var (
	ErrNoVolume = errors.New("no file system")
	ErrCorrupt  = errors.New("structure needs cleaning")
)

// Volume is the content of a partition. Files are by slash-separated path without a leading slash; directories
// exist by their files.
type Volume struct {
	Kind  string // xfs, vfat, ext4
	Label string
	UUID  string
	Files map[string][]byte
}

// encode gives the bytes of a volume; what follows in its partition is zero.
func (v *Volume) encode(size int64) ([]byte, error) {
	var b bytes.Buffer
	b.Write(make([]byte, volumeHead))
	t := tar.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(v.Files)) {
		data := v.Files[name]
		if err := t.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data)), Format: tar.FormatPAX}); err != nil {
			return nil, err
		}
		if _, err := t.Write(data); err != nil {
			return nil, err
		}
	}
	if err := t.Close(); err != nil {
		return nil, err
	}
	out := b.Bytes()
	if int64(len(out)) > size {
		return nil, errors.New("no space left on device")
	}
	v.superblock(out[:volumeRecord])
	copy(out[volumeRecord:], volumeMagic)
	binary.LittleEndian.PutUint64(out[volumeRecord+8:], uint64(len(out)-volumeHead))
	sum := volumeSum(out[:volumeHead], out[volumeHead:])
	copy(out[volumeRecord+16:], sum[:])
	return out, nil
}

// volumeSum covers the head without the checksum itself, and the archive.
func volumeSum(head, archive []byte) (sum [32]byte) {
	h := sha256.New()
	h.Write(head[:volumeRecord+16])
	h.Write(archive)
	h.Sum(sum[:0])
	return sum
}

// superblock writes the marks that blkid looks for.
func (v *Volume) superblock(b []byte) {
	id := guidBytes(v.UUID)
	switch v.Kind {
	case "xfs":
		copy(b, "XFSB")
		binary.BigEndian.PutUint32(b[4:], 4096)
		copy(b[32:48], id)
		copy(b[108:120], v.Label)
	case "ext4":
		binary.LittleEndian.PutUint16(b[1080:], 0xef53)
		copy(b[1128:1144], id)
		copy(b[1144:1160], v.Label)
	case "vfat":
		copy(b, "\xeb\x58\x90mkfs.fat")
		binary.LittleEndian.PutUint16(b[11:], Sector)
		copy(b[67:71], fatSerial(v.UUID))
		copy(b[71:82], fmt.Sprintf("%-11s", v.Label))
		copy(b[82:90], "FAT32   ")
		b[510], b[511] = 0x55, 0xaa
	}
}

// fatSerial is the volume serial of a UUID as blkid prints it (1A2B-3C4D), or of the start of a GUID.
func fatSerial(uuid string) []byte {
	var high, low uint16
	if n, _ := fmt.Sscanf(uuid, "%04X-%04X", &high, &low); n == 2 && len(uuid) == 9 {
		return []byte{byte(low), byte(low >> 8), byte(high), byte(high >> 8)}
	}
	return guidBytes(uuid)[:4]
}

// Signature says what blkid finds at the start of a device or partition: the kind of file system, its label and
// UUID; kind "" if nothing is known.
func Signature(r io.ReaderAt, off int64) (kind, label, uuid string) {
	b := make([]byte, volumeHead)
	if n, _ := r.ReadAt(b, off); n < len(b) {
		return "", "", ""
	}
	text := func(b []byte) string { return strings.TrimRight(string(b), " \x00") }
	switch {
	case string(b[:4]) == "XFSB":
		return "xfs", text(b[108:120]), guidString(b[32:48])
	case string(b[82:90]) == "FAT32   ":
		return "vfat", text(b[71:82]), fmt.Sprintf("%02X%02X-%02X%02X", b[70], b[69], b[68], b[67])
	case binary.LittleEndian.Uint16(b[1080:]) == 0xef53:
		return "ext4", text(b[1144:1160]), guidString(b[1128:1144])
	}
	return "", "", ""
}

// Write formats a range and writes the volume there; what stood there before is gone.
func (v *Volume) Write(d *Disk, off, size int64) error {
	out, err := v.encode(size)
	if err != nil {
		return err
	}
	d.Discard(off, size)
	_, err = d.WriteAt(out, off)
	return err
}

// ReadVolume reads the volume in a range. ErrNoVolume: it was never formatted; ErrCorrupt: it is damaged.
func ReadVolume(r io.ReaderAt, off, size int64) (*Volume, error) {
	kind, label, uuid := Signature(r, off)
	if kind == "" {
		return nil, ErrNoVolume
	}
	head := make([]byte, volumeHead)
	if _, err := r.ReadAt(head, off); err != nil && err != io.EOF {
		return nil, err
	}
	length := int64(binary.LittleEndian.Uint64(head[volumeRecord+8:]))
	if string(head[volumeRecord:volumeRecord+8]) != volumeMagic || length < 0 || length > size-volumeHead {
		return nil, fmt.Errorf("%s %s: %w", kind, label, ErrCorrupt)
	}
	archive := make([]byte, length)
	if _, err := r.ReadAt(archive, off+volumeHead); err != nil && err != io.EOF {
		return nil, err
	}
	sum := volumeSum(head, archive)
	if !bytes.Equal(sum[:], head[volumeRecord+16:volumeRecord+48]) || !allZero(r, off+volumeHead+length, size-volumeHead-length) {
		return nil, fmt.Errorf("%s %s: %w", kind, label, ErrCorrupt)
	}
	v := &Volume{Kind: kind, Label: label, UUID: uuid, Files: map[string][]byte{}}
	t := tar.NewReader(bytes.NewReader(archive))
	for {
		h, err := t.Next()
		if err == io.EOF {
			return v, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w: %w", kind, label, ErrCorrupt, err)
		}
		if v.Files[h.Name], err = io.ReadAll(t); err != nil {
			return nil, err
		}
	}
}

// allZero says whether a range reads as zero. A Disk knows without reading.
func allZero(r io.ReaderAt, off, n int64) bool {
	if z, ok := r.(interface{ Zero(off, n int64) bool }); ok {
		return z.Zero(off, n)
	}
	buf := make([]byte, chunk)
	for n > 0 {
		part := min(n, int64(len(buf)))
		if _, err := r.ReadAt(buf[:part], off); err != nil && err != io.EOF {
			return false
		}
		if !zero(buf[:part]) {
			return false
		}
		off, n = off+part, n-part
	}
	return true
}
