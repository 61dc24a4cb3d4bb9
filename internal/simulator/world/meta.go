package world

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// META is Talos' key-value store of 1 MiB, in the format of github.com/siderolabs/go-adv v1.0.0 adv/talos: a block
// of 256 KiB written twice, all big-endian.
//
//	0      magic 0x5a4b3c2d
//	4      tag u32, size u32, value; again and again; tag 0 ends
//	-36    sha256 of the block with these 32 bytes zero
//	-4     magic 0xa5b4c3d2
const (
	metaBlock  = 256 << 10
	metaMagic1 = 0x5a4b3c2d
	metaMagic2 = 0xa5b4c3d2
)

// META keys (talos pkg/machinery/meta/constants.go).
const (
	MetaUpgrade             uint8 = 0x06
	MetaStagedUpgradeImage  uint8 = 0x07
	MetaStateEncryption     uint8 = 0x09
	MetaNetworkConfig       uint8 = 0x0a
	MetaDownloadURLCode     uint8 = 0x0b
	MetaUUIDOverride        uint8 = 0x0f
	MetaUniqueMachineToken  uint8 = 0x10
	MetaDiskImageBootloader uint8 = 0x11
)

// ErrNoMeta says that a META partition holds no valid block.
var ErrNoMeta = errors.New("META: no valid block")

// EncodeMeta gives both copies.
func EncodeMeta(values map[uint8]string) ([]byte, error) {
	buf := make([]byte, metaBlock)
	be := binary.BigEndian
	be.PutUint32(buf, metaMagic1)
	be.PutUint32(buf[metaBlock-4:], metaMagic2)
	data := buf[4 : metaBlock-36]
	for _, tag := range slices.Sorted(maps.Keys(values)) {
		value := values[tag]
		if len(value)+8 > len(data) {
			return nil, fmt.Errorf("META: value %#x does not fit", tag)
		}
		be.PutUint32(data, uint32(tag))
		be.PutUint32(data[4:], uint32(len(value)))
		copy(data[8:], value)
		data = data[8+len(value):]
	}
	sum := sha256.Sum256(buf)
	copy(buf[metaBlock-36:], sum[:])
	return append(buf, buf...), nil
}

// DecodeMeta reads the first valid copy.
func DecodeMeta(b []byte) (map[uint8]string, error) {
	for len(b) >= metaBlock {
		if values := decodeMetaBlock(b[:metaBlock]); values != nil {
			return values, nil
		}
		b = b[metaBlock:]
	}
	return nil, ErrNoMeta
}

func decodeMetaBlock(b []byte) map[uint8]string {
	be := binary.BigEndian
	if be.Uint32(b) != metaMagic1 || be.Uint32(b[metaBlock-4:]) != metaMagic2 {
		return nil
	}
	plain := bytes.Clone(b)
	clear(plain[metaBlock-36 : metaBlock-4])
	if sum := sha256.Sum256(plain); !bytes.Equal(sum[:], b[metaBlock-36:metaBlock-4]) {
		return nil
	}
	values := map[uint8]string{}
	for data := b[4 : metaBlock-36]; len(data) >= 8; {
		tag, size := be.Uint32(data), be.Uint32(data[4:])
		if tag == 0 {
			break
		}
		if uint64(size)+8 > uint64(len(data)) {
			return nil
		}
		values[uint8(tag)] = string(data[8 : 8+size])
		data = data[8+size:]
	}
	return values
}

// ReadMeta reads the META partition of a disk.
func ReadMeta(d *Disk) (map[uint8]string, error) {
	p, err := partition(d, "META")
	if err != nil {
		return nil, err
	}
	buf := make([]byte, min(2*metaBlock, p.Size))
	if _, err := d.ReadAt(buf, p.Start); err != nil {
		return nil, err
	}
	return DecodeMeta(buf)
}

// WriteMeta replaces all values of the META partition of a disk.
func WriteMeta(d *Disk, values map[uint8]string) error {
	p, err := partition(d, "META")
	if err != nil {
		return err
	}
	buf, err := EncodeMeta(values)
	if err != nil {
		return err
	}
	_, err = d.WriteAt(buf, p.Start)
	return err
}

// partition finds a partition of a disk by its label.
func partition(d *Disk, label string) (*Partition, error) {
	g, err := ReadGPT(d, d.SizeBytes)
	if err != nil {
		return nil, err
	}
	if p := g.Find(label); p != nil && p.Start+p.Size <= d.SizeBytes {
		return p, nil
	}
	return nil, fmt.Errorf("no partition %s", label)
}
