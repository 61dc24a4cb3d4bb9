package image

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

const mib = 1 << 20

// layout is how large things are, in bytes.
type layout struct {
	efi, bios, boot, meta int64
	disk                  int64
}

// layoutFor gives Talos' sizes (pkg/machinery/imager/quirks/partitions.go: EFI is 100 + 1 + BOOT MiB), or small ones:
// FAT32 needs 33 MiB, and XFS makes nothing of use below 64 MiB.
func layoutFor(o Options) layout {
	if o.FullSize {
		return layout{efi: 2101 * mib, bios: mib, boot: 2000 * mib, meta: mib, disk: 4243 * mib}
	}
	return layout{efi: 96 * mib, bios: mib, boot: 96 * mib, meta: mib, disk: 200 * mib}
}

func partFile(dir, label string) string { return filepath.Join(dir, label+".img") }

// assemble puts the partitions into one file, with GRUB before and between them.
func (l layout) assemble(ctx context.Context, dir string, p Parts, meta map[uint8]string, path string) (err error) {
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if err := out.Truncate(l.disk); err != nil {
		return err
	}
	table, err := l.table()
	if err != nil {
		return err
	}
	if err := table.Write(out, l.disk); err != nil {
		return err
	}
	for _, label := range []string{"EFI", "BOOT"} {
		if err := insert(out, table.Find(label).Start, partFile(dir, label)); err != nil {
			return err
		}
	}
	if len(meta) > 0 {
		block, err := world.EncodeMeta(meta)
		if err != nil {
			return err
		}
		if _, err := out.WriteAt(block, table.Find("META").Start); err != nil {
			return err
		}
	}
	return installGRUB(ctx, dir, p.GRUB, out, table.Find("BIOS").Start)
}

// table is the partition table: boot loaders' partitions and META. STATE and EPHEMERAL are made on the first boot.
func (l layout) table() (*world.GPT, error) {
	const legacyBoot = 1 << 2 // attribute "legacy BIOS bootable"
	t := &world.GPT{DiskGUID: guid("talos-image-disk")}
	for _, p := range []struct {
		label, kind string
		size        int64
		attributes  uint64
	}{
		{"EFI", world.TypeEFI, l.efi, 0},
		{"BIOS", world.TypeBIOS, l.bios, legacyBoot},
		{"BOOT", world.TypeLinux, l.boot, 0},
		{"META", world.TypeLinux, l.meta, 0},
	} {
		part, err := t.Add(l.disk, p.label, p.kind, guid(p.label), p.size)
		if err != nil {
			return nil, err
		}
		part.Attributes = p.attributes
	}
	return t, nil
}

// guid is the same for the same label, as Talos' reproducible images have it.
func guid(label string) string {
	b := sha256.Sum256([]byte(label))
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// insert copies a file into another one, and leaves holes where it has zeroes.
func insert(out *os.File, at int64, path string) error {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	for buf := make([]byte, 64<<10); ; {
		n, err := io.ReadFull(in, buf)
		for _, b := range buf[:n] {
			if b == 0 {
				continue
			}
			if _, err := out.WriteAt(buf[:n], at); err != nil {
				return err
			}
			break
		}
		at += int64(n)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// blank makes an empty file of a size, without writing it.
func blank(path string, size int64) error {
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(size), f.Close())
}
