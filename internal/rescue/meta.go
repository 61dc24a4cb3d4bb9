package rescue

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	adv "github.com/siderolabs/go-adv/adv/talos"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Keys of Talos' META partition. Source: talos pkg/machinery/meta/constants.go.
const (
	MetaNetworkConfig   uint8 = 0x0a // MetalNetworkPlatformConfig, YAML
	MetaDownloadURLCode uint8 = 0x0b // ${code} of talos.config
	MetaUUIDOverride    uint8 = 0x0f
)

// partition of a disk, in sectors of 512 bytes.
type partition struct {
	Node  string `json:"node"`
	Start int64  `json:"start"`
	Size  int64  `json:"size"`
	Name  string `json:"name"`
}

// partitions reads the partition table of a disk.
func (s *Session) partitions(ctx context.Context, d fleet.Disk) ([]partition, error) {
	out, err := s.run(ctx, "sfdisk -J "+quote("/dev/"+d.Name), nil)
	if err != nil {
		return nil, fmt.Errorf("partition table of %s: %w", d.ID(), err)
	}
	var table struct {
		Table struct {
			Partitions []partition `json:"partitions"`
		} `json:"partitiontable"`
	}
	if err := json.Unmarshal([]byte(out), &table); err != nil {
		return nil, fleet.Errorf(fleet.Unavailable, "partition table of %s: %w", d.ID(), err)
	}
	return table.Table.Partitions, nil
}

func (s *Session) partition(ctx context.Context, d fleet.Disk, label string) (partition, error) {
	all, err := s.partitions(ctx, d)
	if err != nil {
		return partition{}, err
	}
	for _, p := range all {
		if p.Name == label {
			return p, nil
		}
	}
	return partition{}, fleet.Errorf(fleet.Refused, "disk %s of server %s has no partition %s: it holds no Talos image", d.ID(), s.server, label)
}

// WriteMeta puts values into the META partition of a disk that holds a Talos image, keeping the others, and reads
// them back.
func (s *Session) WriteMeta(ctx context.Context, d fleet.Disk, values map[uint8]string) error {
	p, err := s.partition(ctx, d, "META")
	if err != nil {
		return err
	}
	meta, err := s.readMeta(ctx, d, p)
	if err != nil {
		return err
	}
	for key, value := range values {
		if !meta.SetTag(key, value) {
			return fleet.Errorf(fleet.Refused, "META of disk %s: no room for value %#x", d.ID(), key)
		}
	}
	raw, err := meta.Bytes()
	if err != nil {
		return fmt.Errorf("META: %w", err)
	}
	command := fmt.Sprintf("dd of=%s bs=512 seek=%d conv=notrunc,fsync status=none", quote("/dev/"+d.Name), p.Start)
	if _, err := s.run(ctx, command, bytes.NewReader(raw)); err != nil {
		return fmt.Errorf("write META: %w", err)
	}
	return s.checkMeta(ctx, d, p, values)
}

func (s *Session) checkMeta(ctx context.Context, d fleet.Disk, p partition, values map[uint8]string) error {
	meta, err := s.readMeta(ctx, d, p)
	if err != nil {
		return err
	}
	for key, want := range values {
		if got, _ := meta.ReadTag(key); got != want {
			return fleet.Errorf(fleet.Unavailable, "META of disk %s: value %#x reads back wrong", d.ID(), key)
		}
	}
	return nil
}

// readMeta decodes META; an empty one gives an empty set.
func (s *Session) readMeta(ctx context.Context, d fleet.Disk, p partition) (*adv.ADV, error) {
	command := fmt.Sprintf("dd if=%s bs=512 skip=%d count=%s status=none | base64 -w 0", quote("/dev/"+d.Name), p.Start, strconv.Itoa(adv.Size/512))
	out, err := s.run(ctx, command, nil)
	if err != nil {
		return nil, fmt.Errorf("read META: %w", err)
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(out))
	if err != nil {
		return nil, fleet.Errorf(fleet.Unavailable, "read META of disk %s: %w", d.ID(), err)
	}
	if meta, err := adv.NewADV(bytes.NewReader(raw)); err == nil {
		return meta, nil
	}
	return adv.NewADV(nil) // an image carries no META of its own: nothing to keep
}

// AddKernelArgument edits grub.cfg of a plain image, for machines that boot by BIOS. On UEFI the command line is
// sealed inside the boot image: use a schematic there.
func (s *Session) AddKernelArgument(ctx context.Context, d fleet.Disk, argument string) error {
	p, err := s.partition(ctx, d, "BOOT")
	if err != nil {
		return err
	}
	_, err = s.script(ctx, "grub.sh", p.Node, argument)
	return err
}
