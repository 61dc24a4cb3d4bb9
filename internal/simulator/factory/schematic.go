package factory

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"

	"github.com/siderolabs/talos/pkg/machinery/imager/imageropts"
	"go.yaml.in/yaml/v4"
)

// Schematic is what an image is made of, in the order of the fields of image-factory v1.5.0 pkg/schematic: the id is
// the hash of the canonical YAML, so that their order is part of the protocol. That version's module cannot be used
// here, and the older one that can knows neither embeddedMachineConfiguration nor diskImage nor enrollKeys.
type Schematic struct {
	Owner         string        `yaml:"owner,omitempty"`
	Overlay       Overlay       `yaml:"overlay,omitempty"`
	Customization Customization `yaml:"customization"`
}

// Customization of a schematic.
type Customization struct {
	EmbeddedMachineConfiguration string                    `yaml:"embeddedMachineConfiguration,omitempty"`
	ExtraKernelArgs              []string                  `yaml:"extraKernelArgs,omitempty"`
	Meta                         []MetaValue               `yaml:"meta,omitempty"`
	SystemExtensions             SystemExtensions          `yaml:"systemExtensions,omitempty"`
	Bootloader                   imageropts.BootloaderKind `yaml:"bootloader,omitempty"`
	SecureBoot                   SecureBoot                `yaml:"secureboot,omitempty"`
	DiskImage                    DiskImage                 `yaml:"diskImage,omitempty"`
}

// MetaValue is written into META.
type MetaValue struct {
	Key   uint8  `yaml:"key"`
	Value string `yaml:"value"`
}

// SystemExtensions of a schematic.
type SystemExtensions struct {
	OfficialExtensions []string `yaml:"officialExtensions,omitempty"`
}

// Overlay of a schematic.
type Overlay struct {
	Image   string         `yaml:"image"`
	Name    string         `yaml:"name"`
	Options map[string]any `yaml:"options,omitempty"`
}

// SecureBoot of a schematic.
type SecureBoot struct {
	IncludeWellKnownCertificates bool   `yaml:"includeWellKnownCertificates,omitempty"`
	EnrollKeys                   string `yaml:"enrollKeys,omitempty"`
}

// DiskImage of a schematic.
type DiskImage struct {
	SectorSize uint `yaml:"sectorSize,omitempty"`
}

// readSchematic reads what was posted: one document, no unknown fields; what follows the first document is lost, as
// in reality.
func readSchematic(text []byte) (Schematic, error) {
	var s Schematic
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(&s); err != nil {
		return s, problem{http.StatusBadRequest, err.Error()}
	}
	if s.Owner != "" {
		return s, problem{http.StatusBadRequest, "owner field is only supported in Enterprise edition"}
	}
	return s, nil
}

// id is the hash of the canonical form, and that form.
func (s Schematic) id() (id string, text []byte, err error) {
	if text, err = yaml.Marshal(&s); err != nil {
		return "", nil, err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), text, nil
}
