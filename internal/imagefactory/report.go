package imagefactory

import (
	"context"
	"slices"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/imager/quirks"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Report says what a Talos version lacks of a customization. Of a factory that is not asked because nothing needs
// it, it says nothing.
func (c *Client) Report(ctx context.Context, what fleet.Customization, version string) (fleet.SchematicReport, error) {
	r := fleet.SchematicReport{TalosVersion: tag(version)}
	if err := checkVersion(version); err != nil {
		return r, err
	}
	can := quirks.New(version)
	if what.MachineConfig != "" && !can.SupportsEmbeddedConfig() {
		r.Missing = append(r.Missing, fleet.Missing{Kind: "feature", Name: "embeddedMachineConfiguration", Text: "Talos takes embedded machine configs since v1.12"})
	}
	if len(what.Extensions) > 0 {
		offered, err := c.Extensions(ctx, version)
		if err != nil {
			return r, err
		}
		for _, name := range what.Extensions {
			findExtension(&r, name, offered)
		}
	}
	if what.Overlay.Name == "" {
		return r, nil
	}
	if !can.SupportsOverlay() {
		r.Missing = append(r.Missing, fleet.Missing{Kind: "overlay", Name: what.Overlay.Name, Text: "Talos takes overlays since v1.7"})
		return r, nil
	}
	offered, err := c.Overlays(ctx, version)
	if err != nil {
		return r, err
	}
	names := make([]string, 0, len(offered))
	for _, o := range offered {
		names = append(names, o.Name)
	}
	if !slices.Contains(names, what.Overlay.Name) {
		r.Missing = append(r.Missing, fleet.Missing{Kind: "overlay", Name: what.Overlay.Name, Nearest: fleet.Nearest(what.Overlay.Name, names)})
	}
	return r, nil
}

func findExtension(r *fleet.SchematicReport, name string, offered []Extension) {
	has := func(name string) bool {
		return name != "" && slices.ContainsFunc(offered, func(e Extension) bool { return e.Name == name })
	}
	now := renamed()[name]
	switch {
	case has(name):
		return
	case has(now):
		r.Renamed = append(r.Renamed, fleet.Renamed{From: name, To: now})
		return
	}
	m := fleet.Missing{Kind: "extension", Name: name}
	for before, after := range renamed() {
		if after == name && has(before) {
			m.Text, m.Nearest = "this version has it by its old name", []string{before}
		}
	}
	if m.Nearest == nil {
		m.Nearest = nearest(name, offered)
	}
	r.Missing = append(r.Missing, m)
}

// nearest compares what comes after the slash: all official extensions begin alike.
func nearest(name string, offered []Extension) []string {
	short := func(name string) string { return name[strings.LastIndex(name, "/")+1:] }
	full := map[string]string{}
	var names []string
	for _, e := range offered {
		full[short(e.Name)] = e.Name
		names = append(names, short(e.Name))
	}
	var all []string
	for _, n := range fleet.Nearest(short(name), names) {
		all = append(all, full[n])
	}
	if exact := full[short(name)]; exact != "" && exact != name { // of another registry folder
		all = append([]string{exact}, all...)
	}
	return all
}

// renamed are the extensions that the factory finds by another name than a schematic has (image-factory v1.5.0
// internal/profile ExtensionNameAlias).
func renamed() map[string]string {
	const prefix = "siderolabs/"
	all := map[string]string{}
	for before, after := range map[string]string{
		"v4l-uvc":                        "v4l-uvc-drivers",
		"usb-modem":                      "usb-modem-drivers",
		"gasket":                         "gasket-driver",
		"talos-vmtoolsd":                 "vmtoolsd-guest-agent",
		"xe-guest-utilities":             "xen-guest-agent",
		"nvidia-container-toolkit":       "nvidia-container-toolkit-lts",
		"nvidia-open-gpu-kernel-modules": "nvidia-open-gpu-kernel-modules-lts",
		"nonfree-kmod-nvidia":            "nonfree-kmod-nvidia-lts",
		"nvidia-fabricmanager":           "nvidia-fabric-manager-lts",
		"i915-ucode":                     "i915",
		"amdgpu-firmware":                "amdgpu",
	} {
		all[prefix+before] = prefix + after
	}
	return all
}

// Refusal is the error of a report that misses something; nil if nothing is missing.
func Refusal(doing string, r fleet.SchematicReport) error {
	if len(r.Missing) == 0 {
		return nil
	}
	var texts, hints []string
	for _, m := range r.Missing {
		text := m.Kind + " " + m.Name
		if m.Text != "" {
			text += " (" + m.Text + ")"
		}
		texts = append(texts, text)
		if len(m.Nearest) > 0 {
			hints = append(hints, "instead of "+m.Name+" there is "+strings.Join(m.Nearest, ", "))
		}
	}
	err := fleet.Errorf(fleet.Invalid, "%s: the image factory has for Talos %s no %s", doing, r.TalosVersion, strings.Join(texts, ", "))
	if len(hints) == 0 {
		hints = []string{"what it has: talos-manager schematic extensions --talos-version " + r.TalosVersion}
	}
	return err.WithHint("%s", strings.Join(hints, "; "))
}
