package world

import (
	"crypto/sha256"
	"errors"
	"fmt"
)

// EnsurePartition makes a partition with that label behind the others unless it is there, and says whether it
// made it. Size 0 takes the rest of the disk. A disk without a table gets one.
func EnsurePartition(d *Disk, label string, size int64) (bool, error) {
	sum := sha256.Sum256([]byte(d.Serial + d.WWN + d.Name + label))
	g, err := ReadGPT(d, d.SizeBytes)
	if errors.Is(err, ErrNoGPT) {
		g, err = &GPT{DiskGUID: guidFrom(sum[16:])}, nil
	}
	if err != nil {
		return false, err
	}
	if g.Find(label) != nil {
		return false, nil
	}
	p, err := g.Add(d.SizeBytes, label, TypeLinux, guidFrom(sum[:]), size)
	if err != nil {
		return false, fmt.Errorf("%s: %w", d.Name, err)
	}
	d.Discard(p.Start, p.Size)
	return true, g.Write(d, d.SizeBytes)
}

// EnsureState makes STATE and EPHEMERAL on the system disk, as the first boot does; the latter only if wanted
// there (a VolumeConfig can put it on another disk: EnsurePartition).
func EnsureState(d *Disk, ephemeral bool) error {
	if _, err := EnsurePartition(d, "STATE", sizeState); err != nil {
		return err
	}
	if !ephemeral {
		return nil
	}
	_, err := EnsurePartition(d, "EPHEMERAL", 0)
	return err
}

// WipePartition forgets what a partition holds; the next boot formats it again.
func WipePartition(d *Disk, label string) error {
	p, err := partition(d, label)
	if err != nil {
		return err
	}
	d.Discard(p.Start, p.Size)
	return nil
}

// HasPartition says whether a disk has a partition with that label.
func HasPartition(d *Disk, label string) bool {
	_, err := partition(d, label)
	return err == nil
}

// WriteFile stores a file on a partition by its label, such as config.yaml on STATE; a partition that is not
// formatted becomes xfs. nil data removes the file.
func WriteFile(d *Disk, label, name string, data []byte) error {
	p, err := partition(d, label)
	if err != nil {
		return err
	}
	v, err := ReadVolume(d, p.Start, p.Size)
	if errors.Is(err, ErrNoVolume) {
		v, err = &Volume{Kind: "xfs", Label: label, UUID: p.GUID, Files: map[string][]byte{}}, nil
	}
	if err != nil {
		return err
	}
	v.Files[name] = data
	if data == nil {
		delete(v.Files, name)
	}
	return v.Write(d, p.Start, p.Size)
}

// ReadFile reads a file of a partition; nil if there is no such file, or the partition is not formatted.
func ReadFile(d *Disk, label, name string) ([]byte, error) {
	p, err := partition(d, label)
	if err != nil {
		return nil, err
	}
	v, err := ReadVolume(d, p.Start, p.Size)
	if errors.Is(err, ErrNoVolume) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return v.Files[name], nil
}
