package world

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/imager/quirks"
	"github.com/siderolabs/talos/pkg/machinery/kernel"
)

// The layout of a Talos disk image of the world: as Talos 1.10 and newer make them, smaller. amd64 images carry
// both loaders ("dual-boot"): GRUB for BIOS, which reads grub/grub.cfg on BOOT, and systemd-boot for UEFI, whose
// kernel command line is sealed in the UKI on EFI. arm64 images have EFI and META only ("sd-boot").
//
//	1 MiB  EFI   30 MiB  vfat: systemd-boot, the UKI
//	31     BIOS   1 MiB  GRUB's core image
//	32     BOOT  29 MiB  xfs: grub/grub.cfg, A/vmlinuz, A/initramfs.xz
//	61     META   1 MiB  key-value store
//	then, made by the first boot: STATE 100 MiB, EPHEMERAL the rest of the disk
const (
	ImageSize = 64 << 20

	mib           = 1 << 20
	sizeEFI       = 30 * mib
	sizeBIOS      = 1 * mib
	sizeBOOT      = 29 * mib
	sizeMETA      = 1 * mib
	sizeState     = 100 * mib
	kernelSize    = 640 << 10
	initramfsSize = 896 << 10
	coreSize      = 64 << 10
	recordFile    = "talos-image.json" // on EFI and BOOT: what the image is
	grubFile      = "grub/grub.cfg"
	ukiCmdline    = ".cmdline"
)

// Loaders an image can carry (schematic key customization.bootloader).
const (
	LoaderDual   = "dual-boot"
	LoaderGRUB   = "grub"
	LoaderSDBoot = "sd-boot"
)

// ImageSpec says what an image is made of. Equal specs give equal bytes.
type ImageSpec struct {
	Version    string // v1.14.1
	Arch       string // amd64, arm64
	Platform   string // metal, hcloud
	Schematic  string // its id
	Extensions []string
	KernelArgs []string // the schematic's extraKernelArgs
	Loader     string   // "": dual-boot on amd64, sd-boot on arm64
	Meta       map[uint8]string
}

func (s ImageSpec) loader() string {
	switch {
	case strings.HasPrefix(s.Version, "v1.9.") || strings.HasPrefix(s.Version, "v1.8."):
		return LoaderGRUB // before 1.10
	case s.Arch == "arm64" && s.Loader != LoaderGRUB:
		return LoaderSDBoot
	case s.Loader == "":
		return LoaderDual
	}
	return s.Loader
}

// Cmdline is the kernel command line that the image is made with: platform, its console arguments, Talos'
// defaults for the version, the schematic's arguments. As in Talos' imager, a "-name" argument removes name, and
// an extra console replaces the platform's.
func (s ImageSpec) Cmdline() string {
	args := []string{"talos.platform=" + s.Platform}
	switch s.Platform {
	case "hcloud": // internal/app/machined/pkg/runtime/v1alpha1/platform/hcloud
		args = append(args, "console=tty1", "console=ttyS0", "net.ifnames=0")
	default:
		args = append(args, "console=tty0")
	}
	args = append(args, kernel.DefaultArgs(quirks.New(s.Version))...)
	drop := func(name string) {
		args = slices.DeleteFunc(args, func(a string) bool { return a == name || strings.HasPrefix(a, name+"=") })
	}
	if slices.ContainsFunc(s.KernelArgs, func(a string) bool { return strings.HasPrefix(a, "console=") }) {
		drop("console")
	}
	for _, a := range s.KernelArgs {
		if name, ok := strings.CutPrefix(a, "-"); ok {
			drop(strings.TrimSuffix(name, "="))
			continue
		}
		args = append(args, a)
	}
	return strings.Join(args, " ")
}

// imageRecord is recordFile. Build is the same on every partition of one image.
type imageRecord struct {
	Version, Arch, Platform, Schematic, Loader, Build string
	Extensions                                        []string
}

func (s ImageSpec) record() imageRecord {
	b, _ := json.Marshal(s) // strings and a map with number keys: it cannot fail
	sum := sha256.Sum256(b)
	return imageRecord{
		Version: s.Version, Arch: s.Arch, Platform: s.Platform, Schematic: s.Schematic,
		Loader: s.loader(), Extensions: s.Extensions, Build: guidFrom(sum[:]),
	}
}

// Image is a disk image. It implements io.ReaderAt; Reader gives it from start to end.
type Image struct {
	parts []imagePart // ascending, apart from each other
}

type imagePart struct {
	off  int64
	data []byte
}

// Size is the length of the image in bytes.
func (i *Image) Size() int64 { return ImageSize }

// Reader reads the image from its start.
func (i *Image) Reader() *io.SectionReader { return io.NewSectionReader(i, 0, ImageSize) }

// ReadAt reads the image.
func (i *Image) ReadAt(p []byte, off int64) (int, error) {
	n, short := len(p), error(nil)
	if int64(n) > ImageSize-off {
		n, short = max(0, int(ImageSize-off)), io.EOF
	}
	p = p[:n]
	clear(p)
	for _, part := range i.parts {
		end := part.off + int64(len(part.data))
		if end <= off || part.off >= off+int64(n) {
			continue
		}
		copy(p[max(0, part.off-off):], part.data[max(0, off-part.off):])
	}
	return n, short
}

// BuildImage makes an image.
func BuildImage(s ImageSpec) (*Image, error) {
	rec := s.record()
	g := &GPT{DiskGUID: rec.Build}
	if err := g.layout(s.loader(), rec.Build); err != nil {
		return nil, err
	}
	head, tail, err := g.encode(ImageSize)
	if err != nil {
		return nil, err
	}
	img := &Image{parts: []imagePart{{0, head}}}
	for _, p := range g.Partitions {
		data, err := s.content(p)
		if err != nil {
			return nil, fmt.Errorf("build image: %s: %w", p.Label, err)
		}
		img.parts = append(img.parts, imagePart{p.Start, data})
	}
	img.parts = append(img.parts, imagePart{ImageSize - int64(len(tail)), tail})
	return img, nil
}

// layout lays the partitions of an image out.
func (g *GPT) layout(loader, seed string) error {
	parts := []Partition{{Label: "EFI", Type: TypeEFI, Size: sizeEFI}}
	if loader != LoaderSDBoot {
		parts = append(parts, Partition{Label: "BIOS", Type: TypeBIOS, Size: sizeBIOS}, Partition{Label: "BOOT", Type: TypeLinux, Size: sizeBOOT})
	}
	parts = append(parts, Partition{Label: "META", Type: TypeLinux, Size: sizeMETA})
	for _, p := range parts {
		sum := sha256.Sum256([]byte(seed + p.Label))
		if _, err := g.Add(ImageSize, p.Label, p.Type, guidFrom(sum[:]), p.Size); err != nil {
			return err
		}
	}
	return nil
}

// content gives the bytes of one partition.
func (s ImageSpec) content(p Partition) ([]byte, error) {
	switch p.Label {
	case "EFI":
		return s.efiVolume().encode(p.Size)
	case "BIOS":
		return coreImage(s.Version), nil
	case "BOOT":
		return s.bootVolume().encode(p.Size)
	case "META":
		return EncodeMeta(s.meta())
	}
	return nil, nil
}

// meta is what META holds before the first boot.
func (s ImageSpec) meta() map[uint8]string {
	values := map[uint8]string{MetaDiskImageBootloader: s.loader()}
	for k, v := range s.Meta {
		values[k] = v
	}
	return values
}

func (s ImageSpec) efiVolume() *Volume {
	rec := s.record()
	record, _ := json.Marshal(rec)
	name, boot := "BOOTX64.EFI", "systemd-bootx64.efi"
	if s.Arch == "arm64" {
		name, boot = "BOOTAA64.EFI", "systemd-bootaa64.efi"
	}
	loader := append([]byte("MZ"+boot), filler("sd-boot "+s.Version+s.Arch, coreSize)...)
	files := map[string][]byte{recordFile: record, "EFI/BOOT/" + name: loader}
	if rec.Loader != LoaderGRUB {
		files["EFI/systemd/"+boot] = loader
		files["EFI/Linux/Talos-"+s.Version+".efi"] = s.UKI()
		files["loader/loader.conf"] = []byte("timeout 10\n")
	}
	return &Volume{Kind: "vfat", Label: "EFI", UUID: rec.Build, Files: files}
}

func (s ImageSpec) bootVolume() *Volume {
	rec := s.record()
	record, _ := json.Marshal(rec)
	return &Volume{Kind: "xfs", Label: "BOOT", UUID: rec.Build, Files: map[string][]byte{
		recordFile:       record,
		grubFile:         GrubConfig(s.Version, s.Cmdline()),
		"A/vmlinuz":      s.Kernel(),
		"A/initramfs.xz": s.Initramfs(),
	}}
}

// Kernel is the Linux kernel of the image.
func (s ImageSpec) Kernel() []byte {
	return marked(kernelMark, kernelRecord{s.Version, s.Arch}, "kernel "+s.Version+s.Arch, kernelSize)
}

// Initramfs is the initial root file system of the image.
func (s ImageSpec) Initramfs() []byte {
	rec := s.record()
	rec.Build, rec.Platform, rec.Loader = "", "", "" // the same for all of them
	return marked(initramfsMark, rec, "initramfs "+s.Version+s.Arch+s.Schematic+s.Platform, initramfsSize)
}

// UKI is the unified kernel image: a stand-in for the PE file, with its sections as name, length and data.
func (s ImageSpec) UKI() []byte {
	var b bytes.Buffer
	b.WriteString("MZ")
	for _, section := range []struct {
		name string
		data []byte
	}{
		{".osrel", []byte("ID=talos\nVERSION_ID=" + s.Version + "\n")},
		{".uname", []byte(s.Version)},
		{ukiCmdline, []byte(s.Cmdline())},
		{".linux", s.Kernel()},
		{".initrd", s.Initramfs()},
	} {
		fmt.Fprintf(&b, "%-8s%12d", section.name, len(section.data))
		b.Write(section.data)
	}
	return b.Bytes()
}

// ukiSection gives a section of a UKI.
func ukiSection(b []byte, want string) (string, bool) {
	for b = bytes.TrimPrefix(b, []byte("MZ")); len(b) >= 20; {
		var size int
		if _, err := fmt.Sscan(string(b[8:20]), &size); err != nil || size > len(b)-20 {
			return "", false
		}
		if strings.TrimSpace(string(b[:8])) == want {
			return string(b[20 : 20+size]), true
		}
		b = b[20+size:]
	}
	return "", false
}

// coreImage fills BIOS: data that ends with its own checksum.
func coreImage(version string) []byte {
	data := filler("grub core "+version, coreSize)
	sum := sha256.Sum256(data)
	return append(data, sum[:]...)
}

// filler is data that does not compress, the same for the same seed.
func filler(seed string, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8(sha256.Sum256([]byte(seed))).Read(b)
	return b
}
