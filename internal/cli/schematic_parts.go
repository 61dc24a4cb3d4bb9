package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v4"

	"github.com/talos-manager/talos-manager/client"
)

// partFlags are the flags that make up a schematic.
type partFlags struct {
	file, yaml                      string
	extensions, args, without, meta []string
	overlay, overlayImage           string
	options                         []string
	bootloader, enrollKeys          string
	wellKnown                       bool
	sectorSize                      uint
	machineConfig                   string
	talos                           string
	unchecked                       bool
}

func (p *program) declareParts(cmd *cobra.Command) *partFlags {
	var o partFlags
	f := cmd.Flags()
	f.StringVarP(&o.file, "file", "f", "", "file with the customization, - for stdin")
	f.StringVar(&o.yaml, "yaml", "", "the customization itself")
	f.StringArrayVar(&o.extensions, "extension", nil, "official extension, gvisor or siderolabs/gvisor; may be given several times")
	f.StringArrayVar(&o.args, "kernel-arg", nil, "kernel argument to add, NAME=VALUE; may be given several times")
	f.StringArrayVar(&o.without, "without-kernel-arg", nil, "name of kernel arguments of Talos' own to leave out; may be given several times")
	f.StringArrayVar(&o.meta, "meta", nil, "KEY=VALUE or KEY=@FILE to write into META, 0xc=text; may be given several times")
	f.StringVar(&o.overlay, "overlay", "", "what a board with arm64 needs, such as rpi_generic")
	f.StringVar(&o.overlayImage, "overlay-image", "", "image of the overlay; the default is the factory's")
	f.StringArrayVar(&o.options, "overlay-option", nil, "NAME=VALUE or NAME=@FILE, a value in YAML; may be given several times")
	f.StringVar(&o.bootloader, "bootloader", "", "auto, dual-boot, sd-boot or grub")
	f.StringVar(&o.enrollKeys, "secureboot-enroll-keys", "", "how images for secure boot enrol their keys: off, manual, if-safe or force")
	f.BoolVar(&o.wellKnown, "secureboot-well-known-certs", false, "enrol Microsoft's certificates too")
	f.UintVar(&o.sectorSize, "sector-size", 0, "sectors of the disk image, 512 or 4096 bytes")
	f.StringVar(&o.machineConfig, "machine-config", "", "documents without secrets to build into the image, YAML or @FILE")
	f.StringVar(&o.talos, "talos-version", "", "Talos version to look extensions and overlays up for")
	f.BoolVar(&o.unchecked, "unchecked", false, "keep it though the factory lacks something of it, or does not answer")
	must(cmd.MarkFlagFilename("file", "yaml", "yml"))
	p.completeFlag(cmd, "extension", extensionNames)
	p.completeFlag(cmd, "overlay", overlayNames)
	complete(cmd, "bootloader", "auto", "dual-boot", "sd-boot", "grub")
	complete(cmd, "secureboot-enroll-keys", "off", "manual", "if-safe", "force")
	return &o
}

func extensionNames(ctx context.Context, c *client.Client) ([]string, error) {
	l, err := c.Extensions(ctx, client.FactoryFilter{})
	return each(l.Items, func(e client.Extension) string { return e.Name + "\t" + strings.TrimSpace(e.Description) }), err
}

func overlayNames(ctx context.Context, c *client.Client) ([]string, error) {
	l, err := c.Overlays(ctx, client.FactoryFilter{})
	return each(l.Items, func(o client.OfficialOverlay) string { return o.Name + "\t" + o.Image }), err
}

// text says whether the customization is given as text.
func (o *partFlags) text(cmd *cobra.Command) bool {
	return cmd.Flags().Changed("yaml") || cmd.Flags().Changed("file")
}

// read gives the text and the parts that the flags say; nil without any part.
func (o *partFlags) read(p *program, cmd *cobra.Command) (text string, parts *client.SchematicParts, err error) {
	if cmd.Flags().Changed("yaml") && cmd.Flags().Changed("file") {
		return "", nil, &usage{text: cmd.CommandPath() + ": give either --file or --yaml", hint: cmd.UseLine()}
	}
	text = o.yaml
	if o.file != "" {
		if text, err = p.read("file", "@"+strings.TrimPrefix(o.file, "@")); err != nil {
			return "", nil, err
		}
	}
	given := false
	for _, flag := range []string{
		"extension", "kernel-arg", "without-kernel-arg", "meta", "overlay", "overlay-image", "overlay-option", "bootloader",
		"secureboot-enroll-keys", "secureboot-well-known-certs", "sector-size", "machine-config",
	} {
		given = given || cmd.Flags().Changed(flag)
	}
	if !given {
		return text, nil, nil
	}
	parts = &client.SchematicParts{Extensions: o.extensions, KernelArgs: slices.Clone(o.args), Bootloader: o.bootloader, SectorSize: o.sectorSize}
	for _, name := range o.without {
		parts.KernelArgs = append(parts.KernelArgs, "-"+strings.TrimPrefix(name, "-"))
	}
	if o.wellKnown || o.enrollKeys != "" {
		parts.SecureBoot = &client.SecureBoot{WellKnownCertificates: o.wellKnown, EnrollKeys: o.enrollKeys}
	}
	if parts.MachineConfig, err = p.read("machine-config", o.machineConfig); err != nil {
		return "", nil, err
	}
	if parts.Meta, err = o.readMeta(p); err != nil {
		return "", nil, err
	}
	parts.Overlay, err = o.readOverlay(p)
	return text, parts, err
}

func (o *partFlags) readMeta(p *program) ([]client.MetaValue, error) {
	var all []client.MetaValue
	for _, m := range o.meta {
		name, value, ok := strings.Cut(m, "=")
		key, err := metaKey(name)
		if err != nil || !ok {
			return nil, &usage{text: fmt.Sprintf("--meta: %q is not of the form KEY=VALUE with a KEY from 1 to 255", name), hint: "--meta 0xc=text"}
		}
		if value, err = p.read("meta", value); err != nil {
			return nil, err
		}
		all = append(all, client.MetaValue{Key: key, Value: value})
	}
	return all, nil
}

// metaKey reads 10, 0xa or 0x0a.
func metaKey(text string) (uint8, error) {
	n, err := strconv.ParseUint(text, 0, 8)
	if err == nil && n == 0 {
		err = strconv.ErrRange
	}
	return uint8(n), err
}

func (o *partFlags) readOverlay(p *program) (*client.Overlay, error) {
	if o.overlay == "" {
		if o.overlayImage != "" || len(o.options) > 0 {
			return nil, &usage{text: "--overlay is missing: which one are its image and options for?", hint: "--overlay rpi_generic; talos-manager schematic overlays lists them"}
		}
		return nil, nil
	}
	v := &client.Overlay{Name: o.overlay, Image: o.overlayImage}
	for _, option := range o.options {
		name, value, ok := strings.Cut(option, "=")
		if !ok || name == "" {
			return nil, &usage{text: fmt.Sprintf("--overlay-option: %q is not of the form NAME=VALUE", option), hint: "--overlay-option configTxt=@config.txt"}
		}
		text, err := p.read("overlay-option", value)
		if err != nil {
			return nil, err
		}
		var parsed any = text // a file is a text, whatever is in it
		if !strings.HasPrefix(value, "@") {
			if err := yaml.Unmarshal([]byte(text), &parsed); err != nil || parsed == nil {
				parsed = text
			}
		}
		if v.Options == nil {
			v.Options = map[string]any{}
		}
		v.Options[name] = parsed
	}
	return v, nil
}

// add changes parts by others: lists get longer, values are replaced.
func add(to, more *client.SchematicParts) {
	full := func(name string) string {
		if strings.Contains(name, "/") {
			return name
		}
		return "siderolabs/" + name
	}
	for _, name := range more.Extensions {
		if name = full(name); !slices.Contains(to.Extensions, name) {
			to.Extensions = append(to.Extensions, name)
		}
	}
	for _, arg := range more.KernelArgs {
		if !slices.Contains(to.KernelArgs, arg) {
			to.KernelArgs = append(to.KernelArgs, arg)
		}
	}
	for _, m := range more.Meta {
		to.Meta = append(slices.DeleteFunc(to.Meta, func(have client.MetaValue) bool { return have.Key == m.Key }), m)
	}
	if more.Overlay != nil {
		to.Overlay = more.Overlay
	}
	if more.SecureBoot != nil {
		to.SecureBoot = more.SecureBoot
	}
	to.Bootloader = first(more.Bootloader, to.Bootloader)
	to.MachineConfig = first(more.MachineConfig, to.MachineConfig)
	if more.SectorSize != 0 {
		to.SectorSize = more.SectorSize
	}
}

// lessParts are the flags that take something out of a schematic.
type lessParts struct {
	extensions, args, meta    []string
	overlay, secureBoot, text bool
}

func declareLess(cmd *cobra.Command) *lessParts {
	var o lessParts
	f := cmd.Flags()
	f.StringArrayVar(&o.extensions, "remove-extension", nil, "extension to take out; may be given several times")
	f.StringArrayVar(&o.args, "remove-kernel-arg", nil, "kernel argument to take out, NAME=VALUE, or NAME for all of that name; may be given several times")
	f.StringArrayVar(&o.meta, "remove-meta", nil, "key of META to take out; may be given several times")
	f.BoolVar(&o.overlay, "remove-overlay", false, "take the overlay out")
	f.BoolVar(&o.secureBoot, "remove-secureboot", false, "take the settings for secure boot out")
	f.BoolVar(&o.text, "remove-machine-config", false, "take the built-in documents out")
	return &o
}

func (o *lessParts) any() bool {
	return len(o.extensions)+len(o.args)+len(o.meta) > 0 || o.overlay || o.secureBoot || o.text
}

// from takes the parts out; what is not there is an error, because something else was meant.
func (o *lessParts) from(v *client.SchematicParts) error {
	missing := func(what, name string) error {
		return &usage{text: fmt.Sprintf("schematic update: it has no %s %s", what, name), hint: "talos-manager schematic show says what it has"}
	}
	for _, name := range o.extensions {
		left := slices.DeleteFunc(slices.Clone(v.Extensions), func(have string) bool { return have == name || have == "siderolabs/"+name })
		if len(left) == len(v.Extensions) {
			return missing("extension", name)
		}
		v.Extensions = left
	}
	for _, arg := range o.args {
		left := slices.DeleteFunc(slices.Clone(v.KernelArgs), func(have string) bool { return have == arg || strings.HasPrefix(have, arg+"=") })
		if len(left) == len(v.KernelArgs) {
			return missing("kernel argument", arg)
		}
		v.KernelArgs = left
	}
	for _, name := range o.meta {
		key, err := metaKey(name)
		left := slices.DeleteFunc(slices.Clone(v.Meta), func(have client.MetaValue) bool { return err == nil && have.Key == key })
		if len(left) == len(v.Meta) {
			return missing("META key", name)
		}
		v.Meta = left
	}
	if o.overlay {
		v.Overlay = nil
	}
	if o.secureBoot {
		v.SecureBoot = nil
	}
	if o.text {
		v.MachineConfig = ""
	}
	return nil
}
