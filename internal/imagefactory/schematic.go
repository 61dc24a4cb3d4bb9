package imagefactory

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/imager/imageropts"
	"go.yaml.in/yaml/v4"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Vanilla is the id of the schematic that customizes nothing; every factory knows it.
const Vanilla = "376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba"

// document is a schematic as the factory writes it. The order of the fields counts: the id is the hash of the
// canonical YAML (image-factory v1.5.0 pkg/schematic). Its Go module of that version needs alphas of Talos' machinery,
// and the one in use knows neither embeddedMachineConfiguration nor diskImage nor enrollKeys.
type document struct {
	Owner         string        `yaml:"owner,omitempty"`
	Overlay       overlay       `yaml:"overlay,omitempty"`
	Customization customization `yaml:"customization"`
}

type overlay struct {
	Image   string         `yaml:"image"`
	Name    string         `yaml:"name"`
	Options map[string]any `yaml:"options,omitempty"`
}

type customization struct {
	EmbeddedMachineConfiguration string                    `yaml:"embeddedMachineConfiguration,omitempty"`
	ExtraKernelArgs              []string                  `yaml:"extraKernelArgs,omitempty"`
	Meta                         []metaValue               `yaml:"meta,omitempty"`
	SystemExtensions             systemExtensions          `yaml:"systemExtensions,omitempty"`
	Bootloader                   imageropts.BootloaderKind `yaml:"bootloader,omitempty"`
	SecureBoot                   secureBoot                `yaml:"secureboot,omitempty"`
	DiskImage                    diskImage                 `yaml:"diskImage,omitempty"`
}

type metaValue struct {
	Key   uint8  `yaml:"key"`
	Value string `yaml:"value"`
}

type systemExtensions struct {
	OfficialExtensions []string `yaml:"officialExtensions,omitempty"`
}

type secureBoot struct {
	IncludeWellKnownCertificates bool   `yaml:"includeWellKnownCertificates,omitempty"`
	EnrollKeys                   string `yaml:"enrollKeys,omitempty"`
}

type diskImage struct {
	SectorSize uint `yaml:"sectorSize,omitempty"`
}

// Read says what a schematic customizes. Empty YAML is the vanilla schematic.
func Read(yaml string) (fleet.Customization, error) {
	d, err := read(yaml)
	if err != nil {
		return fleet.Customization{}, err
	}
	c := fleet.Customization{
		Extensions: d.Customization.SystemExtensions.OfficialExtensions,
		KernelArgs: d.Customization.ExtraKernelArgs,
		Overlay:    fleet.Overlay{Name: d.Overlay.Name, Image: d.Overlay.Image, Options: d.Overlay.Options},
		SecureBoot: fleet.SecureBoot{
			WellKnownCertificates: d.Customization.SecureBoot.IncludeWellKnownCertificates,
			EnrollKeys:            d.Customization.SecureBoot.EnrollKeys,
		},
		SectorSize:    d.Customization.DiskImage.SectorSize,
		MachineConfig: d.Customization.EmbeddedMachineConfiguration,
	}
	for _, m := range d.Customization.Meta {
		c.Meta = append(c.Meta, fleet.MetaValue(m))
	}
	if d.Customization.Bootloader != imageropts.BootLoaderKindNone {
		c.Bootloader = d.Customization.Bootloader.String()
	}
	return c, nil
}

// Write makes a schematic of what it is to customize, in the form that the factory hashes.
func Write(c fleet.Customization) (string, error) {
	d := document{
		Overlay: overlay{Name: c.Overlay.Name, Image: c.Overlay.Image, Options: c.Overlay.Options},
		Customization: customization{
			EmbeddedMachineConfiguration: c.MachineConfig,
			ExtraKernelArgs:              c.KernelArgs,
			SystemExtensions:             systemExtensions{c.Extensions},
			SecureBoot:                   secureBoot{c.SecureBoot.WellKnownCertificates, c.SecureBoot.EnrollKeys},
			DiskImage:                    diskImage{c.SectorSize},
		},
	}
	for _, m := range c.Meta {
		d.Customization.Meta = append(d.Customization.Meta, metaValue(m))
	}
	if c.Bootloader != "" && c.Bootloader != "auto" {
		kind, err := imageropts.BootloaderKindString(c.Bootloader)
		if err != nil {
			return "", fleet.Errorf(fleet.Invalid, "schematic: bootloader %q", c.Bootloader).WithHint("write auto, dual-boot, sd-boot or grub")
		}
		d.Customization.Bootloader = kind
	}
	text, err := d.canonical()
	return string(text), err
}

func (d *document) canonical() ([]byte, error) { return yaml.Marshal(d) }

func (d *document) id() (string, error) {
	text, err := d.canonical()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// Check refuses a schematic that is not one, has unknown fields or values that mean nothing, or would publish a
// secret. Empty YAML is the vanilla schematic.
func (c *Client) Check(yaml string) error {
	d, err := read(yaml)
	if err != nil {
		return err
	}
	if err := d.secrets(); err != nil {
		return err
	}
	return d.sense()
}

// SchematicID computes the id of a schematic. The factory serves it only once it was created there.
func (c *Client) SchematicID(yaml string) (string, error) {
	d, err := read(yaml)
	if err != nil {
		return "", err
	}
	return d.id()
}

// WithKernelArg is the schematic with one more kernel argument, name=value. It takes the place of all that the
// schematic has of this name: where a machine gets its config from is not the schematic's to say.
func (c *Client) WithKernelArg(yaml, arg string) (string, error) {
	d, err := read(yaml)
	if err != nil {
		return "", err
	}
	name, _, _ := strings.Cut(arg, "=")
	args := slices.DeleteFunc(d.Customization.ExtraKernelArgs, func(have string) bool {
		return have == name || strings.HasPrefix(have, name+"=")
	})
	d.Customization.ExtraKernelArgs = append(args, arg)
	out, err := d.canonical()
	return string(out), err
}

const seeAlso = "see https://docs.siderolabs.com/talos/latest/platform-specific-installations/boot-assets for what a schematic may say"

// read is strict: one document, known fields.
func read(text string) (*document, error) {
	d := &document{}
	if blank(text) {
		return d, nil
	}
	dec := yaml.NewDecoder(strings.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(d); err != nil {
		return nil, unreadable(err)
	}
	// The factory's reader stops after the first document and loses the rest.
	documents := yaml.NewDecoder(strings.NewReader(text))
	for n := 0; ; n++ {
		err := documents.Decode(&yaml.Node{})
		switch {
		case errors.Is(err, io.EOF):
		case err != nil:
			return nil, unreadable(err)
		case n == 1:
			return nil, fleet.Errorf(fleet.Invalid, "schematic: more than one YAML document").WithHint(seeAlso)
		default:
			continue
		}
		break
	}
	if d.Owner != "" {
		return nil, fleet.Errorf(fleet.Invalid, "schematic: owner: only factories with logins know owners, and talos-manager does not log in").WithHint("remove it")
	}
	return d, nil
}

var unknownField = regexp.MustCompile(`(line [0-9]+): field (\S+) not found in type`)

// unreadable says what is wrong with a schematic, and which field may have been meant.
func unreadable(err error) error {
	found := unknownField.FindStringSubmatch(err.Error())
	if found == nil {
		return fleet.Errorf(fleet.Invalid, "schematic: %w", err).WithHint(seeAlso)
	}
	known := []string{
		"overlay", "image", "name", "options", "customization", "embeddedMachineConfiguration", "extraKernelArgs", "meta", "key", "value",
		"systemExtensions", "officialExtensions", "bootloader", "secureboot", "includeWellKnownCertificates", "enrollKeys", "diskImage", "sectorSize",
	}
	e := fleet.Errorf(fleet.Invalid, "schematic: %s: there is no field %s here", found[1], found[2])
	if near := fleet.Nearest(found[2], known); len(near) > 0 {
		return e.WithHint("write %s", strings.Join(near, " or "))
	}
	return e.WithHint(seeAlso)
}

// blank says whether there is nothing but comments.
func blank(text string) bool {
	var v any
	err := yaml.NewDecoder(bytes.NewReader([]byte(text))).Decode(&v)
	return errors.Is(err, io.EOF) || (err == nil && v == nil)
}
