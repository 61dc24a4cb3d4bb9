package client

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// Schematic is what the image factory builds an image from.
type Schematic struct {
	ID        string          `json:"id"`
	Name      string          `json:"name"`
	FactoryID string          `json:"factoryID" doc:"what the image factory calls it: sha256 of its contents, hex"`
	YAML      string          `json:"yaml" doc:"as it was written"`
	Parts     *SchematicParts `json:"parts,omitempty" doc:"the same by parts; absent for one that cannot be read"`
	SameAs    []string        `json:"sameAs,omitempty" doc:"other schematics with the same contents, which the factory builds once"`
	CreatedAt time.Time       `json:"createdAt"`
}

// SchematicParts is what is special about the images of a schematic.
type SchematicParts struct {
	Extensions    []string    `json:"extensions,omitempty" doc:"official extensions; the folder siderolabs/ may be left out"`
	KernelArgs    []string    `json:"kernelArgs,omitempty" doc:"added to those of Talos; -name takes the ones of that name away"`
	Meta          []MetaValue `json:"meta,omitempty"`
	Overlay       *Overlay    `json:"overlay,omitempty" doc:"what a board with arm64 needs to boot"`
	Bootloader    string      `json:"bootloader,omitempty" enum:"auto,dual-boot,sd-boot,grub" doc:"absent: Talos chooses"`
	SecureBoot    *SecureBoot `json:"secureBoot,omitempty"`
	SectorSize    uint        `json:"sectorSize,omitempty" doc:"of disk images, 512 or 4096 bytes; absent: 512"`
	MachineConfig string      `json:"machineConfig,omitempty" doc:"documents that are built into the image, YAML; since Talos 1.12"`
}

// MetaValue is written into a key of META.
type MetaValue struct {
	Key   uint8  `json:"key" doc:"10 is the network of the metal platform, 12 to 14 are for everybody's use"`
	Value string `json:"value"`
}

// Overlay names what a board needs.
type Overlay struct {
	Name    string         `json:"name" doc:"rpi_generic"`
	Image   string         `json:"image,omitempty" doc:"absent: looked up at the factory"`
	Options map[string]any `json:"options,omitempty" doc:"as the overlay takes them"`
}

// SecureBoot is how images for secure boot bring their keys into the firmware.
type SecureBoot struct {
	WellKnownCertificates bool   `json:"wellKnownCertificates,omitempty" doc:"those of Microsoft too"`
	EnrollKeys            string `json:"enrollKeys,omitempty" enum:"off,manual,if-safe,force" doc:"absent: if-safe"`
}

// NewSchematic is what a schematic is made from: YAML, parts, or parts added to YAML. Schematics are public at the
// factory: no secrets.
type NewSchematic struct {
	Name         string          `json:"name" doc:"1 to 63 of a-z, 0-9 and '-'"`
	YAML         string          `json:"yaml,omitempty" doc:"customization as the image factory takes it"`
	Parts        *SchematicParts `json:"parts,omitempty"`
	TalosVersion string          `json:"talosVersion,omitempty" doc:"to look extensions and overlays up in; absent: the newest"`
	Unchecked    bool            `json:"unchecked,omitempty" doc:"keep it though the factory does not have what it asks for, or does not answer"`
}

// SchematicUpdate changes a schematic. Machines keep what they run.
type SchematicUpdate struct {
	Name         string          `json:"name,omitempty" doc:"new name; absent: as it was"`
	YAML         *string         `json:"yaml,omitempty" doc:"instead of the old contents"`
	Parts        *SchematicParts `json:"parts,omitempty" doc:"instead of the old contents, or added to the new YAML"`
	FactoryID    string          `json:"factoryID,omitempty" doc:"the change is based on; a conflict if it is not the current one; absent: whichever is"`
	TalosVersion string          `json:"talosVersion,omitempty" doc:"to look extensions and overlays up in; absent: those of the clusters that use it"`
	Unchecked    bool            `json:"unchecked,omitempty" doc:"change it though the factory does not have what it asks for, or does not answer"`
}

// SchematicReport says what a Talos version lacks of a schematic. While anything is missing, no image can be built.
type SchematicReport struct {
	TalosVersion string             `json:"talosVersion"`
	Missing      []MissingPart      `json:"missing,omitempty"`
	Renamed      []RenamedExtension `json:"renamed,omitempty" doc:"found by another name"`
	UsedBy       []string           `json:"usedBy,omitempty" doc:"clusters and servers with this version that use the schematic"`
}

// MissingPart is one thing that a version has not.
type MissingPart struct {
	Kind    string   `json:"kind" enum:"extension,overlay,feature"`
	Name    string   `json:"name"`
	Text    string   `json:"text,omitempty" doc:"what more there is to say"`
	Nearest []string `json:"nearest,omitempty" doc:"what it has instead"`
}

// RenamedExtension is one that a version has by another name.
type RenamedExtension struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// ExtensionList is what the factory has for a Talos version.
type ExtensionList struct {
	TalosVersion string      `json:"talosVersion"`
	Items        []Extension `json:"items"`
}

// Extension is an official system extension as built for one Talos version.
type Extension struct {
	Name        string `json:"name" doc:"siderolabs/gvisor"`
	Ref         string `json:"ref" doc:"image with its tag, which tells the version"`
	Digest      string `json:"digest"`
	Author      string `json:"author,omitempty"`
	Description string `json:"description,omitempty"`
}

// OverlayList is what the factory has for a Talos version.
type OverlayList struct {
	TalosVersion string            `json:"talosVersion"`
	Items        []OfficialOverlay `json:"items"`
}

// OfficialOverlay is what a board needs to boot, as built for one Talos version.
type OfficialOverlay struct {
	Name   string `json:"name" doc:"rpi_generic"`
	Image  string `json:"image" doc:"siderolabs/sbc-raspberrypi"`
	Ref    string `json:"ref"`
	Digest string `json:"digest"`
}

// FactoryFilter chooses extensions and overlays.
type FactoryFilter struct {
	TalosVersion string // "": the newest
	Search       string // part of name or description, in any case
}

func (f FactoryFilter) query() url.Values {
	return url.Values(set{}.add("talosVersion", f.TalosVersion).add("search", f.Search))
}

// Schematics lists the schematics.
func (c *Client) Schematics(ctx context.Context) (l List[Schematic], err error) {
	return l, c.call(ctx, http.MethodGet, at("/schematics"), nil, nil, &l)
}

// Schematic reads one by id or name.
func (c *Client) Schematic(ctx context.Context, ref string) (v Schematic, err error) {
	return v, c.call(ctx, http.MethodGet, at("/schematics/%s", ref), nil, nil, &v)
}

// CreateSchematic keeps a new schematic. It is refused if it would publish a secret, or if the factory has not what it
// asks for.
func (c *Client) CreateSchematic(ctx context.Context, n NewSchematic) (v Schematic, err error) {
	return v, c.call(ctx, http.MethodPost, at("/schematics"), nil, n, &v)
}

// UpdateSchematic changes a schematic.
func (c *Client) UpdateSchematic(ctx context.Context, ref string, u SchematicUpdate) (v Schematic, err error) {
	return v, c.call(ctx, http.MethodPut, at("/schematics/%s", ref), nil, u, &v)
}

// CheckSchematic says what Talos versions lack of a schematic: of one, or for "" of those of the clusters that use it.
func (c *Client) CheckSchematic(ctx context.Context, ref, talosVersion string) (l List[SchematicReport], err error) {
	return l, c.call(ctx, http.MethodGet, at("/schematics/%s/check", ref), FactoryFilter{TalosVersion: talosVersion}.query(), nil, &l)
}

// DeleteSchematic forgets a schematic that nobody uses.
func (c *Client) DeleteSchematic(ctx context.Context, ref string) error {
	return c.call(ctx, http.MethodDelete, at("/schematics/%s", ref), nil, nil, nil)
}

// Extensions lists the official extensions that the image factory has for a Talos version.
func (c *Client) Extensions(ctx context.Context, f FactoryFilter) (l ExtensionList, err error) {
	return l, c.call(ctx, http.MethodGet, at("/factory/extensions"), f.query(), nil, &l)
}

// Overlays lists the official overlays that the image factory has for a Talos version.
func (c *Client) Overlays(ctx context.Context, f FactoryFilter) (l OverlayList, err error) {
	return l, c.call(ctx, http.MethodGet, at("/factory/overlays"), f.query(), nil, &l)
}
