package resources

import (
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/siderolabs/talos/pkg/machinery/resources/block"

	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

const sector = 512

// WWID is a disk's WWN in Talos' notation: lsblk says 0x5002538e…, sysfs and so Talos say naa.5002538e…; NVMe's
// eui.… is the same in both. A disk that tells no WWN has no WWID.
func WWID(wwn string) string {
	if hex, ok := strings.CutPrefix(wwn, "0x"); ok {
		return "naa." + hex
	}
	return wwn
}

func (v View) block(w *wanted) {
	if v.Machine != nil {
		for i, d := range v.Machine.Disks {
			v.disk(w, i, d)
		}
	}
	for _, d := range v.Discovered {
		w.add("block.DiscoveryController", with(block.NewDiscoveredVolume(block.NamespaceName, d.Name), d.spec()))
	}
	if v.SystemDisk != "" {
		w.add("block.SystemDiskController", with(block.NewSystemDisk(block.NamespaceName, block.SystemDiskID),
			block.SystemDiskSpec{DiskID: v.SystemDisk, DevPath: "/dev/" + v.SystemDisk}))
	}
	w.add("block.VolumeManagerController", with(block.NewDiscoveryRefreshRequest(block.NamespaceName, block.RefreshID),
		block.DiscoveryRefreshRequestSpec{Request: 1}))
	w.add("block.DiscoveryController", with(block.NewDiscoveryRefreshStatus(block.NamespaceName, block.RefreshID),
		block.DiscoveryRefreshStatusSpec{Request: 1}))
	w.add("", block.NewVolumeLifecycle(block.NamespaceName, block.VolumeLifecycleID))
	if v.configured() {
		w.add("block.UserDiskConfigController", with(block.NewUserDiskConfigStatus(block.NamespaceName, block.UserDiskConfigStatusID),
			block.UserDiskConfigStatusSpec{Ready: true, TornDown: true}))
	}
	if v.Maintenance { // asked for, and waiting for a disk
		w.add("block.VolumeConfigController", with(block.NewVolumeMountRequest(block.NamespaceName, "/var/mnt"),
			block.VolumeMountRequestSpec{VolumeID: "/var/mnt", Requester: "block.VolumeConfigController"}))
	}
	for _, d := range v.Volumes {
		v.volume(w, d)
	}
	if slices.ContainsFunc(v.Volumes, func(d Volume) bool { return d.ID == "EPHEMERAL" && d.Mount != "" }) {
		for _, d := range directories() {
			v.volume(w, d)
		}
	}
}

func (v View) disk(w *wanted, i int, d *world.Disk) {
	links := diskLinks(d)
	s := block.DiskSpec{
		DevPath: "/dev/" + d.Name, IOSize: sector, SectorSize: sector, Model: d.Model, Serial: d.Serial, WWID: WWID(d.WWN),
		BusPath:   "/pci0000:00/0000:00:0" + strconv.Itoa(i+2) + ".0/" + d.Name,
		SubSystem: "/sys/class/block", Transport: d.Transport, Rotational: d.Rotational, Symlinks: links,
	}
	s.SetSize(uint64(d.SizeBytes))
	w.add("block.DisksController", with(block.NewDisk(block.NamespaceName, d.Name), s))
	w.add("block.DevicesController", with(block.NewDevice(block.NamespaceName, d.Name), block.DeviceSpec{
		Type: "disk", Major: 8, Minor: 16 * i, DevicePath: strings.TrimPrefix(s.BusPath, "/"), Generation: 1,
	}))
	if len(links) > 0 {
		w.add("block.SymlinksController", with(block.NewSymlink(block.NamespaceName, d.Name), block.SymlinkSpec{Paths: links}))
	}
}

// diskLinks are the names of a disk that survive a boot, as udev makes them.
func diskLinks(d *world.Disk) []string {
	var all []string
	prefix := "/dev/disk/by-id/"
	switch {
	case d.Transport == "nvme":
		if d.WWN != "" {
			all = append(all, prefix+"nvme-"+d.WWN)
		}
		if d.Serial != "" {
			all = append(all, prefix+"nvme-"+strings.ReplaceAll(d.Model, " ", "_")+"_"+d.Serial)
		}
	case d.WWN != "":
		all = append(all, prefix+"wwn-"+d.WWN)
	}
	if d.Transport != "nvme" && d.Serial != "" {
		kind := "scsi-0"
		if d.Transport == "sata" {
			kind = "ata-"
		}
		all = append(all, prefix+kind+strings.ReplaceAll(d.Model, " ", "_")+"_"+d.Serial)
	}
	return all
}

func (d DiscoveredVolume) spec() block.DiscoveredVolumeSpec {
	s := block.DiscoveredVolumeSpec{
		DevPath: "/dev/" + d.Name, Type: "partition", DevicePath: "/sys/class/block/" + d.Name, Offset: d.Offset,
		SectorSize: sector, IOSize: sector, Name: d.Found, Label: d.Label, PartitionLabel: d.PartitionLabel,
		PartitionIndex: d.PartitionIndex,
	}
	s.SetSize(d.Bytes)
	if d.Disk == "" {
		s.Type, s.UUID = "disk", d.UUID
		return s
	}
	s.Parent, s.ParentDevPath, s.PartitionUUID = d.Disk, "/dev/"+d.Disk, d.UUID
	return s
}

// volume adds a volume's status and, when it is mounted, its mount.
func (v View) volume(w *wanted, d Volume) {
	s := block.VolumeStatusSpec{
		Phase: d.Phase, Type: d.Type, ParentID: d.Parent, Location: d.Location, MountLocation: d.Location,
		ParentLocation: d.Disk, Filesystem: d.Filesystem, ErrorMessage: d.Error,
	}
	if d.Bytes > 0 {
		s.SetSize(d.Bytes)
	}
	if d.Encrypted {
		s.EncryptionProvider, s.MountLocation = block.EncryptionProviderLUKS2, "/dev/dm-0"
	}
	if i := slices.IndexFunc(v.Discovered, func(p DiscoveredVolume) bool { return "/dev/"+p.Name == d.Location }); i >= 0 {
		s.PartitionIndex, s.PartitionUUID = int(v.Discovered[i].PartitionIndex), v.Discovered[i].UUID
	}
	if d.Type == block.VolumeTypeDirectory {
		s.ParentID = "" // only its mount names the parent
	}
	if d.Mount != "" {
		s.MountSpec = mountSpec(d)
	}
	r := with(block.NewVolumeStatus(block.NamespaceName, d.ID), s)
	system(r)
	w.add("block.VolumeManagerController", r)
	if d.Mount == "" || d.Phase != block.VolumePhaseReady {
		return
	}
	request := block.MountRequestSpec{VolumeID: d.ID, ParentMountID: d.Parent, Requesters: []string{"sequencer"}, RequesterIDs: []string{d.ID}}
	w.add("block.MountRequestController", with(block.NewMountRequest(block.NamespaceName, d.ID), request))
	w.add("block.MountController", with(block.NewMountStatus(block.NamespaceName, d.ID), block.MountStatusSpec{
		Spec: request, Source: s.MountLocation, Target: d.Mount, Filesystem: d.Filesystem, EncryptionProvider: s.EncryptionProvider,
		ProjectQuotaSupport: d.ID == "EPHEMERAL",
	}))
	v.mounts(w, d)
}

func mountSpec(d Volume) block.MountSpec {
	m := block.MountSpec{TargetPath: d.Mount, ParentID: d.Parent, SelinuxLabel: selinux(d.ID), FileMode: os.FileMode(0o700)}
	if d.Parent != "" {
		m.TargetPath = path.Base(d.Mount)
	}
	switch d.ID {
	case "EPHEMERAL":
		m.ProjectQuotaSupport, m.FileMode = true, 0o755
	case "/var/log", "/var/log/containers", "/var/log/pods", "/var/mnt":
		m.FileMode = 0o755
	case "/var/log/audit/kube":
		m.UID, m.GID, m.RecursiveRelabel = 65534, 65534, true
	case "/var/lib/cni", "/var/lib/kubelet/seccomp/profiles":
		m.RecursiveRelabel = true
	}
	return m
}

func selinux(id string) string {
	label := map[string]string{
		"STATE": "system_state_t", "EPHEMERAL": "ephemeral_t", "/var/lib/cni": "cni_state_t",
		"/var/lib/containerd": "containerd_state_t", "/var/lib/kubelet": "kubelet_state_t",
		"/var/lib/kubelet/seccomp": "seccomp_profile_t", "/var/lib/kubelet/seccomp/profiles": "seccomp_profile_t",
		"/var/log": "var_log_t", "/var/log/audit": "audit_log_t", "/var/log/audit/kube": "kube_log_t",
		"/var/log/containers": "containers_log_t", "/var/log/pods": "pods_log_t",
	}[id]
	if label == "" {
		label = "ephemeral_t"
	}
	return "system_u:object_r:" + label + ":s0"
}

// directories are the volumes that Talos keeps on EPHEMERAL (recorded list).
func directories() []Volume {
	var all []Volume
	for _, id := range []string{
		"/var/lib", "/var/lib/cni", "/var/lib/containerd", "/var/lib/kubelet", "/var/lib/kubelet/seccomp",
		"/var/lib/kubelet/seccomp/profiles", "/var/log", "/var/log/audit", "/var/log/audit/kube",
		"/var/log/containers", "/var/log/pods", "/var/mnt",
	} {
		parent := path.Dir(id)
		if parent == "/var" {
			parent = "EPHEMERAL"
		}
		all = append(all, Volume{ID: id, Type: block.VolumeTypeDirectory, Phase: block.VolumePhaseReady, Mount: id, Parent: parent})
	}
	return all
}

func system(r resource.Resource) { r.Metadata().Labels().Set("talos.dev/system-volume", "") }
