package image

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// loaderConf is Talos' (bootloader/sdboot/loader.conf).
const loaderConf = "# systemd-boot configuration\n\ntimeout 10\n"

// writeEFI makes the EFI system partition: systemd-boot where firmware looks without being told, and the UKI.
func (l layout) writeEFI(ctx context.Context, dir string, p Parts, i Image, version string) error {
	tree := filepath.Join(dir, "efi")
	for _, sub := range []string{"EFI/BOOT", "EFI/Linux", "loader"} {
		if err := os.MkdirAll(filepath.Join(tree, sub), 0o755); err != nil {
			return err
		}
	}
	if err := errors.Join(
		os.WriteFile(filepath.Join(tree, "loader/loader.conf"), []byte(loaderConf), 0o600),
		copyFile(p.SystemdBoot, filepath.Join(tree, "EFI/BOOT/BOOTX64.EFI")),
		copyFile(i.UKI, filepath.Join(tree, "EFI/Linux/Talos-"+version+".efi")),
	); err != nil {
		return err
	}
	file := partFile(dir, "EFI")
	if err := blank(file, l.efi); err != nil {
		return err
	}
	if err := run(ctx, "mkfs.vfat", "-F", "32", "-n", "EFI", "--invariant", file); err != nil {
		return err
	}
	return run(ctx, "mcopy", "-s", "-p", "-Q", "-m", "-i", file, filepath.Join(tree, "EFI"), filepath.Join(tree, "loader"), "::")
}

// copyFile makes a second name for a file, or a copy on another file system.
func copyFile(from, to string) error {
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	if os.Link(from, to) == nil {
		return nil
	}
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o600)
}

// writeBoot makes the XFS partition that GRUB reads, with the features that Debian's GRUB knows.
func (l layout) writeBoot(ctx context.Context, dir string, i Image, version string) error {
	config, proto := filepath.Join(dir, "grub.cfg"), filepath.Join(dir, "boot.proto")
	if err := os.WriteFile(config, world.GrubConfig(version, i.Cmdline), 0o600); err != nil {
		return err
	}
	text := fmt.Sprintf(`/
0 0
d--755 0 0
A d--755 0 0
 vmlinuz ---644 0 0 %s
 initramfs.xz ---644 0 0 %s
 $
grub d--755 0 0
 grub.cfg ---600 0 0 %s
 $
$
`, i.Kernel, i.Initramfs, config)
	if err := os.WriteFile(proto, []byte(text), 0o600); err != nil {
		return err
	}
	file := partFile(dir, "BOOT")
	if err := blank(file, l.boot); err != nil {
		return err
	}
	args := []string{"-n", "ftype=1", "-i", "nrext64=0", "-f", "-L", "BOOT", "-p", proto, "-m", "uuid=" + guid("BOOT")}
	if l.boot < 300*mib {
		args = append(args, "--unsupported") // mkfs.xfs thinks that nobody wants it so small
	}
	return run(ctx, "mkfs.xfs", append(args, file)...)
}

// installGRUB writes boot.img to the master boot record and core.img, which boot.img loads, to the BIOS boot partition.
// Each is told where the next piece is (bootloader/grub/blocklist.go).
func installGRUB(ctx context.Context, dir, grub string, out *os.File, at int64) error {
	const (
		kernelSector = 0x5c  // in boot.img: the sector of core.img
		jump         = 0x66  // in boot.img: a jump over the code for hard disks
		blocklist    = 0x1f4 // in core.img: the sector of its rest; the length is grub-mkimage's
		mbrCode      = 446   // the partition table follows
	)
	path := filepath.Join(dir, "core.img")
	args := append([]string{"--directory", grub, "--format", "i386-pc", "--output", path, "--prefix", "(hd0,gpt3)/grub"}, grubModules()...)
	if err := run(ctx, "grub-mkimage", args...); err != nil {
		return err
	}
	core, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	boot, err := os.ReadFile(filepath.Join(grub, "boot.img"))
	if err != nil {
		return err
	}
	if len(core) > mib || len(core) < blocklist+8 || len(boot) < mbrCode {
		return fmt.Errorf("boot.img has %d bytes, core.img %d", len(boot), len(core))
	}
	sector := uint64(at / 512)
	binary.LittleEndian.PutUint64(boot[kernelSector:], sector)
	boot[jump], boot[jump+1] = 0x90, 0x90
	binary.LittleEndian.PutUint64(core[blocklist:], sector+1)
	if _, err := out.WriteAt(boot[:mbrCode], 0); err != nil {
		return err
	}
	_, err = out.WriteAt(core, at)
	return err
}

// grubModules are those Talos embeds (bootloader/grub/install.go).
func grubModules() []string {
	return strings.Fields("part_gpt ext2 fat xfs normal configfile linux boot search search_fs_uuid search_fs_file ls cat echo test help reboot halt all_video biosdisk part_msdos")
}
