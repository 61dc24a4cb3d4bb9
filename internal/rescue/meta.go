package rescue

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	adv "github.com/siderolabs/go-adv/adv/talos"
	"github.com/siderolabs/talos/pkg/machinery/meta"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Keys of Talos' META partition that we write. Source: talos pkg/machinery/meta/constants.go.
const (
	MetaNetworkConfig   uint8 = meta.MetalNetworkPlatformConfig // 0xa: see Network
	MetaDownloadURLCode uint8 = meta.DownloadURLCode            // 0xb: ${code} of talos.config
	MetaUUIDOverride    uint8 = meta.UUIDOverride               // 0xf
)

// Meta is what a META partition holds.
type Meta map[uint8]string

// metaNames says what the values are for. What is no secret is shown.
var metaNames = map[uint8]struct {
	name  string
	shown bool
}{
	meta.Upgrade:                     {"upgrade under way", true},
	meta.StagedUpgradeImageRef:       {"staged upgrade", true},
	meta.StagedUpgradeInstallOptions: {"options of a staged upgrade", false},
	meta.StateEncryptionConfig:       {"encryption of STATE", false},
	MetaNetworkConfig:                {"static network", false},
	MetaDownloadURLCode:              {"one-time code", false},
	meta.UserReserved1:               {"user value 1", false},
	meta.UserReserved2:               {"user value 2", false},
	meta.UserReserved3:               {"user value 3", false},
	MetaUUIDOverride:                 {"UUID", true},
	meta.UniqueMachineToken:          {"machine token", false},
	meta.DiskImageBootloader:         {"boot loaders of the image", true},
}

// String decodes META for people: which values it has. It never shows the one-time code, or anything that may be
// a secret.
func (m Meta) String() string {
	if len(m) == 0 {
		return "nothing"
	}
	var out []string
	for _, key := range sortedKeys(m) {
		known, ok := metaNames[key]
		text := fmt.Sprintf("%#x", key)
		switch {
		case key == MetaNetworkConfig:
			text += " " + describeNetwork(m[key])
		case known.shown:
			text += " " + known.name + " " + m[key]
		case ok:
			text += " " + known.name
		default:
			text += fmt.Sprintf(" unknown, %d bytes", len(m[key]))
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

// WriteMeta puts values into the META partition of a disk that holds a Talos image, and gives all that it holds then,
// as read back from the disk. Values of other keys are the image's (a schematic's customization.meta, its boot loaders)
// and stay: an image brings a META of its own, so nothing of an earlier system is left there.
func (s *Session) WriteMeta(ctx context.Context, d fleet.Disk, values Meta) (Meta, error) {
	p, err := s.partition(ctx, d, "META")
	if err != nil {
		return nil, err
	}
	all, err := s.readMeta(ctx, d, p)
	if err != nil {
		return nil, err
	}
	for key, value := range values {
		if !all.SetTag(key, value) {
			return nil, fleet.Errorf(fleet.Refused, "META of disk %s: no room for value %#x", d.ID(), key)
		}
	}
	raw, err := all.Bytes()
	if err != nil {
		return nil, fmt.Errorf("META: %w", err)
	}
	if err := s.put(ctx, "meta", raw); err != nil {
		return nil, err
	}
	if _, err := s.script(ctx, "meta.sh", "write", "/dev/"+d.Name, strconv.Itoa(p.sector), strconv.FormatInt(p.Start, 10)); err != nil {
		return nil, fmt.Errorf("write META: %w", err)
	}
	return s.checkMeta(ctx, d, p, values)
}

func (s *Session) checkMeta(ctx context.Context, d fleet.Disk, p partition, values Meta) (Meta, error) {
	all, err := s.readMeta(ctx, d, p)
	if err != nil {
		return nil, err
	}
	got := metaOf(all)
	for key, want := range values {
		if got[key] != want {
			return got, fleet.Errorf(fleet.Unavailable, "META of disk %s: value %#x reads back wrong", d.ID(), key).
				WithHint("the disk may be failing: smartctl in the rescue system says more")
		}
	}
	return got, nil
}

func sortedKeys(m Meta) []uint8 { return slices.Sorted(maps.Keys(m)) }

func metaOf(all *adv.ADV) Meta {
	out := Meta{}
	for key, value := range all.Tags {
		out[uint8(key)] = string(value)
	}
	return out
}

// readMeta decodes META, its second copy where the first is damaged; an empty one gives an empty set.
func (s *Session) readMeta(ctx context.Context, d fleet.Disk, p partition) (*adv.ADV, error) {
	out, err := s.script(ctx, "meta.sh", "read", "/dev/"+d.Name, strconv.Itoa(p.sector), strconv.FormatInt(p.Start, 10))
	if err != nil {
		return nil, fmt.Errorf("read META: %w", err)
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(out))
	if err != nil {
		return nil, fleet.Errorf(fleet.Unavailable, "read META of disk %s: %w", d.ID(), err)
	}
	if all, err := adv.NewADV(bytes.NewReader(raw)); err == nil {
		return all, nil
	}
	return adv.NewADV(nil) // an image without META values: nothing to keep
}

// partition of a disk, in sectors of the disk.
type partition struct {
	Node  string `json:"node"`
	Start int64  `json:"start"`
	Size  int64  `json:"size"`
	Name  string `json:"name"`

	sector int // bytes
}

// partitions reads the partition table of a disk.
func (s *Session) partitions(ctx context.Context, d fleet.Disk) ([]partition, error) {
	out, err := s.run(ctx, "sfdisk -J "+quote("/dev/"+d.Name), nil)
	if err != nil {
		return nil, fmt.Errorf("partition table of %s: %w", d.ID(), err)
	}
	var table struct {
		Table struct {
			Sector     int         `json:"sectorsize"`
			Partitions []partition `json:"partitions"`
		} `json:"partitiontable"`
	}
	if err := json.Unmarshal([]byte(out), &table); err != nil {
		return nil, fleet.Errorf(fleet.Unavailable, "partition table of %s: %w", d.ID(), err)
	}
	for i := range table.Table.Partitions {
		table.Table.Partitions[i].sector = max(table.Table.Sector, 512) // util-linux before 2.35 does not say
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
