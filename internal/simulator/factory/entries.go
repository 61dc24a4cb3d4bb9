package factory

import (
	"strconv"
	"strings"
)

// entry is an official system extension.
type entry struct {
	name        string
	tag         string // of its image; "" is the Talos version's own
	first, last int    // minors of Talos 1 that have it; 0 is no end
	about       string
}

// entries reads the table below.
func entries() []entry {
	var all []entry
	for line := range strings.SplitSeq(strings.TrimSpace(table), "\n") {
		f := strings.Split(line, "|")
		first, _ := strconv.Atoi(f[2]) // nothing is 0
		last, _ := strconv.Atoi(f[3])
		all = append(all, entry{f[0], f[1], first, last, f[4]})
	}
	return all
}

// table is the extensions that siderolabs/extensions built for each minor of Talos (its Makefile at v1.6.8, v1.7.7,
// v1.8.4, v1.9.6, v1.10.9, v1.11.6, v1.12.11, v1.13.9 and v1.14.0-rc.1): name, tag, first and last minor, what it is.
// Tags and descriptions are like the real ones.
const table = `
amazon-ena||10||the Amazon ENA driver
amd-ucode|20260410|||AMD microcode binaries
amdgpu|20260410|9||AMDGPU firmware and driver
amdgpu-firmware|20241110||8|AMDGPU firmware
binfmt-misc||||the binfmt_misc kernel module
bird2|2.17.1|12||the BIRD routing daemon
bnx2-bnx2x|20260410|||Broadcom NetXtreme firmware
btrfs||||the btrfs kernel module
chelsio-drivers||||Chelsio network drivers
chelsio-firmware|20260410|||Chelsio firmware
cloudflared|2026.3.0|9||cloudflared
crun|1.24|8||crun
ctr|v2.2.1|10||the ctr tool of containerd
drbd|9.2.16|||the DRBD kernel modules
dvb-cx23885||9||DVB drivers
dvb-m88ds3103||11||the m88ds3103 driver
ecr-credential-provider|v1.35.0|||the ECR credential provider
fuse3|3.17.4|||fuse3
gasket-driver||||the Google Coral driver
glibc|2.42|9||glibc
gpio-pinctrl||12||the GPIO kernel modules
gvisor|20260302.0|||gVisor
gvisor-debug|v1.0.0|7||gVisor debugging
hailort|4.23.0|11||the HailoRT driver
harbor-credential-provider|v0.1.0|14||the Harbor credential provider
hello-world-service||||an example Talos extension service
hyperv-guest-agent|6.18.9|14||the Hyper-V guest agents
i915|20260410|9||Intel GPU firmware and driver
i915-ucode|20241110||8|Intel GPU firmware
intel-ice-firmware|20260410|||Intel ICE firmware
intel-npu|20260410|13||Intel NPU firmware and driver
intel-ucode|20260227|||Intel microcode binaries
iscsi-tools|v0.2.0|||iscsi-tools
joydev||13||the joystick kernel module
kata-containers|3.24.0|7||Kata Containers
kata-containers-snp|3.24.0|14||Kata Containers for AMD SEV-SNP
lldpd|1.0.20|9||lldpd
mdadm|4.4|||mdadm
mei||8||the Intel MEI kernel modules
mellanox-mstflint|4.34.1|12||mstflint
metal-agent|v0.1.4|9||the Talos metal agent
multipath-tools|v0.1.0|12||multipath-tools
nebula|1.10.0|10||Nebula
netbird|0.64.0|12||NetBird
newt|1.8.0|11||Newt
nfs-utils|v0.1.1|12||nfs-utils
nfsd||10||the NFS server kernel module
nfsrahead|2.8.4|11||nfsrahead
nonfree-kmod-nvidia|535.183.01||7|the proprietary NVIDIA kernel modules
nonfree-kmod-nvidia-lts|580.126.09|8||the proprietary NVIDIA kernel modules
nonfree-kmod-nvidia-production|590.48.01|8||the proprietary NVIDIA kernel modules
nut-client|2.8.4|||the NUT client
nvidia-container-toolkit|535.183.01-v1.15.0||7|the NVIDIA container toolkit
nvidia-container-toolkit-lts|580.126.09-v1.18.1|8||the NVIDIA container toolkit
nvidia-container-toolkit-production|590.48.01-v1.18.1|8||the NVIDIA container toolkit
nvidia-fabricmanager|535.183.01||7|the NVIDIA fabric manager
nvidia-fabricmanager-lts|580.126.09|8||the NVIDIA fabric manager
nvidia-fabricmanager-production|590.48.01|8||the NVIDIA fabric manager
nvidia-gdrdrv-device|2.5.1|12||the NVIDIA GDRCopy driver
nvidia-open-gpu-kernel-modules|535.183.01||7|the open NVIDIA kernel modules
nvidia-open-gpu-kernel-modules-lts|580.126.09|8||the open NVIDIA kernel modules
nvidia-open-gpu-kernel-modules-production|590.48.01|8||the open NVIDIA kernel modules
nvme-cli|2.16|10||nvme-cli
panfrost|20260410|10||the Panfrost GPU driver
px-fuse|3.1.0|13||the Portworx kernel module
qemu-guest-agent|10.2.0|||the QEMU guest agent
qlogic-firmware|20260410|||QLogic firmware
realtek-firmware|20260410|||Realtek firmware
revpi-firmware|v1.0.0|10||RevPi firmware
rockchip-rknn||13||the Rockchip NPU driver
soci-snapshotter|v0.12.1|12||the SOCI snapshotter
spin|v0.22.0|7||Spin
stargz-snapshotter|v0.17.0|||the stargz snapshotter
tailscale|1.94.1|||Tailscale
tenstorrent|2.6.0|11||the Tenstorrent driver
thunderbolt||||the Thunderbolt kernel modules
trident-iscsi-tools|v0.0.1|12||iscsi-tools for Trident
uhid||13||the uhid kernel module
uinput||8||the uinput kernel module
usb-audio-drivers||12||USB audio drivers
usb-modem-drivers||||USB modem drivers
util-linux-tools|2.41.3|||tools of util-linux
v4l-uvc-drivers||7||USB video drivers
vc4||10||the VC4 GPU driver
vmtoolsd-guest-agent|v1.4.0|7||the VMware guest agent
wasmedge|v0.6.0|7||WasmEdge
xdma-driver|2024.2|10||the Xilinx XDMA driver
xe|20260410|12||the Intel Xe GPU driver
xe-guest-utilities|7.30.0||6|the Xen guest utilities
xen-guest-agent|0.4.0|7||the Xen guest agent
youki|0.5.7|10||youki
zerotier|1.16.0|10||ZeroTier
zfs|2.4.0|||ZFS
`
