package world

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrNoTalos says that no Talos is installed on a disk.
var ErrNoTalos = errors.New("no Talos on the disk")

// BootInfo is what firmware and loader find on a disk.
type BootInfo struct {
	Version, Arch, Platform, Schematic string
	Extensions                         []string
	Loader                             string // grub or sd-boot: which one boots on this firmware
	Cmdline                            string
	Meta                               map[uint8]string // nil: META is not valid
}

// Arg gives the last value of a kernel argument name=value.
func (b BootInfo) Arg(name string) (string, bool) {
	value, found := "", false
	for arg := range strings.FieldsSeq(b.Cmdline) {
		if k, v, _ := strings.Cut(arg, "="); k == name {
			value, found = v, true
		}
	}
	return value, found
}

// FindBoot gives the first disk of a machine that boots Talos, in the order of its disks.
func FindBoot(m *Machine) (*Disk, BootInfo, error) {
	why := ErrNoTalos
	for _, d := range m.Disks {
		info, err := ReadBoot(d)
		if err == nil {
			return d, info, nil
		}
		if !errors.Is(err, ErrNoTalos) {
			why = err
		}
	}
	return nil, BootInfo{}, why
}

// ReadBoot reads what the machine's firmware would boot from a disk: BIOS runs GRUB, which takes the command line
// from grub.cfg; UEFI runs systemd-boot, which takes it from the UKI and the addons beside it. ErrNoTalos: nothing of
// Talos is there. ErrCorrupt: an image was written half, damaged, mixed with another or laid over data that was not wiped.
func ReadBoot(d *Disk) (BootInfo, error) {
	uefi := d.machine != nil && (d.machine.UEFI || d.machine.Arch == "arm64")
	g, err := ReadGPT(d, d.SizeBytes)
	if err != nil {
		return BootInfo{}, fmt.Errorf("%s: %w: %w", d.Name, ErrNoTalos, err)
	}
	if g.Find("EFI") == nil || g.Find("META") == nil {
		return BootInfo{}, fmt.Errorf("%s: %w", d.Name, ErrNoTalos)
	}
	info, err := readBoot(d, g, uefi)
	if err != nil {
		return BootInfo{}, fmt.Errorf("%s: %w", d.Name, err)
	}
	if d.machine != nil && d.machine.Arch != info.Arch {
		return BootInfo{}, fmt.Errorf("%s: %w: an image for %s on %s", d.Name, ErrNoTalos, info.Arch, d.machine.Arch)
	}
	info.Meta, _ = ReadMeta(d)
	return info, nil
}

func readBoot(d *Disk, g *GPT, uefi bool) (BootInfo, error) {
	efi, rec, err := systemVolume(d, g, "EFI")
	if err != nil {
		return BootInfo{}, err
	}
	info := BootInfo{Version: rec.Version, Arch: rec.Arch, Platform: rec.Platform, Schematic: rec.Schematic, Extensions: rec.Extensions}
	var boot *Volume
	if g.Find("BOOT") != nil {
		var other imageRecord
		if boot, other, err = systemVolume(d, g, "BOOT"); err != nil {
			return BootInfo{}, err
		}
		if other.Build != rec.Build {
			return BootInfo{}, fmt.Errorf("EFI and BOOT are of different images: %w", ErrCorrupt)
		}
		if err := checkCore(d, g); err != nil {
			return BootInfo{}, err
		}
	}
	grub := rec.Loader == LoaderGRUB || rec.Loader == LoaderDual && !uefi
	switch {
	case grub && boot != nil:
		info.Loader = LoaderGRUB
		info.Cmdline, err = grubCmdline(boot.Files[grubFile])
	case !grub && uefi:
		info.Loader = LoaderSDBoot
		info.Cmdline, err = ukiCmdlineOf(efi, rec.Arch)
	default:
		err = fmt.Errorf("%w: its loader %s does not suit this firmware", ErrNoTalos, rec.Loader)
	}
	return info, err
}

// systemVolume reads EFI or BOOT and the image record on it.
func systemVolume(d *Disk, g *GPT, label string) (*Volume, imageRecord, error) {
	p := g.Find(label)
	if p.Start+p.Size > d.SizeBytes {
		return nil, imageRecord{}, fmt.Errorf("%s ends behind the disk: %w", label, ErrCorrupt)
	}
	v, err := ReadVolume(d, p.Start, p.Size)
	if errors.Is(err, ErrNoVolume) {
		err = fmt.Errorf("%s: %w: %w", label, ErrCorrupt, err)
	}
	if err != nil {
		return nil, imageRecord{}, err
	}
	var rec imageRecord
	if err := json.Unmarshal(v.Files[recordFile], &rec); err != nil {
		return nil, imageRecord{}, fmt.Errorf("%s: %w: %w", label, ErrCorrupt, err)
	}
	return v, rec, nil
}

func checkCore(d *Disk, g *GPT) error {
	p := g.Find("BIOS")
	if p == nil {
		return fmt.Errorf("BIOS is missing: %w", ErrCorrupt)
	}
	core := make([]byte, coreSize+sha256.Size)
	if _, err := d.ReadAt(core, p.Start); err != nil {
		return err
	}
	if sum := sha256.Sum256(core[:coreSize]); !bytes.Equal(sum[:], core[coreSize:]) {
		return fmt.Errorf("BIOS: %w", ErrCorrupt)
	}
	return nil
}

// InstallImage writes an image over a whole disk, as Talos' installer does with wipe.
func InstallImage(d *Disk, s ImageSpec) error {
	img, err := BuildImage(s)
	if err != nil {
		return err
	}
	d.Discard(0, d.SizeBytes)
	for _, p := range img.parts {
		if _, err := d.WriteAt(p.data, p.off); err != nil {
			return err
		}
	}
	return MoveBackup(d)
}

// UpgradeImage replaces the system on a disk and keeps META, STATE, EPHEMERAL and the loaders that are there, as
// Talos' installer does in an upgrade. What was edited in grub.cfg is lost.
func UpgradeImage(d *Disk, s ImageSpec) error {
	g, err := ReadGPT(d, d.SizeBytes)
	if err != nil {
		return err
	}
	for _, p := range g.Partitions {
		if !slices.Contains([]string{"EFI", "BIOS", "BOOT"}, p.Label) {
			continue
		}
		data, err := s.content(p)
		if err != nil {
			return err
		}
		d.Discard(p.Start, p.Size)
		if _, err := d.WriteAt(data, p.Start); err != nil {
			return err
		}
	}
	return nil
}

// MoveBackup rewrites the partition table with its backup at the end of the disk, as the first boot does.
func MoveBackup(d *Disk) error {
	g, err := ReadGPT(d, d.SizeBytes)
	if err != nil {
		return err
	}
	return g.Write(d, d.SizeBytes)
}
