package imagefactory

import (
	"fmt"
	"slices"
	"strings"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// sense refuses what the factory would take but no machine could use.
func (d *document) sense() error {
	c := d.Customization
	for i, arg := range c.ExtraKernelArgs {
		if err := checkArg(fmt.Sprintf("schematic: extraKernelArgs[%d]", i), arg); err != nil {
			return err
		}
	}
	names := c.SystemExtensions.OfficialExtensions
	for i, name := range names {
		at := fmt.Sprintf("schematic: officialExtensions[%d]", i)
		switch {
		case !strings.Contains(name, "/") || strings.ContainsAny(name, ":@ "):
			return fleet.Errorf(fleet.Invalid, "%s: %q is not the name of an extension", at, name).
				WithHint("write it like siderolabs/gvisor, without a version: the factory takes the one of the Talos version")
		case slices.Contains(names[:i], name):
			return fleet.Errorf(fleet.Invalid, "%s: %s is there twice", at, name).WithHint("remove one")
		}
	}
	for i, m := range c.Meta {
		at := fmt.Sprintf("schematic: meta[%d]", i)
		switch {
		case m.Key == 0:
			return fleet.Errorf(fleet.Invalid, "%s: META has no key 0", at).WithHint("keys are 0x6 to 0xff; those for everybody's use are 0xc to 0xe")
		case slices.ContainsFunc(c.Meta[:i], func(other metaValue) bool { return other.Key == m.Key }):
			return fleet.Errorf(fleet.Invalid, "%s: key %#x is there twice", at, m.Key).WithHint("remove one")
		}
	}
	if o := c.SecureBoot.EnrollKeys; !slices.Contains([]string{"", "off", "manual", "if-safe", "force"}, o) {
		return fleet.Errorf(fleet.Invalid, "schematic: enrollKeys %q", o).WithHint("write off, manual, if-safe or force")
	}
	if s := c.DiskImage.SectorSize; !slices.Contains([]uint{0, 512, 4096}, s) {
		return fleet.Errorf(fleet.Invalid, "schematic: sectorSize %d", s).WithHint("disks have sectors of 512 or 4096 bytes")
	}
	if d.Overlay.Name == "" && (d.Overlay.Image != "" || len(d.Overlay.Options) > 0) {
		return fleet.Errorf(fleet.Invalid, "schematic: an overlay without a name").WithHint("write name: rpi_generic; the factory looks for it by that")
	}
	return nil
}

// checkArg refuses what would be no argument, or several.
func checkArg(at, arg string) error {
	quoted, broken := false, strings.ContainsAny(arg, "\n\r")
	for _, r := range arg {
		quoted = quoted != (r == '"')
		broken = broken || r == ' ' && !quoted || r == '\t' && !quoted
	}
	switch {
	case strings.TrimLeft(arg, "-") == "":
		return fleet.Errorf(fleet.Invalid, "%s: there is nothing in it", at).WithHint("remove it")
	case quoted:
		return fleet.Errorf(fleet.Invalid, "%s: %q opens a quote and does not close it", at, arg).WithHint("close it")
	case broken:
		return fleet.Errorf(fleet.Invalid, "%s: %q is several arguments", at, arg).WithHint("write each as an item of its own; a space within a value needs double quotes around it")
	}
	return nil
}
