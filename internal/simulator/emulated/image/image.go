// Package image builds a disk image for tests that is laid out as Talos' dual-boot image for amd64 is: the same partitions
// with the same labels and types, GRUB for BIOS, systemd-boot with a unified kernel image for UEFI, META. The kernel in it is
// Debian's, and the init a small program of ours (package init) that reads META and fetches its config by Talos' rules and
// says on the serial line what it finds (package console).
//
// Sources: siderolabs/talos cmd/installer/pkg/install, internal/app/machined/pkg/runtime/v1alpha1/bootloader/{dual,grub,sdboot},
// internal/pkg/{partition,uki}, pkg/makefs, pkg/imager, as of v1.14. It uses the tools those use: mkfs.vfat, mtools, mkfs.xfs,
// grub-mkimage.
package image

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/talos-manager/talos-manager/internal/simulator/world"
	"github.com/talos-manager/talos-manager/internal/skip"
)

// Parts are what an image is made of: files of Debian's packages, unpacked.
type Parts struct {
	Kernel      string // linux-image-*-amd64: boot/vmlinuz-…
	Modules     string // the same: lib/modules/…
	Stub        string // systemd-boot-efi, at least 254: usr/lib/systemd/boot/efi/linuxx64.efi.stub
	SystemdBoot string // the same: systemd-bootx64.efi
	GRUB        string // grub-pc-bin: usr/lib/grub/i386-pc
	Initramfs   string // a file made by WriteInitramfs; "": each image makes its own, which takes seconds
}

// modulesOfGRUB is where Debian's grub-pc-bin puts them.
const modulesOfGRUB = "/usr/lib/grub/i386-pc"

// PartsIn gives the parts that scripts/emulated-build.sh laid out in a directory, with this machine's GRUB.
func PartsIn(dir string) (Parts, error) {
	release, err := os.ReadFile(filepath.Join(dir, "kernel", "release"))
	if err != nil {
		return Parts{}, err
	}
	return Parts{
		Kernel:      filepath.Join(dir, "kernel", "vmlinuz"),
		Modules:     filepath.Join(dir, "kernel", "modules", "lib", "modules", strings.TrimSpace(string(release))),
		Stub:        filepath.Join(dir, "systemd-boot", "linuxx64.efi.stub"),
		SystemdBoot: filepath.Join(dir, "systemd-boot", "systemd-bootx64.efi"),
		GRUB:        modulesOfGRUB,
	}, nil
}

// Options say how an image differs from Talos' plainest.
type Options struct {
	Version    string   // "": v1.14.1
	KernelArgs []string // a schematic's extraKernelArgs; talos.config= is one
	Meta       map[uint8]string
	FullSize   bool // with partitions as large as Talos': 4.45 GB, most of it zeroes
}

// Image is what was built: a disk image, and what the factory has beside it.
type Image struct {
	Raw       string // the disk image
	Kernel    string // kernel-amd64
	Initramfs string // initramfs-amd64.xz
	UKI       string // metal-amd64-uki.efi
	Cmdline   string // cmdline-metal-amd64
}

// Need skips a test that builds an image where that cannot be. In CI that is a failure.
func Need(t testing.TB) {
	t.Helper()
	var missing []string
	for _, need := range [][2]string{{"mkfs.vfat", "dosfstools"}, {"mcopy", "mtools"}, {"mkfs.xfs", "xfsprogs"}, {"grub-mkimage", "grub-common"}, {"go", "golang"}} {
		if _, err := exec.LookPath(need[0]); err != nil {
			if _, err := os.Stat(filepath.Join("/usr/sbin", need[0])); err != nil { // not in the path of people
				missing = append(missing, need[0]+" (apt-get install "+need[1]+")")
			}
		}
	}
	if _, err := os.Stat(filepath.Join(modulesOfGRUB, "boot.img")); err != nil {
		missing = append(missing, modulesOfGRUB+" (apt-get install grub-pc-bin)")
	}
	if len(missing) > 0 {
		skip.UnlessCI(t, "this test needs a disk image; missing: %s", strings.Join(missing, ", "))
	}
}

// Build makes an image in a directory.
func Build(ctx context.Context, dir string, p Parts, o Options) (Image, error) {
	if o.Version == "" {
		o.Version = "v1.14.1"
	}
	spec := world.ImageSpec{Version: o.Version, Arch: "amd64", Platform: "metal", KernelArgs: append([]string{"console=ttyS0"}, o.KernelArgs...)}
	i := Image{
		Raw: filepath.Join(dir, "metal-amd64.raw"), Kernel: p.Kernel, Initramfs: p.Initramfs,
		UKI: filepath.Join(dir, "metal-amd64-uki.efi"), Cmdline: spec.Cmdline(),
	}
	if i.Initramfs == "" {
		i.Initramfs = filepath.Join(dir, "initramfs-amd64.xz")
		if err := WriteInitramfs(ctx, i.Initramfs, p.Modules); err != nil {
			return i, fmt.Errorf("build the initramfs: %w", err)
		}
	}
	if err := writeUKI(i.UKI, p.Stub, i, o.Version); err != nil {
		return i, fmt.Errorf("build the UKI: %w", err)
	}
	l := layoutFor(o)
	if err := l.writeEFI(ctx, dir, p, i, o.Version); err != nil {
		return i, fmt.Errorf("build the EFI partition: %w", err)
	}
	if err := l.writeBoot(ctx, dir, i, o.Version); err != nil {
		return i, fmt.Errorf("build the BOOT partition: %w", err)
	}
	if err := l.assemble(ctx, dir, p, o.Meta, i.Raw); err != nil {
		return i, fmt.Errorf("build the disk image: %w", err)
	}
	return i, nil
}

// Compress writes the disk image as .raw.zst beside it, which is the form Talos' factory hands out, and gives its path.
func (i Image) Compress() (path string, err error) {
	in, err := os.Open(i.Raw)
	if err != nil {
		return "", err
	}
	defer in.Close()
	path = i.Raw + ".zst"
	info, err := in.Stat()
	if err != nil {
		return "", err
	}
	out, err := os.Create(path)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault))
	if err != nil {
		return "", err
	}
	z.ResetContentSize(out, info.Size()) // Talos' imager runs zstd on a file, which writes it down
	_, err = in.WriteTo(z)
	return path, errors.Join(err, z.Close())
}

// run runs a program and has its error say what it printed.
func run(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin", "MTOOLS_SKIP_CHECK=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(string(out)))
	}
	return nil
}
