package rescue

import (
	"context"
	"strings"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Image is a Talos image that was written to a disk.
type Image struct {
	Disk         fleet.Disk
	Architecture fleet.Architecture
	Firmware     string // "bios" or "uefi": what the rescue system was booted by
	// Codeless is how an argument without a one-time code begins that an image may have sealed: of who made images for
	// the Rails application. "": none may.
	Codeless string
}

// KernelArgument is what became of one.
type KernelArgument struct {
	Where string // in words
	// Codeless: what this machine boots has an argument of its own, which begins as Image.Codeless.
	Codeless bool
}

// AddKernelArgument gives an image its argument talos.config=…, wherever it may boot from: in grub.cfg, and in an addon
// beside each unified kernel image, whose own command line is sealed. It replaces an earlier one, and says in words
// where the argument is now. fleet.Refused if the image would not have it on this firmware.
func (s *Session) AddKernelArgument(ctx context.Context, image Image, argument string) (KernelArgument, error) {
	if err := checkArgument(argument); err != nil {
		return KernelArgument{}, err
	}
	all, err := s.partitions(ctx, image.Disk)
	if err != nil {
		return KernelArgument{}, err
	}
	nodes := map[string]string{}
	for _, p := range all {
		nodes[p.Name] = p.Node
	}
	if err := s.put(ctx, "addon.efi", addon(image.Architecture, argument)); err != nil {
		return KernelArgument{}, err
	}
	out, err := s.script(ctx, "kernel-argument.sh", argument, nodes["BOOT"], nodes["EFI"])
	if err != nil {
		return KernelArgument{}, fleet.Errorf(fleet.Refused, "give the image on disk %s its kernel argument: %w", image.Disk.ID(), err)
	}
	return kernelArgument(image, argument, out)
}

// checkArgument refuses what would be more than one argument.
func checkArgument(argument string) error {
	value, ok := strings.CutPrefix(argument, "talos.config=")
	for _, c := range value {
		ok = ok && c > ' ' && c < 0x7f && c != '"' && c != '\''
	}
	if !ok || value == "" {
		return fleet.Errorf(fleet.Invalid, "%q cannot be a kernel argument talos.config", argument)
	}
	return nil
}

// kernelArgument judges by what kernel-argument.sh did whether the image has the argument when this machine boots it:
// BIOS runs GRUB; UEFI runs the unified kernel images, or GRUB where an image has none (Talos before 1.10).
func kernelArgument(image Image, argument, out string) (a KernelArgument, err error) {
	var places []string
	grub, unified := false, false
	uefi := image.Firmware == "uefi" || image.Architecture == fleet.ARM64
	for line := range strings.Lines(out) {
		what, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		name, sealed, _ := strings.Cut(rest, " ")
		switch what {
		case "grub":
			grub, places = true, append(places, "grub.cfg")
		case "uki":
			unified, places = true, append(places, "an addon beside "+name)
		case "sealed":
			// What follows may be the next section of the file.
			switch ours := strings.HasPrefix(sealed, argument); {
			case !ours && strings.HasPrefix(sealed, image.Codeless) && image.Codeless != "" && !strings.Contains(sealed, "code="):
				a.Codeless = uefi
			case !ours:
				return a, fleet.Errorf(fleet.Refused, "the image's %s has a kernel argument of its own, %s, which cannot be changed", name, sealed).
					WithHint("make the image without talos.config, or with exactly %s", argument)
			}
			unified, places = true, append(places, name+" itself")
		}
	}
	if boots := grub || uefi && unified; !boots {
		return a, fleet.Errorf(fleet.Refused, "the image on disk %s cannot boot by %s: it has %s", image.Disk.ID(), image.Firmware, orNothing(places)).
			WithHint("use an image for this firmware, such as the factory's metal image")
	}
	a.Where = strings.Join(places, " and ")
	return a, nil
}

func orNothing(places []string) string {
	if len(places) == 0 {
		return "neither grub.cfg nor a unified kernel image"
	}
	return "only " + strings.Join(places, " and ")
}
