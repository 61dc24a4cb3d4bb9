package machineconfig

//lint:file-ignore SA1019 fields that are deprecated for the newest Talos are all that older ones have

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/cel"
	"github.com/siderolabs/talos/pkg/machinery/cel/celenv"
	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/types/network"
	"github.com/siderolabs/talos/pkg/machinery/config/types/runtime"
	"github.com/siderolabs/talos/pkg/machinery/config/types/v1alpha1"
	"github.com/siderolabs/talos/pkg/machinery/nethelpers"
)

// OwnPatch begins the names of the patches that the manager itself makes.
const OwnPatch = "talos-manager: "

// step is a patch that is ready to be applied.
type step struct {
	name  string
	apply func(*documents) error
	user  *userPatch // nil: one of our own
}

func ownStep(name string, apply func(*documents)) step {
	return step{name: OwnPatch + name, apply: func(d *documents) error { apply(d); return nil }}
}

// own lists the patches that the manager itself makes, before the user's.
func (in *Input) own(contract *config.VersionContract) []step {
	var out []step
	if name := in.Variables["hostname"]; name != "" {
		out = append(out, ownStep("hostname", func(d *documents) { setHostname(d, contract, name) }))
	}
	switch {
	case in.InstallDisk == "":
	case !contract.UnattendedInstallConfig():
		out = append(out, ownStep("install disk", func(d *documents) { setInstallDisk(d, in.InstallDisk) }))
	case in.InstallsItself:
		out = append(out, ownStep("install disk", func(d *documents) { d.list = append(d.list, document{Document: unattended(in)}) }))
	}
	if in.KubeSpan {
		out = append(out, ownStep("KubeSpan", func(d *documents) { setKubeSpan(d, contract) }))
	}
	return out
}

// yield lists what is done after the user's patches: where they say in the fields of older Talos versions what our
// own patches say in documents, ours make way, because both at once are refused.
func (in *Input) yield(contract *config.VersionContract) []step {
	var out []step
	if name := in.Variables["hostname"]; name != "" && contract.MultidocNetworkConfigSupported() {
		out = append(out, ownStep("hostname", func(d *documents) { yieldHostname(d, name) }))
	}
	if in.KubeSpan && contract.KubeSpanMultidocConfig() {
		out = append(out, ownStep("KubeSpan", yieldKubeSpan))
	}
	if contract.GrubUseUKICmdlineDefault() && !contract.UnattendedInstallConfig() {
		out = append(out, ownStep("kernel arguments", yieldUKICmdline))
	}
	return out
}

// setHostname sets the node's name: a document since Talos 1.12, a field before.
func setHostname(d *documents, contract *config.VersionContract, name string) {
	if !contract.MultidocNetworkConfigSupported() {
		machineNetwork(d).NetworkHostname = name
		return
	}
	doc := owned[*network.HostnameConfigV1Alpha1](d)
	if doc == nil {
		doc = network.NewHostnameConfigV1Alpha1()
		d.list = append(d.list, document{Document: doc})
	}
	doc.ConfigAuto, doc.ConfigHostname = new(nethelpers.AutoHostnameKindOff), name
}

// machineNetwork is the section network of machine:, made if there is none.
func machineNetwork(d *documents) *v1alpha1.NetworkConfig {
	m := owned[*v1alpha1.Config](d).MachineConfig
	if m.MachineNetwork == nil {
		m.MachineNetwork = &v1alpha1.NetworkConfig{}
	}
	return m.MachineNetwork
}

func yieldHostname(d *documents, name string) {
	i := d.find(network.NewHostnameConfigV1Alpha1())
	if i < 0 {
		return
	}
	doc := d.list[i].Document.(*network.HostnameConfigV1Alpha1)
	ours := doc.ConfigHostname == name
	off := doc.ConfigAuto != nil && *doc.ConfigAuto == nethelpers.AutoHostnameKindOff
	switch legacy := legacyOf(d); {
	case legacy.hostname != "" && ours && off:
		d.remove(i)
	case ours && !off: // a patch wants the name made by Talos
		d.own(i).(*network.HostnameConfigV1Alpha1).ConfigHostname = ""
	}
}

// setInstallDisk names the disk that upgrades and a reinstall use by what never changes between boots. Since 1.14
// the install section is a document of its own, which is left out where the image is on the disk already.
func setInstallDisk(d *documents, disk string) {
	install := owned[*v1alpha1.Config](d).MachineConfig.MachineInstall
	if install == nil {
		return
	}
	install.InstallDiskSelector = ownSelector(disk)
}

// unattended has a Talos that runs in memory install itself, and reboot into what it installed. On an installed node it
// says nothing that is not so already.
func unattended(in *Input) *runtime.UnattendedInstallConfigV1Alpha1 {
	field, id := "disk.wwid", in.InstallDisk
	if serial, ok := strings.CutPrefix(id, "serial:"); ok {
		field, id = "disk.serial", serial
	}
	doc := runtime.NewUnattendedInstallConfigV1Alpha1()
	doc.Reboot = new(true)
	doc.Installer.Image = in.InstallImage
	doc.ProvisioningSpec.DiskSelector.Match = cel.MustExpression(cel.ParseBooleanExpression(fmt.Sprintf("%s == %q", field, id), celenv.DiskLocator()))
	doc.ProvisioningSpec.Wipe = new(true)
	return doc
}

func ownSelector(disk string) *v1alpha1.InstallDiskSelector {
	if serial, ok := strings.CutPrefix(disk, "serial:"); ok {
		return &v1alpha1.InstallDiskSelector{Serial: serial}
	}
	return &v1alpha1.InstallDiskSelector{WWID: disk}
}

// setKubeSpan switches KubeSpan on: a document since Talos 1.13, a field before.
func setKubeSpan(d *documents, contract *config.VersionContract) {
	if !contract.KubeSpanMultidocConfig() {
		machineNetwork(d).NetworkKubeSpan = &v1alpha1.NetworkKubeSpan{KubeSpanEnabled: new(true)}
		return
	}
	d.list = append(d.list, document{Document: ownKubeSpan()})
}

func ownKubeSpan() *network.KubeSpanConfigV1Alpha1 {
	doc := network.NewKubeSpanV1Alpha1()
	doc.ConfigEnabled = new(true)
	return doc
}

func yieldKubeSpan(d *documents) {
	i := d.find(network.NewKubeSpanV1Alpha1())
	if i < 0 || legacyOf(d).kubeSpan == nil || !reflect.DeepEqual(d.list[i].Document, ownKubeSpan()) {
		return
	}
	d.remove(i)
	if span := machineNetwork(d).NetworkKubeSpan; span.KubeSpanEnabled == nil {
		span.KubeSpanEnabled = new(true)
	}
}

// yieldUKICmdline lets kernel arguments of the config in: with the kernel command line of the image, which Talos 1.12
// generates, they are refused.
func yieldUKICmdline(d *documents) {
	if legacy := legacyOf(d); len(legacy.kernelArgs) > 0 && legacy.ukiCmdline {
		owned[*v1alpha1.Config](d).MachineConfig.MachineInstall.InstallGrubUseUKICmdline = new(false)
	}
}

// legacy is what a config says in fields of older Talos versions.
type legacy struct {
	hostname   string
	kernelArgs []string
	ukiCmdline bool
	kubeSpan   *v1alpha1.NetworkKubeSpan
}

func legacyOf(d *documents) (found legacy) {
	old := peek[*v1alpha1.Config](d)
	if old == nil || old.MachineConfig == nil {
		return found
	}
	if n := old.MachineConfig.MachineNetwork; n != nil {
		found.hostname, found.kubeSpan = n.NetworkHostname, n.NetworkKubeSpan
	}
	if i := old.MachineConfig.MachineInstall; i != nil {
		found.kernelArgs = i.InstallExtraKernelArgs
		found.ukiCmdline = i.InstallGrubUseUKICmdline != nil && *i.InstallGrubUseUKICmdline
	}
	return found
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
