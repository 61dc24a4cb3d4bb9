package machineconfig

import (
	"fmt"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/configpatcher"
	"github.com/siderolabs/talos/pkg/machinery/config/types/v1alpha1"
)

// own lists the patches that the manager itself makes, before the user's.
func (in *Input) own(contract *config.VersionContract, user []Patch) []Patch {
	var out []Patch
	add := func(name, text string) {
		if text != "" {
			out = append(out, Patch{OwnPatch + name, text})
		}
	}
	add("hostname", in.hostname(contract, user))
	add("install disk", in.installDisk(contract))
	add("EPHEMERAL disk", in.ephemeral())
	if in.KubeSpan {
		add("KubeSpan", "machine: {network: {kubespan: {enabled: true}}}")
	}
	if len(legacyOf(user).kernelArgs) > 0 && contract.GrubUseUKICmdlineDefault() && !contract.UnattendedInstallConfig() {
		add("kernel arguments", "machine: {install: {grubUseUKICmdline: false}}")
	}
	return out
}

// hostname sets the node's name: a document since Talos 1.12, a field before. A patch that sets
// machine.network.hostname, as the older guides do, makes way for it: both at once are refused by Talos.
func (in *Input) hostname(contract *config.VersionContract, user []Patch) string {
	if legacyOf(user).hostname {
		if contract.MultidocNetworkConfigSupported() {
			return "apiVersion: v1alpha1\nkind: HostnameConfig\n$patch: delete\n"
		}
		return ""
	}
	name := in.Variables["hostname"]
	if name == "" {
		return ""
	}
	if !contract.MultidocNetworkConfigSupported() {
		return fmt.Sprintf("machine: {network: {hostname: %q}}\n", name)
	}
	return fmt.Sprintf("apiVersion: v1alpha1\nkind: HostnameConfig\nauto: \"off\"\nhostname: %q\n", name)
}

// installDisk names the disk that upgrades and a reinstall use by what never changes between boots. Since 1.14
// the install section is a document of its own, which is left out: the image is on the disk already.
func (in *Input) installDisk(contract *config.VersionContract) string {
	if contract.UnattendedInstallConfig() || in.InstallDisk == "" {
		return ""
	}
	selector := fmt.Sprintf("wwid: %q", in.InstallDisk)
	if serial, ok := strings.CutPrefix(in.InstallDisk, "serial:"); ok {
		selector = fmt.Sprintf("serial: %q", serial)
	}
	return fmt.Sprintf("machine: {install: {disk: \"\", diskSelector: {%s}}}\n", selector)
}

// ephemeral moves the EPHEMERAL volume to a disk of its own, or to an md array found by its udev symlink.
func (in *Input) ephemeral() string {
	kind, id, ok := strings.Cut(in.EphemeralDisk, ":")
	if !ok {
		return ""
	}
	match := fmt.Sprintf("disk.wwid == '%s'", id)
	if kind == "uuid" {
		match = fmt.Sprintf("'/dev/disk/by-id/md-uuid-%s' in disk.symlinks", mdUUID(id))
	}
	return fmt.Sprintf(`apiVersion: v1alpha1
kind: VolumeConfig
name: EPHEMERAL
provisioning:
  diskSelector:
    match: %q
  minSize: 10GB
  grow: true
`, match)
}

// mdUUID regroups an md array's UUID as udev writes it: four groups of eight.
func mdUUID(id string) string {
	hex := strings.ReplaceAll(strings.ReplaceAll(id, "-", ""), ":", "")
	if len(hex) != 32 {
		return id
	}
	return hex[:8] + ":" + hex[8:16] + ":" + hex[16:24] + ":" + hex[24:]
}

// legacy is what the user's patches say in the fields of older Talos versions.
type legacy struct {
	hostname   bool
	kernelArgs []string
}

// legacyOf looks into the strategic merge patches; a patch that does not parse is reported when it is applied.
func legacyOf(patches []Patch) legacy {
	var found legacy
	for _, p := range patches {
		patch, err := configpatcher.LoadPatch([]byte(p.Text))
		if err != nil {
			continue
		}
		merge, ok := patch.(configpatcher.StrategicMergePatch)
		if !ok {
			continue
		}
		for _, doc := range merge.Documents() {
			old, ok := doc.(*v1alpha1.Config)
			if !ok || old.MachineConfig == nil {
				continue
			}
			//lint:ignore SA1019 deprecated is the point
			if n := old.MachineConfig.MachineNetwork; n != nil && n.NetworkHostname != "" {
				found.hostname = true
			}
			//lint:ignore SA1019 deprecated is the point
			if i := old.MachineConfig.MachineInstall; i != nil {
				//lint:ignore SA1019 deprecated is the point
				found.kernelArgs = append(found.kernelArgs, i.InstallExtraKernelArgs...)
			}
		}
	}
	return found
}

// adviceFor says what to write instead, for the errors that patches of older guides run into.
func adviceFor(err error, contract *config.VersionContract) string {
	text := err.Error()
	switch {
	case strings.Contains(text, "static hostname is already set"), strings.Contains(text, "'auto' and 'hostname'"):
		return "since Talos 1.12 the hostname is a document: kind: HostnameConfig with auto: \"off\" and hostname; or leave it out, the server's name is set for you"
	case strings.Contains(text, "UnattendedInstallConfig"), strings.Contains(text, ".machine.install"):
		return "since Talos 1.14 machine.install is UnattendedInstallConfig; kernel arguments belong into the schematic"
	case strings.Contains(text, "extraKernelArgs"), strings.Contains(text, "grubUseUKICmdline"):
		return "put kernel arguments into the schematic (customization.extraKernelArgs)"
	case strings.Contains(text, "already set"), strings.Contains(text, "conflict"):
		return "a field of v1alpha1 and a document of " + contract.String() + " say the same thing: keep the document"
	}
	return "compare the patch with the reference of this Talos version"
}
