package fleet

import "slices"

// Customization is what is special about the images of a schematic, in the words of the image factory.
type Customization struct {
	Extensions    []string // "siderolabs/gvisor"
	KernelArgs    []string // added to Talos' own; "-console" takes those of that name away
	Meta          []MetaValue
	Overlay       Overlay // what a board of arm64 needs to boot; zero: none
	Bootloader    string  // dual-boot, sd-boot or grub; "" lets Talos choose
	SecureBoot    SecureBoot
	SectorSize    uint   // of disk images, in bytes; 0 is 512
	MachineConfig string // built into the image, YAML
}

// MetaValue is written into a META key of the image.
type MetaValue struct {
	Key   uint8
	Value string
}

// Overlay names what a board needs; the image is where it is kept.
type Overlay struct {
	Name, Image string
	Options     map[string]any
}

// SecureBoot is how the images for secure boot bring their keys into the firmware.
type SecureBoot struct {
	WellKnownCertificates bool   // those of Microsoft too
	EnrollKeys            string // off, manual, if-safe or force; "" is if-safe: by itself in a virtual machine only
}

// With is the customization with another one added: lists get longer, META values and single values are replaced.
func (c Customization) With(more Customization) Customization {
	c.Extensions = united(c.Extensions, more.Extensions)
	c.KernelArgs = united(c.KernelArgs, more.KernelArgs)
	c.Meta = slices.Clone(c.Meta)
	for _, m := range more.Meta {
		c.Meta = append(slices.DeleteFunc(c.Meta, func(have MetaValue) bool { return have.Key == m.Key }), m)
	}
	if more.Overlay.Name != "" {
		c.Overlay = more.Overlay
	}
	if more.Bootloader != "" {
		c.Bootloader = more.Bootloader
	}
	c.SecureBoot.WellKnownCertificates = c.SecureBoot.WellKnownCertificates || more.SecureBoot.WellKnownCertificates
	if more.SecureBoot.EnrollKeys != "" {
		c.SecureBoot.EnrollKeys = more.SecureBoot.EnrollKeys
	}
	if more.SectorSize != 0 {
		c.SectorSize = more.SectorSize
	}
	if more.MachineConfig != "" {
		c.MachineConfig = more.MachineConfig
	}
	return c
}

func united(have, more []string) []string {
	all := slices.Clone(have)
	for _, v := range more {
		if !slices.Contains(all, v) {
			all = append(all, v)
		}
	}
	return all
}

// SchematicReport says what one Talos version lacks of a schematic. Images for it cannot be built while anything is
// missing.
type SchematicReport struct {
	TalosVersion string
	Missing      []Missing
	Renamed      []Renamed // found by another name
	UsedBy       []string  // clusters and servers with this version, "cluster prod"
}

// Missing is one thing that a version has not.
type Missing struct {
	Kind    string   // "extension", "overlay" or "feature"
	Name    string   // siderolabs/gvisor
	Text    string   // why, if there is more to say than that it is not there
	Nearest []string // what may have been meant
}

// Renamed is an extension that a version has by another name, which the factory finds.
type Renamed struct{ From, To string }
